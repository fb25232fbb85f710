//! Checks of single layers: whether their tensors, windows and shapes fit each other.

use super::error::{ImportErrorKind, Location};
use super::parts::Part;
use crate::network::{Conv, Shape, Window};

/// Checks that all `values` are finite; `location` names the tensor.
pub(super) fn finite(location: &Location, values: &[f32]) -> Result<(), ImportErrorKind> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(ImportErrorKind::NonFinite { location: location.clone(), index, value: values[index] })
        }
    }
}

/// Checks that the tensors of a convolution have the lengths that follow from its channels, and that its batch norm has a real
/// square root.
pub(super) fn check_tensors(location: &Location, conv: &Conv) -> Result<(), ImportErrorKind> {
    let Conv { groups, in_channels, out_channels, .. } = *conv;
    let wrong = |problem: String, remedy: &str| {
        Err(ImportErrorKind::layer(location.clone(), problem, remedy.to_owned()))
    };
    if groups == 0
        || in_channels == 0
        || out_channels == 0
        || in_channels % groups != 0
        || out_channels % groups != 0
    {
        return wrong(
            format!("{groups} groups for {in_channels} input and {out_channels} output channels"),
            "expected a number of groups that divides both",
        );
    }
    let expected = [out_channels, in_channels / groups, conv.window.kernel, conv.window.kernel]
        .into_iter()
        .try_fold(1usize, usize::checked_mul);
    if expected != Some(conv.weight.len()) || !fits(&conv.bias, out_channels) {
        return wrong(
            format!("{} weights and {} biases", conv.weight.len(), conv.bias.len()),
            "expected as many as its channels and kernel ask for",
        );
    }
    let Some(norm) = &conv.batch_norm else {
        return Ok(());
    };
    if [&norm.scale, &norm.shift, &norm.mean, &norm.variance].iter().any(|t| t.len() != out_channels) {
        return wrong(
            "its batch norm has another number of channels".into(),
            "expected one scale, shift, mean and variance per output channel",
        );
    }
    let radicand = |v: f32| f64::from(v) + f64::from(norm.epsilon);
    match norm.variance.iter().position(|&v| v < 0.0 || radicand(v).is_nan() || radicand(v) <= 0.0) {
        None => Ok(()),
        Some(channel) => wrong(
            format!("its batch norm has variance {} in channel {channel}", norm.variance[channel]),
            "expected a variance that is not negative, and a positive sum with epsilon",
        ),
    }
}

/// Whether `bias` is absent or has one element for each channel.
pub(super) fn fits(bias: &[f32], channels: usize) -> bool {
    bias.is_empty() || bias.len() == channels
}

/// Checks that the window of `part` is `expected`.
pub(super) fn expect_window(part: &Part, expected: Window) -> Result<(), ImportErrorKind> {
    if part.conv.window == expected {
        return Ok(());
    }
    Err(ImportErrorKind::layer(
        part.location.clone(),
        format!("it is {}", describe(part.conv.window)),
        format!("a ResNeXt has {} here", describe(expected)),
    ))
}

/// Checks that `part` has `expected` groups.
pub(super) fn expect_groups(part: &Part, expected: usize) -> Result<(), ImportErrorKind> {
    if part.conv.groups == expected {
        return Ok(());
    }
    Err(ImportErrorKind::layer(
        part.location.clone(),
        format!("it has {} groups", part.conv.groups),
        format!("expected {expected} here"),
    ))
}

/// Returns the shape of the output of a `window` that slides over `input`.
pub(super) fn slide(
    location: &Location,
    window: Window,
    input: Shape,
    channels: usize,
) -> Result<Shape, ImportErrorKind> {
    match (window.positions(input.height), window.positions(input.width)) {
        (Some(height), Some(width)) => Ok(Shape { channels, height, width }),
        _ => Err(ImportErrorKind::layer(
            location.clone(),
            format!("its {0}×{0} window does not fit an input of {1}", window.kernel, size(input)),
            "give a larger input size",
        )),
    }
}

/// Describes a window: `7×7 with stride 2 and padding 3`.
pub(super) fn describe(Window { kernel, stride, padding }: Window) -> String {
    format!("{kernel}×{kernel} with stride {stride} and padding {padding}")
}

/// Describes a shape: `64×56×56`.
pub(super) fn size(Shape { channels, height, width }: Shape) -> String {
    format!("{channels}×{height}×{width}")
}
