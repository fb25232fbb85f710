//! The thread that captures.

use crate::captured::Captured;
use crate::handoff::Handoff;
use crate::source::{Delivery, FrameSource, SourceError};
use crate::stop::Stop;

/// Kinds of damage that are told; further ones are only counted.
const TOLD: u64 = 10;

/// Damaged frames in a row after which a live source is given up.
const MAX_DAMAGED: u64 = 100;

/// Reads frames until there are none, or nobody wants any. Returns how many were damaged.
fn capture(
    source: &mut dyn FrameSource,
    handoff: &Handoff,
    note: &(dyn Fn(&str) + Sync),
    stop: &Stop,
) -> Result<u64, (SourceError, u64)> {
    let mut frame = Captured::default();
    let (mut number, mut damaged, mut in_a_row) = (0, 0, 0);
    let mut complaints = Complaints::default();
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
                complaints.tell(&what, note);
                if source.live() && in_a_row == MAX_DAMAGED {
                    let error = SourceError::Format {
                        what: format!("gives nothing but damage ({what})"),
                        remedy: "check what feeds it, and --format",
                    };
                    return Err((error, damaged));
                }
            }
            Ok(Delivery::Note(what)) => {
                // A camera that is opened again judges itself how often.
                in_a_row = 0;
                note(&what);
            }
            // What a source that was told to stop has left half-read is no damage.
            Ok(Delivery::End | Delivery::Damaged(_)) => return Ok(damaged),
            Err(error) => return Err((error, damaged)),
        }
    }
}

/// What was said of damage.
#[derive(Default)]
struct Complaints {
    last: String,
    told: u64,
}

impl Complaints {
    /// Says `what`, unless it was what was said last or enough has been said.
    fn tell(&mut self, what: &str, note: &(dyn Fn(&str) + Sync)) {
        if self.told == TOLD || self.last == what {
            return;
        }
        self.told += 1;
        self.last = what.to_owned();
        match self.told {
            TOLD => note(&format!("{what}; further damage is only counted")),
            _ => note(what),
        }
    }
}
