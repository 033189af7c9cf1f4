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
/// same threads. On Linux, as many as the process may use processors stay on one each.
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
        let builder = builder.thread_name(|index| format!("fused {index}")).start_handler(stay);
        let started = Arc::new(builder.build()?);
        *pool = Some(Arc::clone(&started));
        Ok(started)
    }
}

/// Keeps this thread, the one of an index in its pool, on a processor, if the pool has as many
/// threads as there are processors.
///
/// Linux wakes a thread now and then on the processor where another one computes, and leaves both
/// there for tens of milliseconds, though a processor is idle: as long as a whole run may take.
#[cfg(target_os = "linux")]
fn stay(index: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let Ok(usable) = sched_getaffinity(None) else { return };
    let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| usable.is_set(*processor));
    if processors.clone().count() != rayon::current_num_threads() {
        return;
    }
    if let Some(processor) = processors.nth(index) {
        let mut own = CpuSet::new();
        own.set(processor);
        // Where the system refuses, the thread moves as it did.
        let _ = sched_setaffinity(None, &own);
    }
}

#[cfg(not(target_os = "linux"))]
fn stay(_index: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn as_many_threads_as_processors_stay_on_one_each() {
        use rustix::thread::{CpuSet, sched_getaffinity};

        let usable = || -> Vec<_> {
            let usable = sched_getaffinity(None).unwrap();
            (0..CpuSet::MAX_CPU).filter(|processor| usable.is_set(*processor)).collect()
        };
        let of_each = |threads| {
            let pool = SharedThreads::new(NonZeroUsize::new(threads).unwrap()).pool().unwrap();
            pool.broadcast(|_| usable())
        };
        let all = usable();
        let one_each: Vec<_> = all.iter().map(|processor| vec![*processor]).collect();
        assert_eq!(of_each(all.len()), one_each);
        let more = all.len() + 1;
        assert_eq!(of_each(more), vec![all; more]);
    }

    #[test]
    fn lanes_share_as_many_threads_as_they_have_together() {
        let lanes = [3, 2, 2].map(|threads| NonZeroUsize::new(threads).unwrap());
        let shared = SharedThreads::of_lanes(&lanes);
        let pools = [shared.clone(), shared].map(|shared| shared.pool().unwrap());
        assert_eq!(pools[0].current_num_threads(), 7);
        assert!(Arc::ptr_eq(&pools[0], &pools[1]), "a clone stands for the same threads");
    }
}
