//! Writes a [`Network`] as an ONNX model, in the ways of several exporters.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

use crate::network::{Conv, Network, Op, ValueId, Window};

/// How the head is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// `GlobalAveragePool`, `Flatten`, `Gemm` with `transB`.
    Flatten,
    /// `ReduceMean` with axes as an attribute and without `keepdims`, `MatMul`, `Add`.
    MeanMatMul,
    /// `ReduceMean` with axes as an input, `Reshape` to a constant, `Gemm` without `transB`.
    MeanReshape,
    /// `GlobalAveragePool`, `Squeeze` with axes as an input, `Gemm` with alpha and beta.
    Squeeze,
    /// `AveragePool` over all pixels, `Flatten`, `Gemm`.
    AvgPool,
    /// `GlobalAveragePool`, `Reshape` to a shape computed from the batch size, `Gemm`.
    Computed,
}

/// A model under construction. Its fields are open, so that tests can spoil any of them.
pub(super) struct Exporter {
    pub(super) graph: GraphProto,
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: ints.into(),
        ..Default::default()
    }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

/// Describes a float32 value with the sizes `dims`; a negative size is left open.
pub(super) fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| {
        let value = if size < 0 {
            dimension::Value::DimParam("open".into())
        } else {
            dimension::Value::DimValue(size)
        };
        Dimension { value: Some(value), ..Default::default() }
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

pub(super) fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { version: 17, ..Default::default() };
    ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() }
}

impl Exporter {
    /// Makes an empty graph from `image`, of the sizes `dims`, to `logits`.
    pub(super) fn new(dims: &[i64]) -> Self {
        let graph = GraphProto {
            input: vec![value_info("image", dims)],
            output: vec![value_info("logits", &[-1, -1])],
            ..Default::default()
        };
        Self { graph }
    }

    /// Writes `network` with its batch norms, in a graph whose input has the sizes `dims`.
    pub(super) fn export(network: &Network, dims: &[i64], head: Head) -> Self {
        let mut this = Self::new(dims);
        // Name in the graph of each value of the network.
        let mut names = vec!["image".to_owned()];
        for node in &network.nodes {
            let from = names[node.input.0].clone();
            let name = match &node.op {
                Op::Conv(conv) => this.conv(&node.name, conv, &from, &names),
                Op::MaxPool(window) => {
                    let mut attributes = window_attributes(*window);
                    attributes.push(int("ceil_mode", 0));
                    this.node("MaxPool", &node.name, &[&from], attributes)
                }
                Op::AvgPool(window) => {
                    let mut attributes = window_attributes(*window);
                    attributes.extend([int("ceil_mode", 1), int("count_include_pad", 0)]);
                    this.node("AveragePool", &node.name, &[&from], attributes)
                }
                // Written with the classifier.
                Op::GlobalAvgPool if head == Head::AvgPool => {
                    let side = network.shape(node.input).height;
                    let window = Window { kernel: side, stride: 1, padding: 0 };
                    this.node("AveragePool", "pool", &[&from], window_attributes(window))
                }
                Op::GlobalAvgPool => from,
                Op::Linear(linear) => {
                    let matrix = [linear.out_features, linear.in_features];
                    this.head(head, &from, matrix, &linear.weight.read(), &linear.bias)
                }
            };
            names.push(name);
        }
        assert_eq!(names[network.logits().0], "logits");
        this
    }

    pub(super) fn model(self) -> ModelProto {
        model(self.graph)
    }

