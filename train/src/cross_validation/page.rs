//! The page of a cross-validation.

use maud::{Markup, html};
use seg_metrics::Estimate;
use seg_report::table::score;
use seg_report::{Figure, Rated, count, distribution, figures, page};

use super::choice::Trial;
use super::outcome::Outcome;

/// The metrics of the table of folds: the first ones, those that training shows.
const METRICS: [(&str, &str); 3] = [
    ("validation dice_per_image", "Dice per image"),
    ("validation mean_iou_pooled", "mean IoU"),
    ("validation accuracy_pooled", "accuracy"),
];

/// Renders the outcome as one HTML page that needs no other file.
pub(super) fn html(outcome: &Outcome) -> String {
    let body = html! {
        (head(outcome))
        (folds(outcome))
        (choice(outcome))
        (images(outcome))
        (next(outcome))
    };
    page(&format!("{} · cross-validation", outcome.data), &body)
}

fn head(outcome: &Outcome) -> Markup {
    let folds = outcome.folds.runs.len();
    let spread = outcome.folds.metrics.get(METRICS[0].0);
    let deviation = spread.and_then(|spread| spread.std).map_or_else(|| "–".into(), score);
    let figures = figures(&[
        Figure {
            name: "Dice per image",
            value: value(&outcome.dice),
            meaning: format!(
                "The mean over all {}, each segmented by the network that has not learned from it{}.",
                count(outcome.images.len(), "image"),
                interval(&outcome.dice)
            ),
        },
        Figure {
            name: "With what was chosen",
            value: value(&outcome.chosen_dice),
            meaning: format!("The same with the threshold and the cleaning below{}.", interval(&outcome.chosen_dice)),
        },
        Figure {
            name: "Deviation between folds",
            value: deviation,
            meaning: format!("The standard deviation of the Dice per image over the {folds} folds."),
        },
    ]);
    html! {
        header {
            p { "Cross-validation" }
            h1 { (outcome.data) ", " (outcome.network) }
            p.lead { (count(folds, "fold")) ", " (count(outcome.images.len(), "image")) "." }
        }
        (figures)
        p.note {
            "Each fold's epoch was chosen on the images that it is scored on, and so were threshold and cleaning: the figures look a little "
            "better than on new images. Judge the final model by images that are held out."
        }
    }
}

fn folds(outcome: &Outcome) -> Markup {
    let values = |name: &str, run: usize| outcome.folds.metrics.get(name).and_then(|spread| spread.values.get(run));
    html! {
        section {
            h2 { "Folds" }
            div.wide {
                table {
                    thead { tr { th { "Fold" } th.n { "Best epoch" } @for (_, title) in METRICS { th.n { (title) } } } }
                    tbody {
                        @for (index, run) in outcome.folds.runs.iter().enumerate() {
                            tr {
                                th scope="row" { (run.fold.as_deref().unwrap_or("–")) }
                                td.n { (run.best_epoch) " of " (run.epochs) }
                                @for (name, _) in METRICS { td.n { (values(name, index).map_or_else(|| "–".into(), |value| score(*value))) } }
                            }
                        }
                        tr {
                            th scope="row" { "mean ± deviation" }
                            td.n {}
                            @for (name, _) in METRICS {
                                td.n { @if let Some(spread) = outcome.folds.metrics.get(name) {
                                    (score(spread.mean)) @if let Some(std) = spread.std { " ± " (score(std)) }
                                } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn choice(outcome: &Outcome) -> Markup {
    html! {
        section {
            h2 { "Threshold and cleaning" }
            p.note {
                "A change is kept if the 95 % interval of what it gains in Dice per image, a paired bootstrap over the images, lies above zero."
            }
            div.wide {
                table {
                    thead { tr { th { "Tried" } th.n { "Gain" } th.n { "Interval" } th { "Kept" } } }
                    tbody { @for trial in &outcome.choice.trials { (tried(trial)) } }
                }
            }
        }
    }
}

fn tried(trial: &Trial) -> Markup {
    html! {
        tr {
            th scope="row" { code { (trial.to_string()) } }
            td.n { (format!("{:+.4}", trial.gain.mean)) }
            td.n { @if let Some([low, high]) = trial.gain.interval { (format!("{low:+.4} to {high:+.4}")) } @else { "–" } }
            td { @if trial.is_kept { "yes" } @else { "no" } }
        }
    }
}

fn images(outcome: &Outcome) -> Markup {
    let rated: Vec<_> =
        outcome.images.iter().map(|image| Rated { name: image.name.clone(), dice: image.dice }).collect();
    html! {
        section {
            h2 { "Images" }
            h3 { "Dice of each image by the network that has not learned from it" }
            figure.wide { (distribution(&rated)) }
            details {
                summary { "Every image" }
                div.wide {
                    table {
                        thead { tr { th { "Image" } th.n { "Fold" } th.n { "Dice" } th.n { "Mean IoU" } th.n { "With what was chosen" } } }
                        tbody {
                            @for image in &outcome.images {
                                tr {
                                    th scope="row" { (image.name) }
                                    td.n { (image.fold) }
                                    td.n { (score(image.dice)) }
                                    td.n { (score(image.mean_iou)) }
                                    td.n { (score(image.chosen_dice)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn next(outcome: &Outcome) -> Markup {
    html! {
        section {
            h2 { "Going on" }
            p { "Export every fold, and segment images with all of them: each normalises images for itself, and their probabilities are averaged." }
            pre { (outcome.next.join("\n")) }
        }
    }
}

fn value(estimate: &Estimate) -> String {
    estimate.value.map_or_else(|| "–".into(), score)
}

/// Returns the interval of an estimate in words, for the end of a sentence.
fn interval(estimate: &Estimate) -> String {
    let words = |[low, high]: [f64; 2]| format!("; 95 % interval {low:.4} to {high:.4}");
    estimate.interval.map_or_else(String::new, words)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_page_has_folds_images_choices_and_commands_and_nothing_that_runs() {
        let page = html(&outcome());
        for (name, part) in [
            ("the Dice", "0.6250"),
            ("its interval", "95 % interval 0.5000 to 0.7500"),
            ("a fold", "1/2"),
            ("mean and deviation", "0.6250 ± 0.1250"),
            ("what was kept", "--threshold 0.4"),
            ("its gain", "+0.0100 to +0.0300"),
            ("an image", "&lt;b&gt;"),
            ("the export", "seg export --checkpoint runs/cv/fold-1"),
        ] {
            assert!(page.contains(part), "{name}: no {part:?}");
        }
        for part in ["<script", "<b>", "<cells>", "http:", "https:"] {
            assert!(!page.contains(part), "{part:?} in the page");
        }
    }
}
