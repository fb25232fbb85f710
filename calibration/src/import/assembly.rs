//! Decides whether a sequence of layers is a ResNeXt, and builds the [`Network`] if so.
//!
//! Front ends describe layers one by one, in forward order, as [`Part`]s; they do not judge them. The rules of the architecture
//! are written once, here:
//!
//! - stem: a 7×7 convolution with stride 2, or three 3×3 of which the first has stride 2; then 3×3 stride 2 max pooling;
//! - bottlenecks: 1×1, grouped 3×3 with the stride, 1×1; a projection opens a stage: 1×1 with the same stride, or an
//!   average pooling with that stride and a 1×1;
//! - head: global average pooling, then one fully connected layer.
//!
//! With a single group that is a ResNet, whose stride may be on the first 1×1 convolution, as in the original.

use resnext_models::{Shortcut, Stem};

use super::checks::{check_tensors, describe, expect_groups, expect_window, fits, size, slide};
use super::error::{ImportErrorKind, Location};
use super::parts::{Bottleneck, Part, Pool, Projection};

use crate::network::{
    Activation, Architecture, Linear, Network, Node, Op, Origin, Prequantized, Shape, ValueId, Window,
};

const POINTWISE: Window = pointwise(1);

/// Returns the windows of the convolutions of a stem.
pub(crate) const fn stem(stem: Stem) -> &'static [Window] {
    const PLAIN: [Window; 1] = [Window { kernel: 7, stride: 2, padding: 3 }];
    const DEEP: [Window; 3] = [spatial(2), spatial(1), spatial(1)];
    match stem {
        Stem::Plain => &PLAIN,
        Stem::Deep => &DEEP,
    }
}

/// Window of the max pooling of the stem.
pub(crate) const STEM_POOL: Window = Window { kernel: 3, stride: 2, padding: 1 };

/// Window of the average pooling of a shortcut.
pub(crate) const SHORTCUT_POOL: Window = Window { kernel: 2, stride: 2, padding: 0 };

/// Returns the window of a 3×3 convolution.
pub(crate) const fn spatial(stride: usize) -> Window {
    Window { kernel: 3, stride, padding: 1 }
}

/// Returns the window of a 1×1 convolution.
pub(crate) const fn pointwise(stride: usize) -> Window {
    Window { kernel: 1, stride, padding: 0 }
}

/// Puts a ResNeXt together from its layers, in forward order: [`stem`](Self::stem), then
/// [`block`](Self::block)s, then [`finish`](Self::finish).
pub(crate) struct Builder {
    network: Network,
    /// The output of the last layer on the trunk.
    trunk: ValueId,
    /// The kind of shortcut, and whether the stride comes early, of the first block with a stride; later ones must agree.
    strided: Option<(Shortcut, bool)>,
    /// How the file quantizes each value so far.
    quantization: Vec<Option<Activation>>,
}

impl Builder {
    /// Begins a network that reads images of shape `input`.
    pub(crate) fn new(name: String, input: Shape) -> Self {
        let architecture = Architecture {
            stem: Stem::Plain,
            blocks: Vec::new(),
            widths: Vec::new(),
            channels: Vec::new(),
            cardinality: 0,
            shortcut: Shortcut::Projection,
            early_stride: false,
            classes: 0,
        };
        let network = Network {
            name,
            input,
            nodes: Vec::new(),
            architecture,
            prequantized: None,
            normalisation: None,
            origin: Origin::default(),
        };
        Self { network, trunk: ValueId::IMAGE, strided: None, quantization: vec![None] }
    }

    /// Appends the convolutions before the max pooling, and that pooling.
    pub(crate) fn stem(&mut self, convs: Vec<Part>, pool: &Pool) -> Result<(), ImportErrorKind> {
        let kind = if convs.len() == 1 { Stem::Plain } else { Stem::Deep };
        let windows = stem(kind);
        if convs.len() != windows.len() {
            return Err(ImportErrorKind::layer(
                pool.location.clone(),
                format!("{} convolutions come before it", convs.len()),
                "expected a 7×7, or three 3×3",
            ));
        }
        for (index, (part, &window)) in convs.into_iter().zip(windows).enumerate() {
            expect_window(&part, window)?;
            expect_groups(&part, 1)?;
            // The names of timm, in which the activations take the numbers between.
            let name = if kind == Stem::Deep { format!("conv1.{}", 3 * index) } else { "conv1".to_owned() };
            self.trunk = self.push_conv(name, self.trunk, part, None, true)?;
        }
        self.network.architecture.stem = kind;
        let input = self.network.shape(self.trunk);
        if pool.window != STEM_POOL || pool.ceil {
            let ceil = if pool.ceil { ", rounded up" } else { "" };
            return Err(ImportErrorKind::layer(
                pool.location.clone(),
                format!("it is {}{ceil}", describe(pool.window)),
                format!("expected the max pooling of the stem to be {}", describe(STEM_POOL)),
            ));
        }
        let output = slide(&pool.location, pool.window, input, input.channels)?;
        // A max pool passes values on as they are quantized, so the quantization of either will do.
        let before = &mut self.quantization[self.trunk.0];
        *before = before.or(pool.quantization);
        self.trunk = self.push("maxpool".into(), self.trunk, output, Op::MaxPool(pool.window), None);
        Ok(())
    }

