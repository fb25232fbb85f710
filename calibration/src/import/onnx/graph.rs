//! An index over an ONNX graph: the producer and the readers of each value.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::attributes::location;
use super::constants::{ConstantView, Constants, resolve};
use super::fold::{MAX_FOLDED_ELEMENTS, elements, fold};
use super::foreign;
use super::image::Image;
use super::quantizers::{Quantizers, refusal};
use super::tensors::{Files, ints, scalar};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

use crate::import::error::{ImportErrorKind, Location};
use crate::network::Activation;
use resnext_checkpoint::StoredTensor;

/// The operators that a ResNeXt may contain, apart from those that the index resolves: constants, and nodes that pass their input
/// on.
const OPERATORS: [&str; 18] = [
    "Conv",
    "BatchNormalization",
    "Relu",
    "Add",
    "Pad",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "ReduceMean",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Gemm",
    "MatMul",
    "Softmax",
    "LogSoftmax",
];

/// Operators that compute the shapes that other operators take.
const SHAPES: [&str; 5] = ["Shape", "Gather", "ConstantOfShape", "Range", "Size"];

/// The part of an ONNX graph that its output depends on.
pub(super) struct Graph<'a> {
    /// The files of tensors that are not in the message.
    files: &'a Files,
    /// Initializers, the outputs of `Constant` nodes, and values that are computed from these alone.
    constants: HashMap<&'a str, Cow<'a, TensorProto>>,
    /// Constants that are others in another order or shape.
    views: HashMap<&'a str, ConstantView<'a>>,
    /// For each node that passes its input on, its output and that input.
    aliases: HashMap<&'a str, &'a str>,
    /// QuantizeLinear and DequantizeLinear nodes.
    quantizers: Quantizers<'a>,
    /// The node that computes each value.
    producers: HashMap<&'a str, &'a NodeProto>,
    /// Live nodes in file order, without constants and those that pass their input on.
    live: Vec<&'a NodeProto>,
    /// The live nodes that read each value, once for each input that does.
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
    image: &'a ValueInfoProto,
    output: &'a str,
}

