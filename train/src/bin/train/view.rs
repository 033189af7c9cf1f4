//! What a person sees of a run while it goes on: a dashboard on a terminal, plain lines elsewhere.

use seg_train::trainer::Event;

use crate::plain::Plain;

/// Shows a run while it goes on.
pub(crate) trait View {
    /// Takes in what the run reports.
    fn observe(&mut self, event: &Event);

    /// Shows a line that is not the loop's own.
    fn say(&mut self, line: &str);

    /// Gives the terminal back.
    fn finish(self: Box<Self>);
}

/// The view for this standard output; `epochs` are the run's.
pub(crate) fn choose(epochs: usize) -> Box<dyn View> {
    Box::new(Plain::new(epochs))
}
