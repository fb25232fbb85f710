//! The thread that captures.

use crate::captured::Captured;
use crate::handoff::Handoff;
use crate::source::{Delivery, FrameSource, SourceError};
use crate::stop::Stop;

/// Number of notes about damage. Further damage is only counted.
const MAX_NOTES: u64 = 10;

/// Number of consecutive damaged frames after which a live source is given up.
const MAX_DAMAGED: u64 = 100;

/// Reads frames until the source ends or the handoff is closed. Returns the number of damaged frames.
pub(super) fn capture(
    source: &mut dyn FrameSource,
    handoff: &Handoff,
    note: &(dyn Fn(&str) + Sync),
    stop: &Stop,
) -> Result<u64, (SourceError, u64)> {
    let mut frame = Captured::default();
    let (mut number, mut damaged, mut in_a_row) = (0, 0, 0);
    let mut notes = DamageNotes::default();
    loop {
        match source.next(&mut frame) {
            Ok(Delivery::Frame) => {
                number += frame.lost;
                frame.number = number;
                (number, in_a_row) = (number + 1, 0);
                if !handoff.put(&mut frame) {
                    return Ok(damaged);
                }
            }
            Ok(Delivery::Damaged(what)) if !stop.is_set() => {
                (damaged, in_a_row) = (damaged + 1, in_a_row + 1);
                notes.add(&what, note);
                if source.live() && in_a_row == MAX_DAMAGED {
                    let error = SourceError::Format {
                        what: format!("delivers only damage ({what})"),
                        remedy: "check the program that feeds it, and the format",
                    };
                    return Err((error, damaged));
                }
            }
            Ok(Delivery::Note(what)) => {
                // A camera limits by itself how often it is reopened.
                in_a_row = 0;
                note(&what);
            }
            // A frame that a stop has interrupted is not damaged.
            Ok(Delivery::End | Delivery::Damaged(_)) => return Ok(damaged),
            Err(error) => return Err((error, damaged)),
        }
    }
}

/// The notes about damage so far.
#[derive(Default)]
struct DamageNotes {
    last: String,
    count: u64,
}

impl DamageNotes {
    /// Passes `what` on, unless it repeats the last note or there have been [`MAX_NOTES`].
    fn add(&mut self, what: &str, note: &(dyn Fn(&str) + Sync)) {
        if self.count == MAX_NOTES || self.last == what {
            return;
        }
        self.count += 1;
        self.last = what.to_owned();
        match self.count {
            MAX_NOTES => note(&format!("{what}; further damage is only counted")),
            _ => note(what),
        }
    }
}
