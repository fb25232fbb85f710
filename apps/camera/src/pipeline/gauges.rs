//! Measurements beside the labels: the frame rate, and the health of the machine.

use crate::reading::Health;
use heapless::Deque;
use std::time::{Duration, Instant};

/// The rate of the last frames.
#[derive(Default)]
pub(super) struct Rate(Deque<Instant, 17>);

impl Rate {
    /// Counts a frame that ends `now`. Returns the rate in frames per second.
    pub(super) fn after(&mut self, now: Instant) -> f32 {
        if self.0.is_full() {
            self.0.pop_front();
        }
        // This cannot fail, because a full queue has just lost its oldest element.
        let _ = self.0.push_back(now);
        let time = self.0.front().map_or(Duration::ZERO, |oldest| now - *oldest).as_secs_f32();
        if time > 0.0 { (self.0.len() - 1) as f32 / time } else { 0.0 }
    }
}

/// The health of the machine, read once a second. It changes slowly, and some sensors take long to read.
#[derive(Default)]
pub(super) struct HealthCache {
    read_at: Option<Instant>,
    health: Health,
}

impl HealthCache {
    /// Returns health that is at most a second old.
    pub(super) fn at(&mut self, now: Instant, read: &dyn Fn() -> Health) -> Health {
        if self.read_at.is_none_or(|last| now - last >= Duration::from_secs(1)) {
            (self.read_at, self.health) = (Some(now), read());
        }
        self.health
    }
}
