//! Small networks that have every kind of step and shape.

use crate::builder::{Builder, Built, Layer, POINTWISE, Window};
use resnext::internals::format::{NO_TENSOR, StepKind};
use resnext::internals::requantize::multiplier_for;
use resnext::preprocess::Preprocessing;

/// Returns a small network with everything that ResNeXt-D has: a stem of three convolutions, an average pool with the
/// window `pool` and an ungrouped 3×3 convolution with stride, on images of `height` × `width`.
pub fn deep(height: u32, width: u32, pool: Window) -> Built {
    let mut b = Builder::new(27);
    let image = b.tensor(height, width, 3, 1);
    b.tensor_mut(image).fill = [-4, -12, -25, 0];
    b.tensor_mut(image).zero_point = i8::MIN;
    let halved = |side: u32| side.div_ceil(2);
    let spatial = |stride| Window { kernel: 3, stride, padding: 1, groups: 1 };
    let (h, w) = (halved(height), halved(width));
    let (a, c) = (b.tensor(h, w, 8, 1), b.tensor(h, w, 8, 1));
    // The average pool's input has a halo, which must not count.
    let stem = b.tensor(h, w, 70, 1);
    b.conv("conv1.0", spatial(2), image, a, NO_TENSOR);
    b.conv("conv1.3", spatial(1), a, c, NO_TENSOR);
    b.conv("conv1.6", spatial(1), c, stem, NO_TENSOR);
    let positions = |side: u32| {
        let (kernel, stride) = (u32::from(pool.kernel), u32::from(pool.stride));
        side.saturating_sub(kernel).div_ceil(stride) + 1
    };
    let averaged = b.tensor(positions(h), positions(w), 70, 2);
    b.avg_pool("avgpool", pool, stem, averaged);
    let last = b.tensor(halved(positions(h)), halved(positions(w)), 21, 0);
    b.conv("conv2", spatial(2), averaged, last, NO_TENSOR);
    let mean = b.tensor(1, 2, 21, 0);
    b.global_avg_pool("global_pool", last, mean);
    b.linear("fc", mean, 5);
    b.finish()
}

