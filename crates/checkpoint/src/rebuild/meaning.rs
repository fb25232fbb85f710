//! What the calls in a pickle would make.

use super::numpy;
use crate::error::FileError;
use crate::pickle::{Object, Pickle, Value, harmful, inert};

/// The most calls around a tensor, such as `_rebuild_parameter`, that are looked through.
const MAX_WRAPPERS: usize = 4;

/// What a value stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning<'p> {
    /// A PyTorch tensor. Holds the arguments of `_rebuild_tensor` or `_rebuild_tensor_v2`.
    Torch(&'p [Value]),
    /// A NumPy array.
    Array(numpy::Array),
    /// A tensor of a kind that is not read, such as a sparse one. Holds the function that makes it.
    Special(&'p str),
    /// No tensor.
    Other,
    /// The result of an unknown function. Holds the names of its module and of the function.
    Unknown(&'p str, &'p str),
}

/// Returns what `value` stands for, without the calls that wrap it.
pub(crate) fn meaning<'a>(pickle: &'a Pickle<'a>, mut value: Value) -> Meaning<'a> {
    for _ in 0..MAX_WRAPPERS {
        let Some(call) = pickle.call(value) else {
            return Meaning::Other;
        };
        let mut function = call.function;
        let mut arguments = pickle.tuple(call.arguments).unwrap_or_default();
        if let Some(("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2")) =
            called(pickle, function)
            && let [inner, _type, inner_arguments, ..] = *arguments
        {
            function = inner;
            arguments = pickle.tuple(inner_arguments).unwrap_or_default();
        }
        value = match called(pickle, function) {
            Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) => {
                arguments.first().copied().unwrap_or(Value::None)
            }
            Some(("builtins" | "__builtin__", "tuple")) => match named_array(pickle, call.arguments) {
                Some(array) => array,
                None => return Meaning::Other,
            },
            Some(("builtins" | "__builtin__", "eval")) => {
                evaluated_array(pickle, call.arguments).unwrap_or(Value::None)
            }
            Some(("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2")) => {
                return Meaning::Torch(arguments);
            }
            Some(("torch._utils", name)) if name.starts_with("_rebuild_") => {
                return Meaning::Special(name);
            }
            Some((module, name)) => {
                if let Some(array) = numpy::array(pickle, module, name, call) {
                    return Meaning::Array(array);
                }
                return if inert(module, name) { Meaning::Other } else { Meaning::Unknown(module, name) };
            }
            None => return Meaning::Other,
        };
    }
    Meaning::Other
}

/// Refuses a pickle that names a harmful class or function, wherever the name stands.
pub(crate) fn refuse_harmful(pickle: &Pickle<'_>) -> Result<(), FileError> {
    for object in pickle.objects() {
        let global = match object {
            &Object::Global { module, name } => {
                (pickle.name(Value::Text(module)), pickle.name(Value::Text(name)))
            }
            _ => continue,
        };
        match global {
            // Paddle writes arrays with `eval`. The second loop refuses any other use of it.
            (Some("builtins" | "__builtin__"), Some("eval")) => {}
            (Some(module), Some(name)) if !harmful(module, name) => {}
            (module, name) => {
                let [module, name] = [module, name].map(|part| part.unwrap_or("?"));
                return Err(FileError::Forbidden(format!("{module}.{name}")));
            }
        }
    }
    for object in pickle.objects() {
        if let Object::Call(call) = object
            && let Some((module, name @ "eval")) = pickle.global(call.function)
            && evaluated_array(pickle, call.arguments).is_none()
        {
            return Err(FileError::Forbidden(format!("{module}.{name}")));
        }
    }
    Ok(())
}

/// Returns module and name of a called function. Old PyTorch files refer to the classes of modules by persistent ids.
fn called<'a>(pickle: &Pickle<'a>, value: Value) -> Option<(&'a str, &'a str)> {
    let Some(id) = pickle.persistent(value) else {
        return pickle.global(value);
    };
    match *pickle.tuple(id)? {
        [tag, class, ..] if pickle.name(tag) == Some("module") => pickle.global(class),
        _ => None,
    }
}

/// Returns the array in the arguments of Paddle's `tuple((name, array))`.
fn named_array(pickle: &Pickle<'_>, arguments: Value) -> Option<Value> {
    let &[pair] = pickle.tuple(arguments)? else { return None };
    match *pickle.tuple(pair)? {
        [_name, array] => Some(array),
        _ => None,
    }
}

/// Returns the array in the arguments of Paddle's `eval('data', {'data': array})`.
fn evaluated_array(pickle: &Pickle<'_>, arguments: Value) -> Option<Value> {
    let &[code, variables] = pickle.tuple(arguments)? else { return None };
    let Object::Dict(variables) = pickle.object(variables)? else { return None };
    match variables[..] {
        [(name, array)] if [code, name].map(|v| pickle.name(v)) == [Some("data"); 2] => Some(array),
        _ => None,
    }
}
