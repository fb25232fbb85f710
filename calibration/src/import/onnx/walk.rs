//! Walks an ONNX graph forward from the image and hands its layers to the [`Builder`].

use tract_onnx::pb::NodeProto;

use super::graph::{Attributes, Graph, place};
use super::layers;
use crate::import::ImportOptions;
use crate::import::error::ImportErrorKind;
use crate::import::families::Family;
use crate::import::topology::{Bottleneck, Builder, Part, Pool, Projection};
use crate::network::{Linear, Network, Shape};

/// Builds the network that `graph` computes.
pub(super) fn network(
    graph: &Graph,
    name: String,
    options: ImportOptions,
) -> Result<Network, ImportErrorKind> {
    let (image, [batch, height, width]) = graph.image()?;
    let input = Shape { channels: 3, height: options.resolve(height)?, width: options.resolve(width)? };
    let mut builder = Builder::new(name, input);
    let walk = Walk { graph };

    let (convs, pool, mut value) = walk.stem(image)?;
    builder.stem(convs, &pool)?;
    while walk.graph.readers(value).len() > 1 {
        let (block, output) = walk.block(value)?;
        builder.block(block)?;
        value = output;
    }
    let (last, linear) = walk.head(value, batch, builder.trunk())?;
    builder.finish(&place(last), linear)
}

struct Walk<'a> {
    graph: &'a Graph<'a>,
}

/// A branch of a residual block, up to the addition that ends it.
struct Branch<'a> {
    /// Average pooling at its beginning.
    pool: Option<Pool>,
    parts: Vec<Part>,
    /// What the branch contributes to the addition.
    output: &'a str,
    add: &'a NodeProto,
}

