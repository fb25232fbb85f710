//! The classifier in integers.

use super::layer::QuantizedLinear;
use super::moments::Moments;
use super::weights::{integers, weight_scales};
use crate::network::{Activation, Linear};

/// Quantizes the classifier; `known` are the moments of its inputs.
pub(super) fn quantize_linear(
    linear: &Linear,
    input: Activation,
    known: Option<&Moments>,
) -> Result<QuantizedLinear, &'static str> {
    let bias = |o: usize| f64::from(linear.bias.get(o).copied().unwrap_or(0.0));
    let real = linear.weight.read();
    let steps = linear.weight.steps();
    let scales = weight_scales(&real, steps, linear.in_features, input.scale, |o| bias(o).abs());
    let (weights, integers) = integers(&real, 1, &scales, input, bias, |_| 0, known)?;
    let scale = scales.iter().map(|scale| (input.scale * scale) as f32).collect();
    Ok(QuantizedLinear { weights, scales, bias: integers, scale })
}
