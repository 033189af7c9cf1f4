//! The events of a run in progress.

use seg_nets::device::Devices;

use crate::run::record::EpochRecord;

/// An event of a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins, or goes on, at a step.
    Start {
        /// The devices that train.
        device: Devices,
        /// Steps that were done before.
        step: usize,
        /// The steps of the whole run.
        steps: usize,
        /// The epochs that were done before. The log in the run's folder may hold one more, which a
        /// killed run left.
        log: Vec<EpochRecord>,
    },
    /// A step is done.
    Step {
        /// The steps done.
        step: usize,
        /// The mean loss over its images.
        loss: f64,
    },
    /// An epoch is done and saved.
    Epoch(EpochRecord),
}
