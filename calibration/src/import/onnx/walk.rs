//! Walks an ONNX graph forward from the image and hands its layers to the [`Builder`].

use tract_onnx::pb::NodeProto;

use super::graph::{Attributes, Graph, place};
use super::layers;
use crate::import::ImportOptions;
use crate::import::error::ImportErrorKind;
use crate::import::topology::{Bottleneck, Builder, Part, deep_stem};
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

    let (stem, value) = walk.conv(walk.next(image, &["Conv"])?, image)?;
    if stem.conv.window.kernel == 3 {
        return Err(deep_stem(stem.place));
    }
    let value = walk.relu(value)?;
    let pool = walk.next(value, &["MaxPool"])?;
    let window = layers::max_pool(pool)?;
    let mut value = walk.output(pool)?;
    builder.stem(stem, &place(pool), window)?;

    let mut channels = 0;
    while walk.graph.readers(value).len() > 1 {
        let (block, output) = walk.block(value)?;
        channels = block.conv3.conv.out_channels;
        builder.block(block)?;
        value = output;
    }

    let (last, linear) = walk.head(value, batch, channels)?;
    builder.finish(&place(last), linear)
}

struct Walk<'a> {
    graph: &'a Graph<'a>,
}

/// A branch of a residual block, up to the addition that ends it.
struct Branch<'a> {
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
        let (main, shortcut) = match *self.graph.readers(value) {
            [a, b] if a.op_type == "Conv" && b.op_type == "Conv" => {
                let (a, b) = (self.branch(a, value)?, self.branch(b, value)?);
                if a.parts.len() >= b.parts.len() { (a, Some(b)) } else { (b, Some(a)) }
            }
            [conv, other] if conv.op_type == "Conv" && other.op_type == "Add" => {
                (self.branch(conv, value)?, None)
            }
            [other, conv] if conv.op_type == "Conv" && other.op_type == "Add" => {
                (self.branch(conv, value)?, None)
            }
            ref readers => {
                let found: Vec<_> = readers.iter().map(|node| node.op_type.as_str()).collect();
                return Err(ImportErrorKind::layer(
                    self.graph.origin(value),
                    format!("its output is read by {}", found.join(" and ").escape_debug()),
                    "expected a residual block: two Conv, or a Conv and an Add",
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

        let downsample = shortcut.map(|branch| single(branch.parts, main.add)).transpose()?;
        let block = match <[Part; 3]>::try_from(main.parts) {
            Ok([conv1, conv2, conv3]) => Bottleneck { conv1, conv2, conv3, downsample },
            Err(parts) => {
                return Err(ImportErrorKind::layer(
                    place(main.add),
                    format!("it ends a block of {} convolutions", parts.len()),
                    match parts.len() {
                        2 => {
                            "expected bottlenecks of three; basic blocks (ResNet-18, ResNet-34) are not ResNeXt"
                        }
                        _ => "expected bottlenecks of three: 1×1, grouped 3×3, 1×1",
                    },
                ));
            }
        };
        Ok((block, output))
    }

    /// Follows convolutions, with a ReLU between any two, from `first` to an addition.
    fn branch(&self, first: &'a NodeProto, value: &str) -> Result<Branch<'a>, ImportErrorKind> {
        let (part, mut output) = self.conv(first, value)?;
        let mut parts = vec![part];
        loop {
            let next = self.next(output, &["Relu", "Add"])?;
            if next.op_type == "Add" {
                return Ok(Branch { parts, output, add: next });
            }
            let activated = self.relu(output)?;
            let (part, end) = self.conv(self.next(activated, &["Conv"])?, activated)?;
            parts.push(part);
            output = end;
        }
    }

    /// Global pooling, whatever flattens its output, and the classifier, which must end the graph. Also
    /// returns the classifier's node.
    fn head(
        &self,
        value: &str,
        batch: Option<usize>,
        channels: usize,
    ) -> Result<(&'a NodeProto, Linear), ImportErrorKind> {
        let pool = self.next(value, &["GlobalAveragePool", "ReduceMean"])?;
        let mut flat = layers::global_pool(self.graph, pool)?;
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

/// The one convolution of a projection shortcut that joins at `add`.
fn single(parts: Vec<Part>, add: &NodeProto) -> Result<Part, ImportErrorKind> {
    let count = parts.len();
    match <[Part; 1]>::try_from(parts) {
        Ok([part]) => Ok(part),
        Err(_) => Err(ImportErrorKind::layer(
            place(add),
            format!("its shortcut has {count} convolutions"),
            "expected none, or a single 1×1 projection",
        )),
    }
}
