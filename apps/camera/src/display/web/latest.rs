//! Passes the latest value to many readers, which never delay the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most values that are kept: those of two seconds, for readers that ask for the one that they have just heard of.
const MAX_KEPT: usize = 32;

/// The latest of a sequence of values, and a few before it.
#[derive(Debug)]
pub(super) struct Latest<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// Number of the newest value, from 1.
    number: u64,
    /// The newest value is the last.
    values: VecDeque<Arc<T>>,
    closed: bool,
}

/// The value after another one.
#[derive(Debug)]
pub(super) enum Next<T> {
    /// A newer value, and its number.
    New(u64, Arc<T>),
    /// There was no newer value in time.
    Quiet,
    /// There will be no newer value.
    Closed,
}

impl<T> Latest<T> {
    pub(super) fn new() -> Self {
        let state = State { number: 0, values: VecDeque::with_capacity(MAX_KEPT), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the newest value. Does not wait for readers, which hold the lock only to take a reference.
    pub(super) fn publish(&self, value: T) {
        let mut state = self.lock();
        state.number += 1;
        let oldest = if state.values.len() == MAX_KEPT { state.values.pop_front() } else { None };
        state.values.push_back(Arc::new(value));
        drop(state);
        self.changed.notify_all();
        drop(oldest);
    }

    /// Ends the values and wakes all readers that wait.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Returns the number of the newest value.
    pub(super) fn number(&self) -> u64 {
        self.lock().number
    }

    /// Returns the newest value that `is_wanted`, if it is still kept.
    pub(super) fn find(&self, is_wanted: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.lock().values.iter().rev().find(|value| is_wanted(value)).map(Arc::clone)
    }

    /// Returns the newest value if it is newer than number `seen`. Otherwise waits for the next one, at most for `timeout`.
    pub(super) fn after(&self, seen: u64, timeout: Duration) -> Next<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Next::Closed;
            }
            if let Some(value) = state.values.back().filter(|_| state.number > seen) {
                return Next::New(state.number, Arc::clone(value));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Quiet;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANT: Duration = Duration::from_millis(1);

    #[test]
    fn readers_skip_to_the_newest() {
        let latest = Latest::new();
        assert!(matches!(latest.after(0, INSTANT), Next::Quiet));
        (1..=3).for_each(|value| latest.publish(value));
        assert!(matches!(latest.after(0, INSTANT), Next::New(3, value) if *value == 3));
        assert!(matches!(latest.after(3, INSTANT), Next::Quiet));
        assert_eq!(latest.number(), 3);
        latest.close();
        assert!(matches!(latest.after(0, INSTANT), Next::Closed));
    }

    #[test]
    fn a_value_is_kept_for_a_while() {
        let latest = Latest::new();
        (1..=100).for_each(|value| latest.publish(value));
        let kept: Vec<_> =
            (1..=101).filter(|wanted| latest.find(|value| value == wanted).is_some()).collect();
        assert_eq!(kept, (69..=100).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_readers_are_woken() {
        let latest = Arc::new(Latest::new());
        let reader = Arc::clone(&latest);
        let thread = std::thread::spawn(move || reader.after(0, Duration::from_secs(60)));
        latest.publish(());
        assert!(matches!(thread.join().unwrap(), Next::New(1, _)));
    }
}
