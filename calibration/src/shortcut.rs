//! Ranges of values that are added before a ReLU.
//!
//! A projection shortcut has values of both signs, and the ReLU after the addition hides most of the negative ones: what
//! they are does not matter, only that the sum stays below zero. No histogram of the tensor can tell. So its range is
//! chosen by experiment: the block is run with this one tensor rounded, and the error is taken behind the ReLU.

use std::ops::Range as Nodes;

use crate::fp32::{Fp32Error, Fp32Model};
use crate::gains::Gains;
use crate::network::{Network, Op, ValueId};
use crate::observe::Range;
use crate::parallel::parallel;
use crate::quantize::Activation;
use crate::stream::{Input, Pass, stream};

/// Shares of either end of the range that are tried.
const SHARES: [f64; 9] = [1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];

/// As many of them are tried above: nothing hides what is clipped there.
const FEW: usize = 5;

/// What the blocks' inputs of all images may take; of a large network fewer images are looked at.
const MOST_BYTES: usize = 256 << 20;

/// A tensor of both signs, and the nodes from the input of its block to the addition.
struct Shortcut {
    value: usize,
    nodes: Nodes<usize>,
}

/// Fits the `ranges` of the shortcuts of `network` to a few samples.
pub(crate) fn fit(
    network: &Network,
    ranges: &mut [Range],
    gains: &Gains,
    input: Input<'_>,
) -> Result<(), Fp32Error> {
    let shortcuts = shortcuts(network, ranges);
    let kept: Vec<usize> = shortcuts.iter().map(|shortcut| shortcut.nodes.start).collect();
    let pass = Keep { network, values: &kept };
    let most = (MOST_BYTES / pass.photo_bytes().max(1)).max(1);
    let every = input.samples.len().div_ceil(most).max(1);
    let samples = input.samples.iter().step_by(every).cloned().collect();
    let streamed = stream(&pass, Some(network), Input { samples: &samples, ..input })?;
    let photos: Vec<Vec<Vec<f32>>> = streamed.results.into_iter().flatten().collect();
    for (index, Shortcut { value, nodes }) in shortcuts.into_iter().enumerate() {
        let inputs: Vec<&[f32]> = photos.iter().map(|values| values[index].as_slice()).collect();
        let block = |range: Option<Range>| {
            let mut rounded = vec![None; network.nodes.len() + 1];
            rounded[value] = range.map(Activation::covering);
            Fp32Model::rounded_segment(network, nodes.clone(), &rounded)
        };
        let original = block(None)?.run_all(&inputs, input.threads)?;
        let photos: Vec<(&[f32], &[f32])> =
            inputs.into_iter().zip(original.iter().map(Vec::as_slice)).collect();
        let gains = &gains.values[nodes.end];
        let error = |range: Range| -> Result<f64, Fp32Error> {
            let block = block(Some(range))?;
            let error = |block: &mut Fp32Model, &(input, original): &(&[f32], &[f32])| {
                Ok(weighted(block.run(input)?.result(), original, gains))
            };
            Ok(parallel(&photos, input.threads, || block.clone(), error)?.iter().sum())
        };
        let seen = ranges[value];
        let mut best = (error(seen)?, seen);
        for share in &SHARES[1..] {
            let range = Range { low: seen.low * share, high: seen.high };
            best = min(best, (error(range)?, range));
        }
        let low = best.1.low;
        for share in &SHARES[1..FEW] {
            let range = Range { low, high: seen.high * share };
            best = min(best, (error(range)?, range));
        }
        ranges[value] = best.1;
    }
    Ok(())
}

/// Keeps some values of each photo.
struct Keep<'a> {
    network: &'a Network,
    /// One may be asked for twice.
    values: &'a [usize],
}

impl Pass for Keep<'_> {
    type Worker = ();
    /// In the order asked for.
    type Photo = Vec<Vec<f32>>;
    type Output = Vec<Vec<f32>>;
    type Error = Fp32Error;

    const EVERY_VALUE: bool = true;

    fn photo_bytes(&self) -> usize {
        self.values.iter().map(|&value| size_of::<f32>() * self.network.shape(ValueId(value)).len()).sum()
    }

    fn worker(&self) {}

    fn begin(&self, _: usize, _: &[u8]) -> Result<Vec<Vec<f32>>, Fp32Error> {
        Ok(vec![Vec::new(); self.values.len()])
    }

    fn value(
        &self,
        (): &mut (),
        photo: &mut Vec<Vec<f32>>,
        node: usize,
        values: &[f32],
    ) -> Result<(), Fp32Error> {
        for (kept, _) in photo.iter_mut().zip(self.values).filter(|&(_, &value)| value == node + 1) {
            *kept = values.to_vec();
        }
        Ok(())
    }

    fn end(&self, photo: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        photo
    }
}

fn min(a: (f64, Range), b: (f64, Range)) -> (f64, Range) {
    if b.0 < a.0 { b } else { a }
}

/// Σ gain · error², over all elements.
fn weighted(output: &[f32], original: &[f32], gains: &[f64]) -> f64 {
    let pixels = output.len() / gains.len();
    let square = |(a, b): (&f32, &f32)| f64::from(a - b) * f64::from(a - b);
    let planes = output.chunks_exact(pixels).zip(original.chunks_exact(pixels));
    planes.zip(gains).map(|((a, b), gain)| gain * a.iter().zip(b).map(square).sum::<f64>()).sum()
}

fn shortcuts(network: &Network, ranges: &[Range]) -> Vec<Shortcut> {
    let shortcut = |(index, node): (usize, &crate::network::Node)| {
        let Op::Conv(conv) = &node.op else { return None };
        let value = conv.residual?.0;
        if !conv.relu || ranges[value].low >= 0.0 {
            return None;
        }
        // Back to the value that everything up to the addition can be computed from.
        let mut start = value.saturating_sub(1).min(index);
        loop {
            let oldest =
                network.nodes[start..=index].iter().map(oldest_input).min().unwrap_or(start).min(start);
            if oldest == start {
                break Some(Shortcut { value, nodes: start..index + 1 });
            }
            start = oldest;
        }
    };
    network.nodes.iter().enumerate().filter_map(shortcut).collect()
}

fn oldest_input(node: &crate::network::Node) -> usize {
    let residual = match &node.op {
        Op::Conv(conv) => conv.residual,
        _ => None,
    };
    residual.map_or(node.input.0, |residual| residual.0.min(node.input.0))
}
