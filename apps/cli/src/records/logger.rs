//! The global defmt logger: whole frames into a ring of fixed size, which a thread writes to a file.
//!
//! Who logs never waits for the device. A frame is encoded in memory of its thread and copied into the ring under a lock
//! that nobody holds for longer than such a copy takes. A frame that does not fit is dropped whole and counted, so what
//! arrives can always be decoded.

use crate::error::Error;
use crate::files::write::cannot_write;
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

/// Bytes that wait for the device: some 700 inferences.
const RING: usize = 1 << 15;

/// Bytes of an encoded frame; texts are cut so that all fit.
const FRAME: usize = 1024;

/// Bytes written at a time.
const CHUNK: usize = 4096;

/// How long a blocked device is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(1);

static RING_STATE: Mutex<Ring> = Mutex::new(Ring::new());
/// Something to write, or nothing more to come.
static FILLED: Condvar = Condvar::new();
/// The thread that writes has ended.
static ENDED: Condvar = Condvar::new();
/// Frames that did not reach the file.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static START: OnceLock<Instant> = OnceLock::new();

struct Ring {
    bytes: Deque<u8, RING>,
    state: State,
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Nobody listens; frames are ignored.
    Closed,
    Open,
    /// What is there is still written.
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

    /// Moves bytes to `chunk`, returns how many.
    fn pop(&mut self, chunk: &mut [u8]) -> usize {
        let len = chunk.len().min(self.bytes.len());
        chunk[..len].fill_with(|| self.bytes.pop_front().unwrap_or_default());
        len
    }
}

fn ring() -> MutexGuard<'static, Ring> {
    RING_STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames that did not reach the file, so far.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Whether half of the ring is free, and the file takes bytes.
pub(super) fn has_room() -> bool {
    let ring = ring();
    ring.failure.is_none() && ring.bytes.len() < RING / 2
}

/// The thread that writes, as long as frames are logged.
pub(super) struct Writer(());

impl Writer {
    /// Writes to `path`, a file that is made anew or a device, while `model` is read from another.
    pub(super) fn open(path: &Path, model: &Path) -> Result<Self, Error> {
        let file = open(path, model)?;
        Self::start(file)
            .map_err(|error| Error::at(path, format_args!("no thread for it: {error}; stop other programs")))
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
        // Starting a thread allocates, some of that in the thread itself; an inference must not meet that.
        started.wait();
        Ok(Self(()))
    }
}

/// A serial device is set to pass bytes as they are, and to do so without a modem; its speed stays what `stty` has set.
fn open(path: &Path, model: &Path) -> Result<File, Error> {
    let failed = |error: io::Error| Error::at(path, refused(path, &error));
    // Or else a pipe that nobody reads and a line without a carrier would be waited for, maybe for ever.
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?;
    if kind.is_file() {
        // The model is mapped: to cut it off would end the program.
        if fs::metadata(model).is_ok_and(|model| (model.dev(), model.ino()) == (kind.dev(), kind.ino())) {
            return Err(Error::at(path, "is the model; name another file for records"));
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

/// Why records cannot be written there, and what helps.
fn refused(path: &Path, error: &io::Error) -> String {
    let kind = fs::metadata(path).map(|metadata| metadata.file_type()).ok();
    match error.kind() {
        io::ErrorKind::IsADirectory => "is a directory; name a file or a serial device".to_owned(),
        io::ErrorKind::PermissionDenied if kind.is_some_and(|kind| kind.is_char_device()) => {
            "may not be written to; join the group it belongs to (sudo usermod -aG dialout $USER for serial devices)"
                .to_owned()
        }
        _ if kind.is_some_and(|kind| kind.is_fifo()) => {
            format!("cannot be written: nobody reads it ({error}); start its reader first")
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
            // Frames that come after a failure are counted, not kept.
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
            output::note(format_args!("--defmt: {error}; {dropped} records are lost after that"));
        } else if late > 0 {
            output::note(format_args!(
                "--defmt: the device takes nothing more; {late} bytes are lost, {dropped} records before"
            ));
        } else if dropped > 0 {
            output::note(format_args!("--defmt: the device is too slow; {dropped} records were dropped"));
        }
    }
}

/// Where a thread puts its frame together.
struct Frame {
    encoder: defmt::Encoder,
    bytes: [u8; FRAME],
    /// More than `FRAME` if it did not fit.
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
    // Nothing to drop and nothing to compute, so that the first use allocates nothing either.
    static THREADS_FRAME: RefCell<Frame> = const { RefCell::new(Frame::new()) };
}

#[defmt::global_logger]
struct Logger;

// SAFETY: each thread is a context of its own, with its own frame between `acquire` and `release`; what they share is
// behind a lock.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        THREADS_FRAME.with_borrow_mut(|frame| {
            frame.len = 0;
            frame.encode(|encoder, out| encoder.start_frame(out));
        });
    }

    unsafe fn flush() {
        // What is there is written when the program ends; to wait here could be to wait forever.
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

    /// Keeps other tests from logging: there is one logger in a program.
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one chunk, then blocks until the other end says otherwise.
    struct Stuck {
        written: mpsc::Sender<Vec<u8>>,
        go_on: mpsc::Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            // Until the other end is dropped.
            let _ = self.go_on.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_device_drops_whole_frames_and_holds_nobody_up() {
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
        // With nobody listening, frames go nowhere.
        defmt::info!("frame {=u64} of a text {=str}", 0, "");
        assert_eq!(ring().bytes.len(), 0);
    }
}
