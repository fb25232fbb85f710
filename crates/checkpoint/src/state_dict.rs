//! Finds the weights in what a training program saved.

use std::collections::HashMap;

use crate::error::{FileError, no_such_weights};
use crate::facts::facts;
use crate::pickle::{Pickle, Value};
use crate::rebuild::{Meaning, TensorBuilder, entry, meaning, refuse_harmful};
use crate::tensor_file::{Choice, TensorFile};

/// Keys under which training programs keep averaged weights, best first: timm, torchvision, and those who write their own.
const AVERAGED_KEYS: [&str; 3] = ["state_dict_ema", "model_ema", "ema"];

/// Keys under which they keep plain weights: timm and OpenMMLab, PyTorch's tutorials, torchvision. mmengine's `state_dict` is the
/// averaged one, if it also writes `ema_state_dict`.
const PLAIN_KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// How deep the keys may be nested.
const MAX_DEPTH: usize = 6;

/// How many values the search for a nested dictionary looks at. No file needs more.
const MAX_VISITED: usize = 4096;

/// Prefixes that DataParallel and `torch.compile` put before every name.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// A tensor that PyTorch's AveragedModel keeps beside the weights.
const AVERAGED: &str = "n_averaged";

/// The key under which Paddle lists tensors of more than 1 GiB, which it slices for protocols 2 and 3. The largest tensor
/// of any ResNeXt has 170 MB.
const SLICED: &str = "UnpackBigParamInfor@@";

/// Lists the tensors of the weights in a pickle, or of those under `key`, and ignores what stands beside them.
pub(crate) fn read(mut builder: TensorBuilder<'_>, key: Option<&str>) -> Result<TensorFile, FileError> {
    let pickle = builder.pickle;
    refuse_harmful(pickle)?;
    let Found { pairs, choice, key } = find(pickle, key)?;
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
    (file.choice, file.facts) = (choice, facts(pickle));
    tensors.into_iter().for_each(|(name, entry)| file.insert(name.to_owned(), entry));
    let hooked = take_hooked(&mut file, key == Some(HOOKED));
    match key {
        Some(key) if !(hooked && key == HOOKED || file.select(key)) => Err(no_such_weights(key, &file)),
        _ => Ok(file),
    }
}

/// The key that stands for the tensors of mmcv's EMAHook.
const HOOKED: &str = "ema";

/// Takes out what mmcv's EMAHook keeps beside the tensors of a network: `ema_a_b` for `a.b`. If they are `wanted`, they replace
/// those. Returns whether there are any.
fn take_hooked(file: &mut TensorFile, wanted: bool) -> bool {
    let beside = |name: &str| format!("{HOOKED}_{}", name.replace('.', "_"));
    let plain: HashMap<String, String> = file.names().map(|name| (beside(name), name.to_owned())).collect();
    let any = file.names().any(|name| plain.contains_key(name));
    if any {
        let (hooked, others): (Vec<_>, Vec<_>) =
            file.take().into_iter().partition(|(name, _)| plain.contains_key(name));
        others.into_iter().for_each(|(name, entry)| file.insert(name, entry));
        for (name, entry) in hooked.into_iter().filter(|_| wanted) {
            file.insert(plain[&name].clone(), entry);
        }
    }
    if any && wanted {
        let before = std::mem::replace(&mut file.choice.taken, HOOKED.to_owned());
        file.choice.others.extend(Some(before).filter(|key| !key.is_empty()));
    } else if any {
        file.choice.others.push(HOOKED.to_owned());
    }
    any
}

/// A dictionary of weights.
struct Found<'k> {
    pairs: Vec<(Value, Value)>,
    choice: Choice,
    /// The key that was asked for, if it is no key of a dictionary.
    key: Option<&'k str>,
}

