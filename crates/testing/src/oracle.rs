//! Computes a network as its definition says: without packing, arena or halo, in sums of 64 bits.

use crate::builder::{Built, Layer, Shortcut};
use resnext::internals::format::{NO_TENSOR, StepKind, TensorRecord};
use resnext::internals::requantize::{narrow, scale};

/// An activation tensor, NHWC without halo.
#[derive(Clone)]
struct Activation<'a> {
    record: &'a TensorRecord,
    data: Vec<i8>,
}

impl<'a> Activation<'a> {
    fn new(record: &'a TensorRecord) -> Self {
        let len = record.height.get() * record.width.get() * record.channels.get();
        Self { record, data: vec![0; len as usize] }
    }

    fn channels(&self) -> usize {
        self.record.channels.get() as usize
    }

    fn size(&self) -> (usize, usize) {
        (self.record.height.get() as usize, self.record.width.get() as usize)
    }

    /// Returns the value at (`y`, `x`), which may lie on the halo.
    fn at(&self, y: isize, x: isize, channel: usize) -> i8 {
        let (height, width) = self.size();
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < height && x < width => {
                self.data[(y * width + x) * self.channels() + channel]
            }
            _ => self.record.fill[channel.min(3)],
        }
    }
}

/// Returns the logits of `pixels`, `height × width × 3` bytes of the size that the network reads.
///
/// # Panics
///
/// If the last layer is not the classifier.
pub fn logits(built: &Built, pixels: &[u8]) -> Vec<f32> {
    let mut tensors: Vec<_> = built.tensors.iter().map(Activation::new).collect();
    tensors[0].data = pixels.iter().map(|&pixel| (i32::from(pixel) - 128) as i8).collect();
    for layer in &built.layers {
        let input = &tensors[usize::from(layer.input)];
        if layer.kind == StepKind::Linear {
            return linear(layer, input);
        }
        let residual = (layer.residual != NO_TENSOR).then(|| &tensors[usize::from(layer.residual)]);
        let mut output = Activation::new(tensors[usize::from(layer.output)].record);
        let shortcut =
            layer.shortcut.as_ref().map(|shortcut| (shortcut, &tensors[usize::from(shortcut.input)]));
        match layer.kind {
            StepKind::Conv => conv(layer, input, residual, shortcut, &mut output),
            StepKind::MaxPool => max_pool(layer, input, &mut output),
            StepKind::AvgPool => avg_pool(layer, input, &mut output),
            _ => global_avg_pool(layer, input, &mut output),
        }
        tensors[usize::from(layer.output)] = output;
    }
    unreachable!("the last layer is the classifier")
}

/// Calls `f(index, y, x, channel)` for every element of `output`, with the window's origin for `y` and `x`.
fn elements(layer: &Layer, output: &mut Activation<'_>, f: impl Fn(usize, isize, isize, usize) -> i8) {
    let ((height, width), channels) = (output.size(), output.channels());
    let origin = |place: usize| (place * layer.stride) as isize - layer.padding as isize;
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let index = (y * width + x) * channels + channel;
                output.data[index] = f(index, origin(y), origin(x), channel);
            }
        }
    }
}

fn conv(
    layer: &Layer,
    input: &Activation<'_>,
    residual: Option<&Activation<'_>>,
    shortcut: Option<(&Shortcut, &Activation<'_>)>,
    output: &mut Activation<'_>,
) {
    let width = output.size().1;
    let (group_in, group_out) = (input.channels() / layer.groups, output.channels() / layer.groups);
    elements(layer, output, |index, top, left, channel| {
        let first = channel / group_out * group_in;
        let mut acc = i64::from(layer.bias[channel]);
        for ky in 0..layer.kernel {
            for kx in 0..layer.kernel {
                for k in 0..group_in {
                    let tap = ((channel * layer.kernel + ky) * layer.kernel + kx) * group_in + k;
                    let value = input.at(top + ky as isize, left + kx as isize, first + k);
                    acc += i64::from(layer.weights[tap]) * i64::from(value);
                }
            }
        }
        if let Some(residual) = residual {
            acc += i64::from(layer.residual_factor[channel]) * i64::from(residual.data[index]);
        }
        if let Some((shortcut, input)) = shortcut {
            let pixel = index / layer.bias.len();
            let (y, x) = (pixel / width * shortcut.stride, pixel % width * shortcut.stride);
            for k in 0..input.channels() {
                let weight = shortcut.weights[channel * input.channels() + k];
                acc += i64::from(weight) * i64::from(input.at(y as isize, x as isize, k));
            }
        }
        let value = scale(i32::try_from(acc).expect("bounded"), layer.multiplier[channel]);
        narrow(value, layer.clamp.0, layer.clamp.1)
    });
}

fn max_pool(layer: &Layer, input: &Activation<'_>, output: &mut Activation<'_>) {
    let kernel = 0..layer.kernel as isize;
    elements(layer, output, |_, top, left, channel| {
        let taps = kernel.clone().flat_map(|ky| kernel.clone().map(move |kx| (top + ky, left + kx)));
        taps.map(|(y, x)| input.at(y, x, channel)).max().expect("a window has taps")
    });
}

/// The mean of the pixels of the window that lie on the input, scaled and rounded once.
fn avg_pool(layer: &Layer, input: &Activation<'_>, output: &mut Activation<'_>) {
    let zero_point = i32::from(output.record.zero_point);
    let (height, width) = input.size();
    let near = |from: isize, side: usize| from as usize..side.min(from as usize + layer.kernel);
    elements(layer, output, |_, top, left, channel| {
        let taps = near(top, height).flat_map(|y| near(left, width).map(move |x| (y, x)));
        let values: Vec<_> = taps.map(|(y, x)| input.at(y as isize, x as isize, channel)).collect();
        let sum: i128 = values.iter().map(|&q| i128::from(q) - i128::from(input.record.zero_point)).sum();
        let whole = (layer.kernel * layer.kernel) as i128;
        let (numerator, denominator) =
            (sum * whole * i128::from(layer.multiplier[0]), (values.len() as i128) << 31);
        let value = (2 * numerator + denominator).div_euclid(2 * denominator);
        narrow(i32::try_from(value).expect("bounded") + zero_point, i8::MIN, i8::MAX)
    });
}

/// The mean of each channel in two digits: the nearest multiple of 256, and what is left.
fn global_avg_pool(layer: &Layer, input: &Activation<'_>, output: &mut Activation<'_>) {
    for channel in 0..input.channels() {
        let values = input.data.iter().skip(channel).step_by(input.channels());
        let sum = values.map(|&q| i32::from(q) - i32::from(input.record.zero_point)).sum();
        let mean = scale(sum, layer.multiplier[0]);
        let high = (mean + 128).div_euclid(256);
        output.data[channel] = i8::try_from(high).expect("bounded");
        output.data[input.channels() + channel] = i8::try_from(mean - 256 * high).expect("a digit");
    }
}

fn linear(layer: &Layer, input: &Activation<'_>) -> Vec<f32> {
    let features = input.channels();
    let (high, low) = input.data.split_at(features);
    let logit = |class: usize| {
        let weights = &layer.weights[class * features..][..features];
        let feature = |k: usize| 256 * i64::from(high[k]) + i64::from(low[k]);
        let dot: i64 = weights.iter().enumerate().map(|(k, &w)| i64::from(w) * feature(k)).sum();
        (i64::from(layer.bias[class]) + dot) as f32 * layer.scale[class]
    };
    (0..layer.bias.len()).map(logit).collect()
}
