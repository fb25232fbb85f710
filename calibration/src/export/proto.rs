//! Nodes and attributes in terms of ONNX.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::tensor::{Initializer, Values};
use crate::network::{Conv, Network, Shape, Window};

/// Name of the input.
pub(super) const IMAGE: &str = "image";
/// Name of the output.
pub(super) const LOGITS: &str = "logits";

/// A graph under construction.
pub(super) struct Graph<'a> {
    /// Everything but the tensors.
    pub(super) proto: GraphProto,
    pub(super) tensors: Vec<Initializer<'a>>,
}

impl<'a> Graph<'a> {
    /// Makes a graph with the input and the output of `network` and nothing between them.
    pub(super) fn new(network: &Network) -> Self {
        let proto = GraphProto {
            name: network.name.clone(),
            input: vec![value_info(IMAGE, &nchw(network.input))],
            output: vec![value_info(LOGITS, &[1, network.architecture.classes as i64])],
            ..GraphProto::default()
        };
        Self { proto, tensors: Vec::new() }
    }

    /// Adds a node called `name`.
    pub(super) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.proto.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }

    /// Adds a tensor and returns its name.
    pub(super) fn tensor(
        &mut self,
        name: String,
        shape: &[usize],
        data_type: DataType,
        values: Values<'a>,
    ) -> String {
        self.tensors.push(Initializer { name: name.clone(), shape: shape.into(), data_type, values });
        name
    }

    /// Adds an fp32 tensor and returns its name.
    pub(super) fn floats(&mut self, name: String, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, shape, DataType::Float, Values::Bytes(bytes))
    }

    /// Adds the nodes of a convolution of `from`, with those of the residual addition and the ReLU that belong to it. `weight`
    /// and `bias` are the names of its tensors, `output` is that of the result.
    pub(super) fn conv(
        &mut self,
        name: &str,
        conv: &Conv,
        from: &str,
        [weight, bias]: [Option<&str>; 2],
        residual: Option<&str>,
        output: &str,
    ) {
        let stages = stages(conv, name);
        let value = |stage: usize| match stage + 1 == stages.len() {
            true => output.to_owned(),
            false => stages[stage].1.clone(),
        };
        let mut attributes = window_attributes(conv.window);
        attributes.push(int("group", conv.groups as i64));
        let inputs: Vec<&str> = [from].into_iter().chain(weight).chain(bias).collect();
        self.node("Conv", name, &inputs, &value(0), attributes);
        for (stage, (op, path)) in stages.iter().enumerate().skip(1) {
            let before = value(stage - 1);
            let inputs: Vec<&str> =
                [before.as_str()].into_iter().chain(residual.filter(|_| *op == "Add")).collect();
            self.node(op, path, &inputs, &value(stage), Vec::new());
        }
    }
}

/// Returns the operator and the name of each node that a convolution becomes.
fn stages(conv: &Conv, name: &str) -> Vec<(&'static str, String)> {
    let mut stages = vec![("Conv", format!("{name}.conv"))];
    if conv.residual.is_some() {
        stages.push(("Add", format!("{name}.add")));
    }
    if conv.relu {
        stages.push(("Relu", format!("{name}.relu")));
    }
    stages
}

fn nchw(Shape { channels, height, width }: Shape) -> [i64; 4] {
    [1, channels as i64, height as i64, width as i64]
}

fn value_info(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Default::default() };
    let shape = Some(TensorShapeProto { dim: sizes.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

/// Makes the attributes for the window of a convolution or a pooling.
pub(super) fn window_attributes(Window { kernel, stride, padding }: Window) -> Vec<AttributeProto> {
    let [kernel, stride, padding] = [kernel, stride, padding].map(|size| size as i64);
    vec![ints("kernel_shape", &[kernel; 2]), ints("pads", &[padding; 4]), ints("strides", &[stride; 2])]
}

/// Makes the attributes of an average pooling.
pub(super) fn avg_pool_attributes(window: Window) -> Vec<AttributeProto> {
    let mut attributes = window_attributes(window);
    attributes.extend([int("ceil_mode", 1), int("count_include_pad", 0)]);
    attributes
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints: ints.into(), ..Default::default() }
}

/// Makes an integer attribute.
pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}
