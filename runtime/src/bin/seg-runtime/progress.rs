//! The progress of a long run on standard error: a bar on a terminal, else a line for each image.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seg_cli::{is_quiet, note, warn};
use seg_text::terminal;

/// The progress over a number of images.
pub(crate) struct Progress {
    bar: ProgressBar,
    images: usize,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new(images: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (left {eta}) {wide_msg}")
            .expect("the template is well formed");
        let target = if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(images as u64), target).with_style(style);
        Self { bar, images, is_terminal: stderr().is_terminal() }
    }

    /// Reports a finished image.
    pub(crate) fn done(&self, message: String) {
        self.bar.inc(1);
        if self.is_terminal {
            self.bar.set_message(terminal::lines(&message));
        } else {
            note(&format!("{}/{} {message}", self.bar.position(), self.images));
        }
    }

    /// Reports an image that is left out.
    pub(crate) fn skipped(&self, message: &str) {
        self.bar.inc(1);
        self.bar.suspend(|| warn(&format!("skipped: {message}")));
    }

    /// Warns about the images.
    pub(crate) fn warn(&self, message: &str) {
        self.bar.suspend(|| warn(message));
    }

    /// Reports that all images are done.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
