//! The global defmt logger: it puts whole frames into a ring of fixed size, and a thread writes the ring to a file.
//!
//! A thread that logs never waits for the device. It encodes a frame in its own memory and copies it into the ring under a lock
//! that nobody holds longer than such a copy takes. A frame that does not fit is dropped as a whole and counted, so everything
//! that reaches the file can be decoded.

use crate::files::write::cannot_write;
use crate::terminal::Error;
use crate::terminal::output;
use heapless::Deque;
use rustix::fs::OFlags;
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The number of bytes that can wait for the device: some 700 inferences.
const RING: usize = 1 << 15;

/// The most bytes of an encoded frame. Texts are cut so that every frame fits.
const FRAME: usize = 1024;

/// The number of bytes that are written at a time.
const CHUNK: usize = 4096;

/// How long the end of the program waits for a blocked device.
const PATIENCE: Duration = Duration::from_secs(1);

static RING_STATE: Mutex<Ring> = Mutex::new(Ring::new());
/// Signals that there are bytes to write, or that no more will come.
static FILLED: Condvar = Condvar::new();
/// Signals that the writing thread has ended.
static ENDED: Condvar = Condvar::new();
/// The number of frames that did not reach the file.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static START: OnceLock<Instant> = OnceLock::new();

struct Ring {
    bytes: Deque<u8, RING>,
    state: State,
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// There is no writer, and frames are ignored.
    Closed,
    Open,
    /// No more frames are taken, and those in the ring are still written.
    Closing,
}

impl Ring {
    const fn new() -> Self {
        Self { bytes: Deque::new(), state: State::Closed, failure: None }
    }

