//! Streams samples through the fp32 network, on all threads, in bounded memory.
//!
//! A network whose weights are small is compiled once, and each photo is decoded, cropped, run and dropped. A large network
//! is cut into [segments] that fit a budget: a chunk of photos goes through the first segment, the values at the cut go
//! through the second, and so on. Either way the results come back in the order of the samples, whatever the threads did.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use indicatif::ProgressBar;

use super::{Fp32Error, Fp32Model, segments};
use crate::network::{Network, ValueId};
use crate::preprocessing::normalize;
use resnext::preprocess::Preprocessing;
use resnext_evaluation::samples::{Sample, SampleError, Samples};

/// How much memory a pass may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Bytes of compiled weights and working memory of one segment.
    pub(crate) segment: usize,
    /// Bytes that the photos of a chunk may keep between segments.
    pub(crate) chunk: usize,
}

impl Budget {
    /// Holds all of a ResNeXt-50 in one segment. A ResNeXt-101 32x8d is cut, because whole it would take more memory than the
    /// rest of calibration.
    pub(crate) const USUAL: Self = Self { segment: 512 << 20, chunk: 256 << 20 };
}

/// What to do with each photo on its way.
pub(crate) trait Pass: Sync {
    /// What a thread gathers from all its photos.
    type Worker: Send;
    /// The state of a photo between [`begin`](Self::begin) and [`end`](Self::end).
    type Photo: Send;
    /// The result of a photo.
    type Output: Send;
    /// Why the pass fails.
    type Error: From<Fp32Error> + Send;

    /// Whether [`value`](Self::value) receives every value, or the logits alone.
    const EVERY_VALUE: bool;

    /// Returns the bytes that the state of a photo takes between segments.
    fn photo_bytes(&self) -> usize;

    /// Makes the state of a thread that has gathered nothing yet.
    fn worker(&self) -> Self::Worker;

    /// Begins a photo, whose cropped `pixels` are `height × width × 3` bytes.
    fn begin(&self, index: usize, pixels: &[u8]) -> Result<Self::Photo, Self::Error>;

    /// Learns the size of the whole photo in pixels, right after [`begin`](Self::begin).
    fn decoded(&self, _photo: &mut Self::Photo, _width: u32, _height: u32) {}

    /// Receives the `values` (`[channels][height][width]`) that node `node` of the fp32 network has computed. It is called in
    /// the order of the nodes.
    fn value(
        &self,
        worker: &mut Self::Worker,
        photo: &mut Self::Photo,
        node: usize,
        values: &[f32],
    ) -> Result<(), Self::Error>;

    /// Ends a photo and returns its result.
    fn end(&self, photo: Self::Photo) -> Self::Output;
}

/// What a pass has found.
pub(crate) struct Streamed<P: Pass> {
    /// The result of each sample, in order, or why it could not be decoded.
    pub(crate) results: Vec<Result<P::Output, SampleError>>,
    /// What each thread has gathered.
    pub(crate) workers: Vec<P::Worker>,
}

/// How far a sample has come.
enum Slot<P: Pass> {
    Waiting,
    /// It is between two segments, with its values at the cut.
    InFlight(P::Photo, Vec<f32>),
    Done(Result<P::Output, SampleError>),
}

/// The photos of a pass and the resources that it may use.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) preprocessing: &'a Preprocessing,
    pub(crate) threads: usize,
    pub(crate) budget: Budget,
    pub(crate) progress: &'a ProgressBar,
}

