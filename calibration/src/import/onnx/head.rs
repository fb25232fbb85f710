//! The end of a graph: the global average, what flattens it, and the classifier.

use tract_onnx::pb::NodeProto;

use super::attributes::{Attributes, location};
use super::classifier;
use super::graph::Graph;
use super::layers;
use super::layout::{Dim, Layout};
use super::shapes::{Sizes, evaluate};
use crate::import::checks::{describe, size};
use crate::import::error::ImportErrorKind;
use crate::import::parts::Pool;
use crate::network::{Activation, Linear, Shape};

/// The nodes that may follow the feature map.
const POOLING: [&str; 4] = ["GlobalAveragePool", "ReduceMean", "AveragePool", "ReduceSum"];
/// The nodes that only change which dimension is which.
const MOVES: [&str; 5] = ["Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"];
/// The nodes that may be the classifier.
const CLASSIFIERS: [&str; 3] = ["Gemm", "MatMul", "Conv"];

/// What the end of a graph computes.
pub(super) struct Head<'a> {
    /// The node of the classifier.
    pub(super) node: &'a NodeProto,
    pub(super) linear: Linear,
    /// How the file quantizes the input of the classifier.
    pub(super) pooled: Option<Activation>,
}

/// Reads the nodes from the feature map `value` of shape `trunk` to the output of the graph.
pub(super) fn read<'a>(
    graph: &Graph<'a>,
    value: &'a str,
    batch: Option<usize>,
    trunk: Shape,
    mut sizes: Sizes<'a>,
) -> Result<Head<'a>, ImportErrorKind> {
    let layout = Layout::new(batch, trunk.channels, [trunk.height, trunk.width]);
    let mut walk =
        Walk { graph, trunk, layout, factor: 1.0, classifier: None, pooled: None, probabilities: false };
    let mut value = value;
    while value != graph.output() {
        sizes.insert(value, walk.layout.sizes());
        let node = walk.next(value)?;
        walk.step(node, value, &sizes)?;
        value = layers::output(graph, node)?;
        if walk.classifier.is_none() && walk.layout.is_averaged() {
            walk.pooled = graph.activation(value)?.or(walk.pooled);
        }
    }
    let Some((node, linear)) = walk.classifier.take() else {
        return Err(ImportErrorKind::layer(
            graph.origin(value),
            "the model ends here",
            format!("expected {} next", walk.wanted()),
        ));
    };
    if !walk.layout.is_averaged() || walk.layout.dims.first() != Some(&Dim::Batch) {
        return Err(ImportErrorKind::layer(
            location(node),
            "the pixels of its output are not averaged",
            "expected one logit for each class",
        ));
    }
    // The scale of features that are multiplied afterwards is not that of what the classifier reads.
    Ok(Head { node, linear, pooled: walk.pooled.filter(|_| walk.factor == 1.0) })
}

struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    /// The shape of the feature map.
    trunk: Shape,
    layout: Layout,
    /// What the features have been multiplied by.
    factor: f64,
    classifier: Option<(&'a NodeProto, Linear)>,
    pooled: Option<Activation>,
    /// Whether a softmax has come.
    probabilities: bool,
}

