//! What a node is that no ResNeXt has: judged by its place, because a sigmoid at the end is no attention.

use std::collections::HashSet;

use tract_onnx::pb::NodeProto;

use super::attributes::location;
use super::graph::Graph;
use crate::import::error::ImportErrorKind;
use crate::import::families::Family;

/// Operators that multiply by weights.
const WEIGHTED: [&str; 3] = ["Conv", "Gemm", "MatMul"];
/// Operators that average over the image.
const POOLING: [&str; 2] = ["GlobalAveragePool", "ReduceMean"];
/// How many nodes stand between the pooling of an attention and the product with its result, on both ways into it: the two layers,
/// their activations, and what shapes the result.
const ATTENTION: usize = 24;

/// How many nodes stand between a pooling that joins several and each of them, at most.
const JOINED: usize = 6;

/// Makes the error for the live `node`, whose operator no ResNeXt has. `of_image` says whether it depends on the image.
pub(super) fn refusal<'a>(graph: &Graph<'a>, node: &'a NodeProto, of_image: bool) -> ImportErrorKind {
    let layer = |node: &NodeProto, problem: String, remedy: &str| {
        ImportErrorKind::layer(location(node), problem, remedy)
    };
    let optimized = |node: &&NodeProto| node.domain.starts_with("com.microsoft");
    if let Some(node) = graph.live().find(optimized) {
        let problem = format!("onnxruntime has optimized this file (it has an operator of {})", node.domain);
        return layer(node, problem, "give the file as it was exported, before optimized_model_filepath");
    }
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return layer(
            node,
            format!("it is no operator of ONNX but of `{}`", node.domain.escape_debug()),
            "if it is a function inside the model, inline it (onnx.inliner.inline_local_functions)",
        );
    }
    let reflects = |node: &&NodeProto| {
        node.op_type == "Pad" && node.attribute.iter().any(|attribute| attribute.s == b"reflect")
    };
    if let Some(pad) = graph.live().find(reflects).filter(|_| !of_image) {
        let problem = "it pads by reflection, as an anti-aliased network (blur pooling) does";
        return layer(pad, problem.into(), "expected padding with zeros; the network is no plain ResNeXt");
    }
    if !of_image {
        return layer(
            node,
            "it computes a constant".into(),
            "fold the constants of the model first (onnxsim)",
        );
    }
    let is_weighted = |node: &NodeProto| WEIGHTED.contains(&node.op_type.as_str());
    let prepares = |node: &'a NodeProto| !above(graph, node, usize::MAX).any(is_weighted);
    if prepares(node) && below(graph, node).any(is_weighted) {
        let resizes = |node: &&'a NodeProto| matches!(node.op_type.as_str(), "Resize" | "Upsample");
        let node = graph.live().filter(resizes).find(|node| prepares(node)).unwrap_or(node);
        let what = match node.op_type.as_str() {
            "Resize" | "Upsample" => "it resizes the image",
            "Slice" | "Split" | "Concat" | "Gather" => {
                "it crops or mirrors the image, or reorders its colours"
            }
            _ => "it changes the image before the first convolution",
        };
        return layer(
            node,
            what.into(),
            "export the network without it, because the int8 model prepares its images itself",
        );
    }
    if ends(graph, node) {
        if let Some(classifier) = above(graph, node, usize::MAX).find(|&node| is_weighted(node))
            && graph.gives_one(classifier)
        {
            return ImportErrorKind::OneLogit(location(classifier));
        }
        let op = node.op_type.escape_debug();
        let what = if op.to_string() == "Sigmoid" {
            "; a sigmoid for each class is for several labels a picture, and the int8 model computes a softmax"
        } else {
            ""
        };
        return layer(
            node,
            format!("the model ends in {} {op} after its classifier{what}", article(&node.op_type)),
            "export it up to its logits",
        );
    }
    if let Some(what) = other_network(graph) {
        return Family::Other(what).refusal(location(node));
    }
    if let Some(activation) = activation(graph, node) {
        return layer(
            node,
            format!("the activation is {activation}"),
            "expected Relu; the network is no plain ResNeXt",
        );
    }
    let has = |op: &str| graph.live().any(|node| node.op_type == op);
    match node.op_type.as_str() {
        "Sigmoid" | "HardSigmoid" | "Mul" | "Softmax" if attends(graph, node) => {
            let splits = has("ReduceSum") || has("Softmax") && !has("Sigmoid") && !has("HardSigmoid");
            let family = if splits { Family::SplitAttention } else { Family::ChannelAttention };
            family.refusal(location(node))
        }
        "ReduceSum" if gates(graph) => Family::SplitAttention.refusal(location(node)),
        // CBAM: an average and a maximum weigh the channels.
        "ReduceMax" | "GlobalMaxPool" if gates(graph) => Family::ChannelAttention.refusal(location(node)),
        // SKNet.
        "Split" | "Slice" if has("Softmax") && gates(graph) => Family::SplitAttention.refusal(location(node)),
        "Split" | "Slice" | "Concat" if has("Concat") && (has("Split") || has("Slice")) => {
            Family::Other("a Res2Net, a CSPNet or another network that splits its channels")
                .refusal(location(node))
        }
        "Split" | "Slice" if gates(graph) => Family::SplitAttention.refusal(location(node)),
        "Clip" | "Pow" if has("Pow") && has("Clip") => layer(
            node,
            "its pooling is a generalised mean (GeM)".into(),
            "expected an average over all pixels before the classifier",
        ),
        "Concat" | "ReduceMax" | "GlobalMaxPool" if takes_maxima(graph, node) => layer(
            node,
            "its pooling before the classifier takes maxima".into(),
            "expected an average over all pixels alone",
        ),
        "Concat" => Family::Other("a DenseNet, an Inception or another network that joins channels")
            .refusal(location(node)),
        "InstanceNormalization" | "GroupNormalization" => {
            Family::Other("a network with group norms or instance norms").refusal(location(node))
        }
        "Resize" | "Upsample" | "ConvTranspose" => {
            Family::Other("a network for segmentation or detection, which enlarges its maps")
                .refusal(location(node))
        }
        _ => expected(node),
    }
}