/// Makes `pass` over the samples. Without a `network` photos only begin and end. The first error stops the pass.
pub(crate) fn stream<P: Pass>(
    pass: &P,
    network: Option<&Network>,
    input: Input<'_>,
) -> Result<Streamed<P>, P::Error> {
    let Input { samples, preprocessing, threads, budget, progress } = input;
    let threads = threads.max(1);
    let segments = network.map_or_else(Vec::new, |network| segments(network, budget.segment, threads));
    let samples: Vec<&Sample> = samples.iter().collect();
    let chunk = match network.filter(|_| segments.len() > 1) {
        Some(network) => (budget.chunk / (pass.photo_bytes() + cut_bytes(network, &segments))).max(threads),
        None => samples.len().max(1),
    };
    progress.reset();
    progress.set_length((samples.len() * segments.len().max(1)) as u64);
    let mut workers: Vec<P::Worker> = (0..threads).map(|_| pass.worker()).collect();
    let mut results = Vec::with_capacity(samples.len());
    for (number, samples) in samples.chunks(chunk).enumerate() {
        let mut slots: Vec<Slot<P>> = samples.iter().map(|_| Slot::Waiting).collect();
        for part in 0..segments.len().max(1) {
            let segment = network.zip(segments.get(part));
            let stage = Stage {
                pass,
                preprocessing,
                samples,
                before: number * chunk,
                first: part == 0,
                last: part + 1 >= segments.len(),
                first_node: segment.map_or(0, |(_, nodes)| nodes.start),
            };
            let model = segment.map(|(network, nodes)| compile::<P>(network, nodes)).transpose()?;
            stage.run(model.as_ref(), &mut workers, &mut slots, progress)?;
        }
        results.extend(slots.into_iter().filter_map(|slot| match slot {
            Slot::Done(result) => Some(result),
            _ => None,
        }));
    }
    Ok(Streamed { results, workers })
}

fn compile<P: Pass>(network: &Network, nodes: &Range<usize>) -> Result<Fp32Model, Fp32Error> {
    let every = nodes.clone().map(|node| ValueId(node + 1));
    let taps: Vec<ValueId> = if P::EVERY_VALUE { every.collect() } else { Vec::new() };
    Fp32Model::segment(network, nodes.clone(), &taps)
}

/// Returns the bytes of the largest value at a cut.
fn cut_bytes(network: &Network, segments: &[Range<usize>]) -> usize {
    let at = |segment: &Range<usize>| size_of::<f32>() * network.shape(ValueId(segment.start)).len();
    segments.iter().map(at).max().unwrap_or(0)
}

/// The work on one segment of the network for one chunk of photos.
struct Stage<'a, P> {
    pass: &'a P,
    preprocessing: &'a Preprocessing,
    samples: &'a [&'a Sample],
    /// Samples of earlier chunks.
    before: usize,
    first: bool,
    last: bool,
    first_node: usize,
}

