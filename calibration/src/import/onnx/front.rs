//! The nodes between the image and the first convolution: another order of dimensions, normalisation, padding.

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::classifier::operand;
use super::graph::Graph;
use super::image::Image;
use super::layers;
use crate::import::error::{ImportErrorKind, Location};
use crate::import::parts::Part;
use crate::network::{Activation, Normalisation, Pixels};

/// The nodes between the image and the first convolution.
pub(super) struct Front<'a> {
    /// The value that the convolution, or another padding, reads.
    pub(super) value: &'a str,
    pub(super) padding: usize,
    /// The way back to pixels in a quantized file.
    pub(super) scaling: Option<Scaling>,
    /// The normalisation in any other file.
    pub(super) normalisation: Option<Normalisation>,
}

/// Reads the nodes between `image` and the first convolution.
pub(super) fn read<'a>(graph: &Graph<'a>, image: &Image<'a>) -> Result<Front<'a>, ImportErrorKind> {
    let mut value = image.name;
    let mut channels_last = image.channels_last;
    let mut padding = 0;
    let mut affine: Option<(&NodeProto, Affine)> = None;
    while let [node] = *graph.readers(value) {
        match node.op_type.as_str() {
            "Mul" | "Div" | "Add" | "Sub" => {
                let constant = per_channel(graph, node, value, channels_last)?;
                let before = affine.map_or(Affine::IDENTITY, |(_, affine)| affine);
                affine = Some((node, before.then(graph, node, value, constant)));
            }
            "Transpose" => {
                let attributes = Attributes::new(node, &["perm"])?;
                if !channels_last || attributes.ints("perm")? != Some(&[0, 3, 1, 2]) {
                    return Err(ImportErrorKind::layer(
                        location(node),
                        "it reorders the dimensions of the image",
                        "expected an image of N×3×H×W, or of N×H×W×3 and [0, 3, 1, 2]",
                    ));
                }
                channels_last = false;
            }
            // A padding of normalised values belongs to the convolution.
            "Pad" if affine.is_none() && padding == 0 && !channels_last => {
                padding = layers::pad(graph, node)?
            }
            _ => break,
        }
        value = layers::output(graph, node)?;
    }
    if channels_last {
        return Err(ImportErrorKind::layer(
            Location::Graph,
            "its input is N×H×W×3, and no Transpose to N×3×H×W follows",
            "export it with an image of N×3×H×W",
        ));
    }
    let mut front = Front { value, padding, scaling: None, normalisation: None };
    let affine = match affine {
        None if image.is_bytes => graph.readers(image.name).first().map(|&node| (node, Affine::IDENTITY)),
        other => other,
    };
    let Some((last, affine)) = affine else { return Ok(front) };
    let quantized = graph.activation(value)?;
    match quantized {
        Some(found) if found != Activation::PIXELS => Err(ImportErrorKind::layer(
            location(last),
            format!("its output is quantized with scale {}", found.scale),
            "expected pixels from 0 to 255, with scale 1 and zero point 0",
        )),
        Some(_) => {
            front.scaling = Some(affine.scaling());
            Ok(front)
        }
        None if padding > 0 => Err(ImportErrorKind::layer(
            location(last),
            "it normalises an image that is padded already",
            "expected the padding after the normalisation, as part of the first convolution",
        )),
        None => {
            front.normalisation = Some(affine.normalisation(last, image.is_bytes)?);
            Ok(front)
        }
    }
}

/// A product and then a sum for each channel: y = factor · x + shift.
#[derive(Clone, Copy)]
struct Affine {
    factors: [f64; 3],
    shifts: [f64; 3],
}

impl Affine {
    const IDENTITY: Self = Self { factors: [1.0; 3], shifts: [0.0; 3] };

    /// Appends the arithmetic of `node`, whose constant operand is `constant` and whose other operand is `value`.
    fn then(self, graph: &Graph<'_>, node: &NodeProto, value: &str, constant: [f32; 3]) -> Self {
        let constant = constant.map(f64::from);
        // 1 − x and 1 / x are not what they seem; the second is no affine map and becomes an infinite factor, which is refused.
        let value_first = node.input.first().is_some_and(|input| graph.is_value(input, value));
        let each = |apply: &dyn Fn(f64, f64) -> f64, of: [f64; 3]| {
            [0, 1, 2].map(|channel| apply(of[channel], constant[channel]))
        };
        let Self { factors, shifts } = self;
        match (node.op_type.as_str(), value_first) {
            ("Mul", _) => Self { factors: each(&|a, c| a * c, factors), shifts: each(&|b, c| b * c, shifts) },
            ("Div", true) => {
                Self { factors: each(&|a, c| a / c, factors), shifts: each(&|b, c| b / c, shifts) }
            }
            ("Add", _) => Self { factors, shifts: each(&|b, c| b + c, shifts) },
            ("Sub", true) => Self { factors, shifts: each(&|b, c| b - c, shifts) },
            ("Sub", false) => Self { factors: factors.map(|a| -a), shifts: each(&|b, c| c - b, shifts) },
            _ => Self { factors: [f64::INFINITY; 3], shifts },
        }
    }

