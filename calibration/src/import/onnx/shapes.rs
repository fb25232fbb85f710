//! Shapes that a graph computes from the sizes of its values, as `x.view(x.size(0), -1)` becomes.

use std::collections::HashMap;

use super::attributes::Attributes;
use super::graph::Graph;

/// The most nodes that one shape may be computed from. Exporters write about ten.
const MAX_SHAPE_NODES: usize = 64;

/// The sizes of values, of which that of the batch is [`BATCH`](super::layout::BATCH).
pub(super) type Sizes<'a> = HashMap<&'a str, Vec<i64>>;

/// Returns the shape `name`: a constant, or computed from the `sizes` of values; `None` if it is computed in another way.
pub(super) fn evaluate<'a>(graph: &Graph<'a>, sizes: &Sizes<'a>, name: &'a str) -> Option<Vec<i64>> {
    let mut left = MAX_SHAPE_NODES;
    step(graph, sizes, name, &mut left)
}

fn step<'a>(graph: &Graph<'a>, sizes: &Sizes<'a>, name: &'a str, left: &mut usize) -> Option<Vec<i64>> {
    *left = left.checked_sub(1)?;
    if let Some(constant) = graph.ints(name) {
        return Some(constant);
    }
    let node = graph.producer(graph.resolve(name))?;
    let input = |index: usize| node.input.get(index).map(String::as_str);
    let ends = |from: i64, to: i64, len: usize| {
        let len = i64::try_from(len).ok()?;
        let bound =
            |at: i64| usize::try_from(if at < 0 { at.saturating_add(len).max(0) } else { at.min(len) }).ok();
        let (from, to) = (bound(from)?, bound(to)?);
        Some(from..to.max(from))
    };
    match node.op_type.as_str() {
        "Shape" => {
            let all = sizes.get(graph.resolve(input(0)?))?;
            let attributes = Attributes::new(node, &["start", "end"]).ok()?;
            let range =
                ends(attributes.int("start", 0).ok()?, attributes.int("end", i64::MAX).ok()?, all.len())?;
            all.get(range).map(<[i64]>::to_vec)
        }
        "Gather" => {
            let all = step(graph, sizes, input(0)?, left)?;
            let index = |at: i64| all.get(ends(at, i64::MAX, all.len())?.start).copied();
            graph.ints(input(1)?)?.into_iter().map(index).collect()
        }
        "Slice" => {
            let all = step(graph, sizes, input(0)?, left)?;
            let only = |index: usize, default: i64| match input(index) {
                None | Some("") => Some(default),
                Some(name) => graph.ints(name)?.first().copied(),
            };
            if only(4, 1)? != 1 {
                return None;
            }
            all.get(ends(only(1, 0)?, only(2, i64::MAX)?, all.len())?).map(<[i64]>::to_vec)
        }
        "Concat" => {
            let mut all = Vec::new();
            for part in &node.input {
                all.append(&mut step(graph, sizes, part, left)?);
            }
            Some(all)
        }
        "Unsqueeze" | "Squeeze" | "Cast" | "Reshape" => step(graph, sizes, input(0)?, left),
        _ => None,
    }
}
