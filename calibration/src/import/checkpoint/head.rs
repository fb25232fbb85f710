//! The classifier of a checkpoint, wherever a training program has put it.

use resnext_checkpoint::{StoredTensor, TensorFile};

use super::schemes::LinearKeys;

/// Names that libraries and training programs give a classifier.
const NAMES: [&str; 10] = [
    "fc",
    "head.fc",
    "head",
    "classifier",
    "last_linear",
    "linear",
    "cls_head.fc",
    "classifier.fc",
    "out",
    "logits",
];

/// Parts of names of layers that give features and not logits.
const EMBEDS: [&str; 6] = ["proj", "embed", "feat", "neck", "contrast", "hash"];

/// A classifier that was found.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) keys: LinearKeys,
    /// The module, if it has no usual name because it is part of a sequence, such as dropout and a linear layer: `fc.1`.
    pub(super) sequence: Option<String>,
}

/// Why there is no classifier.
#[derive(Debug)]
pub(super) enum NoHead {
    /// There is no tensor that could be one.
    Missing,
    /// There are several layers; these are their weights.
    Several(Vec<String>),
}

/// Finds the classifier of `features` features. `keys` are the names that the library gives it; if they are not there, it may be a
/// sequence of modules, or have another usual name under one of the modules around the network.
///
/// Failing that, it is the only layer among the tensors that are `left` once the stages are read.
pub(super) fn find(
    file: &TensorFile,
    keys: LinearKeys,
    features: usize,
    left: &[&str],
) -> Result<Head, NoHead> {
    if file.get(&keys.weight).is_some() {
        return Ok(Head { keys, sequence: None });
    }
    let module = keys.weight.strip_suffix(".weight").unwrap_or(&keys.weight);
    let mut candidates = layers(file, module);
    if candidates.is_empty() {
        candidates = after(file, module);
    }
    if candidates.is_empty() {
        // `model.backbone.` → `model.backbone.`, `model.`, and the top.
        let mut prefix = module.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        loop {
            let dot = if prefix.is_empty() { "" } else { "." };
            for name in NAMES {
                let module = format!("{prefix}{dot}{name}");
                if file.get(&format!("{module}.weight")).is_some() {
                    candidates.push(module);
                } else {
                    candidates.extend(layers(file, &module));
                }
            }
            if !candidates.is_empty() || prefix.is_empty() {
                break;
            }
            prefix = prefix.rsplit_once('.').map_or("", |(prefix, _)| prefix);
        }
        candidates.dedup();
    }
    if candidates.is_empty() {
        let layers = left.iter().filter_map(|name| name.strip_suffix(".weight"));
        candidates = layers.map(str::to_owned).collect();
        if let [only] = candidates.as_slice()
            && EMBEDS.iter().any(|part| only.to_ascii_lowercase().contains(part))
        {
            return Err(NoHead::Several(vec![format!("{only}.weight")]));
        }
    }
    match candidates.as_slice() {
        [] => Err(NoHead::Missing),
        [only] if fits(file, only, features) => {
            let last = only.rsplit('.').next().unwrap_or(only);
            let known = last.parse::<usize>().is_err()
                && NAMES.iter().any(|name| only == name || only.ends_with(&format!(".{name}")));
            Ok(Head {
                keys: LinearKeys {
                    weight: format!("{only}.weight"),
                    bias: format!("{only}.bias"),
                    transposed: keys.transposed,
                },
                sequence: (!known).then(|| only.clone()),
            })
        }
        several => Err(NoHead::Several(several.iter().map(|module| format!("{module}.weight")).collect())),
    }
}

/// Returns what follows in a sequence that the network is, or that it is part of. In the first, its children have numbers, and
/// after the four stages come a pooling and perhaps a flattening; in the second, the next module is the classifier.
fn after(file: &TensorFile, module: &str) -> Vec<String> {
    let prefix = module.rsplit_once('.').map_or("", |(prefix, _)| prefix);
    let dot = if prefix.is_empty() { "" } else { "." };
    let has = |module: &String| file.get(&format!("{module}.weight")).is_some();
    let inside: Vec<String> = (8..=10).map(|number| format!("{prefix}{dot}{number}")).filter(has).collect();
    let (outer, last) = prefix.rsplit_once('.').map_or(("", prefix), |(outer, last)| (outer, last));
    match last.parse::<usize>() {
        _ if !inside.is_empty() => inside,
        Ok(number) => {
            let dot = if outer.is_empty() { "" } else { "." };
            let next = format!("{outer}{dot}{}", number.saturating_add(1));
            if has(&next) { vec![next] } else { layers(file, &next) }
        }
        Err(_) => Vec::new(),
    }
}

/// Returns the numbered modules of the sequence `module` that have weights.
fn layers(file: &TensorFile, module: &str) -> Vec<String> {
    let numbered = |name: &str| {
        let number = name.strip_prefix(module)?.strip_prefix('.')?.strip_suffix(".weight")?;
        number.parse::<usize>().ok()?;
        Some(format!("{module}.{number}"))
    };
    file.names().filter_map(numbered).collect()
}

/// Whether the layer `module` reads `features` features, and is all that its parent has.
fn fits(file: &TensorFile, module: &str, features: usize) -> bool {
    let shape = file.get(&format!("{module}.weight")).map(|entry| matrix(&entry.shape));
    matches!(shape, Some(Some(shape)) if shape.contains(&features))
}

/// Returns the shape of a matrix; that of a 1×1 convolution is `[classes, features, 1, 1]`.
pub(super) fn matrix(shape: &[usize]) -> Option<[usize; 2]> {
    match *shape {
        [rows, columns] | [rows, columns, 1, 1] => Some([rows, columns]),
        _ => None,
    }
}

/// Returns the weight of a 1×1 convolution as a matrix; a matrix stays as it is.
pub(super) fn as_matrix(tensor: StoredTensor) -> StoredTensor {
    match matrix(tensor.shape()) {
        Some(shape) if tensor.shape().len() > 2 => tensor.clone().reshaped(&shape).unwrap_or(tensor),
        _ => tensor,
    }
}
