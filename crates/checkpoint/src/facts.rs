//! What a pickle says beside its tensors: the names of networks, the options of the program that trained them.

use std::collections::{HashSet, VecDeque};

use crate::pickle::{Pickle, Value};
use crate::rebuild::{Meaning, meaning};
use crate::state_dict::is_weights;

/// How many values are looked at. The shallow ones come first; no file needs more.
const MAX_VISITED: usize = 4096;
/// How many facts are kept.
const MAX_FACTS: usize = 512;
/// How deep they may be nested.
const MAX_DEPTH: usize = 6;
/// Bytes of the longest text. OpenMMLab saves whole configuration files.
const MAX_TEXT: usize = 1 << 16;
/// Bytes of all texts together. Many facts may share one text of the file.
const MAX_TOTAL: usize = 1 << 20;

/// Lists the texts, numbers and names of classes in a pickle under their dotted keys, the shallow ones first. Dictionaries of
/// weights are left out.
pub(crate) fn facts(pickle: &Pickle<'_>) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut left = MAX_TOTAL;
    let mut seen = HashSet::new();
    let mut pending = VecDeque::from([(String::new(), pickle.root, 0)]);
    for _ in 0..MAX_VISITED {
        let Some((path, value, depth)) = pending.pop_front() else { break };
        if let Value::Object(id) = value
            && !seen.insert(id)
        {
            continue;
        }
        if let Some(text) = text(pickle, value).filter(|_| !path.is_empty()) {
            let Some(rest) = left.checked_sub(text.len() + path.len()) else { break };
            left = rest;
            facts.push((path.clone(), text));
        }
        if facts.len() == MAX_FACTS {
            break;
        }
        if depth < MAX_DEPTH && !is_weights(pickle, value) {
            for (key, value) in children(pickle, value) {
                if pending.len() < MAX_VISITED {
                    let dot = if path.is_empty() { "" } else { "." };
                    pending.push_back((format!("{path}{dot}{key}"), value, depth + 1));
                }
            }
        }
    }
    facts
}

/// Returns a value that can be written in a line; the name of its class stands for an object.
fn text(pickle: &Pickle<'_>, value: Value) -> Option<String> {
    match value {
        Value::Text(span) | Value::Bytes(span) if span.len <= MAX_TEXT => {
            std::str::from_utf8(pickle.bytes(span)).ok().map(str::to_owned)
        }
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => {
            let class = pickle.global(value).or_else(|| match meaning(pickle, value) {
                Meaning::Unknown(module, name) => Some((module, name)),
                _ => None,
            });
            class.map(|(module, name)| format!("{module}.{name}"))
        }
    }
}

/// Returns the values inside `value` with their keys: of a dictionary, of the attributes of an object, of a short list.
fn children<'a>(pickle: &Pickle<'a>, value: Value) -> Vec<(String, Value)> {
    let named = |pairs: Vec<(Value, Value)>| -> Vec<(String, Value)> {
        pairs.into_iter().filter_map(|(key, value)| Some((pickle.name(key)?.to_owned(), value))).collect()
    };
    if let Some(pairs) = pickle.pairs(value) {
        return named(pairs);
    }
    if let Some(items) = pickle.sequence(value) {
        return items.iter().take(16).enumerate().map(|(index, &item)| (index.to_string(), item)).collect();
    }
    let Some(call) = pickle.call(value) else { return Vec::new() };
    let attributes = call.state.and_then(|state| pickle.pairs(state)).unwrap_or_default();
    named(attributes.into_iter().chain(call.pairs.iter().copied()).collect())
}
