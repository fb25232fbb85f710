//! Decides whether a sequence of layers is a ResNeXt, and builds the [`Network`] if so.
//!
//! Front ends describe layers one by one, in forward order, as [`Part`]s; they do not judge them. The rules
//! of the architecture are written once, here:
//!
//! - stem: 7×7 stride 2 convolution, then 3×3 stride 2 max pooling;
//! - bottlenecks: 1×1, grouped 3×3 with the stride, 1×1; a projection (1×1, same stride) opens a stage;
//! - head: global average pooling, then one fully connected layer.

use super::error::{ImportErrorKind, Place};
use crate::network::{Conv, Linear, Network, Node, Op, Shape, Topology, ValueId, Window};

/// One convolution as the file describes it, and where it is, for error messages.
pub(crate) struct Part {
    /// Where the file has it.
    pub(crate) place: Place,
    /// The convolution. `relu` and `residual` are decided by the position in the network, here.
    pub(crate) conv: Conv,
}

/// The convolutions of one residual block.
pub(crate) struct Bottleneck {
    /// 1×1, reduces.
    pub(crate) conv1: Part,
    /// 3×3, grouped, carries the stride.
    pub(crate) conv2: Part,
    /// 1×1, expands; the shortcut is added to its output.
    pub(crate) conv3: Part,
    /// Projection on the shortcut; `None` for an identity shortcut.
    pub(crate) downsample: Option<Part>,
}

const POINTWISE: Window = Window { kernel: 1, stride: 1, padding: 0 };
const STEM: Window = Window { kernel: 7, stride: 2, padding: 3 };
const STEM_POOL: Window = Window { kernel: 3, stride: 2, padding: 1 };
/// Window of the grouped convolution, for a stride.
pub(crate) const fn grouped(stride: usize) -> Window {
    Window { kernel: 3, stride, padding: 1 }
}
/// Window of a projection shortcut, for a stride.
pub(crate) const fn projection(stride: usize) -> Window {
    Window { kernel: 1, stride, padding: 0 }
}

/// Puts a ResNeXt together from its layers, in forward order: [`stem`](Self::stem), then
/// [`block`](Self::block)s, then [`finish`](Self::finish).
pub(crate) struct Builder {
    network: Network,
    /// Output of the last layer on the trunk.
    trunk: ValueId,
}

impl Builder {
    /// A network that reads images of shape `input`.
    pub(crate) fn new(name: String, input: Shape) -> Self {
        let topology = Topology { blocks: Vec::new(), cardinality: 0, base_width: 0, classes: 0 };
        Self { network: Network { name, input, nodes: Vec::new(), topology }, trunk: ValueId::IMAGE }
    }

    /// The first convolution and the max pooling with window `pool` found at `pool_place`.
    pub(crate) fn stem(&mut self, stem: Part, pool_place: &Place, pool: Window) -> Result<(), ImportErrorKind> {
        if stem.conv.window.kernel == 3 {
            return Err(deep_stem(stem.place));
        }
        expect_window(&stem, STEM)?;
        expect_groups(&stem, 1)?;
        self.trunk = self.push_conv("conv1".into(), self.trunk, stem, None, true)?;
        if pool != STEM_POOL {
            return Err(ImportErrorKind::layer(
                pool_place.clone(),
                describe(pool),
                format!("expected the max pooling of the stem to be {}", describe(STEM_POOL)),
            ));
        }
        let input = self.network.shape(self.trunk);
        let output = slide(pool_place, pool, input, input.channels)?;
        self.trunk = self.push("maxpool".into(), self.trunk, output, Op::MaxPool(pool));
        Ok(())
    }

