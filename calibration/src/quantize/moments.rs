//! Means and covariances of the inputs of each layer of an int8 network, gathered from the samples.
//!
//! The inputs of a layer are whole numbers of steps, so sums of their products are exact in floating point, whatever their
//! order and however many threads there are. Memory depends on the layers alone: only some pixels of each image are read, and
//! layers whose covariances would take too much memory go without. The inputs of the classifier have more than 8 bits: they
//! are gathered in steps of `COARSER`, one pixel of each image, so that their squares are exact, too.

use std::ops::Range;
use std::sync::Mutex;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use resnext::internals::format::MAX_DIGITS;

use crate::fp32::Fp32Error;
use crate::fp32::stream::Pass;
use crate::network::{Activation, Network, Op, Shape, ValueId, Window};
use resnext::preprocess::Preprocessing;

/// Most pixels of one image that are read for a layer: 256 · 255² still is an exact f32.
const MAX_PIXELS: usize = 256;

/// Pixels that are read for a layer, over all images.
const PIXELS: usize = 32_768;

/// Most elements of all covariances of a layer.
const MAX_ELEMENTS: usize = 1 << 25;

/// Most elements of all covariances that are gathered in one pass: 384 MB, which no ResNeXt-50 needs.
pub(crate) const AT_ONCE: usize = 3 << 24;

/// Steps of a mean over all pixels that count as one here. A mean has up to 32,639 steps, and (32,639 / 8)² still is an exact
/// f32.
const COARSER: f64 = 8.0;

/// Parts of a step in sums of real values.
const PARTS: f64 = 256.0;

/// Statistics of the inputs of one layer, where `x` is the real value in steps and `q` its rounding to int8.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Inputs of an output channel, `[in / groups][taps]`.
    pub(crate) inputs: usize,
    /// Number of groups.
    pub(crate) groups: usize,
    /// Number of pixels that were read.
    pub(crate) count: f64,
    /// Steps of the input that count as one here.
    coarser: f64,
    /// Σ q qᵀ of each group, `[groups][inputs][inputs]`; empty if that would be too large.
    products: Vec<f64>,
    /// Σ q of each group, `[groups][inputs]`.
    sums: Vec<f64>,
    /// Σ (q − x) in parts, likewise.
    errors: Vec<f64>,
}

impl Moments {
    fn new(groups: usize, inputs: usize, coarser: f64, products: bool) -> Self {
        let elements = groups * inputs * inputs;
        Self {
            inputs,
            groups,
            count: 0.0,
            coarser,
            products: vec![0.0; if products && elements <= MAX_ELEMENTS { elements } else { 0 }],
            sums: vec![0.0; groups * inputs],
            errors: vec![0.0; groups * inputs],
        }
    }

    /// Returns the share of the correlations that may be chance: the number of unknowns in that of unknowns and pixels.
    pub(crate) fn shrinkage(&self) -> f64 {
        let inputs = self.inputs as f64;
        inputs / (inputs + self.count)
    }

    /// Iterates over the mean of `q` for each input of `group`.
    pub(crate) fn means(&self, group: usize) -> impl Iterator<Item = f64> {
        let sums = &self.sums[group * self.inputs..][..self.inputs];
        sums.iter().map(|sum| sum / self.count.max(1.0) * self.coarser)
    }

    /// Iterates over the mean of `q − x` for each input of `group`.
    pub(crate) fn mean_errors(&self, group: usize) -> impl Iterator<Item = f64> {
        self.errors[group * self.inputs..][..self.inputs].iter().map(|sum| sum / PARTS / self.count.max(1.0))
    }

    /// Returns the covariance of the inputs of `group`, `[inputs][inputs]`; `None` if it was not gathered.
    pub(crate) fn covariance(&self, group: usize) -> Option<Vec<f64>> {
        let n = self.inputs;
        let products = self.products.get(group * n * n..(group + 1) * n * n)?;
        let means: Vec<f64> = self.means(group).collect();
        let square = self.coarser * self.coarser;
        let at = |(index, sum): (usize, &f64)| {
            sum * square / self.count.max(1.0) - means[index / n] * means[index % n]
        };
        Some(products.iter().enumerate().map(at).collect())
    }
}