impl<P: Pass> Stage<'_, P> {
    fn run(
        &self,
        model: Option<&Fp32Model>,
        workers: &mut [P::Worker],
        slots: &mut [Slot<P>],
        progress: &ProgressBar,
    ) -> Result<(), P::Error> {
        let work = Mutex::new(slots.iter_mut().enumerate());
        let next = || work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
        let stop = AtomicBool::new(false);
        let run = |worker: &mut P::Worker, mut model: Option<Fp32Model>| {
            while let Some((index, slot)) = next().filter(|_| !stop.load(Ordering::Relaxed)) {
                let from = std::mem::replace(slot, Slot::Waiting);
                *slot = self
                    .step(model.as_mut(), worker, index, from)
                    .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                progress.inc(1);
            }
            Ok(())
        };
        let run = &run;
        thread::scope(|scope| {
            let spawn = |worker| {
                // A copy of the working memory, not of the weights.
                let model = model.cloned();
                scope.spawn(move || run(worker, model))
            };
            let threads: Vec<_> = workers.iter_mut().map(spawn).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn step(
        &self,
        model: Option<&mut Fp32Model>,
        worker: &mut P::Worker,
        index: usize,
        slot: Slot<P>,
    ) -> Result<Slot<P>, P::Error> {
        let (mut photo, mut values) = match slot {
            Slot::InFlight(photo, values) => (photo, values),
            Slot::Waiting if self.first => match self.pixels(index) {
                Ok((pixels, (width, height))) => {
                    let mut photo = self.pass.begin(self.before + index, &pixels)?;
                    self.pass.decoded(&mut photo, width, height);
                    (
                        photo,
                        model.as_ref().map(|_| normalize(self.preprocessing, &pixels)).unwrap_or_default(),
                    )
                }
                Err(error) => return Ok(Slot::Done(Err(error))),
            },
            done => return Ok(done),
        };
        if let Some(model) = model {
            let outputs = model.run(&values)?;
            if P::EVERY_VALUE {
                for tap in 0..outputs.taps() {
                    self.pass.value(worker, &mut photo, self.first_node + tap, outputs.tap(tap).0)?;
                }
            } else if self.last {
                self.pass.value(worker, &mut photo, self.first_node, outputs.result())?;
            }
            if !self.last {
                values = outputs.result().to_vec();
            }
        }
        Ok(if self.last { Slot::Done(Ok(self.pass.end(photo))) } else { Slot::InFlight(photo, values) })
    }

    fn pixels(&self, index: usize) -> Result<(Vec<u8>, (u32, u32)), SampleError> {
        self.samples[index].pixels_and_size(self.preprocessing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::tiny_network;
    use crate::network::fold_batch_norm;

    /// A pass that notes the sum of every value.
    struct Sums;

    impl Pass for Sums {
        type Worker = usize;
        type Photo = (usize, Vec<(usize, f64)>);
        type Output = (usize, Vec<(usize, f64)>);
        type Error = Fp32Error;

        const EVERY_VALUE: bool = true;

        fn photo_bytes(&self) -> usize {
            0
        }

        fn worker(&self) -> usize {
            0
        }

        fn begin(&self, index: usize, _: &[u8]) -> Result<Self::Photo, Fp32Error> {
            Ok((index, Vec::new()))
        }

        fn value(
            &self,
            worker: &mut usize,
            photo: &mut Self::Photo,
            node: usize,
            values: &[f32],
        ) -> Result<(), Fp32Error> {
            *worker += 1;
            photo.1.push((node, values.iter().map(|&v| f64::from(v)).sum()));
            Ok(())
        }

        fn end(&self, photo: Self::Photo) -> Self::Output {
            photo
        }
    }

    /// However the network is cut and the photos are grouped, every node is seen once, in order, with the same values.
    #[test]
    fn budgets_and_threads_change_nothing() {
        let mut network = tiny_network(64);
        fold_batch_norm(&mut network);
        let preprocessing = Preprocessing::imagenet(64, 64);
        let mut samples: Vec<Sample> = crate::bundled::photos().iter().take(5).cloned().collect();
        samples.insert(2, Sample::embedded("broken.jpg", None, b""));
        let samples: Samples = samples.into_iter().collect();
        let nodes = network.nodes.len();
        let run = |budget, threads| {
            let progress = ProgressBar::hidden();
            let input = Input {
                samples: &samples,
                preprocessing: &preprocessing,
                threads,
                budget,
                progress: &progress,
            };
            let streamed = stream(&Sums, Some(&network), input).expect("runs");
            assert_eq!(streamed.workers.iter().sum::<usize>(), nodes * (samples.len() - 1));
            assert_eq!(Some(progress.position()), progress.length());
            streamed.results.into_iter().map(|result| result.map_err(|error| error.name)).collect::<Vec<_>>()
        };
        let whole = run(Budget::USUAL, 1);
        assert_eq!(whole[2], Err("broken.jpg".to_owned()));
        for (index, result) in whole.iter().enumerate().filter(|&(index, _)| index != 2) {
            let (photo, sums) = result.as_ref().expect("decoded");
            assert_eq!((*photo, sums.len()), (index, nodes));
            assert!(sums.iter().enumerate().all(|(node, sum)| sum.0 == node));
        }
        assert!(super::super::segments(&network, 1, 1).len() >= 4);
        for budget in [(1, 1), (1, 1 << 20), (100_000, 1), (1 << 30, 1)] {
            let budget = Budget { segment: budget.0, chunk: budget.1 };
            for threads in [1, 2, 3] {
                assert_eq!(run(budget, threads), whole, "{budget:?}, {threads} threads");
            }
        }
    }
}
