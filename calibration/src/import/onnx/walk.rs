//! Walks an ONNX graph forward from the image and hands its layers to the [`Builder`].

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::graph::Graph;
use super::layout::Layout;
use super::shapes::Sizes;
use super::{front, head, layers};
use crate::import::assembly::Builder;
use crate::import::error::ImportErrorKind;
use crate::import::families::Family;
use crate::import::parts::{Bottleneck, Part, Pool, Projection};
use crate::import::{ImportOptions, Imported, Note};
use crate::network::{Activation, Normalisation, Shape, Window};

/// Builds the network that `graph` computes.
pub(super) fn network(
    graph: &Graph,
    name: String,
    options: ImportOptions,
) -> Result<Imported, ImportErrorKind> {
    let image = graph.image()?;
    let sides = [options.resolve(image.height)?, options.resolve(image.width)?];
    let input = Shape { channels: 3, height: sides[0], width: sides[1] };
    let mut builder = Builder::new(name, input);
    let walk = Walk { graph };

    let front = front::read(graph, &image)?;
    let (mut convs, pool, mut value) = walk.stem(front.value, front.padding, sides)?;
    let pixels = match (front.scaling, convs.first_mut()) {
        (Some(scaling), Some(first)) => Some(scaling.fold_into(first)?),
        _ => None,
    };
    builder.stem(convs, &pool)?;
    while walk.graph.readers(value).len() > 1 {
        let trunk = builder.trunk();
        let (block, output) = walk.block(value, [trunk.height, trunk.width])?;
        builder.block(block)?;
        value = output;
    }
    let layout = Layout::new(image.batch, input.channels, sides);
    let sizes = Sizes::from([(image.name, layout.sizes())]);
    let head = head::read(graph, value, image.batch, builder.trunk(), sizes)?;
    let mut network = builder.finish(&location(head.node), head.linear, head.pooled)?;
    if let Some(prequantized) = &mut network.prequantized {
        prequantized.pixels = pixels;
    }
    let mut notes = Vec::new();
    if let Some(Normalisation { mean, std, .. }) = front.normalisation {
        notes.push(Note::Normalises { mean, std });
    }
    if image.channels_last {
        notes.push(Note::ChannelsLast);
    }
    network.normalisation = front.normalisation;
    Ok(Imported { network, notes })
}

struct Walk<'a> {
    graph: &'a Graph<'a>,
}

/// A branch of a residual block, up to the addition that ends it.
struct Branch<'a> {
    /// The average pooling at its beginning.
    pool: Option<Pool>,
    parts: Vec<Part>,
    /// The value that the branch contributes to the addition.
    output: &'a str,
    add: &'a NodeProto,
}

