//! Measurements beside the labels: the frame rate, and the health of the machine.

use crate::reading::Health;
use heapless::Deque;
use std::time::{Duration, Instant};

/// Frames a second, of the last ones.
#[derive(Default)]
struct Rate(Deque<Instant, 17>);

impl Rate {
    /// The rate, now that another frame is done.
    fn after(&mut self, now: Instant) -> f32 {
        if self.0.is_full() {
            self.0.pop_front();
        }
        // There is room: a full queue has just lost its oldest.
        let _ = self.0.push_back(now);
        let time = self.0.front().map_or(Duration::ZERO, |oldest| now - *oldest).as_secs_f32();
        if time > 0.0 { (self.0.len() - 1) as f32 / time } else { 0.0 }
    }
}

/// Health that is a second old at most: it changes slowly, and some sensors take long to read.
#[derive(Default)]
struct Pulse {
    read: Option<Instant>,
    health: Health,
}

impl Pulse {
    fn at(&mut self, now: Instant, read: &dyn Fn() -> Health) -> Health {
        if self.read.is_none_or(|last| now - last >= Duration::from_secs(1)) {
            (self.read, self.health) = (Some(now), read());
        }
        self.health
    }
}