    /// Appends the next residual block. The first block, and every block with a projection, opens a stage.
    pub(crate) fn block(&mut self, block: Bottleneck) -> Result<(), ImportErrorKind> {
        let Bottleneck { conv1, conv2, conv3, downsample } = block;
        self.check_windows(&conv1, &conv2, downsample.as_ref())?;
        expect_window(&conv3, POINTWISE)?;
        expect_groups(&conv1, 1)?;
        expect_groups(&conv3, 1)?;
        let (cardinality, width) = (conv2.conv.groups, conv2.conv.out_channels);
        if width != conv2.conv.in_channels {
            return Err(ImportErrorKind::layer(
                conv2.location,
                format!("it maps {} channels to {width}", conv2.conv.in_channels),
                "expected a convolution that keeps the number of channels",
            ));
        }
        match self.network.architecture.cardinality {
            0 => self.network.architecture.cardinality = cardinality,
            expected => expect_groups(&conv2, expected)?,
        }
        let path = self.next_block(downsample.is_some(), &conv2, conv3.conv.out_channels)?;
        let entry = self.trunk;
        let value = self.push_conv(format!("{path}.conv1"), entry, conv1, None, true)?;
        let value = self.push_conv(format!("{path}.conv2"), value, conv2, None, true)?;
        // The projection comes right before its only reader, so that its output lives as short as possible.
        let shortcut = match downsample {
            Some(Projection { pool, conv }) => {
                expect_groups(&conv, 1)?;
                let pooled = pool.map_or(entry, |pool| {
                    self.push_avg_pool(format!("{path}.avgpool"), entry, pool.quantization)
                });
                self.push_conv(format!("{path}.downsample"), pooled, conv, None, false)?
            }
            None => entry,
        };
        self.trunk = self.push_conv(format!("{path}.conv3"), value, conv3, Some(shortcut), true)?;
        Ok(())
    }

    /// Returns the shape of the input of the next block.
    pub(crate) fn trunk(&self) -> Shape {
        self.network.shape(self.trunk)
    }

    /// Appends the global pooling, whose output the file quantizes as `pooled`, and the classifier, and returns the network.
    pub(crate) fn finish(
        mut self,
        location: &Location,
        linear: Linear,
        pooled: Option<Activation>,
    ) -> Result<Network, ImportErrorKind> {
        let input = self.network.shape(self.trunk);
        let Linear { in_features, out_features: classes, ref weight, ref bias } = linear;
        let wrong =
            |problem: String, remedy: String| Err(ImportErrorKind::layer(location.clone(), problem, remedy));
        if self.network.architecture.blocks.is_empty() {
            return wrong(
                "no residual block comes before it".into(),
                "expected stages of bottlenecks".into(),
            );
        }
        if in_features != input.channels {
            return wrong(
                format!("it reads {in_features} features"),
                format!("expected the {} channels of the last stage", input.channels),
            );
        }
        if classes == 1 {
            return Err(ImportErrorKind::OneLogit(location.clone()));
        }
        if classes == 0 || Some(weight.len()) != classes.checked_mul(in_features) || !fits(bias, classes) {
            return wrong(
                format!("{} weights and {} biases for {classes} classes", weight.len(), bias.len()),
                format!("expected a {classes}×{in_features} matrix and a bias per class"),
            );
        }
        let shape = Shape { channels: input.channels, height: 1, width: 1 };
        let value = self.push("global_pool".into(), self.trunk, shape, Op::GlobalAvgPool, pooled);
        let logits = Shape { channels: classes, height: 1, width: 1 };
        self.push("fc".into(), value, logits, Op::Linear(linear), None);
        if self.quantization.iter().any(Option::is_some) {
            self.network.prequantized = Some(Prequantized { activations: self.quantization, pixels: None });
        }
        let architecture = &mut self.network.architecture;
        architecture.classes = classes;
        (architecture.shortcut, architecture.early_stride) =
            self.strided.unwrap_or((Shortcut::Projection, false));
        Ok(self.network)
    }

