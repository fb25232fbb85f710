//! Cameras that Linux drives: Video4Linux, with buffers mapped into memory.
//!
//! The calls are made here, through `rustix`, and not by a crate for V4L2. Those there are generate their bindings with
//! bindgen at build time (`v4l`, `v4l2r`, `linux-media`), which needs libclang and the headers of the board; or, without
//! that (`linuxvideo`), tell neither a format's range and matrix nor when a frame was captured, and panic on what a driver
//! should not do.

pub mod abi;
mod device;
mod formats;
mod list;
#[cfg(test)]
mod tests;

pub use device::{Device, Filled, Kernel};
pub use list::{Listed, Offer, list};

use super::mjpeg::decode;
use super::{Delivery, Source, SourceError, Wanted};
use crate::captured::Captured;
use crate::stop::TICK;
use formats::{Contents, negotiate, refused};
use rustix::io::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// Buffers that the driver fills in turn: one being filled, one waiting, one being copied, and one to spare.
const BUFFERS: u32 = 4;

/// How often in a row a camera is opened again without a frame from it.
const TRIES: u32 = 10;

/// Damaged frames in a row after which a camera is opened again.
const MOST_DAMAGED: u32 = 30;

/// Opens the device, again and again.
type Open = Box<dyn FnMut() -> Result<Box<dyn Device>, Errno> + Send>;

/// A camera. If it stalls or is unplugged it is opened again, after pauses that double up to 8 s, ten times at most.
pub struct Camera {
    name: String,
    open: Open,
    wanted: Wanted,
    first_pause: Duration,
    streaming: Option<Streaming>,
    /// Times in a row that there was no frame.
    failures: u32,
    damaged: u32,
    note: Option<String>,
}

struct Streaming {
    device: Box<dyn Device>,
    contents: Contents,
    /// Of the last frame.
    sequence: Option<u32>,
}

/// After the first failure; doubled after each that follows it, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The pauses add up to three quarters of a minute: a camera that was plugged in again, or a hub that was reset, is back by
/// then.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Camera {
    /// Opens a device file.
    ///
    /// # Errors
    ///
    /// If it cannot be opened now: waiting for a camera that was never there helps nobody.
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self, SourceError> {
        let device = path.to_owned();
        let open = move || Ok(Box::new(Kernel::open(&device)?) as Box<dyn Device>);
        Self::new(path.display().to_string(), Box::new(open), wanted.clone())
    }

    /// A camera that `open` opens.
    ///
    /// # Errors
    ///
    /// As of [`Self::open`].
    pub fn new(name: String, open: Open, wanted: Wanted) -> Result<Self, SourceError> {
        let mut camera = Self {
            name,
            open,
            wanted,
            first_pause: FIRST_PAUSE,
            streaming: None,
            failures: 0,
            damaged: 0,
            note: None,
        };
        camera.start()?;
        Ok(camera)
    }

    fn start(&mut self) -> Result<(), SourceError> {
        let mut device = retry(&mut self.open).map_err(|errno| refused("cannot be opened", errno))?;
        let capability = retry(|| device.capability()).map_err(|errno| match errno {
            // What other drivers say to a call that they do not know.
            Errno::INVAL => refused("is no camera", Errno::NOTTY),
            errno => refused("is no camera", errno),
        })?;
        let remedy = "`resnext camera --list` lists cameras";
        match Role::of(&capability) {
            Role::Camera => {}
            Role::MultiPlanar => {
                let remedy = "read it with a program that can (gst-launch-1.0, ffmpeg) and pipe frames in";
                return Err(SourceError::format(
                    "gives frames in several buffers, which is not read",
                    remedy,
                ));
            }
            Role::Other => return Err(SourceError::format("is a video device but no camera", remedy)),
        }
        let (contents, note) = negotiate(&mut *device, &self.wanted)?;
        let mut notes: Vec<_> = note.into_iter().collect();
        if let Some(rate) = self.wanted.rate {
            // Milliframes: 29.97 and the like are told apart.
            let wanted = [1000, (rate * 1000.0).round() as u32];
            match retry(|| device.set_interval(wanted)) {
                Ok([over, under])
                    if u64::from(over) * u64::from(wanted[1]) != 1000 * u64::from(under) && over > 0 =>
                {
                    notes.push(format!("gives {:.2} frames a second", f64::from(under) / f64::from(over)));
                }
                Ok(_) => {}
                Err(_) => notes.push("lets nobody choose its frame rate".to_owned()),
            }
        }
        retry(|| device.start(BUFFERS)).map_err(|errno| refused("cannot capture", errno))?;
        self.note = (!notes.is_empty()).then(|| notes.join(", "));
        self.streaming = Some(Streaming { device, contents, sequence: None });
        Ok(())
    }

    /// The pause after the failures so far.
    fn pause(&self) -> Duration {
        (self.first_pause * (1 << self.failures.clamp(1, 10) >> 1)).min(LONGEST_PAUSE)
    }

    /// After a failure: pauses, then tries again.
    fn restart(&mut self) -> Result<Delivery, SourceError> {
        if !self.wanted.stop.sleep_until(Instant::now() + self.pause()) {
            return Ok(Delivery::End);
        }
        match self.start() {
            Ok(()) => Ok(Delivery::Note("opened again".to_owned())),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: SourceError) -> Result<Delivery, SourceError> {
        self.streaming = None;
        self.damaged = 0;
        self.failures += 1;
        if self.failures > TRIES {
            return Err(error);
        }
        let pause = self.pause().as_secs_f32();
        Ok(Delivery::Note(format!("{error}; trying again in {pause} s")))
    }
}

