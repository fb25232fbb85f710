//! Plays a recording at its rate.

use super::frame_source::{Delivery, FrameSource, SourceError};
use crate::captured::Captured;
use crate::stop::Stop;
use std::time::{Duration, Instant};

/// Makes a recording a live source: frames arrive at their rate and do not wait for a late reader.
#[derive(Debug)]
pub struct Paced<S> {
    source: S,
    interval: Duration,
    due: Option<Instant>,
    stop: Stop,
}

impl<S: FrameSource> Paced<S> {
    /// Delivers a frame of `source` every `interval`.
    pub fn new(source: S, interval: Duration, stop: Stop) -> Self {
        Self { source, interval, due: None, stop }
    }
}

impl<S: FrameSource> FrameSource for Paced<S> {
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
            // For a slow reader the recording plays slower. It does not catch up in a burst.
            self.due = Some((due + self.interval).max(Instant::now()));
        }
        Ok(delivery)
    }
}
