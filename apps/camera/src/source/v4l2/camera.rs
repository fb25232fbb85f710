//! A camera that delivers frames.

use super::abi;
use super::device::{Device, Filled, Kernel};
use super::formats::{Contents, negotiate, refused};
use super::retry::retry;
use super::role::Role;
use crate::captured::Captured;
use crate::source::frame_source::{Delivery, FrameSource, SourceError};
use crate::source::mjpeg::decode;
use crate::source::options::SourceOptions;
use crate::stop::TICK;
use rustix::io::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// Number of buffers that the driver fills in turn: one being filled, one waiting, one being copied, and one in reserve.
const BUFFERS: u32 = 4;

/// How often a camera is reopened without delivering a frame in between.
const MAX_REOPENINGS: u32 = 10;

/// Number of consecutive damaged frames after which a camera is reopened.
const MAX_DAMAGED: u32 = 30;

/// Opens the device. It is called again after a failure.
type Open = Box<dyn FnMut() -> Result<Box<dyn Device>, Errno> + Send>;

/// A camera. After a stall or after it is unplugged it is reopened, ten times at most, after pauses that double up to 8 s.
pub struct Camera {
    name: String,
    open: Open,
    options: SourceOptions,
    first_pause: Duration,
    streaming: Option<Streaming>,
    /// Number of consecutive failures without a frame in between.
    failures: u32,
    damaged: u32,
    note: Option<String>,
}

struct Streaming {
    device: Box<dyn Device>,
    contents: Contents,
    /// Sequence number of the last frame.
    sequence: Option<u32>,
}

/// The pause after the first failure. It doubles after each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause. All pauses together take three quarters of a minute, in which a camera that was plugged in again or a
/// hub that was reset comes back.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Camera {
    /// Opens a device file.
    ///
    /// # Errors
    ///
    /// Returns an error if the device cannot be opened. Only a camera that has worked before is waited for.
    pub fn open(path: &Path, options: &SourceOptions) -> Result<Self, SourceError> {
        let device = path.to_owned();
        let open = move || Ok(Box::new(Kernel::open(&device)?) as Box<dyn Device>);
        Self::new(path.display().to_string(), Box::new(open), options.clone())
    }

    /// Makes a camera of the device that `open` opens.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Self::open`].
    pub fn new(name: String, open: Open, options: SourceOptions) -> Result<Self, SourceError> {
        let mut camera = Self {
            name,
            open,
            options,
            first_pause: FIRST_PAUSE,
            streaming: None,
            failures: 0,
            damaged: 0,
            note: None,
        };
        camera.start()?;
        Ok(camera)
    }

    /// Opens the device and starts capturing.
    fn start(&mut self) -> Result<(), SourceError> {
        let mut device = retry(&mut self.open).map_err(|errno| refused("cannot be opened", errno))?;
        let capability = retry(|| device.capability()).map_err(|errno| match errno {
            // Other drivers answer an unknown call like this.
            Errno::INVAL => refused("is no camera", Errno::NOTTY),
            errno => refused("is no camera", errno),
        })?;
        match Role::of(&capability) {
            Role::Camera => {}
            Role::MultiPlanar => {
                let remedy = "read it with a program that can (gst-launch-1.0, ffmpeg) and pipe frames in";
                return Err(SourceError::format(
                    "delivers frames in several buffers, which is not supported",
                    remedy,
                ));
            }
            Role::Other => {
                return Err(SourceError::NotACamera("is a video device but no camera".to_owned()));
            }
        }
        let (contents, note) = negotiate(&mut *device, &self.options)?;
        let mut notes: Vec<_> = note.into_iter().collect();
        if let Some(rate) = self.options.rate {
            // In thousandths of a frame, to distinguish rates such as 29.97 and 30.
            let wanted = [1000, (rate * 1000.0).round() as u32];
            match retry(|| device.set_interval(wanted)) {
                Ok([over, under])
                    if u64::from(over) * u64::from(wanted[1]) != 1000 * u64::from(under) && over > 0 =>
                {
                    notes.push(format!(
                        "delivers {:.2} frames per second",
                        f64::from(under) / f64::from(over)
                    ));
                }
                Ok(_) => {}
                Err(_) => notes.push("has a fixed frame rate".to_owned()),
            }
        }
        retry(|| device.start(BUFFERS)).map_err(|errno| refused("cannot capture", errno))?;
        self.note = (!notes.is_empty()).then(|| notes.join(", "));
        self.streaming = Some(Streaming { device, contents, sequence: None });
        Ok(())
    }

    /// Returns the pause after the failures so far.
    fn pause(&self) -> Duration {
        (self.first_pause * (1 << self.failures.clamp(1, 10) >> 1)).min(LONGEST_PAUSE)
    }

    /// Pauses after a failure, then reopens the device.
    fn restart(&mut self) -> Result<Delivery, SourceError> {
        if !self.options.stop.sleep_until(Instant::now() + self.pause()) {
            return Ok(Delivery::End);
        }
        match self.start() {
            Ok(()) => Ok(Delivery::Note("reopened".to_owned())),
            Err(error) => self.fail(error),
        }
    }

    /// Counts a failure. Returns the error after too many.
    fn fail(&mut self, error: SourceError) -> Result<Delivery, SourceError> {
        self.streaming = None;
        self.damaged = 0;
        self.failures += 1;
        if self.failures > MAX_REOPENINGS {
            return Err(error);
        }
        let pause = self.pause().as_secs_f32();
        Ok(Delivery::Note(format!("{error}; trying again in {pause} s")))
    }
}

