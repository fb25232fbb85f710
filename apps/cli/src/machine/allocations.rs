//! Counts heap allocations, so that `bench` can show that a model runs without any.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator with a counter. One relaxed addition per allocation costs too little to measure, so the counter is
/// always on and needs no special build.
pub(crate) struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of allocations and reallocations so far, by all threads.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn add() {
    COUNT.fetch_add(1, Ordering::Relaxed);
    #[cfg(test)]
    OWN.with(|own| own.set(own.get() + 1));
}

#[cfg(test)]
thread_local! {
    static OWN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Returns the count of the calling thread, for tests that run beside others.
#[cfg(all(test, feature = "defmt"))]
pub(crate) fn of_this_thread() -> u64 {
    OWN.get()
}

// SAFETY: every call is passed on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add();
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is `System`'s, and `ptr` came from it.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add();
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add();
        // SAFETY: the caller's contract is `System`'s, and `ptr` came from it.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Other tests allocate at the same time, so this checks only a lower bound. The integration tests check that `bench`
    // counts none.
    #[test]
    fn allocations_are_counted() {
        let before = count();
        let mut bytes = Vec::with_capacity(1);
        bytes.extend_from_slice(std::hint::black_box(&[1u8; 100]));
        assert!(count() >= before + 2, "one allocation and one growth: {}", bytes.len());
    }
}
