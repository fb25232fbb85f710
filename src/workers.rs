//! The trait through which threads take part in a step.

use core::ops::Range;

/// Runs independent parts of a step, possibly at the same time.
///
/// `Pool` is an implementation for programs with `std`. A
/// program without it can implement the trait over the cores that it has.
///
/// # Safety
///
/// `run` must call `part` exactly once for every index below `parts` and return only when all calls have:
/// the parts write disjoint pieces of one tensor, and the caller reads them afterwards.
pub unsafe trait Workers: Sync {
    /// Returns how many parts run at the same time.
    fn count(&self) -> usize;

    /// Calls `part(0)`, …, `part(parts − 1)`.
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// Runs everything on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Serial;

// SAFETY: a plain loop.
unsafe impl Workers for Serial {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}

/// Parts per worker: enough that a slower core (big.LITTLE) takes fewer, few enough that every part still
/// reuses the weights it reads.
pub(crate) const PARTS_PER_WORKER: usize = 3;

/// Splits `len` items into `parts` runs and returns run `part`. Runs differ by at most `multiple`, and every run but the
/// last is a multiple of it.
pub(crate) fn split(len: usize, parts: usize, multiple: usize, part: usize) -> Range<usize> {
    let units = len.div_ceil(multiple);
    let bound = |i: usize| (units * i / parts * multiple).min(len);
    bound(part)..bound(part + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_covers_everything_once() {
        for (len, parts, multiple) in [(49, 4, 6), (1, 8, 6), (3136, 3, 4), (7, 7, 1)] {
            let mut next = 0;
            for part in 0..parts {
                let range = split(len, parts, multiple, part);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, len);
        }
    }
}