fn expected(node: &NodeProto) -> ImportErrorKind {
    let remedy = match node.op_type.as_str() {
        "QuantizeLinear" => "expected a DequantizeLinear to read it; quantize the model again",
        "Cast" => "expected casts to floating-point types only",
        _ => "expected only Conv, BatchNormalization, Relu, Add, pooling, and one Gemm or MatMul",
    };
    ImportErrorKind::Operator { location: location(node), remedy: remedy.into() }
}

/// Whether `node` comes after the last layer with weights.
fn ends<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> bool {
    let is_weighted = |node: &NodeProto| WEIGHTED.contains(&node.op_type.as_str());
    !below(graph, node).any(is_weighted) && above(graph, node, usize::MAX).any(is_weighted)
}

/// Whether `node` is, or joins, a maximum over the pixels of the last stage.
fn takes_maxima<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> bool {
    let is_maximum =
        |node: &NodeProto| matches!(node.op_type.as_str(), "ReduceMax" | "GlobalMaxPool" | "MaxPool");
    let is_conv = |node: &NodeProto| node.op_type == "Conv";
    let is_near = |node: &'a NodeProto| above(graph, node, JOINED).any(is_maximum);
    !below(graph, node).any(is_conv) && (is_maximum(node) || is_near(node))
}

/// Whether `node` is part of an attention: an average over the image comes shortly before it, and it is, or leads to, a product of
/// two computed values.
fn attends<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> bool {
    let multiplies = |node: &'a NodeProto| {
        node.op_type == "Mul" && graph.reads(node).filter(|input| !graph.is_constant(input)).count() == 2
    };
    (multiplies(node) || below(graph, node).take(ATTENTION / 4).any(multiplies))
        && above(graph, node, ATTENTION).any(|node| POOLING.contains(&node.op_type.as_str()))
}

/// Whether some product in `graph` is that of an attention.
fn gates(graph: &Graph<'_>) -> bool {
    graph.live().any(|node| node.op_type == "Mul" && attends(graph, node))
}

