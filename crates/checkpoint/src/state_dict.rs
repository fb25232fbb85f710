//! Finds the weights in what a training program saved.

use crate::error::FileError;
use crate::pickle::{Pickle, Value};
use crate::rebuild::{Meaning, TensorBuilder, entry, meaning, refuse_harmful};
use crate::tensor_file::TensorFile;

/// Keys under which training programs keep weights, best first: the averaged weights of timm and of torchvision, then the
/// plain weights of timm and OpenMMLab, of PyTorch's tutorials, and of torchvision.
const KEYS: [&str; 5] = ["state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model"];

/// How deep the keys may be nested.
const MAX_DEPTH: usize = 4;

/// Prefixes that DataParallel and `torch.compile` put before every name.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// A tensor that PyTorch's AveragedModel keeps beside the weights.
const AVERAGED: &str = "n_averaged";

/// The key under which Paddle lists tensors of more than 1 GiB, which it slices for protocols 2 and 3. The largest tensor
/// of any ResNeXt has 170 MB.
const SLICED: &str = "UnpackBigParamInfor@@";

/// Lists the tensors of the weights in a pickle and ignores what stands beside them.
pub(crate) fn read(mut builder: TensorBuilder<'_>) -> Result<TensorFile, FileError> {
    let pickle = builder.pickle;
    refuse_harmful(pickle)?;
    let pairs = find(pickle)?;
    let mut tensors = Vec::new();
    for (key, value) in pairs {
        let Some(name) = pickle.name(key) else { continue };
        if name == SLICED {
            return Err(FileError::other(
                "it holds tensors cut into slices",
                "load it with paddle.load and save it with protocol=4",
            ));
        }
        if let Some(entry) = entry(&mut builder, name, value)? {
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

/// Returns the pairs of the dictionary of weights.
fn find(pickle: &Pickle<'_>) -> Result<Vec<(Value, Value)>, FileError> {
    let mut value = pickle.root;
    for _ in 0..MAX_DEPTH {
        let Some(pairs) = pickle.pairs(value) else {
            return Err(no_dictionary(pickle, value));
        };
        // The last pair of a key counts, as in Python.
        let last = |wanted: &&str| {
            pairs.iter().rev().find(|(key, _)| pickle.name(*key) == Some(*wanted)).map(|&(_, value)| value)
        };
        let filled = |value: &Value| pickle.pairs(*value).is_some_and(|pairs| !pairs.is_empty());
        if let Some(inner) = KEYS.iter().filter_map(last).find(filled) {
            value = inner;
        } else if let Some(class) = KEYS.iter().filter_map(last).find_map(|value| module_class(pickle, value))
        {
            return Err(whole_model(&class));
        } else if pairs.iter().all(|&(_, value)| matches!(meaning(pickle, value), Meaning::Other)) {
            return Err(no_tensors(pickle, &pairs));
        } else {
            return Ok(pairs);
        }
    }
    Err(FileError::other("its weights are nested too deeply", "save model.state_dict() by itself"))
}

/// Returns the class of `value` if it is an instance of `torch.nn.Module`.
fn module_class(pickle: &Pickle<'_>, value: Value) -> Option<String> {
    let Meaning::Unknown(module, name) = meaning(pickle, value) else { return None };
    let state = pickle.pairs(pickle.call(value)?.state?)?;
    let has_modules = state.iter().any(|&(key, _)| pickle.name(key) == Some("_modules"));
    has_modules.then(|| format!("{module}.{name}"))
}

/// Returns the error for a pickled model.
fn whole_model(class: &str) -> FileError {
    FileError::other(
        format!("it holds a whole model ({}), which only its Python code can build", class.escape_debug()),
        "load it where you trust it and save model.state_dict()",
    )
}

/// Returns the error for a pickle that holds `value` instead of a dictionary.
fn no_dictionary(pickle: &Pickle<'_>, value: Value) -> FileError {
    match (module_class(pickle, value), meaning(pickle, value)) {
        (Some(class), _) => whole_model(&class),
        (None, Meaning::Unknown(module, name)) => FileError::Forbidden(format!("{module}.{name}")),
        (None, _) => FileError::other("it holds no dictionary of weights", "save model.state_dict()"),
    }
}

/// Returns the error for a dictionary without weights.
fn no_tensors(pickle: &Pickle<'_>, pairs: &[(Value, Value)]) -> FileError {
    let names = pairs.iter().filter_map(|&(key, _)| pickle.name(key)).take(4);
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