    /// Adds the node `name`, whose output is `name.out`, and returns the name of the output.
    pub(super) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = format!("{name}.out");
        self.graph.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: DataType::Float as i32,
            float_data: values.into(),
            ..Default::default()
        });
        name.into()
    }

    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> String {
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        });
        name.into()
    }

    fn conv(&mut self, name: &str, conv: &Conv, from: &str, names: &[String]) -> String {
        let kernel = conv.window.kernel;
        let shape = [conv.out_channels, conv.in_channels / conv.groups, kernel, kernel];
        let weight = self.floats(&format!("{name}.weight"), &shape, &conv.weight.read());
        // Weights are sometimes shared through an Identity.
        let weight = self.node("Identity", &format!("{name}.weight.id"), &[&weight], vec![]);
        let mut attributes = window_attributes(conv.window);
        attributes.push(int("group", conv.groups as i64));
        let mut inputs = vec![from.to_owned(), weight];
        if !conv.bias.is_empty() {
            inputs.push(self.floats(&format!("{name}.bias"), &[conv.out_channels], &conv.bias));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut value = self.node("Conv", name, &inputs, attributes);
        if let Some(norm) = &conv.batch_norm {
            let tensors = [&norm.scale, &norm.shift, &norm.mean, &norm.variance];
            let mut inputs = vec![value];
            for (i, values) in tensors.into_iter().enumerate() {
                inputs.push(self.floats(&format!("{name}.bn{i}"), &[values.len()], values));
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let attributes = vec![float("epsilon", norm.epsilon), float("momentum", 0.9)];
            value = self.node("BatchNormalization", &format!("{name}.bn"), &inputs, attributes);
        }
        if let Some(ValueId(residual)) = conv.residual {
            value = self.node("Add", &format!("{name}.add"), &[&value, &names[residual]], vec![]);
        }
        if conv.relu {
            value = self.node("Relu", &format!("{name}.relu"), &[&value], vec![]);
        }
        value
    }

    fn head(&mut self, head: Head, from: &str, [out, k]: [usize; 2], weight: &[f32], bias: &[f32]) -> String {
        let pooled = match head {
            Head::MeanMatMul => {
                let attributes = vec![ints("axes", &[-1, -2]), int("keepdims", 0)];
                self.node("ReduceMean", "pool", &[from], attributes)
            }
            Head::MeanReshape => {
                let axes = self.ints("axes", &[2, 3]);
                self.node("ReduceMean", "pool", &[from, &axes], vec![int("keepdims", 1)])
            }
            Head::AvgPool => from.to_owned(),
            _ => self.node("GlobalAveragePool", "pool", &[from], vec![]),
        };
        let flat = match head {
            Head::MeanMatMul => pooled,
            Head::Flatten | Head::AvgPool => self.node("Flatten", "flat", &[&pooled], vec![int("axis", 1)]),
            Head::Squeeze => {
                let axes = self.ints("axes", &[2, 3]);
                self.node("Squeeze", "flat", &[&pooled, &axes], vec![])
            }
            Head::MeanReshape => {
                let target = ints("value_ints", &[-1, k as i64]);
                let target = self.node("Constant", "target", &[], vec![target]);
                self.node("Reshape", "flat", &[&pooled, &target], vec![])
            }
            Head::Computed => {
                let shape = self.node("Shape", "shape", &["image"], vec![]);
                let index = self.ints("index", &[0]);
                let batch = self.node("Gather", "batch", &[&shape, &index], vec![]);
                let rest = self.ints("rest", &[-1]);
                let target = self.node("Concat", "target", &[&batch, &rest], vec![int("axis", 0)]);
                self.node("Reshape", "flat", &[&pooled, &target], vec![])
            }
        };
        let transposed: Vec<f32> = (0..k).flat_map(|c| (0..out).map(move |r| weight[r * k + c])).collect();
        let logits = if head == Head::MeanMatMul {
            let weight = self.floats("fc.weight", &[k, out], &transposed);
            let product = self.node("MatMul", "fc.product", &[&flat, &weight], vec![]);
            let bias = self.floats("fc.bias", &[out], bias);
            self.node("Add", "fc", &[&bias, &product], vec![])
        } else if head == Head::MeanReshape {
            let weight = self.floats("fc.weight", &[k, out], &transposed);
            let bias = self.floats("fc.bias", &[1, out], bias);
            self.node("Gemm", "fc", &[&flat, &weight, &bias], vec![])
        } else {
            // Powers of two, so that undoing them is exact.
            let halves: Vec<f32> = weight.iter().map(|w| w * 2.0).collect();
            let quarters: Vec<f32> = bias.iter().map(|b| b / 4.0).collect();
            let weight = self.floats("fc.weight", &[out, k], &halves);
            let bias = self.floats("fc.bias", &[out], &quarters);
            let attributes = vec![float("alpha", 0.5), float("beta", 4.0), int("transB", 1)];
            self.node("Gemm", "fc", &[&flat, &weight, &bias], attributes)
        };
        self.graph.node.push(NodeProto {
            op_type: "Identity".into(),
            input: vec![logits],
            output: vec!["logits".into()],
            ..Default::default()
        });
        "logits".into()
    }
}

fn window_attributes(Window { kernel, stride, padding }: Window) -> Vec<AttributeProto> {
    let [kernel, stride, padding] = [kernel, stride, padding].map(|v| v as i64);
    vec![
        ints("dilations", &[1, 1]),
        ints("kernel_shape", &[kernel; 2]),
        ints("pads", &[padding; 4]),
        ints("strides", &[stride; 2]),
    ]
}
