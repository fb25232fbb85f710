//! Hands frames from the thread that captures to the thread that classifies, through a slot for the latest frame.
//!
//! There are three buffers: one with each thread and one in the slot. They only change places, so nothing is allocated or
//! copied, and the lock is held for the exchange of a few words.

use crate::captured::Captured;
use std::mem::swap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What happens to a frame that is still in the slot when the next one arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// The frame is dropped and counted. A late frame from a camera is worthless.
    Drop,
    /// The next frame waits. Every frame of a file matters.
    Wait,
}

/// A slot between two threads, for the latest frame.
#[derive(Debug)]
pub struct Handoff {
    staleness: Staleness,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slot: Captured,
    full: bool,
    dropped: u64,
    /// No further frame will be put into the slot.
    ended: bool,
    /// No further frame will be taken.
    closed: bool,
}

impl Handoff {
    /// Makes an empty slot.
    pub fn new(staleness: Staleness) -> Self {
        Self { staleness, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Puts a frame into the slot and takes back memory for the next one. Returns false if no thread will take it.
    pub fn put(&self, frame: &mut Captured) -> bool {
        let mut state = self.lock();
        while self.staleness == Staleness::Wait && state.full && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.dropped += u64::from(state.full) + frame.lost;
        swap(&mut state.slot, frame);
        state.full = true;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits for a frame and takes it, leaving memory for another. Returns false if there will be none.
    pub fn take(&self, frame: &mut Captured) -> bool {
        let mut state = self.lock();
        while !state.full && !state.ended && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.full || state.closed {
            return false;
        }
        swap(&mut state.slot, frame);
        state.full = false;
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Returns the number of dropped frames.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Returns a guard for the thread that captures. Dropping it ends the frames, also when that thread panics, so that the
    /// other thread does not wait for ever.
    pub fn ending(&self) -> Leaving<'_> {
        Leaving { handoff: self, change: |state| state.ended = true }
    }

    /// Returns a guard for the thread that classifies. Dropping it makes [`Self::put`] return false.
    pub fn closing(&self) -> Leaving<'_> {
        Leaving { handoff: self, change: |state| state.closed = true }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid at any time, so a panic of another thread does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guard of one of the two threads. Dropping it tells the other thread that this one has ended.
pub struct Leaving<'a> {
    handoff: &'a Handoff,
    change: fn(&mut State),
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        (self.change)(&mut self.handoff.lock());
        self.handoff.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    fn lossy(number: u64, lost: u64) -> Captured {
        let mut frame = Captured::default();
        (frame.number, frame.lost) = (number, lost);
        frame
    }

    fn numbered(number: u64) -> Captured {
        lossy(number, 0)
    }

    #[test]
    fn a_newer_frame_takes_the_place_of_an_older() {
        let handoff = Handoff::new(Staleness::Drop);
        for number in 0..5 {
            assert!(handoff.put(&mut lossy(number, number % 2)));
        }
        assert_eq!(handoff.dropped(), 4 + 2, "four were overtaken, two lost before");
        let mut frame = Captured::default();
        assert!(handoff.take(&mut frame));
        assert_eq!(frame.number, 4);
        drop(handoff.ending());
        assert!(!handoff.take(&mut frame));
    }

    #[test]
    fn what_was_put_before_the_end_is_taken_after_it() {
        let handoff = Handoff::new(Staleness::Drop);
        handoff.put(&mut numbered(7));
        drop(handoff.ending());
        let mut frame = Captured::default();
        assert!(handoff.take(&mut frame) && frame.number == 7);
        assert!(!handoff.take(&mut frame));
        drop(handoff.closing());
        assert!(!handoff.put(&mut frame));
    }

    #[test]
    fn no_frame_of_a_file_is_dropped() {
        let handoff = Handoff::new(Staleness::Wait);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _end = handoff.ending();
                let mut frame = Captured::default();
                for number in 0..1000 {
                    frame.number = number;
                    assert!(handoff.put(&mut frame));
                }
            });
            let mut frame = Captured::default();
            for number in 0..1000 {
                assert!(handoff.take(&mut frame));
                assert_eq!(frame.number, number);
                if number % 100 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            assert!(!handoff.take(&mut frame));
        });
        assert_eq!(handoff.dropped(), 0);
    }

    #[test]
    fn whoever_waits_is_woken_by_the_end_of_the_other() {
        for staleness in [Staleness::Wait, Staleness::Drop] {
            let handoff = Handoff::new(staleness);
            thread::scope(|scope| {
                let put = scope.spawn(|| {
                    let mut frame = Captured::default();
                    while handoff.put(&mut frame) {}
                });
                thread::sleep(Duration::from_millis(20));
                drop(handoff.closing());
                put.join().unwrap();
            });
            let handoff = Handoff::new(staleness);
            thread::scope(|scope| {
                let take = scope.spawn(|| handoff.take(&mut Captured::default()));
                thread::sleep(Duration::from_millis(20));
                drop(handoff.ending());
                assert!(!take.join().unwrap());
            });
        }
    }

    #[test]
    fn three_buffers_change_places() {
        let handoff = Handoff::new(Staleness::Drop);
        let (mut here, mut there) = (numbered(1), numbered(2));
        handoff.put(&mut here);
        handoff.take(&mut there);
        assert_eq!((here.number, there.number), (0, 1));
        handoff.put(&mut here);
        assert_eq!(here.number, 2);
    }
}
