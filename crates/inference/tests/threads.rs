//! A session has as many threads as the process may use processors.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "sets the thread's affinity, as `taskset` does")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroUsize;
use std::path::Path;
use std::{fs, mem};

use ort::environment::Environment;
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Session, available_threads};

/// Lets this thread, and those that it starts, run on the first `count` of the processors that it
/// may use.
fn restrict_to(count: usize) {
    // SAFETY: the set is plain data, for which zeros are the empty set, and both calls get its
    // size.
    unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &raw mut allowed), 0);
        let mut fewer: libc::cpu_set_t = mem::zeroed();
        let is_allowed = |cpu: &usize| libc::CPU_ISSET(*cpu, &allowed);
        (0..libc::CPU_SETSIZE as usize).filter(is_allowed).take(count).for_each(|cpu| libc::CPU_SET(cpu, &mut fewer));
        assert_eq!(libc::sched_setaffinity(0, size, &raw const fewer), 0);
    }
}

/// Counts the threads of this process.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Returns the number of threads that a session starts; the thread that runs it works as well.
fn started(environment: &Environment, given: Option<NonZeroUsize>) -> usize {
    let options = Options { threads: given, ..Options::default() };
    let before = threads();
    let session = Session::open(environment, Path::new("tests/threshold.onnx"), &options).unwrap();
    let started = threads() - before;
    drop(session);
    started
}

// One test, because others would start threads of their own meanwhile.
#[test]
fn a_session_has_as_many_threads_as_the_process_may_use_processors() {
    let environment = Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap();
    // ONNX Runtime may start threads of its own with the first session.
    started(&environment, NonZeroUsize::new(1));
    assert_eq!(started(&environment, NonZeroUsize::new(3)), 2, "as given");
    assert_eq!(started(&environment, None), available_threads().get() - 1, "as the machine and its quota allow");
    restrict_to(1);
    assert_eq!(available_threads().get(), 1);
    assert_eq!(started(&environment, None), 0, "on one processor");
}
