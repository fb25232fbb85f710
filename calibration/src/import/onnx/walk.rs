//! Walks an ONNX graph forward from the image and hands its layers to the [`Builder`].

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::graph::Graph;
use super::layers;
use crate::import::ImportOptions;
use crate::import::assembly::Builder;
use crate::import::error::ImportErrorKind;
use crate::import::families::Family;
use crate::import::parts::{Bottleneck, Part, Pool, Projection};
use crate::network::Activation;
use crate::network::Pixels;
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

    let front = walk.front(image)?;
    let (mut convs, pool, mut value) = walk.stem(front.value, front.padding)?;
    let pixels = match (front.scaling, convs.first_mut()) {
        (Some(scaling), Some(first)) => Some(scaling.fold_into(first)?),
        _ => None,
    };
    builder.stem(convs, &pool)?;
    while walk.graph.readers(value).len() > 1 {
        let (block, output) = walk.block(value)?;
        builder.block(block)?;
        value = output;
    }
    let (last, linear, pooled) = walk.head(value, batch, builder.trunk())?;
    let mut network = builder.finish(&location(last), linear, pooled)?;
    if let Some(prequantized) = &mut network.prequantized {
        prequantized.pixels = pixels;
    }
    Ok(network)
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
                location(reader),
                "it is out of place",
                format!("expected {wanted} here"),
            ));
        }
        // An addition may read its operands in either order; any other node has its data first.
        let first = reader.input.first().map(|input| self.graph.resolve(input));
        if reader.op_type != "Add" && first != Some(value) {
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
        match node.output.as_slice() {
            [output, rest @ ..] if rest.iter().all(String::is_empty) => Ok(output),
            _ => Err(ImportErrorKind::layer(
                location(node),
                format!("it has {} outputs", node.output.len()),
                "expected one; export the model in inference mode",
            )),
        }
    }

    /// Returns the output of the ReLU of `value`. That is `value` itself where quantization clips at zero, because quantizers then
    /// leave the ReLU out.
    fn relu(&self, value: &'a str) -> Result<&'a str, ImportErrorKind> {
        let is_relu = |node: &&NodeProto| node.op_type == "Relu";
        if !self.graph.readers(value).iter().any(is_relu) && self.clips(value)? {
            return Ok(value);
        }
        let relu = self.next(value, &["Relu"])?;
        Attributes::new(relu, &[])?;
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

    /// Reads the nodes between the image and the first convolution.
    fn front(&self, image: &'a str) -> Result<Front<'a>, ImportErrorKind> {
        let (scale, padding, value) = match *self.graph.readers(image) {
            [scale] if scale.op_type == "Mul" => (scale, 0, image),
            [pad] if pad.op_type == "Pad" => {
                let (padding, value) = (layers::pad(self.graph, pad)?, self.output(pad)?);
                match *self.graph.readers(value) {
                    [scale] if scale.op_type == "Mul" => (scale, padding, value),
                    _ => return Ok(Front { value, padding, scaling: None }),
                }
            }
            _ => return Ok(Front { value: image, padding: 0, scaling: None }),
        };
        let factors = layers::per_channel(self.graph, scale, value)?;
        let value = self.output(scale)?;
        let shift = self.next(value, &["Add"])?;
        let shifts = layers::per_channel(self.graph, shift, value)?;
        let value = self.output(shift)?;
        if let Some(found) = self.graph.activation(value)?
            && found != Activation::PIXELS
        {
            return Err(ImportErrorKind::layer(
                location(shift),
                format!("its output is quantized with scale {}", found.scale),
                "expected pixels from 0 to 255, with scale 1 and zero point 0",
            ));
        }
        Ok(Front { value, padding, scaling: Some(Scaling { factors, shifts }) })
    }

    /// Reads the convolutions before the max pooling and that pooling, and returns them with the output of the pooling. The image,
    /// `value`, is padded by `padding` already.
    fn stem(
        &self,
        mut value: &'a str,
        padding: usize,
    ) -> Result<(Vec<Part>, Pool, &'a str), ImportErrorKind> {
        let mut convs = Vec::new();
        let mut before = padding;
        loop {
            let operators: &[&str] = if convs.is_empty() { &["Conv"] } else { &["Conv", "MaxPool"] };
            let (node, padding, input) = self.next_padded(value, operators)?;
            let padding = padding + std::mem::take(&mut before);
            if node.op_type == "MaxPool" {
                let mut pool = layers::max_pool(node)?;
                // Zeros are as good as no value here, because no activation is below zero.
                pool.window.padding += padding;
                let output = self.output(node)?;
                pool.quantization = self.quantization(&[output])?;
                return Ok((convs, pool, output));
            }
            let (mut part, output) = self.conv(node, input)?;
            part.conv.window.padding += padding;
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

    /// Reads the convolution `node` of `value` with the batch norm that may follow it.
    fn conv(&self, node: &'a NodeProto, value: &str) -> Result<(Part, &'a str), ImportErrorKind> {
        if node.input.first().map(|input| self.graph.resolve(input)) != Some(value) {
            return Err(ImportErrorKind::layer(
                location(node),
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
        Ok((Part { location: location(node), conv, quantization: None }, output))
    }

    /// Reads the residual block that reads `value`, and returns it with its output.
    fn block(&self, value: &'a str) -> Result<(Bottleneck, &'a str), ImportErrorKind> {
        let starts = |node: &NodeProto| matches!(node.op_type.as_str(), "Conv" | "AveragePool");
        let (mut main, shortcut) = match *self.graph.readers(value) {
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
    fn branch(&self, first: &'a NodeProto, value: &'a str) -> Result<Branch<'a>, ImportErrorKind> {
        let (mut pool, mut node, mut value, mut padding) = (None, first, value, 0);
        if first.op_type == "AveragePool" {
            value = self.output(first)?;
            pool = Some(Pool { quantization: self.quantization(&[value])?, ..layers::avg_pool(first)? });
            node = self.next(value, &["Conv"])?;
        }
        let mut parts = Vec::new();
        loop {
            let (mut part, output) = self.conv(node, value)?;
            part.conv.window.padding += padding;
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

    /// Reads the global pooling, the nodes that flatten its output, and the classifier, which must end the graph, apart from a
    /// softmax. Returns the node of the classifier, the classifier, and the quantization of its input.
    fn head(
        &self,
        value: &str,
        batch: Option<usize>,
        trunk: Shape,
    ) -> Result<(&'a NodeProto, Linear, Option<Activation>), ImportErrorKind> {
        let channels = trunk.channels;
        let pool = self.next(value, &["GlobalAveragePool", "ReduceMean", "AveragePool"])?;
        let mut flat = layers::global_pool(self.graph, pool, trunk)?;
        let mut value = self.output(pool)?;
        let mut pooled = self.quantization(&[value])?;
        let mut node = self.next(value, &["Flatten", "Reshape", "Squeeze", "Gemm", "MatMul"])?;
        while !matches!(node.op_type.as_str(), "Gemm" | "MatMul") {
            layers::flatten(self.graph, node, flat, batch, channels)?;
            flat = true;
            value = self.output(node)?;
            pooled = self.quantization(&[value])?.or(pooled);
            node = self.next(value, &["Flatten", "Reshape", "Squeeze", "Gemm", "MatMul"])?;
        }
        if !flat {
            return Err(ImportErrorKind::layer(
                location(node),
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
        // The runtime computes probabilities from the logits itself.
        if let [softmax] = *self.graph.readers(output)
            && matches!(softmax.op_type.as_str(), "Softmax" | "LogSoftmax")
        {
            layers::softmax(softmax)?;
            output = self.output(softmax)?;
        }
        if output == self.graph.output() {
            return Ok((node, linear, pooled));
        }
        let after = self.graph.readers(output).first();
        Err(ImportErrorKind::layer(
            after.map_or_else(|| location(node), |node| location(node)),
            "it follows the classifier",
            "expected the model to end at its logits",
        ))
    }
}

/// The nodes between the image and the first convolution.
struct Front<'a> {
    /// The value that the convolution, or another padding, reads.
    value: &'a str,
    padding: usize,
    scaling: Option<Scaling>,
}

/// A multiplication of each channel of the image and then an addition: the way back from normalised values to pixels.
struct Scaling {
    factors: [f32; 3],
    shifts: [f32; 3],
}

impl Scaling {
    /// Changes `first`, which reads pixels, so that it reads normalised values.
    fn fold_into(self, first: &mut Part) -> Result<Pixels, ImportErrorKind> {
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
