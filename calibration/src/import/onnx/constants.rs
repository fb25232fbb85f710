//! The constants of a graph, wherever they are.

use std::borrow::Cow;
use std::collections::HashMap;

use resnext_checkpoint::StoredTensor;
use tract_onnx::pb::{NodeProto, TensorProto};

use super::attributes::{Attributes, location};
use super::tensors::Files;
use crate::import::error::ImportErrorKind;

/// The constants of a graph, wherever they are.
pub(super) struct Constants<'c, 'a> {
    pub(super) files: &'c Files,
    pub(super) tensors: &'c HashMap<&'a str, Cow<'a, TensorProto>>,
    pub(super) aliases: &'c HashMap<&'a str, &'a str>,
}

impl<'a> Constants<'_, 'a> {
    /// Returns the constant that `name` stands for.
    pub(super) fn get(&self, name: &'a str) -> Option<&TensorProto> {
        self.tensors.get(resolve(self.aliases, name)).map(|tensor| &**tensor)
    }
}

/// Returns the value that `name` stands for, through any number of `aliases`.
pub(super) fn resolve<'n>(aliases: &HashMap<&str, &'n str>, mut name: &'n str) -> &'n str {
    // A chain in a valid graph is at most this long; in an invalid graph it may be a loop.
    for _ in 0..aliases.len() {
        match aliases.get(name) {
            Some(source) => name = source,
            None => break,
        }
    }
    name
}

/// How many views may stand on each other. Exporters write two at most.
const MAX_VIEWS: usize = 8;

/// The most dimensions of a constant that is moved. It bounds the work that a file can ask for.
const MAX_RANK: usize = 16;

/// A constant that is another one in another order or shape, which exporters leave to be computed.
pub(super) struct ConstantView<'a> {
    /// The other constant.
    pub(super) source: &'a str,
    node: &'a NodeProto,
    depth: usize,
}

impl<'a> ConstantView<'a> {
    /// Makes the view that `node` is of `source`, which may itself be a `view`; `None` if `node` computes something else.
    pub(super) fn new(node: &'a NodeProto, source: &'a str, view: Option<&Self>) -> Option<Self> {
        let depth = view.map_or(0, |view| view.depth + 1);
        let moves =
            ["Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"].contains(&node.op_type.as_str());
        (moves && depth < MAX_VIEWS).then_some(Self { source, node, depth })
    }

    /// Returns the tensor, made from the `source`. `ints` reads the shapes and axes that the node has as inputs.
    pub(super) fn apply(
        &self,
        source: StoredTensor,
        ints: impl Fn(&'a str) -> Option<Vec<i64>>,
    ) -> Result<StoredTensor, ImportErrorKind> {
        let shape = source.shape().to_vec();
        self.moved(source, ints).ok_or_else(|| {
            ImportErrorKind::layer(
                location(self.node),
                format!("it does not fit a constant of shape {shape:?}"),
                "export the model again, or fold its constants (onnxsim)",
            )
        })
    }

    fn moved(
        &self,
        source: StoredTensor,
        ints: impl Fn(&'a str) -> Option<Vec<i64>>,
    ) -> Option<StoredTensor> {
        let attributes = Attributes::new(self.node, &["perm", "axes", "axis", "allowzero"]).ok()?;
        let shape = source.shape().to_vec();
        let rank = shape.len();
        let second = || ints(self.node.input.get(1)?);
        // An axis of a tensor of `rank` dimensions.
        let axis = |axis: i64, rank: usize| {
            let counted = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
            usize::try_from(counted).ok()
        };
        match self.node.op_type.as_str() {
            "Transpose" if rank <= MAX_RANK => {
                let reversed = || (0..rank).rev().collect();
                let order: Vec<usize> = match attributes.ints("perm").ok()? {
                    Some(perm) => perm.iter().map(|&from| axis(from, rank)).collect::<Option<_>>()?,
                    None => reversed(),
                };
                source.permuted(&order)
            }
            "Reshape" => {
                let target = second()?;
                let size = |(index, &size): (usize, &i64)| match size {
                    0 => shape.get(index).copied(),
                    -1 => Some(0),
                    size => usize::try_from(size).ok(),
                };
                let mut sizes: Vec<usize> = target.iter().enumerate().map(size).collect::<Option<_>>()?;
                if let Some(open) = target.iter().position(|&size| size == -1) {
                    let known = |(index, &size): (usize, &usize)| if index == open { 1 } else { size };
                    let others = sizes.iter().enumerate().map(known).try_fold(1usize, usize::checked_mul)?;
                    sizes[open] = source.len().checked_div(others)?;
                }
                source.reshaped(&sizes)
            }
            "Flatten" => {
                let at = axis(attributes.int("axis", 1).ok()?, rank)?;
                let (before, after) = shape.split_at_checked(at)?;
                let sizes = [before, after].map(|sizes| sizes.iter().product());
                source.reshaped(&sizes)
            }
            name @ ("Squeeze" | "Unsqueeze") => {
                let axes = attributes.ints("axes").ok()?.map(<[i64]>::to_vec).or_else(second);
                let removes = name == "Squeeze";
                let of = if removes { rank } else { rank + axes.as_ref()?.len() };
                if of > MAX_RANK || axes.as_ref().is_some_and(|axes| axes.len() > MAX_RANK) {
                    return None;
                }
                let axes: Option<Vec<usize>> = match axes {
                    Some(axes) => Some(axes.iter().map(|&at| axis(at, of)).collect::<Option<_>>()?),
                    None => None,
                };
                let mut sizes = Vec::new();
                let mut left = shape.iter();
                for at in 0..of {
                    let chosen = axes.as_ref().map(|axes| axes.contains(&at));
                    if removes {
                        let size = *left.next()?;
                        if !chosen.unwrap_or(size == 1) {
                            sizes.push(size);
                        }
                    } else {
                        sizes.push(if chosen? { 1 } else { *left.next()? });
                    }
                }
                source.reshaped(&sizes)
            }
            _ => None,
        }
    }
}
