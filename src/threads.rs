//! A small persistent pool of threads that neither allocates nor locks for a step.
//!
//! General pools allocate a job for each call or take a lock for each task, and a step lasts only tens of microseconds.
//! Here the calling thread works too, parts are claimed from one counter, and idle workers spin briefly before they park.

use crate::workers::Workers;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::vec::Vec;

/// Spins before an idle worker parks. They last longer than the gap between two steps and far shorter than a frame.
const SPINS: u32 = 20_000;

/// Threads that run the parts of a step together with the calling thread.
///
/// Idle threads spin for some tens of microseconds and then sleep. The threads end when the pool is dropped.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

type Part<'a> = &'a (dyn Fn(usize) + Sync);

#[derive(Default)]
struct Shared {
    /// Counts calls; a worker that sees it change has work.
    generation: AtomicUsize,
    /// What to run; written by the caller while no worker is active.
    part: UnsafeCell<Option<Part<'static>>>,
    parts: AtomicUsize,
    /// Next part to claim.
    next: AtomicUsize,
    /// [`OPEN`] while workers may join, plus the number of workers that have joined and not yet left.
    ///
    /// The caller waits only for those: on a busy machine a worker may not even be scheduled before the
    /// others have done everything.
    joined: AtomicUsize,
    /// Workers that have started.
    started: AtomicUsize,
    /// A call is under way.
    busy: AtomicBool,
    panicked: AtomicBool,
    stop: AtomicBool,
}

/// The bit of [`Shared::joined`] that lets workers in.
const OPEN: usize = 1 << (usize::BITS - 1);

// SAFETY: `part` is written only by the caller that holds `busy`, while `joined` is 0, and read by workers
// only between their joining, which needs `OPEN`, and their leaving.
unsafe impl Sync for Shared {}

impl Shared {
    fn claim(&self, part: Part<'_>) {
        let parts = self.parts.load(Ordering::Relaxed);
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= parts {
                return;
            }
            part(index);
        }
    }

    /// Counts a worker in, unless the step is over.
    fn join(&self) -> bool {
        let joined = |joined: usize| (joined & OPEN != 0).then_some(joined + 1);
        self.joined.fetch_update(Ordering::Acquire, Ordering::Relaxed, joined).is_ok()
    }

    fn work(&self) {
        self.started.fetch_add(1, Ordering::Release);
        let mut seen = 0;
        let mut spins = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let generation = self.generation.load(Ordering::Acquire);
            if generation == seen {
                spins += 1;
                match spins < SPINS {
                    true => core::hint::spin_loop(),
                    false => thread::park(),
                }
                continue;
            }
            (seen, spins) = (generation, 0);
            if !self.join() {
                continue;
            }
            let leave = Leave(self);
            // SAFETY: this worker has joined, so the caller neither changes `part` nor lets what it borrows end.
            if let Some(part) = unsafe { *self.part.get() } {
                self.claim(part);
            }
            drop(leave);
        }
    }
}

/// Counts a worker out, also when a part panicked.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked.store(true, Ordering::Relaxed);
        }
        self.0.joined.fetch_sub(1, Ordering::Release);
    }
}

impl Pool {
    /// Starts a pool of `threads` threads. The calling thread is one of them, so one less is started.
    ///
    /// # Errors
    ///
    /// If the system refuses to start a thread.
    pub fn new(threads: usize) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut pool = Self { shared, threads: Vec::new() };
        for index in 1..threads.max(1) {
            let shared = pool.shared.clone();
            let name = std::format!("resnext-{index}");
            pool.threads.push(thread::Builder::new().name(name).spawn(move || shared.work())?);
        }
        // Starting a thread allocates; an inference must not meet that.
        while pool.shared.started.load(Ordering::Acquire) < pool.threads.len() {
            thread::yield_now();
        }
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A worker that panicked has already made its caller panic.
            let _ = thread.join();
        }
    }
}

// SAFETY: `next` hands out every index below `parts` once, and `run` returns after its own claims have ended
// and every worker that joined has left.
unsafe impl Workers for Pool {
    fn count(&self) -> usize {
        self.threads.len() + 1
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        // One part, no help, a worker that died of a panic, or a pool that another caller is using: the
        // calling thread alone is right.
        let alone = parts <= 1 || self.threads.is_empty() || shared.panicked.load(Ordering::Relaxed);
        if alone || shared.busy.swap(true, Ordering::Acquire) {
            return (0..parts).for_each(part);
        }
        // SAFETY: no worker has joined and none can, so none reads `part`; the lifetime is erased only until the
        // wait below.
        unsafe { *shared.part.get() = Some(core::mem::transmute::<Part<'_>, Part<'static>>(part)) };
        shared.parts.store(parts, Ordering::Relaxed);
        shared.next.store(0, Ordering::Relaxed);
        shared.joined.store(OPEN, Ordering::Release);
        shared.generation.fetch_add(1, Ordering::Release);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        let wait = Wait(shared);
        shared.claim(part);
        drop(wait);
        assert!(!shared.panicked.load(Ordering::Relaxed), "a worker thread panicked");
    }
}

/// Closes the step and waits for all workers that joined, also if the part of the caller panicked, because workers borrow
/// what the caller is about to free.
struct Wait<'a>(&'a Shared);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.joined.fetch_and(!OPEN, Ordering::Relaxed);
        let mut spins = 0;
        while self.0.joined.load(Ordering::Acquire) != 0 {
            spins += 1;
            match spins < SPINS {
                true => core::hint::spin_loop(),
                false => thread::yield_now(),
            }
        }
        self.0.busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once() {
        let pool = Pool::new(3).unwrap();
        for round in 0..200 {
            let parts = round % 9;
            let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
            pool.run(parts, &|part| {
                counts[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "round {round}");
        }
    }

    #[test]
    fn parked_workers_wake() {
        let pool = Pool::new(2).unwrap();
        for _ in 0..3 {
            thread::sleep(core::time::Duration::from_millis(30));
            let sum = AtomicUsize::new(0);
            pool.run(100, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn nested_and_concurrent_calls_are_served() {
        let pool = Pool::new(2).unwrap();
        let sum = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(5, &|part| {
                sum.fetch_add(part, Ordering::Relaxed);
            })
        });
        assert_eq!(sum.into_inner(), 40);
    }

    #[test]
    fn a_panicking_part_reaches_the_caller() {
        let pool = Pool::new(2).unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.run(8, &|part| assert!(part != 5, "part five"));
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(3, &|part| {
            sum.fetch_add(part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 3, "the pool still serves");
    }
}
