//! Weights and biases in integers.

use super::moments::Moments;
use super::weight_rounding::Factored;
use crate::network::Activation;

/// Largest |bias|, output zero point included, in accumulator units; it leaves the rest of ±2³⁰ to the products.
///
/// It bounds the weight scale of a channel from below. Where |bias| is small against the output range, an accumulator unit is
/// then still 2⁻²¹ of an output step, so that it rounds away nothing but weights too small to notice.
const MAX_BIAS: f64 = (1u64 << 28) as f64;

/// Rounds the weights `real` (`[out][in][taps]`) and returns them as `[out][taps][in]`, with the initial accumulators, into
/// which the zero point of the input and `residual_zero` (in accumulator units, for each channel) are folded.
pub(super) fn integers(
    real: &[f32],
    taps: usize,
    scales: &[f64],
    input: Activation,
    bias: impl Fn(usize) -> f64,
    residual_zero: impl Fn(usize) -> i64,
    known: Option<&Moments>,
) -> Result<(Vec<i8>, Vec<i32>), &'static str> {
    let per_channel = real.len() / scales.len();
    let rounded = round_rows(real, scales, known);
    let mut weights = Vec::with_capacity(real.len());
    let mut accumulators = Vec::with_capacity(scales.len());
    for (o, (row, &scale)) in rounded.chunks_exact(per_channel).zip(scales).enumerate() {
        for tap in 0..taps {
            weights.extend(row.iter().skip(tap).step_by(taps));
        }
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let shift = known.map_or(0.0, |known| {
            mean_shift(&real[o * per_channel..][..per_channel], row, scale, known, o, scales.len())
        });
        let bias = ((bias(o) - shift * input.scale) / (input.scale * scale)).round() as i64;
        let folded = bias - i64::from(input.zero_point) * sum - residual_zero(o);
        accumulators.push(i32::try_from(folded).map_err(|_| "its bias does not fit 32 bits")?);
    }
    Ok((weights, accumulators))
}

/// Rounds `real` and keeps its order: each weight to nearest, or a row together where the covariance of its inputs is known.
fn round_rows(real: &[f32], scales: &[f64], known: Option<&Moments>) -> Vec<i8> {
    let per_channel = real.len() / scales.len();
    let mut rounded = vec![0; real.len()];
    let groups = known.map_or(1, |known| known.groups);
    let rows = scales.len() / groups * per_channel;
    for (group, (real, rounded)) in real.chunks_exact(rows).zip(rounded.chunks_exact_mut(rows)).enumerate() {
        let together = known.and_then(|known| {
            let covariance = known.covariance(group)?;
            Some(Factored::new(&covariance, per_channel, known.shrinkage()))
        });
        let scales = &scales[group * (scales.len() / groups)..];
        for ((real, rounded), &scale) in
            real.chunks_exact(per_channel).zip(rounded.chunks_exact_mut(per_channel)).zip(scales)
        {
            match &together {
                Some(factored) => factored.round(real, scale, rounded),
                None => {
                    rounded.iter_mut().zip(real).for_each(|(q, &w)| *q = quantize_weight(w, scale));
                }
            }
        }
    }
    rounded
}

/// Returns by how much rounding the weights and the inputs of output `o` moves its mean, in input steps.
fn mean_shift(real: &[f32], rounded: &[i8], scale: f64, moments: &Moments, o: usize, outputs: usize) -> f64 {
    let group = o / (outputs / moments.groups);
    let inputs = moments.means(group).zip(moments.mean_errors(group));
    let shift = |((&w, &q), (mean, error)): ((&f32, &i8), (f64, f64))| {
        f64::from(q) * scale * mean - f64::from(w) * (mean - error)
    };
    real.iter().zip(rounded).zip(inputs).map(shift).sum()
}

fn quantize_weight(weight: f32, scale: f64) -> i8 {
    (f64::from(weight) / scale).round().clamp(-127.0, 127.0) as i8
}

/// Returns the weight scale of each output channel, exactly representable in f32. It makes the largest |weight| 127. Weights
/// that are integers keep their step if it covers them, apart from a −128. The scale is coarser where `bias`, the most that the
/// initial accumulator of a channel stands for, needs a coarser unit.
pub(super) fn weight_scales(
    weights: &[f32],
    steps: Option<&[f64]>,
    per_channel: usize,
    input_scale: f64,
    bias: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let scale = |(o, channel): (usize, &[f32])| {
        let largest = f64::from(channel.iter().fold(0.0f32, |max, w| max.max(w.abs())));
        let step = steps.map(|steps| steps[o].abs()).filter(|step| largest <= 128.25 * step);
        let scale = step.unwrap_or(largest / 127.0).max(bias(o) / (input_scale * MAX_BIAS));
        // Where all weights are zero, any scale will do.
        if scale > 0.0 { f64::from((scale as f32).max(f32::MIN_POSITIVE)) } else { 1.0 }
    };
    weights.chunks_exact(per_channel).enumerate().map(scale).collect()
}