/// Finds the dictionary of weights, or that under the key `wanted`.
fn find<'k>(pickle: &Pickle<'_>, mut wanted: Option<&'k str>) -> Result<Found<'k>, FileError> {
    let mut value = pickle.root;
    let mut choice = Choice::default();
    for _ in 0..MAX_DEPTH {
        let Some(pairs) = pickle.pairs(value) else {
            return Err(no_dictionary(pickle, value));
        };
        // The last pair of a key counts, as in Python.
        let last = |wanted: &&str| {
            pairs.iter().rev().find(|(key, _)| pickle.name(*key) == Some(*wanted)).map(|&(_, value)| value)
        };
        let (key, inner) = if let Some(key) = wanted
            && let Some(inner) = last(&key)
        {
            wanted = None;
            if let Some(class) = module_class(pickle, inner) {
                return Err(whole_model(&class));
            }
            (key, inner)
        } else if let Some(found) = usual(pickle, &pairs) {
            found
        } else if let Some(class) =
            AVERAGED_KEYS.iter().chain(&PLAIN_KEYS).filter_map(last).find_map(|v| module_class(pickle, v))
        {
            return Err(whole_model(&class));
        } else if pairs.iter().any(|&(_, value)| is_tensor(pickle, value)) {
            return Ok(Found { pairs, choice, key: wanted });
        } else {
            let mut found = holding(pickle, &pairs);
            if found.is_empty() {
                let mut budget = MAX_VISITED;
                let leading =
                    pairs.iter().filter(|&&(_, value)| leads(pickle, value, MAX_DEPTH, &mut budget));
                found = leading.filter_map(|&(key, value)| Some((pickle.name(key)?, value))).collect();
            }
            match found[..] {
                // What is unknown may be a tensor; reading it will tell.
                [] if pairs
                    .iter()
                    .any(|&(_, value)| matches!(meaning(pickle, value), Meaning::Unknown(..))) =>
                {
                    return Ok(Found { pairs, choice, key: wanted });
                }
                [] => return Err(no_tensors(pickle, &pairs)),
                [only] => only,
                ref several => {
                    let keys = several.iter().map(|&(key, _)| key.to_owned()).collect();
                    return Err(FileError::SeveralWeights(keys));
                }
            }
        };
        let others = holding(pickle, &pairs).into_iter().map(|(key, _)| key).filter(|other| *other != key);
        choice.others.extend(others.map(str::to_owned));
        choice.taken = key.to_owned();
        value = inner;
    }
    Err(FileError::other("its weights are nested too deeply", "save model.state_dict() by itself"))
}

/// Returns the value of the first of the usual keys that holds a dictionary, with its key. Averages of parameters alone, without the
/// statistics of batch norms, make no network, so they are passed over.
fn usual<'p>(pickle: &Pickle<'p>, pairs: &[(Value, Value)]) -> Option<(&'p str, Value)> {
    let find = |wanted: &&str| {
        let pair = pairs.iter().rev().find(|(key, _)| pickle.name(*key) == Some(*wanted))?;
        let len = pickle.pairs(pair.1)?.len();
        (len > 0).then_some((pickle.name(pair.0)?, pair.1, len))
    };
    let plain = PLAIN_KEYS.iter().find_map(find);
    let least = plain.map_or(1, |(_, _, len)| len);
    let averaged = AVERAGED_KEYS.iter().filter_map(find).find(|&(_, _, len)| len >= least);
    averaged.or(plain).map(|(key, value, _)| (key, value))
}

/// Returns the keys that hold weights, each once, with their values.
fn holding<'p>(pickle: &Pickle<'p>, pairs: &[(Value, Value)]) -> Vec<(&'p str, Value)> {
    let mut found: Vec<(&str, Value)> = Vec::new();
    for &(key, value) in pairs {
        let Some(key) = pickle.name(key) else { continue };
        found.retain(|&(other, _)| other != key);
        if is_weights(pickle, value) {
            found.push((key, value));
        }
    }
    found
}

/// Whether `value` is a dictionary that names a tensor as the weights of layers are named.
pub(crate) fn is_weights(pickle: &Pickle<'_>, value: Value) -> bool {
    let is_weight = |&(key, value): &(Value, Value)| {
        pickle.name(key).is_some_and(|name| name.ends_with("weight") || name.ends_with("weights"))
            && is_tensor(pickle, value)
    };
    pickle.pairs(value).is_some_and(|pairs| pairs.iter().any(is_weight))
}

/// Whether `value` is a dictionary of weights, or has one in it, at most `depth` dictionaries deep.
fn leads(pickle: &Pickle<'_>, value: Value, depth: usize, budget: &mut usize) -> bool {
    if depth == 0 || *budget == 0 {
        return false;
    }
    *budget -= 1;
    let inside = |budget: &mut usize| {
        pickle.pairs(value).is_some_and(|pairs| {
            pairs
                .iter()
                .any(|&(_, value)| pickle.pairs(value).is_some() && leads(pickle, value, depth - 1, budget))
        })
    };
    is_weights(pickle, value) || inside(budget)
}

fn is_tensor(pickle: &Pickle<'_>, value: Value) -> bool {
    matches!(meaning(pickle, value), Meaning::Torch(_) | Meaning::Array(_) | Meaning::Special(_))
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
            PLAIN_KEYS.map(|key| format!("`{key}`")).join(", ")
        ),
    )
}