/// Returns a network with one of everything: the four weight layouts, partial blocks, segments that are not whole
/// k-groups, strides, both kinds of residual, a fused shortcut, halos of 0, 1 and 3, windows that reach beyond an odd side.
pub fn small() -> Built {
    let mut b = Builder::new(26);
    let add = NO_TENSOR;
    let image = b.tensor(30, 26, 3, 3);
    // Normalisation is folded into the stem, so each channel's halo is its own mean.
    b.tensor_mut(image).fill = [-4, -12, -25, 0];
    b.tensor_mut(image).zero_point = i8::MIN;
    let stem = b.tensor(15, 13, 16, 1);
    b.conv("conv1", Window { kernel: 7, stride: 2, padding: 3, groups: 1 }, image, stem, add);
    let pooled = b.tensor(8, 7, 16, 0);
    b.max_pool("maxpool", Window { kernel: 3, stride: 2, padding: 1, groups: 1 }, stem, pooled);

    // Four channels a group; the residual is added in place.
    let narrow = b.tensor(8, 7, 32, 1);
    b.conv("layer1.0.conv1", POINTWISE, pooled, narrow, add);
    let grouped = b.tensor(8, 7, 32, 0);
    b.conv("layer1.0.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 8 }, narrow, grouped, add);
    let shortcut = b.tensor(8, 7, 40, 0);
    b.conv("layer1.0.downsample", POINTWISE, pooled, shortcut, add);
    let wide = b.alias(shortcut);
    b.conv("layer1.0.conv3", POINTWISE, grouped, wide, shortcut);

    // Eight channels a group, stride 2; the residual has other memory and another halo.
    let narrow = b.tensor(8, 7, 64, 1);
    b.conv("layer2.0.conv1", POINTWISE, wide, narrow, add);
    let grouped = b.tensor(4, 4, 64, 0);
    b.conv("layer2.0.conv2", Window { kernel: 3, stride: 2, padding: 1, groups: 8 }, narrow, grouped, add);
    let shortcut = b.tensor(4, 4, 40, 1);
    b.conv("layer2.0.downsample", Window { stride: 2, ..POINTWISE }, wide, shortcut, add);
    let sum = b.tensor(4, 4, 40, 1);
    b.conv("layer2.0.conv3", POINTWISE, grouped, sum, shortcut);

    // Seven columns are pooled to four; an ungrouped 3×3.
    let averaged = b.tensor(4, 4, 40, 1);
    b.avg_pool("layer2.1.avgpool", Window { kernel: 2, stride: 2, padding: 0, groups: 1 }, wide, averaged);
    let mixed = b.tensor(4, 4, 40, 2);
    b.conv("layer2.1.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 1 }, averaged, mixed, sum);

    // A shortcut that is fused with the convolution that it is added to, and reads every other pixel.
    let grouped = b.tensor(2, 2, 24, 0);
    b.conv("layer3.0.conv2", Window { kernel: 3, stride: 2, padding: 1, groups: 4 }, mixed, grouped, add);
    let fused = b.tensor(2, 2, 50, 1);
    b.fused("layer3.0.conv3", grouped, fused, (mixed, 2));

    // Ten channels in and nine out a group: nothing is a multiple of anything.
    let odd = b.tensor(2, 2, 45, 0);
    b.conv("layer4.0.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 5 }, fused, odd, add);
    let mean = b.tensor(1, 2, 45, 0);
    b.global_avg_pool("avgpool", odd, mean);
    b.linear("fc", mean, 21);
    b.finish()
}

/// Returns the least network that has a step of every kind, a residual and a fused shortcut: a network for interpreters.
pub fn tiny() -> Built {
    let mut b = Builder::new(28);
    let add = NO_TENSOR;
    let image = b.tensor(4, 4, 3, 1);
    b.tensor_mut(image).zero_point = i8::MIN;
    let stem = b.tensor(2, 2, 16, 1);
    b.conv("conv1", Window { kernel: 3, stride: 2, padding: 1, groups: 1 }, image, stem, add);
    let pooled = b.tensor(2, 2, 16, 1);
    b.max_pool("maxpool", Window { kernel: 3, stride: 1, padding: 1, groups: 1 }, stem, pooled);
    let grouped = b.tensor(2, 2, 16, 0);
    b.conv("layer1.0.conv2", Window { kernel: 3, stride: 1, padding: 1, groups: 4 }, pooled, grouped, add);
    let sum = b.tensor(2, 2, 16, 0);
    b.conv("layer1.0.conv3", POINTWISE, grouped, sum, pooled);
    let fused = b.tensor(2, 2, 10, 0);
    b.fused("layer2.0.conv3", sum, fused, (pooled, 1));
    let averaged = b.tensor(1, 1, 10, 0);
    b.avg_pool("layer2.1.avgpool", Window { kernel: 2, stride: 2, padding: 0, groups: 1 }, fused, averaged);
    let mean = b.tensor(1, 2, 10, 0);
    b.global_avg_pool("avgpool", averaged, mean);
    b.linear("fc", mean, 3);
    b.finish()
}

/// Side in pixels of the input of [`colours`].
pub const COLOURS_SIDE: u32 = 16;

/// Labels of [`colours`].
pub const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// Quantized value of black in every tensor of [`colours`]: a quantized value is a brightness less 128.
const BLACK: i8 = -128;

/// The only weight of [`colours`] besides 0.
const WEIGHT: i8 = 64;

/// Returns a network that names the colour of a picture. It has every kind of step but an average pool, and its logits are
/// the mean red, green and blue of the picture, divided by 16.
pub fn colours(metadata: &str) -> Built {
    let mut b = Builder::new(1);
    let side = COLOURS_SIDE;
    let input = black_is_least(&mut b, side, 3, 1);
    let stem = black_is_least(&mut b, side / 2, 16, 1);
    let pooled = black_is_least(&mut b, side / 4, 16, 1);
    let grouped = black_is_least(&mut b, side / 4, 16, 0);
    let added = black_is_least(&mut b, side / 4, 16, 0);
    let mean = b.tensor(1, 2, 16, 0);
    let record = b.tensor_mut(mean);
    let pixels = (side / 4).pow(2);
    (record.scale, record.zero_point, record.fill) = ((1.0 / pixels as f32).into(), 0, [0; 4]);

    b.layer("stem", passing(3, 1, 3, 2, [input, NO_TENSOR, stem]));
    b.max_pool("pool", Window { kernel: 3, stride: 2, padding: 1, groups: 1 }, stem, pooled);
    b.layer("block.conv1", passing(16, 4, 3, 1, [pooled, NO_TENSOR, grouped]));
    b.layer("block.conv2", passing(16, 1, 1, 1, [grouped, pooled, added]));
    // Sums stay as they are.
    let multiplier = vec![i32::MAX];
    let kind = StepKind::GlobalAvgPool;
    b.layer("mean", Layer { kind, input: added, output: mean, multiplier, ..Layer::default() });
    let classes = COLOURS.len();
    b.layer(
        "fc",
        Layer {
            kind: StepKind::Linear,
            input: mean,
            output: NO_TENSOR,
            weights: centre_taps(16, classes, 1, 1),
            bias: vec![0; classes],
            // The digits are the sum of 16 pixels, and logits are a 16th of their mean.
            scale: vec![1.0 / 256.0 / f32::from(WEIGHT); classes],
            ..Layer::default()
        },
    );
    // The last class has no identifier, as models outside ImageNet may have none.
    let id = |index: usize| if index < 2 { format!("c{index}") } else { String::new() };
    let classes: Vec<_> =
        COLOURS.iter().enumerate().map(|(index, label)| (id(index), (*label).to_owned())).collect();
    b.finish_as(&classes, metadata, &Preprocessing::imagenet(side, side))
}

/// Adds a square tensor whose least value is black.
fn black_is_least(b: &mut Builder, side: u32, channels: u32, halo: u8) -> u16 {
    let tensor = b.tensor(side, side, channels, halo);
    let record = b.tensor_mut(tensor);
    (record.scale, record.zero_point, record.fill) = (1.0.into(), BLACK, [BLACK; 4]);
    tensor
}

/// Returns a convolution to 16 channels that passes each of its input channels on. A residual counts as much as the input.
fn passing(in_channels: usize, groups: usize, kernel: usize, stride: usize, tensors: [u16; 3]) -> Layer {
    let [input, residual, output] = tensors;
    let weight = i32::from(WEIGHT);
    let added = if residual == NO_TENSOR { 0 } else { weight };
    let multiplier = multiplier_for(1.0 / f64::from(weight + added)).expect("below one");
    // The output's zero point is `BLACK` too, worth `weight + added` accumulator units a step.
    let bias = |channel| i32::from(BLACK) * (weight - if channel < in_channels { weight } else { 0 });
    Layer {
        kernel,
        stride,
        padding: kernel / 2,
        groups,
        input,
        output,
        residual,
        weights: centre_taps(in_channels, 16, kernel, groups),
        bias: (0..16).map(bias).collect(),
        multiplier: vec![multiplier; 16],
        residual_factor: vec![added as i16; 16],
        ..Layer::default()
    }
}

/// Returns weights that pass channel `c` of the centre of a window on to channel `c`.
fn centre_taps(in_channels: usize, out_channels: usize, kernel: usize, groups: usize) -> Vec<i8> {
    let (taps, group_in) = (kernel * kernel, in_channels / groups);
    let mut weights = vec![0; out_channels * taps * group_in];
    for channel in 0..out_channels.min(in_channels) {
        weights[(channel * taps + taps / 2) * group_in + channel % group_in] = WEIGHT;
    }
    weights
}