    /// Checks the windows of a block up to its addition, and that its stride is in the same place as in earlier blocks.
    fn check_windows(
        &mut self,
        conv1: &Part,
        conv2: &Part,
        shortcut: Option<&Projection>,
    ) -> Result<(), ImportErrorKind> {
        let strides = [conv1.conv.window.stride, conv2.conv.window.stride].map(|stride| stride.clamp(1, 2));
        expect_window(conv1, pointwise(strides[0]))?;
        expect_window(conv2, spatial(strides[1]))?;
        if strides == [2, 2] {
            return Err(ImportErrorKind::layer(
                conv2.location.clone(),
                "it has a stride, and so has the convolution before it",
                "expected one stride in a block",
            ));
        }
        let stride = strides[0] * strides[1];
        // A block with a stride but no projection would add two shapes, which the addition refuses.
        let Some(Projection { pool, conv }) = shortcut else {
            return Ok(());
        };
        let kind = match pool {
            None => {
                expect_window(conv, pointwise(stride))?;
                Shortcut::Projection
            }
            Some(pool) => {
                self.check_avg_pool(pool, stride)?;
                expect_window(conv, POINTWISE)?;
                Shortcut::AvgPool
            }
        };
        let found = (kind, strides[0] == 2);
        if stride == 2 && *self.strided.get_or_insert(found) != found {
            return Err(ImportErrorKind::layer(
                conv.location.clone(),
                "its block has its stride elsewhere than the block with a stride before it",
                "expected the same kind of block in all stages",
            ));
        }
        Ok(())
    }

    fn check_avg_pool(&self, pool: &Pool, stride: usize) -> Result<(), ImportErrorKind> {
        let wrong = |problem: String, remedy: String| {
            Err(ImportErrorKind::layer(pool.location.clone(), problem, remedy))
        };
        if stride != SHORTCUT_POOL.stride {
            return wrong(
                "it is on the shortcut of a block without stride".into(),
                "expected the projection alone".into(),
            );
        }
        if pool.window != SHORTCUT_POOL {
            return wrong(
                format!("it is {}", describe(pool.window)),
                format!("expected the average pooling of a shortcut to be {}", describe(SHORTCUT_POOL)),
            );
        }
        let Shape { height, width, .. } = self.network.shape(self.trunk);
        if !pool.ceil && (height % 2 == 1 || width % 2 == 1) {
            return wrong(
                format!("it leaves out the last row or column of {height}×{width} pixels"),
                "expected it to round up (ceil_mode); export the model again with an even input size".into(),
            );
        }
        Ok(())
    }

    /// Counts a block, whose 3×3 convolution is `conv2`, and returns its dotted path.
    fn next_block(
        &mut self,
        projected: bool,
        conv2: &Part,
        channels: usize,
    ) -> Result<String, ImportErrorKind> {
        let Architecture { blocks, widths, channels: stages, .. } = &mut self.network.architecture;
        let width = conv2.conv.out_channels;
        match (blocks.last_mut(), widths.last()) {
            (Some(last), Some(&expected)) if !projected => {
                if width != expected {
                    return Err(ImportErrorKind::layer(
                        conv2.location.clone(),
                        format!("it has {width} channels"),
                        format!("expected {expected}, as in the first block of its stage"),
                    ));
                }
                *last += 1;
            }
            _ => {
                blocks.push(1);
                widths.push(width);
                stages.push(channels);
            }
        }
        Ok(format!("layer{}.{}", blocks.len(), blocks[blocks.len() - 1] - 1))
    }

    /// Appends the average pooling of a shortcut.
    fn push_avg_pool(&mut self, name: String, input: ValueId, quantization: Option<Activation>) -> ValueId {
        let from = self.network.shape(input);
        let [height, width] = [from.height, from.width].map(|side| SHORTCUT_POOL.positions_started(side));
        self.push(name, input, Shape { height, width, ..from }, Op::AvgPool(SHORTCUT_POOL), quantization)
    }

    /// Appends a convolution of `input`, after checking that it fits there.
    fn push_conv(
        &mut self,
        name: String,
        input: ValueId,
        Part { location, mut conv, quantization }: Part,
        residual: Option<ValueId>,
        relu: bool,
    ) -> Result<ValueId, ImportErrorKind> {
        let from = self.network.shape(input);
        if conv.in_channels != from.channels {
            return Err(ImportErrorKind::layer(
                location,
                format!("it reads {} channels", conv.in_channels),
                format!("expected {}, the number its input has", from.channels),
            ));
        }
        check_tensors(&location, &conv)?;
        let output = slide(&location, conv.window, from, conv.out_channels)?;
        if let Some(residual) = residual {
            let shortcut = self.network.shape(residual);
            if shortcut != output {
                return Err(ImportErrorKind::layer(
                    location,
                    format!("its output ({}) differs from the shortcut ({})", size(output), size(shortcut)),
                    "expected a 1×1 projection on the shortcut wherever the shape changes",
                ));
            }
        }
        conv.relu = relu;
        conv.residual = residual;
        Ok(self.push(name, input, output, Op::Conv(conv), quantization))
    }

    fn push(
        &mut self,
        name: String,
        input: ValueId,
        output: Shape,
        op: Op,
        quantization: Option<Activation>,
    ) -> ValueId {
        self.quantization.push(quantization);
        self.network.nodes.push(Node { name, input, output, op });
        self.network.logits()
    }
}
