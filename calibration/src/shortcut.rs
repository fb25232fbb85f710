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

/// Fits the `ranges` of the shortcuts of `network` to a few normalised `images`.
pub(crate) fn fit(
    network: &Network,
    ranges: &mut [Range],
    gains: &Gains,
    images: &[Vec<f32>],
    threads: usize,
) -> Result<(), Fp32Error> {
    let shortcuts = shortcuts(network, ranges);
    let taps: Vec<ValueId> = shortcuts.iter().map(|shortcut| ValueId(shortcut.nodes.start)).collect();
    let bytes: usize = taps.iter().map(|&tap| size_of::<f32>() * network.shape(tap).len()).sum();
    let most = (MOST_BYTES / bytes.max(1)).max(1);
    let images: Vec<&[f32]> =
        images.iter().step_by(images.len().div_ceil(most).max(1)).map(Vec::as_slice).collect();
    let model = Fp32Model::new(network, &taps)?;
    let inputs: Vec<Vec<Vec<f32>>> = parallel(
        &images,
        threads,
        || model.clone(),
        |model, image| {
            let outputs = model.run(image)?;
            Ok((0..outputs.taps()).map(|tap| outputs.tap(tap).0.to_vec()).collect())
        },
    )?;
    for (index, Shortcut { value, nodes }) in shortcuts.into_iter().enumerate() {
        let inputs: Vec<&[f32]> = inputs.iter().map(|taps| taps[index].as_slice()).collect();
        let run = |range: Option<Range>| {
            let mut rounded = vec![None; network.nodes.len() + 1];
            rounded[value] = range.map(Activation::covering);
            Fp32Model::rounded_segment(network, nodes.clone(), &rounded)?.run_all(&inputs, threads)
        };
        let original = run(None)?;
        let gains = &gains.values[nodes.end];
        let error = |range: Range| -> Result<f64, Fp32Error> {
            let outputs = run(Some(range))?;
            Ok(outputs
                .iter()
                .zip(&original)
                .map(|(output, original)| weighted(output, original, gains))
                .sum())
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