impl Source for Camera {
    fn name(&self) -> &str {
        &self.name
    }

    fn live(&self) -> bool {
        true
    }

    fn next(&mut self, captured: &mut Captured) -> Result<Delivery, SourceError> {
        if let Some(note) = self.note.take() {
            return Ok(Delivery::Note(note));
        }
        let Some(streaming) = &mut self.streaming else { return self.restart() };
        let start = Instant::now();
        loop {
            if self.wanted.stop.is_set() {
                return Ok(Delivery::End);
            }
            match streaming.poll(captured) {
                Ok(None) if start.elapsed() < self.wanted.timeout => {}
                Ok(None) => return self.fail(SourceError::Stalled(self.wanted.timeout)),
                Ok(Some(Delivery::Damaged(what))) => {
                    self.damaged += 1;
                    if self.damaged < MOST_DAMAGED {
                        return Ok(Delivery::Damaged(what));
                    }
                    let what = format!("gives nothing but damaged frames ({what})");
                    return self
                        .fail(SourceError::format(what, "check its cable and power, or lower --size"));
                }
                Ok(Some(delivery)) => {
                    (self.failures, self.damaged) = (0, 0);
                    return Ok(delivery);
                }
                Err(errno) => return self.fail(refused("cannot be read", errno)),
            }
        }
    }
}

impl Streaming {
    /// Waits a little for a frame.
    fn poll(&mut self, captured: &mut Captured) -> Result<Option<Delivery>, Errno> {
        let filled = match self.device.wait(TICK) {
            Ok(false) | Err(Errno::INTR) => return Ok(None),
            Ok(true) => match self.device.dequeue() {
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                filled => filled?,
            },
            Err(errno) => return Err(errno),
        };
        let delivery = self.copy(&filled, captured);
        retry_with(filled, |filled| self.device.queue(filled))?;
        Ok(Some(delivery))
    }

    fn copy(&mut self, filled: &Filled, captured: &mut Captured) -> Delivery {
        let last = self.sequence.replace(filled.sequence);
        if filled.flags & abi::BUF_FLAG_ERROR != 0 {
            return Delivery::Damaged("the driver says that a frame is damaged".to_owned());
        }
        let at = captured_at(filled);
        let bytes = self.device.bytes(filled);
        match self.contents {
            Contents::Jpeg => match decode(bytes, at, captured) {
                Delivery::Frame => {}
                damaged => return damaged,
            },
            Contents::Raw(format) => {
                let Some(out) = captured.prepare(&format) else {
                    return Delivery::Damaged("there is no memory for a frame".to_owned());
                };
                let need = out.len();
                let Some(bytes) = bytes.get(..need) else {
                    return Delivery::Damaged(format!("a frame has {} of its {need} bytes", bytes.len()));
                };
                out.copy_from_slice(bytes);
                captured.filled(at);
            }
        }
        // Numbers that jump for another reason, such as a driver that starts anew, are no losses.
        let lost = last.map_or(0, |last| filled.sequence.wrapping_sub(last).wrapping_sub(1));
        captured.lost = if lost < 1000 { lost.into() } else { 0 };
        Delivery::Frame
    }
}

/// When a frame was captured, by our clock.
fn captured_at(filled: &Filled) -> Instant {
    let now = Instant::now();
    if filled.flags & abi::BUF_FLAG_TIMESTAMP_MASK != abi::BUF_FLAG_TIMESTAMP_MONOTONIC {
        return now;
    }
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let clock = Duration::try_from(clock).unwrap_or_default();
    // A frame from the future or from long ago has been stamped by something else.
    let age = clock.checked_sub(filled.timestamp).filter(|age| *age < Duration::from_secs(10));
    now.checked_sub(age.unwrap_or_default()).unwrap_or(now)
}

/// Calls until no signal interrupts.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// [`retry`] of a call that takes the buffer.
fn retry_with(filled: Filled, mut call: impl FnMut(Filled) -> Result<(), Errno>) -> Result<(), Errno> {
    let Filled { index, used, flags, sequence, timestamp } = filled;
    retry(|| call(Filled { index, used, flags, sequence, timestamp }))
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Camera,
    MultiPlanar,
    Other,
}

impl Role {
    fn of(capability: &abi::Capability) -> Self {
        // Of this file, if the driver says so, and not of all files of the device.
        let caps = match capability.capabilities & abi::CAP_DEVICE_CAPS {
            0 => capability.capabilities,
            _ => capability.device_caps,
        };
        let has = |flags: u32| caps & flags == flags;
        if has(abi::CAP_VIDEO_CAPTURE | abi::CAP_STREAMING) {
            Self::Camera
        } else if has(abi::CAP_VIDEO_CAPTURE_MPLANE | abi::CAP_STREAMING) {
            Self::MultiPlanar
        } else {
            Self::Other
        }
    }
}