/// Returns a network that `graph` has the operators of.
fn other_network<'a>(graph: &Graph<'a>) -> Option<&'static str> {
    let has = |ops: &[&str]| graph.live().any(|node| ops.contains(&node.op_type.as_str()));
    let is_computed = |input: &'a str| {
        let weighted = |node: &NodeProto| WEIGHTED.contains(&node.op_type.as_str());
        graph
            .producer(input)
            .is_some_and(|node| weighted(node) || above(graph, node, usize::MAX).any(weighted))
    };
    let multiplies = |node: &'a NodeProto| node.op_type == "MatMul" && graph.reads(node).all(is_computed);
    // A head may have one.
    let norms = graph.live().filter(|node| node.op_type == "LayerNormalization").count();
    let depthwise = |node: &'a NodeProto| {
        node.op_type == "Conv"
            && node.attribute.iter().any(|attribute| attribute.name == "group" && attribute.i > 1)
            && node.input.get(1).is_some_and(|weight| graph.channels_a_group(weight) == Some(1))
    };
    match () {
        () if graph.live().any(multiplies) => Some("a transformer or another network with self-attention"),
        () if norms > 1 => Some("a ConvNeXt, a transformer or another network with layer norms"),
        () if has(&["Sigmoid", "HardSigmoid", "HardSwish", "Clip"]) && graph.live().any(depthwise) => {
            Some("an EfficientNet, a MobileNet or another network of depthwise convolutions")
        }
        () => None,
    }
}

/// Returns the activation that `node` is part of, if it is one.
fn activation<'a>(graph: &Graph<'a>, node: &'a NodeProto) -> Option<String> {
    let output = graph.resolve(node.output.first()?);
    let input = graph.reads(node).next()?;
    // x · sigmoid(x)
    let gates = |gate: &'a NodeProto, value: &str| {
        let output = gate.output.first().map(|output| graph.resolve(output));
        output.is_some_and(|output| {
            graph
                .readers(output)
                .iter()
                .any(|reader| reader.op_type == "Mul" && graph.reads(reader).any(|operand| operand == value))
        })
    };
    match node.op_type.as_str() {
        "Sigmoid" if gates(node, input) => Some("SiLU (Swish)".into()),
        "HardSigmoid" if gates(node, input) => Some("Hardswish".into()),
        "Tanh" | "Softplus" if gates(node, input) => Some("Mish".into()),
        "Mul" => {
            let operands: Vec<&str> = graph.reads(node).collect();
            operands.iter().find_map(|operand| {
                let gate = graph.producer(operand)?;
                let same = graph.reads(gate).any(|input| operands.contains(&input));
                (same && matches!(gate.op_type.as_str(), "Sigmoid" | "HardSigmoid"))
                    .then(|| activation(graph, gate))
                    .flatten()
            })
        }
        "Clip" if node.input.get(2).is_some_and(|most| !most.is_empty()) || !node.attribute.is_empty() => {
            Some("a Clip with an upper bound (ReLU6)".into())
        }
        "Erf" => Some("Gelu".into()),
        "LeakyRelu" | "PRelu" | "Elu" | "Selu" | "Celu" | "Gelu" | "HardSwish" | "Mish" | "Softplus"
        | "Tanh" | "ThresholdedRelu" | "Softsign" | "Swish" => Some(node.op_type.clone()),
        "Sigmoid" | "HardSigmoid" if !attends(graph, node) && graph.readers(output).len() == 1 => {
            let reader = graph.readers(output).first()?;
            (reader.op_type == "Conv").then(|| node.op_type.clone())
        }
        _ => None,
    }
}

/// Iterates over the nodes that depend on `node`.
fn below<'g, 'a>(graph: &'g Graph<'a>, node: &'a NodeProto) -> impl Iterator<Item = &'a NodeProto> + 'g {
    let mut seen = HashSet::new();
    let mut pending = vec![node];
    std::iter::from_fn(move || {
        let node = pending.pop()?;
        let outputs = node.output.iter().map(|output| graph.resolve(output));
        for &reader in outputs.flat_map(|output| graph.readers(output)) {
            if seen.insert(std::ptr::from_ref::<NodeProto>(reader)) {
                pending.push(reader);
            }
        }
        Some(node)
    })
    .skip(1)
}

/// Iterates over up to `most` nodes that `node` depends on, the nearest first.
fn above<'g, 'a>(
    graph: &'g Graph<'a>,
    node: &'a NodeProto,
    most: usize,
) -> impl Iterator<Item = &'a NodeProto> + 'g {
    let mut seen = HashSet::new();
    let mut pending = std::collections::VecDeque::from([node]);
    std::iter::from_fn(move || {
        let node = pending.pop_front()?;
        for producer in graph.reads(node).filter_map(|input| graph.producer(input)) {
            if seen.insert(std::ptr::from_ref::<NodeProto>(producer)) {
                pending.push_back(producer);
            }
        }
        Some(node)
    })
    .skip(1)
    .take(most)
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" }
}
