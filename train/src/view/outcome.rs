//! A finished run as tables of text, which stay on the terminal.

use std::collections::BTreeSet;
use std::fmt::Write;

use seg_contract::Scores;

use super::duration::duration;
use crate::run::record::EpochRecord;

/// The most rows of the table of epochs.
const ROWS_MAX: usize = 12;

/// Writes a table with the first, the best and the last epoch of a log and others in equal steps
/// between them.
pub fn epochs(log: &[EpochRecord]) -> String {
    let mut text = String::from("epoch    loss  val Dice    mIoU     acc  time");
    for record in chosen(log) {
        let EpochRecord { epoch, loss, validation, best, .. } = &record;
        let scores = validation.as_ref().map_or_else(
            || format!("{:>8}  {:>6}  {:>6}", "-", "-", "-"),
            |validation| {
                let Scores { dice_per_image, mean_iou_pooled, accuracy_pooled, .. } = validation.scores;
                format!("{dice_per_image:8.4}  {mean_iou_pooled:.4}  {accuracy_pooled:.4}")
            },
        );
        let mark = if *best { "  best" } else { "" };
        let time = duration(record.seconds());
        let _ = write!(text, "\n{epoch:>5}  {loss:6.4}  {scores}  {time}{mark}");
    }
    text
}

/// Chooses the epochs that a table has room for. Of the epochs that were the best so far only the
/// last is marked.
fn chosen(log: &[EpochRecord]) -> Vec<EpochRecord> {
    let best = log.iter().rposition(|record| record.best);
    let last = log.len().saturating_sub(1);
    let steps = ROWS_MAX - 2;
    let rows: BTreeSet<_> = (0..=steps).map(|step| last * step / steps).chain(best).collect();
    let records = rows.into_iter().filter_map(|row| Some((row, log.get(row)?)));
    records.map(|(row, record)| EpochRecord { best: Some(row) == best, ..record.clone() }).collect()
}

/// Writes a table with the pooled Dice and IoU of each class, in the order of `classes`.
pub fn classes<'a>(scores: &Scores, classes: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let widths = classes.clone().into_iter().map(|name| name.chars().count());
    let width = widths.chain(["class".len()]).max().unwrap_or_default();
    let mut text = format!("{:width$}    Dice     IoU", "class");
    for name in classes {
        if let (Some(dice), Some(iou)) = (scores.dice_pooled.get(name), scores.iou_pooled.get(name)) {
            let _ = write!(text, "\n{name:width$}  {dice:.4}  {iou:.4}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::record::tests::record;

    fn log(epochs: usize, best: &[usize]) -> Vec<EpochRecord> {
        let record = |epoch| EpochRecord { epoch, best: best.contains(&epoch), ..record(epoch) };
        (1..=epochs).map(record).collect()
    }

    #[test]
    fn a_table_has_the_first_the_best_and_the_last_epoch() {
        for (name, log, expected) in [
            ("none", log(0, &[]), &[][..]),
            ("one", log(1, &[1]), &[1]),
            ("few", log(5, &[1, 3]), &[1, 2, 3, 4, 5]),
            ("many", log(300, &[1, 2, 77]), &[1, 30, 60, 77, 90, 120, 150, 180, 210, 240, 270, 300]),
        ] {
            let found: Vec<_> = chosen(&log).iter().map(|record| record.epoch).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn only_the_last_best_epoch_is_marked_and_what_was_not_validated_has_no_scores() {
        let mut log = log(3, &[1, 2]);
        log[2].validation = None;
        let text = epochs(&log);
        let lines: Vec<_> = text.lines().collect();
        let marked: Vec<_> = lines.iter().map(|line| line.ends_with("best")).collect();
        assert_eq!(marked, [false, false, true, false], "{text}");
        assert!(lines[3].contains("       -       -       -"), "{text}");
    }

    #[test]
    fn classes_stand_in_the_order_of_the_contract() {
        let mut scores = record(1).validation.unwrap().scores;
        scores.dice_pooled = [("vein".to_owned(), 0.5), ("artery".to_owned(), 0.75)].into();
        scores.iou_pooled = [("vein".to_owned(), 1.0 / 3.0), ("artery".to_owned(), 0.6)].into();
        let text = classes(&scores, ["vein", "artery"]);
        assert_eq!(text, "class     Dice     IoU\nvein    0.5000  0.3333\nartery  0.7500  0.6000");
    }
}
