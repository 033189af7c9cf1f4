//! Keeps a run's events for TensorBoard while it goes on.

use std::path::PathBuf;

use seg_train::run::trainer::Event;
use seg_train::view::events::{Events, EventsError};
use seg_train::view::report::Findings;

/// Writes a run's events; where that fails once, it is said and the run goes on without.
pub(crate) struct Recorder {
    folder: PathBuf,
    events: Option<Events>,
}

impl Recorder {
    /// Creates the recorder of the run in `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, events: None }
    }

    /// Takes in what the run reports; the answer is what there is to say about it.
    pub(crate) fn observe(&mut self, event: &Event) -> Option<String> {
        if let Event::Start { step, steps, .. } = event {
            // A run that was finished before has nothing to add.
            let begun = (step < steps).then(|| Events::begin(&self.folder, *step, *steps)).transpose();
            return match begun {
                Ok(events) => {
                    self.events = events;
                    None
                }
                Err(error) => Some(warning(&error)),
            };
        }
        let written = self.events.as_mut()?.observe(event);
        self.give_up(written)
    }

    /// Adds the pictures of a report, at the epoch that they show.
    pub(crate) fn pictures(&mut self, findings: &Findings) -> Option<String> {
        let epoch = findings.contract.provenance.epoch.unwrap_or_default();
        let events = self.events.as_mut()?;
        let numbered = |exhibits| (1..).zip(exhibits);
        let written = numbered(&findings.worst)
            .map(|exhibit| ("worst", exhibit))
            .chain(numbered(&findings.best).map(|exhibit| ("best", exhibit)))
            .try_for_each(|(rank, (number, exhibit))| {
                events.picture(epoch, &format!("{rank} {number}/truth"), &exhibit.truth)?;
                events.picture(epoch, &format!("{rank} {number}/prediction"), &exhibit.prediction)
            });
        self.give_up(written)
    }

    fn give_up(&mut self, written: Result<(), EventsError>) -> Option<String> {
        let error = written.err()?;
        self.events = None;
        Some(warning(&error))
    }
}

fn warning(error: &EventsError) -> String {
    let reason = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    format!("warning: {error}{reason}; the run goes on without them")
}