impl FrameSource for Camera {
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
            if self.options.stop.is_set() {
                return Ok(Delivery::End);
            }
            match streaming.poll(captured) {
                Ok(None) if start.elapsed() < self.options.timeout => {}
                Ok(None) => return self.fail(SourceError::Stalled(self.options.timeout)),
                Ok(Some(Delivery::Damaged(what))) => {
                    self.damaged += 1;
                    if self.damaged < MAX_DAMAGED {
                        return Ok(Delivery::Damaged(what));
                    }
                    let what = format!("delivers only damaged frames ({what})");
                    return self.fail(SourceError::format(
                        what,
                        "check its cable and power, or ask for a smaller size",
                    ));
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
    /// Waits for a frame, but not long.
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

    /// Copies a frame out of a buffer of the driver.
    fn copy(&mut self, filled: &Filled, captured: &mut Captured) -> Delivery {
        let last = self.sequence.replace(filled.sequence);
        if filled.flags & abi::BUF_FLAG_ERROR != 0 {
            return Delivery::Damaged("the driver reports a damaged frame".to_owned());
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
        // Numbers also jump for other reasons, such as the restart of a driver. Those are no lost frames.
        let lost = last.map_or(0, |last| filled.sequence.wrapping_sub(last).wrapping_sub(1));
        captured.lost = if lost < 1000 { lost.into() } else { 0 };
        Delivery::Frame
    }
}

/// Returns the time at which a frame was captured.
fn captured_at(filled: &Filled) -> Instant {
    let now = Instant::now();
    if filled.flags & abi::BUF_FLAG_TIMESTAMP_MASK != abi::BUF_FLAG_TIMESTAMP_MONOTONIC {
        return now;
    }
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let clock = Duration::try_from(clock).unwrap_or_default();
    // A time in the future or long ago comes from another clock.
    let age = clock.checked_sub(filled.timestamp).filter(|age| *age < Duration::from_secs(10));
    now.checked_sub(age.unwrap_or_default()).unwrap_or(now)
}

/// Does what [`retry`] does, for a call that takes the buffer.
fn retry_with(filled: Filled, mut call: impl FnMut(Filled) -> Result<(), Errno>) -> Result<(), Errno> {
    let Filled { index, used, flags, sequence, timestamp } = filled;
    retry(|| call(Filled { index, used, flags, sequence, timestamp }))
}

#[cfg(test)]
mod tests;
