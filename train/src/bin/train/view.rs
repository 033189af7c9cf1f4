//! The display of a run in progress: a dashboard on a terminal, plain lines elsewhere.

use seg_cli::Shown;
use std::env;
use std::io::{IsTerminal, stdin, stdout};

use anyhow::Result;
use seg_train::run::Run;
use seg_train::run::trainer::Event;
use seg_train::view::progress::Progress;

use crate::dashboard::Dashboard;
use crate::plain::Plain;
use crate::stop::StopRequest;

/// Shows a run while it goes on.
pub(crate) trait View {
    /// Takes in what the run reports.
    fn observe(&mut self, event: &Event);

    /// Shows a warning.
    fn warn(&mut self, line: &str);

    /// Gives the terminal back.
    fn finish(self: Box<Self>);
}

/// Returns the view of a run: a dashboard if standard output is a terminal that can show one,
/// unless `plain` is given. On the dashboard, Ctrl-C makes the request to stop.
pub(crate) fn choose(run: &Run, plain: bool, request: &StopRequest) -> Result<Box<dyn View>> {
    let dumb = env::var_os("TERM").is_none_or(|terminal| terminal.is_empty() || terminal == "dumb");
    if !plain && !dumb && stdout().is_terminal() && stdin().is_terminal() {
        let title = run.folder.shown().to_string();
        let progress = Progress::new(title, &run.config, run.log()?);
        // A terminal that cannot be taken over still shows lines.
        if let Ok(dashboard) = Dashboard::open(progress, request) {
            return Ok(Box::new(dashboard));
        }
    }
    Ok(Box::new(Plain::new(run.config.epochs)))
}