impl<'a> Walk<'_, 'a> {
    /// Returns what is expected next, for messages.
    fn wanted(&self) -> &'static str {
        match (self.layout.is_averaged(), &self.classifier) {
            (false, None) => "GlobalAveragePool or ReduceMean or AveragePool",
            (true, None) => "Flatten or Reshape or Squeeze or Gemm or MatMul",
            (_, Some(_)) => "the end of the model",
        }
    }

    /// Returns the only reader of `value`.
    fn next(&self, value: &'a str) -> Result<&'a NodeProto, ImportErrorKind> {
        let node = self.graph.only_reader(value, self.wanted())?;
        let either = ["Add", "Mul"].contains(&node.op_type.as_str());
        if !either && node.input.first().map(|input| self.graph.resolve(input)) != Some(value) {
            return Err(ImportErrorKind::layer(
                location(node),
                "it uses the activations as a weight",
                "expected them as its first input",
            ));
        }
        Ok(node)
    }

    /// Reads one node.
    fn step(
        &mut self,
        node: &'a NodeProto,
        value: &'a str,
        sizes: &Sizes<'a>,
    ) -> Result<(), ImportErrorKind> {
        match node.op_type.as_str() {
            op if MOVES.contains(&op) => self.moves(node, sizes),
            op if POOLING.contains(&op) && !self.probabilities => self.pool(node),
            op if CLASSIFIERS.contains(&op) && self.classifier.is_none() => self.classify(node),
            "Mul" | "Div" if !self.probabilities => self.scale(node, value),
            "Add" | "Sub" if self.classifier.is_some() && !self.probabilities => self.shift(node, value),
            "Softmax" | "LogSoftmax" if self.classifier.is_some() && !self.probabilities => {
                // The runtime computes probabilities from the logits itself.
                self.probabilities = true;
                let rank = self.layout.dims.len();
                let of = self.layout.dims.iter().position(|&dim| dim == Dim::Channels);
                classifier::softmax(node, of.unwrap_or(rank), rank)
            }
            _ if self.classifier.is_some() => Err(ImportErrorKind::layer(
                location(node),
                "it follows the classifier",
                "expected the model to end at its logits",
            )),
            _ => Err(ImportErrorKind::layer(
                location(node),
                "it is out of place",
                format!("expected {} here", self.wanted()),
            )),
        }
    }

    /// Reads a node that averages or adds up pixels.
    fn pool(&mut self, node: &'a NodeProto) -> Result<(), ImportErrorKind> {
        let wrong =
            |problem: String, remedy: &str| Err(ImportErrorKind::layer(location(node), problem, remedy));
        match node.op_type.as_str() {
            "GlobalAveragePool" => Attributes::new(node, &[]).map(|_| ())?,
            "AveragePool" => {
                let sides = [self.trunk.height, self.trunk.width];
                let Pool { window, .. } = layers::avg_pool(node, sides)?;
                let whole = sides == [window.kernel; 2] && window.padding == 0;
                if !whole && !self.layout.is_averaged() {
                    return wrong(
                        format!("it is {} on {}", describe(window), size(self.trunk)),
                        "expected it to average all pixels; give the input size that the model was made for",
                    );
                }
            }
            _ => {
                let attributes = Attributes::new(node, &["axes", "keepdims", "noop_with_empty_axes"])?;
                let Some(axes) = self.axes(node, &attributes)? else {
                    return wrong("its axes are not constant".into(), "expected 2 and 3, height and width");
                };
                let keep = attributes.int("keepdims", 1)? != 0;
                let Some(count) = self.layout.reduce(&axes, keep) else {
                    return wrong(format!("its axes are {axes:?}"), "expected 2 and 3, height and width");
                };
                if node.op_type == "ReduceSum" {
                    self.rescale(count as f64);
                }
                return Ok(());
            }
        }
        match self.layout.pool() {
            Some(()) => Ok(()),
            None => wrong("it does not average height and width".into(), "expected an input of N×C×H×W"),
        }
    }

    /// Reads a node that changes which dimension is which.
    fn moves(&mut self, node: &'a NodeProto, sizes: &Sizes<'a>) -> Result<(), ImportErrorKind> {
        let layout = &self.layout;
        let mut moved = layout.clone();
        let (done, what) = match node.op_type.as_str() {
            "Flatten" => {
                let axis = Attributes::new(node, &["axis"])?.int("axis", 1)?;
                (
                    moved.flatten(axis),
                    format!("its attribute `axis` is {axis} for {} dimensions", layout.dims.len()),
                )
            }
            "Transpose" => {
                let attributes = Attributes::new(node, &["perm"])?;
                let order = attributes.ints("perm")?.map_or_else(
                    || (0..layout.dims.len()).rev().filter_map(|axis| i64::try_from(axis).ok()).collect(),
                    <[i64]>::to_vec,
                );
                (moved.transpose(&order), format!("it reorders to {order:?}"))
            }
            "Reshape" => {
                let zeros = Attributes::new(node, &["allowzero"])?.int("allowzero", 0)? != 0;
                match node.input.get(1).and_then(|name| evaluate(self.graph, sizes, name)) {
                    Some(target) => (moved.reshape(&target, zeros), format!("it reshapes to {target:?}")),
                    // The matrix product that follows takes N×channels alone.
                    None if layout.is_averaged() => {
                        (moved.reshape(&[-1, channels(layout)], false), String::new())
                    }
                    None => (None, "its shape is computed in a way that is not known".to_owned()),
                }
            }
            op => {
                let attributes = Attributes::new(node, &["axes"])?;
                let axes = self.axes(node, &attributes)?;
                let done = match (op, &axes) {
                    ("Squeeze", axes) => moved.squeeze(axes.as_deref()),
                    (_, Some(axes)) => moved.unsqueeze(axes),
                    (_, None) => None,
                };
                (done, axes.map_or_else(|| "it has no axes".into(), |axes| format!("its axes are {axes:?}")))
            }
        };
        match done {
            Some(()) => {
                self.layout = moved;
                Ok(())
            }
            None if self.layout.channels == 1
                && let Some((classifier, _)) = &self.classifier =>
            {
                Err(ImportErrorKind::OneLogit(location(classifier)))
            }
            None => Err(ImportErrorKind::layer(
                location(node),
                what,
                format!("expected it to keep the batch and the {} channels apart", self.layout.channels),
            )),
        }
    }

    /// Returns the axes of `node`: an attribute, or the second input since opset 13 or 18.
    fn axes(
        &self,
        node: &'a NodeProto,
        attributes: &Attributes,
    ) -> Result<Option<Vec<i64>>, ImportErrorKind> {
        Ok(match (attributes.ints("axes")?, node.input.get(1)) {
            (Some(axes), _) => Some(axes.to_vec()),
            (None, Some(name)) if !name.is_empty() => self.graph.ints(name),
            (None, _) => None,
        })
    }

    fn classify(&mut self, node: &'a NodeProto) -> Result<(), ImportErrorKind> {
        let is_conv = node.op_type == "Conv";
        let fits = match &*self.layout.dims {
            [Dim::Batch, Dim::Channels] => !is_conv,
            [Dim::Batch, Dim::Channels, _, _] => is_conv,
            _ => false,
        };
        if !fits {
            return Err(ImportErrorKind::layer(
                location(node),
                "it reads the pooled image with its height and width",
                "expected a Flatten before it",
            ));
        }
        let mut linear = match is_conv {
            true => classifier::pointwise(self.graph, node)?,
            false => classifier::linear(self.graph, node)?,
        };
        if linear.in_features != self.trunk.channels {
            return Err(ImportErrorKind::layer(
                location(node),
                format!("it reads {} features", linear.in_features),
                format!("expected the {} channels of the last stage", self.trunk.channels),
            ));
        }
        if self.factor != 1.0 {
            linear.weight.scale(&vec![self.factor; linear.out_features]);
        }
        self.layout.channels = linear.out_features;
        self.classifier = Some((node, linear));
        Ok(())
    }

    /// Reads a product with a number, such as a temperature.
    fn scale(&mut self, node: &'a NodeProto, value: &'a str) -> Result<(), ImportErrorKind> {
        let values = classifier::operand(self.graph, node, value)?.1;
        let factor = match *values {
            [factor] if factor.is_finite() && factor != 0.0 => f64::from(factor),
            _ => {
                return Err(ImportErrorKind::layer(
                    location(node),
                    format!("it multiplies by {} numbers", values.len()),
                    "expected a single one that is not 0",
                ));
            }
        };
        self.rescale(if node.op_type == "Div" { 1.0 / factor } else { factor });
        Ok(())
    }

    fn rescale(&mut self, factor: f64) {
        match &mut self.classifier {
            Some((_, linear)) => {
                linear.weight.scale(&vec![factor; linear.out_features]);
                linear.bias.iter_mut().for_each(|bias| *bias = (f64::from(*bias) * factor) as f32);
            }
            None => self.factor *= factor,
        }
    }

    /// Reads an addition of a number for each class.
    fn shift(&mut self, node: &'a NodeProto, value: &'a str) -> Result<(), ImportErrorKind> {
        let Some((_, linear)) = &mut self.classifier else { return Ok(()) };
        let added = classifier::bias(self.graph, node, value, linear.out_features)?;
        let sign = if node.op_type == "Sub" { -1.0 } else { 1.0 };
        linear.bias.resize(linear.out_features, 0.0);
        linear.bias.iter_mut().zip(added).for_each(|(bias, added)| *bias += sign * added);
        Ok(())
    }
}

fn channels(layout: &Layout) -> i64 {
    i64::try_from(layout.channels).unwrap_or(i64::MAX)
}
