//! A display on a thread of its own, always at the latest frame.

use super::overlay::ROWS;
use crate::reading::{Guess, Health, Picture, Reading, Show, ShowError};
use heapless::Vec as FixedVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Runs another [`Show`] on a thread of its own, so that a slow one costs the pipeline no more than a copy of the picture.
///
/// There is one slot. While the display is busy with a frame, further ones are passed over, so what it shows next is the
/// first frame that it is free for, never an old one from a queue. What fails there is reported by the next
/// [`show`](Show::show). After the first pictures nothing is allocated here.
#[derive(Debug)]
pub struct Detached {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
    /// From when a frame is handed over to when it has been shown.
    busy: AtomicBool,
    /// What the display itself answered last.
    wants_picture: AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    still: Still,
    full: bool,
    closed: bool,
    error: Option<ShowError>,
}

impl Shared {
    /// A panic of the display leaves the slot in order.
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Detached {
    /// Starts the thread, called `name`.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn new(name: &str, show: impl Show + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slot: Mutex::default(),
            filled: Condvar::new(),
            busy: AtomicBool::new(false),
            wants_picture: AtomicBool::new(show.wants_picture()),
        });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(&worker, show))?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

fn run(shared: &Shared, mut show: impl Show) {
    let mut still = Still::default();
    loop {
        let mut slot = shared.lock();
        while !slot.full && !slot.closed {
            slot = shared.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        // A frame that was handed over is shown even if it was the last.
        if !slot.full {
            return;
        }
        std::mem::swap(&mut slot.still, &mut still);
        slot.full = false;
        drop(slot);
        let result = still.show_on(&mut show);
        if let Err(error) = result {
            shared.lock().error = Some(error);
        }
        shared.wants_picture.store(show.wants_picture(), Ordering::Relaxed);
        shared.busy.store(false, Ordering::Release);
    }
}

impl Show for Detached {
    fn wants_picture(&self) -> bool {
        self.shared.wants_picture.load(Ordering::Relaxed) && !self.shared.busy.load(Ordering::Acquire)
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        // The display works without the lock: it is free but for an instant.
        let mut slot = self.shared.lock();
        if let Some(error) = slot.error.take() {
            return Err(error);
        }
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(ShowError::Failed {
                subject: "display".to_owned(),
                what: "its thread has stopped".to_owned(),
            });
        }
        // Busy, or free only since it was asked whether it wants a picture: without one it would show a black frame.
        let lacking = picture.is_none() && self.shared.wants_picture.load(Ordering::Relaxed);
        if lacking || self.shared.busy.load(Ordering::Acquire) {
            return Ok(());
        }
        slot.still.copy(reading, picture);
        slot.full = true;
        self.shared.busy.store(true, Ordering::Release);
        drop(slot);
        self.shared.filled.notify_one();
        Ok(())
    }
}

impl Drop for Detached {
    /// Waits until the frame at hand has been shown.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been said on stderr.
            let _ = thread.join();
        }
    }
}

/// A reading and a picture of its own; filled again without allocating.
#[derive(Debug, Default)]
struct Still {
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
    /// Labels, one after the other.
    labels: String,
}

#[derive(Debug)]
struct Class {
    class: u32,
    probability: f32,
    /// Where its label ends in `labels`.
    end: usize,
}

impl Still {
    fn copy(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) {
        let Reading { frame, model, top, latency_ms, inference_ms, fps, dropped, health } = *reading;
        self.frame = frame;
        (self.latency_ms, self.inference_ms, self.fps) = (latency_ms, inference_ms, fps);
        (self.dropped, self.health) = (dropped, health);
        self.model.clear();
        self.model.push_str(model);
        self.labels.clear();
        self.top.clear();
        for guess in top.iter().take(ROWS) {
            self.labels.push_str(guess.label);
            let class = Class { class: guess.class, probability: guess.probability, end: self.labels.len() };
            // As many as there is room for are taken.
            let _ = self.top.push(class);
        }
        self.size = picture.map(|picture| (picture.width, picture.height));
        self.rgb.clear();
        self.rgb.extend_from_slice(picture.map_or(&[], |picture| picture.rgb));
    }

    fn show_on(&self, show: &mut impl Show) -> Result<(), ShowError> {
        let mut top = FixedVec::<Guess<'_>, ROWS>::new();
        let mut start = 0;
        for Class { class, probability, end } in &self.top {
            let label = &self.labels[start..*end];
            let _ = top.push(Guess { class: *class, label, probability: *probability });
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
