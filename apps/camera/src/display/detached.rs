//! Runs a display on its own thread, with the latest frame.

use super::overlay::ROWS;
use crate::reading::{Health, Picture, Prediction, Reading, Show, ShowError};
use core::fmt;
use heapless::Vec as FixedVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Runs another [`Show`] on its own thread, so that a slow display costs the pipeline only a copy of the picture.
///
/// There is one slot and no queue. Frames that arrive while the display is busy are skipped, so it always continues with a new
/// frame. The next [`show`](Show::show) reports its errors. Nothing is allocated after the first pictures.
pub struct Detached {
    shared: Arc<Shared>,
    /// The display, which the thread locks while it shows a frame. Whether it wants a picture depends on time and on its viewers, so
    /// it is asked whenever a frame comes.
    display: Arc<Mutex<dyn Show + Send>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
    /// Whether a frame is handed over and not yet shown.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    copy: ReadingCopy,
    full: bool,
    closed: bool,
    error: Option<ShowError>,
}

impl Shared {
    /// Locks the slot, which stays valid if the display panics.
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Detached {
    /// Starts a thread called `name`.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot start a thread.
    pub fn new(name: &str, show: impl Show + Send + 'static) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { slot: Mutex::default(), filled: Condvar::new(), busy: AtomicBool::new(false) });
        let display: Arc<Mutex<dyn Show + Send>> = Arc::new(Mutex::new(show));
        let (worker, theirs) = (Arc::clone(&shared), Arc::clone(&display));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&worker, &theirs))?;
        Ok(Self { shared, display, thread: Some(thread) })
    }
}

fn run(shared: &Shared, display: &Mutex<dyn Show + Send>) {
    let mut copy = ReadingCopy::default();
    loop {
        let mut slot = shared.lock();
        while !slot.full && !slot.closed {
            slot = shared.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        // Shows a frame that was handed over, even after the end.
        if !slot.full {
            return;
        }
        std::mem::swap(&mut slot.copy, &mut copy);
        slot.full = false;
        drop(slot);
        let result = copy.show_on(&mut *display.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = result {
            shared.lock().error = Some(error);
        }
        shared.busy.store(false, Ordering::Release);
    }
}

impl Show for Detached {
    fn wants_picture(&self) -> bool {
        // A display that is locked is busy. One whose lock is poisoned has panicked.
        !self.shared.busy.load(Ordering::Acquire)
            && self.display.try_lock().is_ok_and(|display| display.wants_picture())
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        // The display works without this lock, which is only held briefly.
        let mut slot = self.shared.lock();
        if let Some(error) = slot.error.take() {
            return Err(error);
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(ShowError::Failed {
                subject: "display".to_owned(),
                what: "its thread has stopped; start the program again".to_owned(),
            });
        }
        // The display is busy, or it became free after it was asked for a picture. Without one it would show a black frame.
        let lacking = picture.is_none() && self.wants_picture();
        if lacking || self.shared.busy.load(Ordering::Acquire) {
            return Ok(());
        }
        slot.copy.fill(reading, picture);
        slot.full = true;
        self.shared.busy.store(true, Ordering::Release);
        drop(slot);
        self.shared.filled.notify_one();
        Ok(())
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Drop for Detached {
    /// Waits until the current frame is shown.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // The message of a panic is on stderr already.
            let _ = thread.join();
        }
    }
}

/// A copy of a reading and its picture. Its memory is reused.
#[derive(Debug, Default)]
struct ReadingCopy {
    frame: u64,
    model: String,
    top: FixedVec<Class, ROWS>,
    latency_ms: f32,
    inference_ms: f32,
    fps: f32,
    dropped: u64,
    health: Health,
    size: Option<(u32, u32)>,
    rgb: Vec<u8>,
    /// All labels in sequence.
    labels: String,
}

#[derive(Debug)]
struct Class {
    class: u32,
    probability: f32,
    /// End of its label in `labels`.
    end: usize,
}

impl ReadingCopy {
    /// Copies a reading and its picture.
    fn fill(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) {
        let Reading { frame, model, top, latency_ms, inference_ms, fps, dropped, health } = *reading;
        self.frame = frame;
        (self.latency_ms, self.inference_ms, self.fps) = (latency_ms, inference_ms, fps);
        (self.dropped, self.health) = (dropped, health);
        self.model.clear();
        self.model.push_str(model);
        self.labels.clear();
        self.top.clear();
        for prediction in top.iter().take(ROWS) {
            self.labels.push_str(prediction.label);
            let class = Class {
                class: prediction.class,
                probability: prediction.probability,
                end: self.labels.len(),
            };
            // This cannot fail: `take` limits the number.
            let _ = self.top.push(class);
        }
        self.size = picture.map(|picture| (picture.width, picture.height));
        self.rgb.clear();
        self.rgb.extend_from_slice(picture.map_or(&[], |picture| picture.rgb));
    }

    /// Shows the copy on a display.
    fn show_on(&self, show: &mut dyn Show) -> Result<(), ShowError> {
        let mut top = FixedVec::<Prediction<'_>, ROWS>::new();
        let mut start = 0;
        for Class { class, probability, end } in &self.top {
            let label = &self.labels[start..*end];
            let _ = top.push(Prediction { class: *class, label, probability: *probability });
            start = *end;
        }
        let reading = Reading {
            frame: self.frame,
            model: &self.model,
            top: &top,
            latency_ms: self.latency_ms,
            inference_ms: self.inference_ms,
            fps: self.fps,
            dropped: self.dropped,
            health: self.health,
        };
        let picture = self.size.map(|(width, height)| Picture { width, height, rgb: &self.rgb });
        show.show(&reading, picture.as_ref())
    }
}
