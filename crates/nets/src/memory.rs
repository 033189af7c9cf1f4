//! The memory that the CPU backend frees and asks for again, step after step.

#![allow(unsafe_code, reason = "sets numbers of the C library's allocator")]

/// Lets the allocator of glibc keep what is freed for the next step.
///
/// Maps are large, so that glibc would return each to the system and get it back page by page,
/// zeroed: more than a tenth of a training step. The most memory at a time does not grow by it.
pub(crate) fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: `mallopt` takes two numbers, at any time; where it refuses one, nothing
            // changes.
            unsafe {
                libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
                libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
                // One heap for all threads, so that any of them finds what another has freed.
                libc::mallopt(libc::M_ARENA_MAX, 1);
            }
        });
    }
}