    /// The next residual block. The first block, and every block with a projection, opens a stage.
    pub(crate) fn block(&mut self, block: Bottleneck) -> Result<(), ImportErrorKind> {
        let Bottleneck { conv1, conv2, conv3, downsample } = block;
        let stride = conv2.conv.window.stride;
        if conv1.conv.window == projection(2) {
            return Err(ImportErrorKind::layer(
                conv1.place,
                "the stride is on the 1×1 convolution",
                "expected it on the grouped 3×3 convolution, where every ResNeXt has it",
            ));
        }
        expect_window(&conv1, POINTWISE)?;
        expect_window(&conv2, grouped(stride.clamp(1, 2)))?;
        expect_window(&conv3, POINTWISE)?;
        expect_groups(&conv1, 1)?;
        expect_groups(&conv3, 1)?;
        self.expect_cardinality(&conv2)?;
        let width = conv2.conv.out_channels;
        if width != conv2.conv.in_channels {
            return Err(ImportErrorKind::layer(
                conv2.place,
                format!("it maps {} channels to {width}", conv2.conv.in_channels),
                "expected a grouped convolution that keeps the number of channels",
            ));
        }
        if self.network.topology.blocks.is_empty() {
            let cardinality = conv2.conv.groups;
            self.network.topology.cardinality = cardinality;
            self.network.topology.base_width = width / cardinality;
        }
        if let Some(shortcut) = &downsample {
            expect_window(shortcut, projection(stride))?;
            expect_groups(shortcut, 1)?;
        }

        let path = self.next_block(downsample.is_some());
        let entry = self.trunk;
        let value = self.push_conv(format!("{path}.conv1"), entry, conv1, None, true)?;
        let value = self.push_conv(format!("{path}.conv2"), value, conv2, None, true)?;
        // The projection comes right before its only reader, so that its output lives as short as possible.
        let shortcut = match downsample {
            Some(part) => self.push_conv(format!("{path}.downsample"), entry, part, None, false)?,
            None => entry,
        };
        self.trunk = self.push_conv(format!("{path}.conv3"), value, conv3, Some(shortcut), true)?;
        Ok(())
    }

    /// Global pooling and the classifier, which ends the network.
    pub(crate) fn finish(mut self, place: &Place, linear: Linear) -> Result<Network, ImportErrorKind> {
        let input = self.network.shape(self.trunk);
        let Linear { in_features, out_features: classes, ref weight, ref bias } = linear;
        let wrong = |problem: String, remedy: String| Err(ImportErrorKind::layer(place.clone(), problem, remedy));
        if self.network.topology.blocks.is_empty() {
            return wrong("no residual block comes before it".into(), "expected stages of bottlenecks".into());
        }
        if in_features != input.channels {
            return wrong(
                format!("it reads {in_features} features"),
                format!("expected the {} channels of the last stage", input.channels),
            );
        }
        if classes == 0 || Some(weight.len()) != classes.checked_mul(in_features) || !fits(bias, classes) {
            return wrong(
                format!("{} weights and {} biases for {classes} classes", weight.len(), bias.len()),
                format!("expected a {classes}×{in_features} matrix and a bias per class"),
            );
        }
        let pooled = Shape { channels: input.channels, height: 1, width: 1 };
        let value = self.push("global_pool".into(), self.trunk, pooled, Op::GlobalAvgPool);
        let logits = Shape { channels: classes, height: 1, width: 1 };
        self.push("fc".into(), value, logits, Op::Linear(linear));
        self.network.topology.classes = classes;
        Ok(self.network)
    }

    /// Counts a block and returns its dotted path.
    fn next_block(&mut self, projected: bool) -> String {
        let blocks = &mut self.network.topology.blocks;
        match blocks.last_mut() {
            Some(last) if !projected => *last += 1,
            _ => blocks.push(1),
        }
        format!("layer{}.{}", blocks.len(), blocks[blocks.len() - 1] - 1)
    }

    /// Checks the number of groups of a 3×3 convolution against that of the first block.
    fn expect_cardinality(&self, part: &Part) -> Result<(), ImportErrorKind> {
        if part.conv.groups < 2 {
            return Err(ImportErrorKind::layer(
                part.place.clone(),
                "it has 1 group",
                "expected a grouped 3×3 convolution: this is a ResNet, not a ResNeXt",
            ));
        }
        match self.network.topology.cardinality {
            0 => Ok(()),
            cardinality => expect_groups(part, cardinality),
        }
    }

