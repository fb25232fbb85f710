//! Decides whether a sequence of layers is a ResNeXt, and builds the [`Network`] if so.
//!
//! Front ends describe layers one by one, in forward order, as [`Part`]s; they do not judge them. The rules
//! of the architecture are written once, here:
//!
//! - stem: 7×7 stride 2 convolution, then 3×3 stride 2 max pooling;
//! - bottlenecks: 1×1, grouped 3×3 with the stride, 1×1; a projection (1×1, same stride) opens a stage;
//! - head: global average pooling, then one fully connected layer.

use super::checks::{check_tensors, describe, expect_groups, expect_window, fits, size, slide};
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

const POINTWISE: Window = projection(1);

/// Window of the first convolution.
pub(crate) const STEM: Window = Window { kernel: 7, stride: 2, padding: 3 };

/// Window of the max pooling after it.
pub(crate) const STEM_POOL: Window = Window { kernel: 3, stride: 2, padding: 1 };

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
    pub(crate) fn stem(
        &mut self,
        stem: Part,
        pool_place: &Place,
        pool: Window,
    ) -> Result<(), ImportErrorKind> {
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
        let wrong =
            |problem: String, remedy: String| Err(ImportErrorKind::layer(place.clone(), problem, remedy));
        if self.network.topology.blocks.is_empty() {
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