    fn push(&mut self, frame: Option<&[u8]>) {
        if self.state != State::Open {
            return;
        }
        match frame {
            Some(frame) if self.failure.is_none() && RING - self.bytes.len() >= frame.len() => {
                self.bytes.extend(frame);
            }
            _ => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Moves bytes to `chunk` and returns their number.
    fn pop(&mut self, chunk: &mut [u8]) -> usize {
        let len = chunk.len().min(self.bytes.len());
        chunk[..len].fill_with(|| self.bytes.pop_front().unwrap_or_default());
        len
    }
}

fn ring() -> MutexGuard<'static, Ring> {
    RING_STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the number of frames that have not reached the file so far.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Returns whether half of the ring is free and the file still takes bytes.
pub(super) fn has_room() -> bool {
    let ring = ring();
    ring.failure.is_none() && ring.bytes.len() < RING / 2
}

/// The writing thread. It takes frames until this is dropped.
pub(super) struct Writer(());

impl Writer {
    /// Writes to `path`: a device, or a file that is created or emptied. It must not be `model`.
    pub(super) fn open(path: &Path, model: &Path) -> Result<Self, Error> {
        let file = open(path, model)?;
        Self::start(file).map_err(|error| {
            Error::at(path, format_args!("cannot start a thread that writes: {error}; stop other programs"))
        })
    }

    fn start(device: impl Write + Send + 'static) -> io::Result<Self> {
        START.get_or_init(Instant::now);
        {
            let mut ring = ring();
            ring.bytes.clear();
            (ring.state, ring.failure) = (State::Open, None);
            DROPPED.store(0, Ordering::Relaxed);
        }
        let started = Arc::new(Barrier::new(2));
        let starts = started.clone();
        thread::Builder::new().name("defmt".into()).stack_size(1 << 16).spawn(move || {
            starts.wait();
            drain(device);
        })?;
        // The start of a thread allocates, partly in the thread itself. Wait for that, so that it never overlaps an inference.
        started.wait();
        Ok(Self(()))
    }
}

/// Opens the file or device. A serial device is set to pass bytes unchanged and to ignore modem lines; `stty` sets its speed.
fn open(path: &Path, model: &Path) -> Result<File, Error> {
    let failed = |error: io::Error| Error::at(path, refused(path, &error));
    // Without these flags, opening would wait, perhaps for ever, for the reader of a pipe or the carrier of a serial line.
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?;
    if kind.is_file() {
        // Whoever names the model here would lose it.
        if fs::metadata(model).is_ok_and(|model| (model.dev(), model.ino()) == (kind.dev(), kind.ino())) {
            return Err(Error::at(path, "is the model; give another file for the records"));
        }
        file.set_len(0).map_err(failed)?;
    }
    if file.is_terminal() {
        raw(&file).map_err(failed)?;
    }
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
    Ok(file)
}

fn raw(file: &File) -> io::Result<()> {
    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
    let mut settings = tcgetattr(file)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL;
    Ok(tcsetattr(file, OptionalActions::Now, &settings)?)
}

/// Says why records cannot be written there and how to fix that.
fn refused(path: &Path, error: &io::Error) -> String {
    let kind = fs::metadata(path).map(|metadata| metadata.file_type()).ok();
    match error.kind() {
        io::ErrorKind::IsADirectory => "is a directory; give a file or a serial device".to_owned(),
        io::ErrorKind::PermissionDenied if kind.is_some_and(|kind| kind.is_char_device()) => {
            "permission denied; join the group that owns the device (sudo usermod -aG dialout $USER for serial devices)"
                .to_owned()
        }
        _ if kind.is_some_and(|kind| kind.is_fifo()) => {
            format!("cannot be written: the pipe has no reader ({error}); start its reader first")
        }
        _ => cannot_write(error),
    }
}

fn drain(mut device: impl Write) {
    let mut chunk = [0; CHUNK];
    loop {
        let len = {
            let waiting = |ring: &mut Ring| ring.bytes.is_empty() && ring.state == State::Open;
            let mut ring = FILLED.wait_while(ring(), waiting).unwrap_or_else(PoisonError::into_inner);
            ring.pop(&mut chunk)
        };
        let written = device.write_all(&chunk[..len]);
        let mut ring = ring();
        if let Err(error) = written {
            ring.failure = Some(error);
            ring.bytes.clear();
        }
        if ring.bytes.is_empty() && (ring.state != State::Open || ring.failure.is_some()) {
            // Frames that come after a failure are counted but not kept.
            if ring.state == State::Closing {
                ring.state = State::Closed;
            }
            ENDED.notify_all();
            return;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut ring = ring();
        if ring.failure.is_none() {
            ring.state = State::Closing;
            FILLED.notify_all();
            let running = |ring: &mut Ring| ring.state == State::Closing && ring.failure.is_none();
            (ring, _) =
                ENDED.wait_timeout_while(ring, PATIENCE, running).unwrap_or_else(PoisonError::into_inner);
        }
        let (late, dropped) = (ring.bytes.len(), dropped());
        let failure = ring.failure.take();
        ring.state = State::Closed;
        drop(ring);
        if let Some(error) = failure {
            output::note(format_args!("--defmt: {error}; {dropped} records after that are lost"));
        } else if late > 0 {
            output::note(format_args!(
                "--defmt: the device accepts no more bytes; {late} bytes and {dropped} earlier records are lost"
            ));
        } else if dropped > 0 {
            output::note(format_args!("--defmt: the device is too slow; {dropped} records were dropped"));
        }
    }
}

/// The frame that a thread assembles.
struct Frame {
    encoder: defmt::Encoder,
    bytes: [u8; FRAME],
    /// The number of bytes; more than `FRAME` if they did not fit.
    len: usize,
}

impl Frame {
    const fn new() -> Self {
        Self { encoder: defmt::Encoder::new(), bytes: [0; FRAME], len: 0 }
    }

    /// Runs one step of the encoder.
    fn encode(&mut self, step: impl FnOnce(&mut defmt::Encoder, &mut dyn FnMut(&[u8]))) {
        let Self { encoder, bytes, len } = self;
        step(encoder, &mut |encoded| {
            let end = len.saturating_add(encoded.len());
            if let Some(room) = bytes.get_mut(*len..end) {
                room.copy_from_slice(encoded);
            }
            *len = end;
        });
    }
}

thread_local! {
    // The initial value is constant and has no destructor, so that not even the first use allocates.
    static THREADS_FRAME: RefCell<Frame> = const { RefCell::new(Frame::new()) };
}

#[defmt::global_logger]
struct Logger;

// SAFETY: each thread assembles its own frame between `acquire` and `release`, and what the threads share is behind a lock.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        THREADS_FRAME.with_borrow_mut(|frame| {
            frame.len = 0;
            frame.encode(|encoder, out| encoder.start_frame(out));
        });
    }

    unsafe fn flush() {
        // `Writer::drop` writes what is left. Waiting here could take for ever.
    }

    unsafe fn release() {
        THREADS_FRAME.with_borrow_mut(|frame| {
            frame.encode(|encoder, out| encoder.end_frame(out));
            ring().push(frame.bytes.get(..frame.len));
        });
        FILLED.notify_one();
    }

    unsafe fn write(bytes: &[u8]) {
        THREADS_FRAME.with_borrow_mut(|frame| frame.encode(|encoder, out| encoder.write(bytes, out)));
    }
}

defmt::timestamp!("{=u64:us}", START.get().map_or(0, |start| start.elapsed().as_micros() as u64));

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Keeps other tests from logging, because a program has one logger.
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device that takes one chunk and then blocks until the test lets it go on.
    struct Stuck {
        written: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            let _ = self.go_on.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_device_drops_whole_frames_and_delays_no_thread() {
        const FRAMES: u64 = 10_000;
        let _alone = alone();
        let (written, output) = mpsc::channel();
        let (go, go_on) = mpsc::channel();
        let writer = Writer::start(Stuck { written, go_on }).expect("threads can be started");
        let start = Instant::now();
        for frame in 0..FRAMES {
            defmt::info!("frame {=u64} of a text {=str}", frame, "wörld");
        }
        defmt::error!("{=str}", &"too long for a frame; ".repeat(100));
        assert!(start.elapsed() < Duration::from_secs(10), "logging waited for the device");
        let lost = dropped();
        assert!(!has_room());
        drop(go);
        drop(writer);
        let bytes: Vec<u8> = output.iter().flatten().collect();
        let frames = bytes.split(|&byte| byte == 0).filter(|frame| !frame.is_empty()).count() as u64;
        assert!(lost > FRAMES / 2, "{lost} dropped");
        assert_eq!(frames + lost, FRAMES + 1, "each frame is whole or counted");
        assert_eq!(bytes.last(), Some(&0), "the last frame is whole");
        // Without a writer, frames are ignored.
        defmt::info!("frame {=u64} of a text {=str}", 0, "");
        assert_eq!(ring().bytes.len(), 0);
    }
}