impl<'a> Graph<'a> {
    pub(super) fn new(proto: &'a GraphProto, files: &'a Files) -> Result<Self, ImportErrorKind> {
        let mut constants: HashMap<_, _> =
            proto.initializer.iter().map(|t| (t.name.as_str(), Cow::Borrowed(t))).collect();
        let mut views: HashMap<&str, ConstantView> = HashMap::new();
        let mut aliases = HashMap::new();
        let mut producers = HashMap::new();
        let mut computable = MAX_FOLDED_ELEMENTS;
        for node in &proto.node {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                if producers.insert(output.as_str(), node).is_some() {
                    let reason = format_args!("two nodes produce the value `{}`", output.escape_debug());
                    return Err(ImportErrorKind::corrupt("ONNX", reason));
                }
            }
            match (node.op_type.as_str(), node.input.as_slice(), node.output.as_slice()) {
                ("Identity", [input], [output]) => drop(aliases.insert(output.as_str(), input.as_str())),
                // All arithmetic is in fp32 here, whatever type the file has for it.
                ("Cast", [input], [output]) if casts_to_float(node) => {
                    aliases.insert(output.as_str(), input.as_str());
                }
                // Without a third input, dropout acts in training alone.
                ("Dropout", [input] | [input, _], [output, ..]) => {
                    aliases.insert(output.as_str(), input.as_str());
                }
                ("CastLike", [input, _], [output]) if constants.contains_key(resolve(&aliases, input)) => {
                    aliases.insert(output.as_str(), input.as_str());
                }
                (_, _, [output]) => {
                    let known = |name: &str| Some(&**constants.get(resolve(&aliases, name))?);
                    if let Some(tensor) = fold(node, known, computable) {
                        if let Cow::Owned(computed) = &tensor {
                            computable = computable.saturating_sub(elements(computed));
                        }
                        constants.insert(output.as_str(), tensor);
                    } else if let Some(source) = node.input.first().map(|input| resolve(&aliases, input))
                        && let Some(view) = ConstantView::new(node, source, views.get(source))
                        && (constants.contains_key(source) || views.contains_key(source))
                    {
                        views.insert(output.as_str(), view);
                    }
                }
                _ => {}
            }
        }
        let plain = aliases.clone();
        let source = Constants { files, tensors: &constants, aliases: &plain };
        let quantizers = Quantizers::new(&proto.node, &source, &producers, &mut aliases)?;
        // Before IR version 4, initializers are listed as inputs as well.
        let mut inputs = proto.input.iter().filter(|i| !constants.contains_key(i.name.as_str()));
        let (Some(image), None) = (inputs.next(), inputs.next()) else {
            return Err(ImportErrorKind::layer(
                Location::Graph,
                "it does not have exactly one input",
                "expected the image and nothing else",
            ));
        };
        let [output] = proto.output.as_slice() else {
            return Err(ImportErrorKind::layer(
                Location::Graph,
                format!("it has {} outputs", proto.output.len()),
                "expected the logits and nothing else",
            ));
        };
        let mut graph = Self {
            files,
            constants,
            views,
            aliases,
            quantizers,
            producers,
            live: Vec::new(),
            readers: HashMap::new(),
            image,
            output: &output.name,
        };
        graph.find_live(proto)?;
        Ok(graph)
    }

    /// Fills `live` and `readers` on the way backwards from the output.
    fn find_live(&mut self, proto: &'a GraphProto) -> Result<(), ImportErrorKind> {
        let mut live = HashSet::new();
        let mut seen = HashSet::new();
        let mut pending = vec![self.output()];
        while let Some(value) = pending.pop() {
            let given = value == self.image.name || self.is_constant(value);
            if !seen.insert(value) || given || self.quantizers.is_constant(value) {
                continue;
            }
            let Some(node) = self.producers.get(value) else {
                let reason = format_args!("nothing produces the value `{}`", value.escape_debug());
                return Err(ImportErrorKind::corrupt("ONNX", reason));
            };
            if self.aliases.contains_key(value) {
                return Err(ImportErrorKind::corrupt("ONNX", "nodes form a loop"));
            }
            live.insert(std::ptr::from_ref::<NodeProto>(node));
            pending.extend(data_inputs(node).map(|input| self.resolve(input)));
        }
        for node in proto.node.iter().filter(|node| live.contains(&std::ptr::from_ref(*node))) {
            for input in data_inputs(node) {
                let value = self.resolve(input);
                self.readers.entry(value).or_default().push(node);
            }
            self.live.push(node);
        }
        Ok(())
    }

    /// Checks that every live node has an operator that some ResNeXt has.
    pub(super) fn expect_operators(&self) -> Result<(), ImportErrorKind> {
        if let Some(refused) = self.live.iter().find_map(|node| refusal(node)) {
            return Err(refused);
        }
        let foreign = |node: &&&NodeProto| {
            !matches!(node.domain.as_str(), "" | "ai.onnx")
                || !(OPERATORS.contains(&self.kind(node)) || self.is_scaling(node) || self.sums_pixels(node))
        };
        // What computes shapes says less than what computes values.
        let shapes = |node: &&&NodeProto| SHAPES.contains(&node.op_type.as_str());
        let found: Vec<_> = self.live.iter().filter(foreign).collect();
        let Some(&first) = found.first() else { return Ok(()) };
        let of_image = self.of_image();
        let is_of_image = |node: &&&'a NodeProto| of_image.contains(&std::ptr::from_ref::<NodeProto>(*node));
        let values = || found.iter().copied().filter(|node| !shapes(node));
        let node = values().find(is_of_image).or_else(|| values().next()).unwrap_or(first);
        Err(foreign::refusal(self, node, is_of_image(&node)))
    }

    /// Returns the live nodes whose outputs depend on the image.
    fn of_image(&self) -> HashSet<*const NodeProto> {
        let mut found = HashSet::new();
        let mut pending = vec![self.image.name.as_str()];
        while let Some(value) = pending.pop() {
            for &node in self.readers(value) {
                if found.insert(std::ptr::from_ref(node)) {
                    pending.extend(node.output.iter().map(|output| self.resolve(output)));
                }
            }
        }
        found
    }

    /// Whether `node`, which may be a classifier, has a single output.
    pub(super) fn gives_one(&self, node: &'a NodeProto) -> bool {
        let of = |name: &'a String| {
            let name = self.resolve(name);
            let source = self.views.get(name).map_or(name, |view| view.source);
            self.constants.get(source)
        };
        let dims = node.input.get(1).and_then(of).map(|tensor| tensor.dims.as_slice());
        match (node.op_type.as_str(), dims) {
            ("Conv", Some([outputs, ..])) => *outputs == 1,
            (_, Some(&[rows, columns])) => rows == 1 || columns == 1,
            _ => false,
        }
    }

    /// Returns the operator of `node`. That of a `Clip` from 0 upwards, or of a `Max` with 0, is `Relu`.
    pub(super) fn kind(&self, node: &'a NodeProto) -> &'a str {
        let bound = |index: usize| match node.input.get(index).map(String::as_str) {
            None | Some("") => None,
            Some(name) => Some(self.constants.get(self.resolve(name)).and_then(|tensor| scalar(tensor))),
        };
        let is_relu = match (node.op_type.as_str(), node.input.len()) {
            // A bound that is absent is `None`; one that is computed is `Some(None)`.
            ("Clip", _) if node.attribute.is_empty() => {
                bound(1) == Some(Some(0.0))
                    && match bound(2) {
                        None => true,
                        Some(most) => most.is_some_and(|most| most >= f32::MAX),
                    }
            }
            ("Max", 2) => [0, 1].into_iter().any(|index| bound(index) == Some(Some(0.0))),
            _ => false,
        };
        if is_relu { "Relu" } else { &node.op_type }
    }

    /// Whether `node` multiplies by a constant or shifts by one, as the normalisation of an image does. Attention multiplies two
    /// computed values.
    fn is_scaling(&self, node: &'a NodeProto) -> bool {
        matches!(node.op_type.as_str(), "Mul" | "Div" | "Sub")
            && node.input.iter().any(|input| self.is_constant(input))
            && node.input.iter().any(|input| !self.is_constant(input))
    }

    /// Whether `node` adds up pixels and not channels, as a mean does before its division.
    fn sums_pixels(&self, node: &'a NodeProto) -> bool {
        let axes = || {
            let given = node.attribute.iter().find(|attribute| attribute.name == "axes");
            given.map(|axes| axes.ints.clone()).or_else(|| self.ints(node.input.get(1)?))
        };
        node.op_type == "ReduceSum"
            && axes().is_some_and(|axes| !axes.is_empty() && !axes.contains(&0) && !axes.contains(&1))
    }

    /// Iterates over the nodes that the output depends on.
    pub(super) fn live(&self) -> impl Iterator<Item = &'a NodeProto> {
        self.live.iter().copied()
    }

    /// Returns the node that computes `value`.
    pub(super) fn producer(&self, value: &str) -> Option<&'a NodeProto> {
        self.producers.get(value).copied()
    }

    /// Whether `name` stands for `value`.
    pub(super) fn is_value(&self, name: &str, value: &str) -> bool {
        resolve(&self.aliases, name) == value
    }

    /// Returns the second dimension of the constant `name`: the channels that each group of a convolution reads.
    pub(super) fn channels_a_group(&self, name: &'a str) -> Option<i64> {
        self.constants.get(self.resolve(name))?.dims.get(1).copied()
    }

    /// Iterates over the values that `node` reads as data.
    pub(super) fn reads(&self, node: &'a NodeProto) -> impl Iterator<Item = &'a str> {
        data_inputs(node).map(move |input| self.resolve(input))
    }

    /// Returns how the readers of `value` quantize it.
    pub(super) fn activation(&self, value: &str) -> Result<Option<Activation>, ImportErrorKind> {
        self.quantizers.activation(value)
    }

    /// Returns the value that `name` stands for, through nodes that pass their input on.
    pub(super) fn resolve(&self, name: &'a str) -> &'a str {
        resolve(&self.aliases, name)
    }

    pub(super) fn output(&self) -> &'a str {
        self.resolve(self.output)
    }

    /// Returns the live nodes that read `value`, once for each input that does.
    pub(super) fn readers(&self, value: &str) -> &[&'a NodeProto] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Returns the only node that reads `value`. `wanted` names what is expected, for messages.
    pub(super) fn only_reader(&self, value: &str, wanted: &str) -> Result<&'a NodeProto, ImportErrorKind> {
        let (what, expected) = match *self.readers(value) {
            [reader] => return Ok(reader),
            [] => ("the model ends here".to_owned(), format!("expected {wanted} next")),
            ref many => {
                (format!("{} nodes read its output", many.len()), format!("expected a single {wanted}"))
            }
        };
        Err(ImportErrorKind::layer(self.origin(value), what, expected))
    }

    /// Returns the location of the producer of `value`, for messages.
    pub(super) fn origin(&self, value: &str) -> Location {
        self.producers.get(value).map_or(Location::Graph, |node| location(node))
    }

    /// Returns the image as the graph declares it.
    pub(super) fn image(&self) -> Result<Image<'a>, ImportErrorKind> {
        Image::read(self.image)
    }

    /// Returns the constant `name` that `node` reads as a weight with its outputs along `axis`. If it is quantized with a zero
    /// point of 0, it is a tensor of integers, and their steps are returned with it, one for each output.
    pub(super) fn weight(
        &self,
        node: &NodeProto,
        name: &'a str,
        axis: usize,
    ) -> Result<(StoredTensor, Option<Vec<f64>>), ImportErrorKind> {
        if let Some(weight) = self.quantizers.weight(self.resolve(name), axis, &self.constants())? {
            return Ok(weight);
        }
        Ok((self.constant(node, name)?, None))
    }

    /// Returns the shape and the elements of the floating-point constant `name` that `node` reads.
    pub(super) fn floats(
        &self,
        node: &NodeProto,
        name: &'a str,
    ) -> Result<(Vec<usize>, Vec<f32>), ImportErrorKind> {
        if let Some(values) = self.quantizers.floats(self.resolve(name), &self.constants())? {
            return Ok(values);
        }
        let tensor = self.constant(node, name)?;
        Ok((tensor.shape().to_vec(), tensor.read()))
    }

    /// Returns the elements of the i64 constant `name`; `None` if it is computed or of another type.
    pub(super) fn ints(&self, name: &'a str) -> Option<Vec<i64>> {
        ints(self.constants.get(self.resolve(name))?)
    }

    /// Whether `name` is a constant.
    pub(super) fn is_constant(&self, name: &'a str) -> bool {
        let name = self.resolve(name);
        self.constants.contains_key(name) || self.views.contains_key(name)
    }

    fn constants(&self) -> Constants<'_, 'a> {
        Constants { files: self.files, tensors: &self.constants, aliases: &self.aliases }
    }

    fn constant(&self, node: &NodeProto, name: &'a str) -> Result<StoredTensor, ImportErrorKind> {
        let name = self.resolve(name);
        if let Some(tensor) = self.constants.get(name) {
            return self.files.tensor(name, tensor);
        }
        let Some(view) = self.views.get(name) else {
            return Err(ImportErrorKind::layer(
                location(node),
                format!("its operand `{}` is computed by the graph", name.escape_debug()),
                "expected a weight stored in the file; export the model in inference mode, and fold its constants (onnxsim)",
            ));
        };
        let ints = |name: &'a str| self.ints(name);
        view.apply(self.constant(node, view.source)?, ints)
    }
}

/// Iterates over the inputs of `node` that carry data. The target shape of a `Reshape` is none: exporters compute it from the
/// batch size, and the nodes that follow admit only one shape.
fn data_inputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    let count = if node.op_type == "Reshape" { 1 } else { node.input.len() };
    node.input.iter().take(count).map(String::as_str).filter(|name| !name.is_empty())
}

/// Whether a `Cast` converts to floating-point numbers.
fn casts_to_float(node: &NodeProto) -> bool {
    let to = node.attribute.iter().find(|attribute| attribute.name == "to").map(|attribute| attribute.i);
    let floats = [DataType::Float, DataType::Float16, DataType::Bfloat16, DataType::Double];
    floats.iter().any(|&float| to == Some((float as i32).into()))
}
