//! A network in fp32.

use tract_onnx::pb::tensor_proto::DataType;

use super::proto::{Graph, IMAGE, LOGITS, avg_pool_attributes, int, window_attributes};
use super::tensor::Values;
use crate::network::{Network, Normalisation, Op, Weights};

/// Makes the graph of `network`. A value has the name of its node; the nodes that are fused into a convolution have a suffix.
pub(super) fn graph(network: &Network) -> Graph<'_> {
    let mut graph = Graph::new(network);
    let image =
        network.normalisation.as_ref().map_or(IMAGE, |normalisation| normalise(&mut graph, normalisation));
    let names: Vec<&str> =
        [image].into_iter().chain(network.nodes.iter().map(|node| node.name.as_str())).collect();
    for node in &network.nodes {
        let (name, from) = (node.name.as_str(), names[node.input.0]);
        match &node.op {
            Op::Conv(conv) => {
                assert!(conv.batch_norm.is_none(), "fold batch norms before exporting");
                let kernel = conv.window.kernel;
                let shape = [conv.out_channels, conv.in_channels / conv.groups, kernel, kernel];
                let [weight, bias] = pair(&mut graph, name, &shape, &conv.weight, &conv.bias);
                let residual = conv.residual.map(|value| names[value.0]);
                graph.conv(name, conv, from, [weight.as_deref(), bias.as_deref()], residual, name);
            }
            Op::MaxPool(window) => graph.node("MaxPool", name, &[from], name, window_attributes(*window)),
            Op::AvgPool(window) => {
                graph.node("AveragePool", name, &[from], name, avg_pool_attributes(*window));
            }
            Op::GlobalAvgPool => graph.node("GlobalAveragePool", name, &[from], name, Vec::new()),
            Op::Linear(linear) => {
                let flat = format!("{name}.flat");
                graph.node("Flatten", &flat, &[from], &flat, vec![int("axis", 1)]);
                let shape = [linear.out_features, linear.in_features];
                let tensors = pair(&mut graph, name, &shape, &linear.weight, &linear.bias);
                let tensors = tensors.iter().flatten().map(String::as_str);
                let inputs: Vec<&str> = [flat.as_str()].into_iter().chain(tensors).collect();
                graph.node("Gemm", name, &inputs, LOGITS, vec![int("transB", 1)]);
            }
        }
    }
    graph
}

/// Adds what the file that was imported does with its image, so that the exported file reads the same images. Returns the name of
/// the normalised image.
fn normalise(graph: &mut Graph<'_>, normalisation: &Normalisation) -> &'static str {
    const STEPS: [&str; 2] = ["image.scaled", "image.normalised"];
    let mut from = IMAGE;
    let constants = [("Mul", normalisation.factors), ("Add", normalisation.shifts)];
    for (step, (op, values)) in STEPS.into_iter().zip(constants) {
        let constant = graph.floats(format!("{step}.constant"), &[1, 3, 1, 1], &values);
        graph.node(op, step, &[from, &constant], step, Vec::new());
        from = step;
    }
    from
}

/// Adds the weight and the bias of a layer and returns their names. A layer without bias has none.
fn pair<'a>(
    graph: &mut Graph<'a>,
    name: &str,
    shape: &[usize],
    weight: &'a Weights,
    bias: &[f32],
) -> [Option<String>; 2] {
    let weight = graph.tensor(format!("{name}.weight"), shape, DataType::Float, Values::Weights(weight));
    let bias = (!bias.is_empty()).then(|| graph.floats(format!("{name}.bias"), &shape[..1], bias));
    [Some(weight), bias]
}