/// Returns the groups of a node that has weights, and the inputs of an output channel.
fn inputs(op: &Op) -> Option<(usize, usize)> {
    match op {
        Op::Conv(conv) => {
            let taps = conv.window.kernel * conv.window.kernel;
            Some((conv.groups, conv.in_channels / conv.groups * taps))
        }
        Op::Linear(linear) => Some((1, linear.in_features)),
        _ => None,
    }
}

/// Cuts the nodes of `network` into as few runs as have no more than `most` elements of covariances. Each run takes one pass
/// over the samples. A single layer may have more.
pub(crate) fn batches(network: &Network, most: usize) -> Vec<Range<usize>> {
    let (mut batches, mut start, mut sum) = (Vec::new(), 0, 0);
    for (index, node) in network.nodes.iter().enumerate() {
        let elements = inputs(&node.op).map_or(0, |(groups, inputs)| groups * inputs * inputs);
        let elements = if elements <= MAX_ELEMENTS { elements } else { 0 };
        if sum + elements > most && sum > 0 {
            batches.push(start..index);
            (start, sum) = (index, 0);
        }
        sum += elements;
    }
    batches.push(start..network.nodes.len());
    batches
}

/// The pass that gathers [`Moments`].
pub(crate) struct Gather<'a> {
    network: &'a Network,
    activations: &'a [Activation],
    /// Pixels of one image that are read.
    pixels: usize,
    /// The value of the padding around an image, for each channel.
    outside: [f32; 3],
    readers: Vec<Vec<usize>>,
    nodes: Vec<Option<Mutex<Moments>>>,
}

impl<'a> Gather<'a> {
    /// Gathers for the nodes with weights among `gathered` of a network whose values are quantized as `activations`, over
    /// `samples` samples. Without `products` it gathers means alone.
    pub(crate) fn new(
        network: &'a Network,
        gathered: Range<usize>,
        activations: &'a [Activation],
        preprocessing: &Preprocessing,
        samples: usize,
        products: bool,
    ) -> Self {
        let outside = preprocessing.mean.map(|mean| (mean * 255.0).round());
        let mut readers = vec![Vec::new(); network.nodes.len() + 1];
        let mut nodes = Vec::new();
        for (index, node) in network.nodes.iter().enumerate() {
            let inputs = inputs(&node.op).filter(|_| gathered.contains(&index));
            let coarser = coarser(network, node.input);
            let moments = inputs.map(|(groups, inputs)| Moments::new(groups, inputs, coarser, products));
            if moments.is_some() {
                readers[node.input.0].push(index);
            }
            nodes.push(moments.map(Mutex::new));
        }
        let pixels = (PIXELS / samples.max(1)).clamp(32, MAX_PIXELS);
        Self { network, activations, pixels, outside, readers, nodes }
    }

    /// Returns the moments of each node that was gathered for.
    pub(crate) fn finish(self) -> Vec<Option<Moments>> {
        let into =
            |moments: Mutex<Moments>| moments.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.nodes.into_iter().map(|node| node.map(into)).collect()
    }

    /// Converts `values` (`[channels][height][width]`) to steps and returns them real and rounded as int8 rounds them. For a
    /// mean over all pixels, which int8 does not round, both are the same, in [coarser](COARSER) steps.
    fn steps(&self, value: usize, values: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let coarser = coarser(self.network, ValueId(value));
        if coarser > 1.0 {
            let most = (f64::from(MAX_DIGITS) / coarser).floor() as f32;
            let per_step = (1.0 / (self.activations[value].scale * coarser)) as f32;
            let steps: Vec<f32> = values.iter().map(|x| (x * per_step).round().clamp(-most, most)).collect();
            return (steps.clone(), steps);
        }
        let Activation { scale, zero_point } = self.activations[value];
        let (low, high) = (-128.0 - f32::from(zero_point), 127.0 - f32::from(zero_point));
        let per_step = (1.0 / scale) as f32;
        let real: Vec<f32> = values.iter().map(|x| x * per_step).collect();
        let rounded = real.iter().map(|x| x.round().clamp(low, high)).collect();
        (real, rounded)
    }

