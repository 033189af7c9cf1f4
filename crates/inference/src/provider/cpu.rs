//! The CPU provider.

use ort::ep::CPU;

/// The provider as it is used here.
pub(super) fn provider() -> CPU {
    CPU::default().with_arena_allocator(true)
}
