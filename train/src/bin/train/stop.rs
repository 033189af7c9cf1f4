//! The request to stop, by Ctrl-C or a signal.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Added to a signal's number for the exit status of a program that it ends.
const SIGNALLED: i32 = 128;

/// A request to stop after the step that is being taken. The first one saves the run, a second one
/// ends the program at once.
#[derive(Clone, Debug)]
pub(crate) struct StopRequest {
    is_made: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl StopRequest {
    /// Heeds SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub(crate) fn heed() -> io::Result<Self> {
        let request = Self { is_made: Arc::default(), signal: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // In this order a second signal finds the request made, and does what it does to any
            // program.
            flag::register_conditional_default(signal, Arc::clone(&request.is_made))?;
            flag::register_usize(signal, Arc::clone(&request.signal), signal as usize)?;
            flag::register(signal, Arc::clone(&request.is_made))?;
        }
        Ok(request)
    }

    /// Makes the request as Ctrl-C does, and returns whether it was made before.
    pub(crate) fn interrupt(&self) -> bool {
        self.signal.store(SIGINT as usize, Ordering::SeqCst);
        self.is_made.swap(true, Ordering::SeqCst)
    }

    /// Returns the flag that is set once the request is made.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.is_made
    }

    /// Ends the program with the status that the signal leaves.
    pub(crate) fn exit(&self) -> ! {
        process::exit(SIGNALLED + self.signal.load(Ordering::SeqCst) as i32)
    }
}
