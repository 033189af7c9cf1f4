//! The number of threads that a session may use.

use std::num::NonZeroUsize;
use std::thread;

/// Returns the number of processors that this process may use: the machine's, limited by the CPU
/// affinity and by the quota of the control group, as in a container.
pub fn available_threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}