    fn gather(&self, photo: usize, value: usize, real: &[f32], rounded: &[f32], outside: &[f32]) {
        let shape = self.network.shape(ValueId(value));
        for &index in &self.readers[value] {
            let node = &self.network.nodes[index];
            let window = match &node.op {
                Op::Conv(conv) => conv.window,
                _ => Window { kernel: 1, stride: 1, padding: 0 },
            };
            let Some(moments) = &self.nodes[index] else { continue };
            let (groups, inputs, products) = {
                let moments = moments.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                (moments.groups, moments.inputs, !moments.products.is_empty())
            };
            let positions = positions(node.output, self.pixels, photo, index);
            let channels = shape.channels / groups;
            for group in 0..groups {
                let range = group * channels..(group + 1) * channels;
                let patches = |planes: &[f32]| {
                    patches(planes, shape, window, range.clone(), &positions, node.output.width, outside)
                };
                let (x, q) = (patches(real), patches(rounded));
                let mut square = vec![0.0f32; if products { inputs * inputs } else { 0 }];
                if products
                    && let (Ok(q), Ok(mut square)) = (
                        ArrayView2::from_shape((positions.len(), inputs), &q),
                        ArrayViewMut2::from_shape((inputs, inputs), &mut square),
                    )
                {
                    general_mat_mul(1.0, &q.t(), &q, 0.0, &mut square);
                }
                let (mut sums, mut errors) = (vec![0.0; inputs], vec![0.0; inputs]);
                for (x, q) in x.chunks_exact(inputs).zip(q.chunks_exact(inputs)) {
                    for (i, (x, q)) in x.iter().zip(q).enumerate() {
                        sums[i] += f64::from(*q);
                        errors[i] += parts(q - x);
                    }
                }
                let mut moments = moments.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                let moments = &mut *moments;
                let add =
                    |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                add(&mut moments.sums[group * inputs..][..inputs], &sums);
                add(&mut moments.errors[group * inputs..][..inputs], &errors);
                if products {
                    let to = &mut moments.products[group * inputs * inputs..][..inputs * inputs];
                    to.iter_mut().zip(&square).for_each(|(to, &from)| *to += f64::from(from));
                }
                if group == 0 {
                    moments.count += positions.len() as f64;
                }
            }
        }
    }
}

/// Returns the steps of `value` that count as one.
fn coarser(network: &Network, value: ValueId) -> f64 {
    if network.in_digits(value) { COARSER } else { 1.0 }
}

/// Converts steps to whole parts of a step, so that sums are exact.
fn parts(steps: f32) -> f64 {
    (f64::from(steps) * PARTS).round()
}

/// Chooses at most `count` pixels of `output`, at even distances, at other positions in each photo.
fn positions(output: Shape, count: usize, photo: usize, node: usize) -> Vec<usize> {
    let pixels = output.height * output.width;
    if pixels <= count {
        return (0..pixels).collect();
    }
    // Any large odd number will do.
    let shift = (photo.wrapping_mul(0x9E37_79B1).wrapping_add(node.wrapping_mul(0x85EB_CA77)) >> 7) % pixels;
    (0..count).map(|i| (i * pixels / count + shift) % pixels).collect()
}