    fn scaling(self) -> Scaling {
        Scaling {
            factors: self.factors.map(|factor| factor as f32),
            shifts: self.shifts.map(|shift| shift as f32),
        }
    }

    /// Returns the normalisation that this is. Its mean and standard deviation tell whether the image has pixels from 0 to 1 or from 0
    /// to 255, unless it is one of `bytes`.
    fn normalisation(self, node: &NodeProto, bytes: bool) -> Result<Normalisation, ImportErrorKind> {
        let Self { factors, shifts } = self;
        if !factors.iter().all(|&factor| factor.is_finite() && factor > 0.0)
            || !shifts.iter().all(|shift| shift.is_finite())
        {
            return Err(ImportErrorKind::layer(
                location(node),
                "it changes the image in a way that is no normalisation",
                "expected a mean to be subtracted and a division by a positive standard deviation",
            ));
        }
        let mean = [0, 1, 2].map(|channel| -shifts[channel] / factors[channel]);
        let std = factors.map(|factor| 1.0 / factor);
        let largest = mean.iter().map(|mean| mean.abs()).chain(std).fold(0.0, f64::max);
        let scale = match largest {
            _ if bytes => 255.0,
            // No channel of pixels from 0 to 1 has a larger mean or standard deviation, and none from 0 to 255 one so small.
            ..=1.0 => 1.0,
            2.0.. => 255.0,
            _ => {
                return Err(ImportErrorKind::layer(
                    location(node),
                    format!("it normalises by a mean of {mean:?} and a standard deviation of {std:?}"),
                    "expected those of pixels from 0 to 1 or from 0 to 255; export the model without its normalisation",
                ));
            }
        };
        Ok(Normalisation {
            factors: factors.map(|factor| factor as f32),
            shifts: shifts.map(|shift| shift as f32),
            mean: mean.map(|mean| (mean / scale) as f32),
            std: std.map(|std| (std / scale) as f32),
        })
    }
}

/// Returns the constant operand of `node`, one element for each channel of the image `value`, which is the other operand.
fn per_channel<'a>(
    graph: &Graph<'a>,
    node: &'a NodeProto,
    value: &str,
    channels_last: bool,
) -> Result<[f32; 3], ImportErrorKind> {
    let (shape, values) = operand(graph, node, value)?;
    match (shape.as_slice(), values.as_slice(), channels_last) {
        (_, &[one], _) => Ok([one; 3]),
        ([1, 3, 1, 1] | [3, 1, 1], &[r, g, b], false) => Ok([r, g, b]),
        ([3] | [1, 3] | [1, 1, 3] | [1, 1, 1, 3], &[r, g, b], true) => Ok([r, g, b]),
        _ => Err(ImportErrorKind::layer(
            location(node),
            format!("its constant has shape {shape:?}"),
            "expected [1, 3, 1, 1], one for each channel of the image",
        )),
    }
}

/// A multiplication of each channel of the image and then an addition: the way back from normalised values to pixels.
pub(super) struct Scaling {
    factors: [f32; 3],
    shifts: [f32; 3],
}

impl Scaling {
    /// Changes `first`, which reads pixels, so that it reads normalised values.
    pub(super) fn fold_into(self, first: &mut Part) -> Result<Pixels, ImportErrorKind> {
        let conv = &mut first.conv;
        let wrong = |problem: &str, remedy: &str| {
            Err(ImportErrorKind::layer(first.location.clone(), problem, remedy))
        };
        if conv.in_channels != 3 || conv.groups != 1 {
            return wrong("it does not read three channels", "expected the first convolution to read RGB");
        }
        let mut weight = conv.weight.read();
        let per_output = weight.len() / conv.out_channels.max(1);
        let taps = conv.window.kernel * conv.window.kernel;
        if per_output != 3 * taps || !matches!(conv.bias.len(), 0) && conv.bias.len() != conv.out_channels {
            return wrong("its weight and bias do not fit its channels", "expected one bias per channel");
        }
        let mut bias: Vec<f64> =
            (0..conv.out_channels).map(|o| conv.bias.get(o).copied().unwrap_or(0.0).into()).collect();
        for (index, weight) in weight.iter_mut().enumerate() {
            let channel = index / taps % 3;
            bias[index / per_output] += f64::from(*weight) * f64::from(self.shifts[channel]);
            *weight *= self.factors[channel];
        }
        let pixels = Pixels {
            mean: self.shifts.map(|shift| shift / 255.0),
            std: self.factors.map(|factor| factor / 255.0),
            steps: conv.weight.steps().map(<[f64]>::to_vec),
        };
        conv.bias = bias.into_iter().map(|bias| bias as f32).collect();
        conv.weight = weight.into();
        match conv.weight.read().iter().chain(&conv.bias).all(|value| value.is_finite()) {
            true => Ok(pixels),
            false => wrong("its weights overflow once the image is scaled", "quantize the model again"),
        }
    }
}