    /// Appends a convolution of `input`, after checking that it fits there.
    fn push_conv(
        &mut self,
        name: String,
        input: ValueId,
        Part { place, mut conv }: Part,
        residual: Option<ValueId>,
        relu: bool,
    ) -> Result<ValueId, ImportErrorKind> {
        let from = self.network.shape(input);
        if conv.in_channels != from.channels {
            return Err(ImportErrorKind::layer(
                place,
                format!("it reads {} channels", conv.in_channels),
                format!("expected {}, the number its input has", from.channels),
            ));
        }
        check_tensors(&place, &conv)?;
        let output = slide(&place, conv.window, from, conv.out_channels)?;
        if let Some(residual) = residual {
            let shortcut = self.network.shape(residual);
            if shortcut != output {
                return Err(ImportErrorKind::layer(
                    place,
                    format!("its output ({}) differs from the shortcut ({})", size(output), size(shortcut)),
                    "expected a 1×1 projection on the shortcut wherever the shape changes",
                ));
            }
        }
        conv.relu = relu;
        conv.residual = residual;
        Ok(self.push(name, input, output, Op::Conv(conv)))
    }

    fn push(&mut self, name: String, input: ValueId, output: Shape, op: Op) -> ValueId {
        self.network.nodes.push(Node { name, input, output, op });
        self.network.logits()
    }
}

/// The error for a stem of three 3×3 convolutions (timm `50d`, Paddle `vd`).
pub(crate) fn deep_stem(place: Place) -> ImportErrorKind {
    ImportErrorKind::layer(
        place,
        "a deep stem (three 3×3 convolutions, as in ResNeXt-D and Paddle's vd) is not supported yet",
        "use a variant with a 7×7 stem",
    )
}

/// `values`, if all are finite; `place` names the tensor.
pub(crate) fn finite(place: &Place, values: Vec<f32>) -> Result<Vec<f32>, ImportErrorKind> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(index) => Err(ImportErrorKind::NonFinite { place: place.clone(), index, value: values[index] }),
    }
}

/// Checks that the tensors of a convolution have the lengths that its channel counts ask for, and that its
/// batch norm has a real square root.
fn check_tensors(place: &Place, conv: &Conv) -> Result<(), ImportErrorKind> {
    let Conv { groups, in_channels, out_channels, .. } = *conv;
    let wrong =
        |problem: String, remedy: &str| Err(ImportErrorKind::layer(place.clone(), problem, remedy.to_owned()));
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
    let Some(norm) = &conv.batch_norm else { return Ok(()) };
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

fn fits(bias: &[f32], channels: usize) -> bool {
    bias.is_empty() || bias.len() == channels
}

fn expect_window(part: &Part, expected: Window) -> Result<(), ImportErrorKind> {
    if part.conv.window == expected {
        return Ok(());
    }
    Err(ImportErrorKind::layer(
        part.place.clone(),
        format!("it is {}", describe(part.conv.window)),
        format!("a ResNeXt has {} here", describe(expected)),
    ))
}

fn expect_groups(part: &Part, expected: usize) -> Result<(), ImportErrorKind> {
    if part.conv.groups == expected {
        return Ok(());
    }
    Err(ImportErrorKind::layer(
        part.place.clone(),
        format!("it has {} groups", part.conv.groups),
        format!("expected {expected} here"),
    ))
}

/// Shape after sliding `window` over `input`.
fn slide(place: &Place, window: Window, input: Shape, channels: usize) -> Result<Shape, ImportErrorKind> {
    match (window.positions(input.height), window.positions(input.width)) {
        (Some(height), Some(width)) => Ok(Shape { channels, height, width }),
        _ => Err(ImportErrorKind::layer(
            place.clone(),
            format!("its {0}×{0} window does not fit an input of {1}", window.kernel, size(input)),
            "give a larger input size",
        )),
    }
}

fn describe(Window { kernel, stride, padding }: Window) -> String {
    format!("{kernel}×{kernel} with stride {stride} and padding {padding}")
}

fn size(Shape { channels, height, width }: Shape) -> String {
    format!("{channels}×{height}×{width}")
}