/// Returns the values under the window at each of `positions`, as `[positions][channels][taps]`; beyond the image they are
/// those of `outside`.
fn patches(
    planes: &[f32],
    shape: Shape,
    window: Window,
    channels: Range<usize>,
    positions: &[usize],
    width: usize,
    outside: &[f32],
) -> Vec<f32> {
    let mut patches = Vec::with_capacity(positions.len() * channels.len() * window.kernel * window.kernel);
    for &position in positions {
        let (top, left) = (position / width * window.stride, position % width * window.stride);
        for channel in channels.clone() {
            let plane = &planes[channel * shape.height * shape.width..][..shape.height * shape.width];
            for tap in 0..window.kernel * window.kernel {
                let y = (top + tap / window.kernel).wrapping_sub(window.padding);
                let x = (left + tap % window.kernel).wrapping_sub(window.padding);
                let inside = y < shape.height && x < shape.width;
                patches.push(if inside {
                    plane[y * shape.width + x]
                } else {
                    outside.get(channel).copied().unwrap_or(0.0)
                });
            }
        }
    }
    patches
}

impl Pass for Gather<'_> {
    type Worker = ();
    type Photo = usize;
    type Output = ();
    type Error = Fp32Error;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        0
    }

    fn worker(&self) {}

    fn begin(&self, index: usize, pixels: &[u8]) -> Result<usize, Fp32Error> {
        let plane = |channel| pixels.iter().skip(channel).step_by(3).map(|&p| f32::from(p));
        let planes: Vec<f32> = (0..3).flat_map(plane).collect();
        self.gather(index, 0, &planes, &planes, &self.outside);
        Ok(index)
    }

    fn value(&self, (): &mut (), photo: &mut usize, node: usize, values: &[f32]) -> Result<(), Fp32Error> {
        let value = node + 1;
        if !self.readers[value].is_empty() {
            let (real, rounded) = self.steps(value, values);
            self.gather(*photo, value, &real, &rounded, &[]);
        }
        Ok(())
    }

    fn end(&self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fp32::stream::{Budget, Input, stream};
    use crate::import::tests::tiny_network;
    use crate::network::Range as Values;
    use crate::network::fold_batch_norm;
    use crate::quantize::quantize;
    use indicatif::ProgressBar;

    /// Each layer has the same moments, whether all layers are gathered together or a few at a time, and no batch is too large.
    #[test]
    fn batches_change_nothing() {
        let mut network = tiny_network(64);
        fold_batch_norm(&mut network);
        let preprocessing = Preprocessing::imagenet(64, 64);
        let ranges = vec![Values { low: -2.0, high: 4.0 }; network.nodes.len() + 1];
        let activations = quantize(&network, &ranges, &preprocessing).expect("quantizes").activations;
        let samples = crate::bundled::photos().take_spread(3);
        let gather = |nodes: Range<usize>| {
            let progress = ProgressBar::hidden();
            let gather = Gather::new(&network, nodes, &activations, &preprocessing, samples.len(), true);
            let (preprocessing, budget) = (&preprocessing, Budget::USUAL);
            let input = Input { samples: &samples, preprocessing, threads: 2, budget, progress: &progress };
            stream(&gather, Some(&network), input).expect("runs");
            gather.finish()
        };
        let count = network.nodes.len();
        assert_eq!(batches(&network, usize::MAX), vec![Range { start: 0, end: count }]);
        let whole = gather(0..count);
        let elements = |node: usize| whole[node].as_ref().map_or(0, |moments| moments.products.len());
        let most = (0..count).map(elements).max().expect("layers");
        let parts = batches(&network, most);
        assert!(parts.len() >= 2 && parts.iter().cloned().flatten().eq(0..count), "{parts:?}");
        for nodes in parts {
            assert!(nodes.clone().map(elements).sum::<usize>() <= most, "{nodes:?}");
            let part = gather(nodes.clone());
            for (index, (part, whole)) in part.iter().zip(&whole).enumerate() {
                let expected = whole.as_ref().filter(|_| nodes.contains(&index));
                assert_eq!(part.is_some(), expected.is_some(), "node {index}");
                let (Some(part), Some(whole)) = (part, expected) else { continue };
                assert!(
                    part.products == whole.products && part.sums == whole.sums && part.errors == whole.errors
                );
            }
        }
    }
}
