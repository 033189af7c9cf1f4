//! A line per epoch, for logs and pipes, with a bar on standard error where that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seg_cli::{is_quiet, say, warn};
use seg_train::run::record::{EpochRecord, Validation};
use seg_train::run::trainer::Event;

use crate::view::View;

/// Shows a run as lines.
pub(crate) struct Plain {
    bar: ProgressBar,
    epochs: usize,
}

impl Plain {
    /// `epochs` are the run's.
    pub(crate) fn new(epochs: usize) -> Self {
        Self { bar: ProgressBar::hidden(), epochs }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }
}

impl View for Plain {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Start { device, step, steps, .. } => {
                self.say(&format!("device     {device}"));
                let style = "{bar:32} step {pos}/{len}, {elapsed} gone, {eta} left, loss {msg}";
                self.bar.set_style(ProgressStyle::with_template(style).expect("the template names known keys"));
                if !is_quiet() {
                    self.bar.set_draw_target(ProgressDrawTarget::stderr());
                }
                self.bar.set_length(*steps as u64);
                self.bar.set_position(*step as u64);
                self.bar.reset_eta();
                self.bar.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Step { step, loss } => {
                self.bar.set_message(format!("{loss:.4}"));
                self.bar.set_position(*step as u64);
            }
            Event::Epoch(record) => self.say(&line(record, self.epochs)),
        }
    }

    fn warn(&mut self, line: &str) {
        self.bar.suspend(|| warn(line));
    }

    fn finish(self: Box<Self>) {
        self.bar.finish_and_clear();
    }
}

/// Formats an epoch as one line.
pub(crate) fn line(record: &EpochRecord, epochs: usize) -> String {
    let width = epochs.to_string().len();
    let EpochRecord { epoch, loss, cross_entropy, dice_loss, learning_rate, .. } = record;
    let validation = record.validation.as_ref().map_or_else(|| "not validated".into(), scores);
    let mark = if record.best { "  best" } else { "" };
    let left_out = record.left_out_text().map_or_else(String::new, |text| format!("  {text}"));
    format!(
        "epoch {epoch:>width$}/{epochs}  loss {loss:.4} ({cross_entropy:.4} + {dice_loss:.4})  lr {learning_rate:.1e}  \
         {validation}  {:.1} s{mark}{left_out}",
        record.seconds()
    )
}

/// Formats the scores of an epoch, within a line.
pub(crate) fn scores(Validation { scores, .. }: &Validation) -> String {
    let (dice, iou, accuracy) = (scores.dice_per_image, scores.mean_iou_pooled, scores.accuracy_pooled);
    format!("val Dice {dice:.4}  mIoU {iou:.4}  acc {accuracy:.4}")
}