impl<'a> Walk<'a> {
    /// The only reader of `value`, which must be one of `operators` and read it as its data.
    fn next(&self, value: &str, operators: &[&str]) -> Result<&'a NodeProto, ImportErrorKind> {
        let wanted = operators.join(" or ");
        let reader = match *self.graph.readers(value) {
            [reader] => reader,
            [] => {
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    "the model ends here",
                    format!("expected {wanted} next"),
                ));
            }
            ref many => {
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    format!("{} nodes read its output", many.len()),
                    format!("expected a single {wanted}"),
                ));
            }
        };
        if !operators.contains(&reader.op_type.as_str()) {
            return Err(ImportErrorKind::layer(
                place(reader),
                "it is out of place",
                format!("expected {wanted} here"),
            ));
        }
        // An addition may read its operands in either order; everything else has its data first.
        let first = reader.input.first().map(|input| self.graph.resolve(input));
        if reader.op_type != "Add" && first != Some(value) {
            return Err(ImportErrorKind::layer(
                place(reader),
                "it uses the activations as a weight",
                "expected them as its first input",
            ));
        }
        Ok(reader)
    }

    /// The only output of `node` in use.
    fn output(&self, node: &'a NodeProto) -> Result<&'a str, ImportErrorKind> {
        match node.output.as_slice() {
            [output, rest @ ..] if rest.iter().all(String::is_empty) => Ok(output),
            _ => Err(ImportErrorKind::layer(
                place(node),
                format!("it has {} outputs", node.output.len()),
                "expected one; export the model in inference mode",
            )),
        }
    }

    fn relu(&self, value: &str) -> Result<&'a str, ImportErrorKind> {
        let relu = self.next(value, &["Relu"])?;
        Attributes::new(relu, &[])?;
        self.output(relu)
    }

    /// The convolutions before the max pooling, that pooling, and its output.
    fn stem(&self, image: &'a str) -> Result<(Vec<Part>, Pool, &'a str), ImportErrorKind> {
        let mut convs = Vec::new();
        let mut value = image;
        loop {
            let operators: &[&str] = if convs.is_empty() { &["Conv"] } else { &["Conv", "MaxPool"] };
            let (node, padding, input) = self.next_padded(value, operators)?;
            if node.op_type == "MaxPool" {
                let mut pool = layers::max_pool(node)?;
                // A padding of zeros is one of nothing: no activation is below zero.
                pool.window.padding += padding;
                return Ok((convs, pool, self.output(node)?));
            }
            let (mut part, output) = self.conv(node, input)?;
            part.conv.window.padding += padding;
            convs.push(part);
            value = self.relu(output)?;
        }
    }

    /// The only reader of `value`, seen through a `Pad` with zeros; and the padding, and what the reader reads.
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

    /// Reads the convolution `node` of `value` with the batch norm that may follow it.
    fn conv(&self, node: &'a NodeProto, value: &str) -> Result<(Part, &'a str), ImportErrorKind> {
        if node.input.first().map(|input| self.graph.resolve(input)) != Some(value) {
            return Err(ImportErrorKind::layer(
                place(node),
                "it uses the activations as a weight",
                "expected them as its first input",
            ));
        }
        let mut conv = layers::conv(self.graph, node)?;
        let mut output = self.output(node)?;
        if let [norm] = self.graph.readers(output)
            && norm.op_type == "BatchNormalization"
        {
            conv.batch_norm = Some(layers::batch_norm(self.graph, norm)?);
            output = self.output(norm)?;
        }
        Ok((Part { place: place(node), conv }, output))
    }

    /// The residual block that reads `value`, and its output.
    fn block(&self, value: &'a str) -> Result<(Bottleneck, &'a str), ImportErrorKind> {
        let starts = |node: &NodeProto| matches!(node.op_type.as_str(), "Conv" | "AveragePool");
        let (main, shortcut) = match *self.graph.readers(value) {
            [a, b] if starts(a) && starts(b) => {
                let (a, b) = (self.branch(a, value)?, self.branch(b, value)?);
                if a.parts.len() >= b.parts.len() { (a, Some(b)) } else { (b, Some(a)) }
            }
            [conv, other] if starts(conv) && other.op_type == "Add" => (self.branch(conv, value)?, None),
            [other, conv] if starts(conv) && other.op_type == "Add" => (self.branch(conv, value)?, None),
            ref readers => {
                let found: Vec<_> = readers.iter().map(|node| node.op_type.as_str()).collect();
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    format!("its output is read by {}", found.join(" and ").escape_debug()),
                    "expected a residual block: two Conv, a Conv and an AveragePool, or a Conv and an Add",
                ));
            }
        };
        let joins = [main.output, shortcut.as_ref().map_or(value, |branch| branch.output)];
        let operands: Vec<_> = main.add.input.iter().map(|input| self.graph.resolve(input)).collect();
        if operands != joins && operands != [joins[1], joins[0]] {
            return Err(ImportErrorKind::layer(
                place(main.add),
                "it adds something other than the two branches of a block",
                "expected the third convolution and the shortcut",
            ));
        }
        Attributes::new(main.add, &[])?;
        let output = self.relu(self.output(main.add)?)?;

        if let Some(pool) = main.pool {
            return Err(ImportErrorKind::layer(
                pool.place,
                "it is on the main branch of a block",
                "expected an average pooling only on a shortcut",
            ));
        }
        let downsample = shortcut.map(|branch| projection(branch, main.add)).transpose()?;
        let block = match <[Part; 3]>::try_from(main.parts) {
            Ok([conv1, conv2, conv3]) => Bottleneck { conv1, conv2, conv3, downsample },
            Err(parts) if parts.len() == 2 => return Err(Family::BasicBlocks.refusal(place(main.add))),
            Err(parts) => {
                return Err(ImportErrorKind::layer(
                    place(main.add),
                    format!("it ends a block of {} convolutions", parts.len()),
                    "expected bottlenecks of three: 1×1, 3×3, 1×1",
                ));
            }
        };
        Ok((block, output))
    }

    /// Follows convolutions, with a ReLU between any two, from `first`, which may be an average pooling before them, to
    /// an addition.
    fn branch(&self, first: &'a NodeProto, value: &'a str) -> Result<Branch<'a>, ImportErrorKind> {
        let (mut pool, mut node, mut value, mut padding) = (None, first, value, 0);
        if first.op_type == "AveragePool" {
            pool = Some(layers::avg_pool(first)?);
            value = self.output(first)?;
            node = self.next(value, &["Conv"])?;
        }
        let mut parts = Vec::new();
        loop {
            let (mut part, output) = self.conv(node, value)?;
            part.conv.window.padding += padding;
            parts.push(part);
            let next = self.next(output, &["Relu", "Add"])?;
            if next.op_type == "Add" {
                return Ok(Branch { pool, parts, output, add: next });
            }
            (node, padding, value) = self.next_padded(self.relu(output)?, &["Conv"])?;
        }
    }

    /// Global pooling, whatever flattens its output, and the classifier, which must end the graph but for a softmax. Also
    /// returns the classifier's node.
    fn head(
        &self,
        value: &str,
        batch: Option<usize>,
        trunk: Shape,
    ) -> Result<(&'a NodeProto, Linear), ImportErrorKind> {
        let channels = trunk.channels;
        let pool = self.next(value, &["GlobalAveragePool", "ReduceMean", "AveragePool"])?;
        let mut flat = layers::global_pool(self.graph, pool, trunk)?;
        let mut value = self.output(pool)?;
        let mut node = self.next(value, &["Flatten", "Reshape", "Squeeze", "Gemm", "MatMul"])?;
        while !matches!(node.op_type.as_str(), "Gemm" | "MatMul") {
            layers::flatten(self.graph, node, flat, batch, channels)?;
            flat = true;
            value = self.output(node)?;
            node = self.next(value, &["Flatten", "Reshape", "Squeeze", "Gemm", "MatMul"])?;
        }
        if !flat {
            return Err(ImportErrorKind::layer(
                place(node),
                "it reads the pooled image with its height and width",
                "expected a Flatten before it",
            ));
        }
        let mut linear = layers::linear(self.graph, node)?;
        let mut output = self.output(node)?;
        if node.op_type == "MatMul"
            && let [add] = *self.graph.readers(output)
            && add.op_type == "Add"
        {
            linear.bias = layers::bias(self.graph, add, output, linear.out_features)?;
            output = self.output(add)?;
        }
        // Probabilities are taken from the logits at run time.
        if let [softmax] = *self.graph.readers(output)
            && matches!(softmax.op_type.as_str(), "Softmax" | "LogSoftmax")
        {
            layers::softmax(softmax)?;
            output = self.output(softmax)?;
        }
        if output == self.graph.output() {
            return Ok((node, linear));
        }
        let after = self.graph.readers(output).first();
        Err(ImportErrorKind::layer(
            after.map_or_else(|| place(node), |node| place(node)),
            "it follows the classifier",
            "expected the model to end at its logits",
        ))
    }
}

/// The projection shortcut that joins at `add`.
fn projection(branch: Branch<'_>, add: &NodeProto) -> Result<Projection, ImportErrorKind> {
    let count = branch.parts.len();
    match <[Part; 1]>::try_from(branch.parts) {
        Ok([conv]) => Ok(Projection { pool: branch.pool, conv }),
        Err(_) => Err(ImportErrorKind::layer(
            place(add),
            format!("its shortcut has {count} convolutions"),
            "expected none, or a single 1×1 projection",
        )),
    }
}