impl<'a> Walk<'a> {
    /// Returns the only reader of `value`, which must be one of `operators` and read `value` as its data.
    fn next(&self, value: &str, operators: &[&str]) -> Result<&'a NodeProto, ImportErrorKind> {
        let wanted = operators.join(" or ");
        let reader = self.graph.only_reader(value, &wanted)?;
        if !operators.contains(&self.graph.kind(reader)) {
            return Err(ImportErrorKind::layer(
                location(reader),
                "it is out of place",
                format!("expected {wanted} here"),
            ));
        }
        // An addition or maximum may read its operands in either order; any other node has its data first.
        let first = reader.input.first().map(|input| self.graph.resolve(input));
        if !matches!(reader.op_type.as_str(), "Add" | "Max") && first != Some(value) {
            return Err(ImportErrorKind::layer(
                location(reader),
                "it uses the activations as a weight",
                "expected them as its first input",
            ));
        }
        Ok(reader)
    }

    /// Returns the only output of `node` that is in use.
    fn output(&self, node: &'a NodeProto) -> Result<&'a str, ImportErrorKind> {
        layers::output(self.graph, node)
    }

    /// Returns the output of the ReLU of `value`. That is `value` itself where quantization clips at zero, because quantizers then
    /// leave the ReLU out.
    fn relu(&self, value: &'a str) -> Result<&'a str, ImportErrorKind> {
        let is_relu = |node: &&'a NodeProto| self.graph.kind(node) == "Relu";
        if !self.graph.readers(value).iter().any(is_relu) && self.clips(value)? {
            return Ok(value);
        }
        let relu = self.next(value, &["Relu"])?;
        if relu.op_type == "Relu" {
            Attributes::new(relu, &[])?;
        }
        self.output(relu)
    }

    /// Whether the quantization of `value` clips everything below zero.
    fn clips(&self, value: &str) -> Result<bool, ImportErrorKind> {
        Ok(self.graph.activation(value)?.is_some_and(|activation| activation.zero_point == i8::MIN))
    }

    /// Returns the quantization of the first of `values` that has one.
    fn quantization(&self, values: &[&str]) -> Result<Option<Activation>, ImportErrorKind> {
        for value in values {
            if let Some(activation) = self.graph.activation(value)? {
                return Ok(Some(activation));
            }
        }
        Ok(None)
    }

    /// Reads the convolutions before the max pooling and that pooling, and returns them with the output of the pooling. The image,
    /// `value`, has `sides`, height and width, and is padded by `padding` already.
    fn stem(
        &self,
        mut value: &'a str,
        padding: usize,
        mut sides: [usize; 2],
    ) -> Result<(Vec<Part>, Pool, &'a str), ImportErrorKind> {
        let mut convs = Vec::new();
        let mut before = padding;
        loop {
            if !convs.is_empty() && self.graph.readers(value).len() > 1 {
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    "no max pooling follows the stem, as in RegNets and in ResNets for CIFAR",
                    "expected a 7×7 convolution or three 3×3, then a MaxPool",
                ));
            }
            let operators: &[&str] = if convs.is_empty() { &["Conv"] } else { &["Conv", "MaxPool"] };
            let (node, padding, input) = self.next_padded(value, operators)?;
            let padding = padding + std::mem::take(&mut before);
            if node.op_type == "MaxPool" {
                let mut pool = layers::max_pool(node, padded(sides, padding))?;
                // Zeros are as good as no value here, because no activation is below zero.
                pool.window.padding += padding;
                let output = self.output(node)?;
                pool.quantization = self.quantization(&[output])?;
                return Ok((convs, pool, output));
            }
            let (mut part, output) = self.conv(node, input, padded(sides, padding))?;
            part.conv.window.padding += padding;
            sides = slid(part.conv.window, sides);
            value = self.relu(output)?;
            part.quantization = self.quantization(&[value, output])?;
            convs.push(part);
        }
    }

    /// Returns the only reader of `value` after a `Pad` with zeros, if there is one, with that padding and the value that it reads.
    fn next_padded(
        &self,
        value: &'a str,
        operators: &[&str],
    ) -> Result<(&'a NodeProto, usize, &'a str), ImportErrorKind> {
        match *self.graph.readers(value) {
            [pad] if pad.op_type == "Pad" => {
                let padding = layers::pad(self.graph, pad)?;
                let value = self.output(pad)?;
                Ok((self.next(value, operators)?, padding, value))
            }
            _ => Ok((self.next(value, operators)?, 0, value)),
        }
    }

    /// Reads the convolution `node` of `value`, which has `sides`, with the batch norm that may follow it.
    fn conv(
        &self,
        node: &'a NodeProto,
        value: &str,
        sides: [usize; 2],
    ) -> Result<(Part, &'a str), ImportErrorKind> {
        if node.input.first().map(|input| self.graph.resolve(input)) != Some(value) {
            return Err(ImportErrorKind::layer(
                location(node),
                "it uses the activations as a weight",
                "expected them as its first input",
            ));
        }
        let mut conv = layers::conv(self.graph, node, sides)?;
        let mut output = self.output(node)?;
        if let [norm] = self.graph.readers(output)
            && norm.op_type == "BatchNormalization"
        {
            conv.batch_norm = Some(layers::batch_norm(self.graph, norm)?);
            output = self.output(norm)?;
        }
        Ok((Part { location: location(node), conv, quantization: None }, output))
    }

    /// Reads the residual block that reads `value`, which has `sides`, and returns it with its output.
    fn block(&self, value: &'a str, sides: [usize; 2]) -> Result<(Bottleneck, &'a str), ImportErrorKind> {
        let starts = |node: &NodeProto| matches!(node.op_type.as_str(), "Conv" | "AveragePool");
        let (mut main, shortcut) = match *self.graph.readers(value) {
            [a, b] if starts(a) && starts(b) => {
                let (a, b) = (self.branch(a, value, sides)?, self.branch(b, value, sides)?);
                if a.parts.len() >= b.parts.len() { (a, Some(b)) } else { (b, Some(a)) }
            }
            [conv, other] if starts(conv) && other.op_type == "Add" => {
                (self.branch(conv, value, sides)?, None)
            }
            [other, conv] if starts(conv) && other.op_type == "Add" => {
                (self.branch(conv, value, sides)?, None)
            }
            ref readers => {
                let mut found: Vec<_> = readers.iter().map(|node| node.op_type.as_str()).collect();
                let last = found.pop().unwrap_or("nothing");
                let found = if found.is_empty() {
                    last.to_owned()
                } else {
                    format!("{} and {last}", found.join(", "))
                };
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    format!("its output is read by {}", found.escape_debug()),
                    "expected a residual block: two Conv, a Conv and an AveragePool, or a Conv and an Add",
                ));
            }
        };
        let joins = [main.output, shortcut.as_ref().map_or(value, |branch| branch.output)];
        let operands: Vec<_> = main.add.input.iter().map(|input| self.graph.resolve(input)).collect();
        if operands != joins && operands != [joins[1], joins[0]] {
            return Err(ImportErrorKind::layer(
                location(main.add),
                "it adds something other than the two branches of a block",
                "expected the third convolution and the shortcut",
            ));
        }
        Attributes::new(main.add, &[])?;
        if self.clips(main.output)? {
            return Err(ImportErrorKind::layer(
                self.graph.origin(main.output),
                "its output is quantized without values below zero, before an addition",
                "expected the ReLU of a block after its addition; quantize the model again on more images",
            ));
        }
        let sum = self.output(main.add)?;
        let output = self.relu(sum)?;
        if let Some(last) = main.parts.last_mut() {
            last.quantization = self.quantization(&[output, sum])?;
        }

        if let Some(pool) = main.pool {
            return Err(ImportErrorKind::layer(
                pool.location,
                "it is on the main branch of a block",
                "expected an average pooling only on a shortcut",
            ));
        }
        let downsample = shortcut.map(|branch| projection(branch, main.add)).transpose()?;
        let block = match <[Part; 3]>::try_from(main.parts) {
            Ok([conv1, conv2, conv3]) => Bottleneck { conv1, conv2, conv3, downsample },
            Err(parts) if parts.len() == 2 => return Err(Family::BasicBlocks.refusal(location(main.add))),
            Err(parts) => {
                return Err(ImportErrorKind::layer(
                    location(main.add),
                    format!("it ends a block of {} convolutions", parts.len()),
                    "expected bottlenecks of three: 1×1, 3×3, 1×1",
                ));
            }
        };
        Ok((block, output))
    }

    /// Follows convolutions, with a ReLU between any two, from `first` to an addition. `first` may be an average pooling before
    /// them.
    fn branch(
        &self,
        first: &'a NodeProto,
        value: &'a str,
        mut sides: [usize; 2],
    ) -> Result<Branch<'a>, ImportErrorKind> {
        let (mut pool, mut node, mut value, mut padding) = (None, first, value, 0);
        if first.op_type == "AveragePool" {
            value = self.output(first)?;
            let read = layers::avg_pool(first, sides)?;
            sides = sides.map(|side| read.window.positions_started(side));
            pool = Some(Pool { quantization: self.quantization(&[value])?, ..read });
            node = self.next(value, &["Conv"])?;
        }
        let mut parts = Vec::new();
        loop {
            let (mut part, output) = self.conv(node, value, padded(sides, padding))?;
            part.conv.window.padding += padding;
            sides = slid(part.conv.window, sides);
            if let [add] = *self.graph.readers(output)
                && add.op_type == "Add"
            {
                part.quantization = self.quantization(&[output])?;
                parts.push(part);
                return Ok(Branch { pool, parts, output, add });
            }
            let active = self.relu(output)?;
            part.quantization = self.quantization(&[active, output])?;
            parts.push(part);
            (node, padding, value) = self.next_padded(active, &["Conv"])?;
        }
    }
}

/// Returns `sides` with `padding` on both ends of each.
fn padded(sides: [usize; 2], padding: usize) -> [usize; 2] {
    sides.map(|side| side + 2 * padding)
}

/// Returns the sides of what `window` makes of `sides`; 0 where it does not fit, which the builder refuses.
fn slid(window: Window, sides: [usize; 2]) -> [usize; 2] {
    sides.map(|side| window.positions(side).unwrap_or(0))
}

/// Makes the projection shortcut that ends at `add`.
fn projection(branch: Branch<'_>, add: &NodeProto) -> Result<Projection, ImportErrorKind> {
    let count = branch.parts.len();
    match <[Part; 1]>::try_from(branch.parts) {
        Ok([conv]) => Ok(Projection { pool: branch.pool, conv }),
        Err(_) => Err(ImportErrorKind::layer(
            location(add),
            format!("its shortcut has {count} convolutions"),
            "expected none, or a single 1×1 projection",
        )),
    }
}
