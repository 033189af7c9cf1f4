//! The number of threads that a session may use, and threads that several sessions share.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Returns the number of processors that this process may use: the machine's, limited by the CPU
/// affinity and by the quota of the control group, as in a container.
pub fn available_threads() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Threads on which the fused kernels of several sessions compute. A session that is alone at work
/// has all of them.
///
/// They are started when the first session is opened that computes on them. A clone stands for the
/// same threads.
#[derive(Clone, Debug)]
pub struct SharedThreads {
    count: NonZeroUsize,
    pool: Arc<Mutex<Option<Arc<ThreadPool>>>>,
}

impl SharedThreads {
    /// Names so many threads, which are not started yet.
    pub fn new(count: NonZeroUsize) -> Self {
        Self { count, pool: Arc::default() }
    }

    /// Names the threads that lanes of these numbers of threads have together.
    pub fn of_lanes(lanes: &[NonZeroUsize]) -> Self {
        let count: usize = lanes.iter().map(|threads| threads.get()).sum();
        Self::new(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns the threads, and starts them if no session has done so.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn pool(&self) -> Result<Arc<ThreadPool>, ThreadPoolBuildError> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pool.as_ref() {
            return Ok(Arc::clone(pool));
        }
        let builder = ThreadPoolBuilder::new().num_threads(self.count.get());
        let started = Arc::new(builder.thread_name(|index| format!("fused {index}")).build()?);
        *pool = Some(Arc::clone(&started));
        Ok(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_as_many_threads_as_they_have_together() {
        let lanes = [3, 2, 2].map(|threads| NonZeroUsize::new(threads).unwrap());
        let shared = SharedThreads::of_lanes(&lanes);
        let pools = [shared.clone(), shared].map(|shared| shared.pool().unwrap());
        assert_eq!(pools[0].current_num_threads(), 7);
        assert!(Arc::ptr_eq(&pools[0], &pools[1]), "a clone stands for the same threads");
    }
}
