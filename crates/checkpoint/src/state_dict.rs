//! Where in a pickle the weights are.

use crate::FileError;
use crate::pickle::Value;
use crate::rebuild::{Meaning, Rebuilder};
use crate::tensor::TensorFile;

/// Keys under which training programs keep weights, best first: timm's averaged weights, torchvision's, then
/// the plain ones of timm and OpenMMLab, of PyTorch's tutorials, and of torchvision.
const KEYS: [&str; 5] = ["state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model"];

/// How many of these may be nested.
const MAX_DEPTH: usize = 4;

/// What DataParallel and `torch.compile` put before every name.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// What PyTorch's AveragedModel keeps besides the weights.
const AVERAGED: &str = "n_averaged";

/// The key under which Paddle notes tensors of more than 1 GiB, which protocols 2 and 3 made it cut into
/// slices. The largest tensor of any ResNeXt has 170 MB.
const SLICED: &str = "UnpackBigParamInfor@@";

/// Finds the weights and lists their tensors. Whatever else stands beside them is left out.
pub(crate) fn read(mut from: Rebuilder<'_>) -> Result<TensorFile, FileError> {
    from.expect_harmless()?;
    let pairs = find(&from)?;
    let mut tensors = Vec::new();
    for (key, value) in pairs {
        let Some(name) = from.pickle.name(key) else { continue };
        if name == SLICED {
            return Err(FileError::other(
                "it holds tensors cut into slices",
                "load it with paddle.load and save it with protocol=4",
            ));
        }
        if let Some(entry) = from.entry(name, value)? {
            tensors.push((name, entry));
        }
    }
    while let Some(prefix) = PREFIXES.iter().find(|prefix| {
        tensors.iter().all(|(name, _)| name.starts_with(**prefix) || *name == AVERAGED)
            && tensors.iter().any(|(name, _)| name.starts_with(**prefix))
    }) {
        tensors.retain(|(name, _)| *name != AVERAGED);
        tensors.iter_mut().for_each(|(name, _)| *name = &name[prefix.len()..]);
    }
    let mut file = TensorFile::default();
    tensors.into_iter().for_each(|(name, entry)| file.insert(name.to_owned(), entry));
    Ok(file)
}

/// The pairs of the dictionary of weights.
fn find(from: &Rebuilder<'_>) -> Result<Vec<(Value, Value)>, FileError> {
    let mut value = from.pickle.root;
    for _ in 0..MAX_DEPTH {
        let Some(pairs) = from.pickle.pairs(value) else {
            return Err(no_dictionary(from, value));
        };
        // The last of a key counts, as in Python.
        let last = |wanted: &&str| {
            pairs
                .iter()
                .rev()
                .find(|(key, _)| from.pickle.name(*key) == Some(*wanted))
                .map(|&(_, value)| value)
        };
        let filled = |value: &Value| from.pickle.pairs(*value).is_some_and(|pairs| !pairs.is_empty());
        if let Some(inner) = KEYS.iter().filter_map(last).find(filled) {
            value = inner;
        } else if let Some(class) = KEYS.iter().filter_map(last).find_map(|value| module(from, value)) {
            return Err(whole_model(&class));
        } else if pairs.iter().all(|&(_, value)| matches!(from.meaning(value), Meaning::Other)) {
            return Err(no_tensors(from, &pairs));
        } else {
            return Ok(pairs);
        }
    }
    Err(FileError::other("its weights are nested too deeply", "save model.state_dict() by itself"))
}

/// The class of `value` if it is an instance of `torch.nn.Module`.
fn module(from: &Rebuilder<'_>, value: Value) -> Option<String> {
    let Meaning::Unknown(module, name) = from.meaning(value) else { return None };
    let state = from.pickle.pairs(from.pickle.call(value)?.state?)?;
    let has_modules = state.iter().any(|&(key, _)| from.pickle.name(key) == Some("_modules"));
    has_modules.then(|| format!("{module}.{name}"))
}

fn whole_model(class: &str) -> FileError {
    FileError::other(
        format!("it holds a whole model ({}), which only its Python code can build", class.escape_debug()),
        "load it where you trust it and save model.state_dict()",
    )
}

fn no_dictionary(from: &Rebuilder<'_>, value: Value) -> FileError {
    match (module(from, value), from.meaning(value)) {
        (Some(class), _) => whole_model(&class),
        (None, Meaning::Unknown(module, name)) => FileError::Forbidden(format!("{module}.{name}")),
        (None, _) => FileError::other("it holds no dictionary of weights", "save model.state_dict()"),
    }
}

fn no_tensors(from: &Rebuilder<'_>, pairs: &[(Value, Value)]) -> FileError {
    let names = pairs.iter().filter_map(|&(key, _)| from.pickle.name(key)).take(4);
    let names: Vec<_> = names.map(|name| format!("`{}`", name.escape_debug())).collect();
    let seen = if names.is_empty() { "nothing".into() } else { names.join(", ") };
    FileError::other(
        format!("it holds {seen} but no weights"),
        format!(
            "save model.state_dict(), by itself or under {}",
            KEYS.map(|key| format!("`{key}`")).join(", ")
        ),
    )
}
