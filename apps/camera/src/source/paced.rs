//! A recording, played as it was recorded.

use super::{Delivery, Source, SourceError};
use crate::captured::Captured;
use crate::stop::Stop;
use std::time::{Duration, Instant};

/// Makes a camera of a file: frames come at their rate, and nobody waits for whoever is late.
#[derive(Debug)]
pub struct Paced<S> {
    source: S,
    interval: Duration,
    due: Option<Instant>,
    stop: Stop,
}

impl<S: Source> Paced<S> {
    /// A frame every `interval`.
    pub fn new(source: S, interval: Duration, stop: Stop) -> Self {
        Self { source, interval, due: None, stop }
    }
}

impl<S: Source> Source for Paced<S> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn live(&self) -> bool {
        true
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        let delivery = self.source.next(captured)?;
        if delivery == Delivery::Frame {
            let due = *self.due.get_or_insert_with(Instant::now);
            if !self.stop.sleep_until(due) {
                return Ok(Delivery::End);
            }
            captured.at = due;
            // A reader that is slower than the recording plays it slower; it does not catch up in a burst.
            self.due = Some((due + self.interval).max(Instant::now()));
        }
        Ok(delivery)
    }
}
