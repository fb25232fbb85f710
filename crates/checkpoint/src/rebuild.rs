//! From the calls in a pickle to the tensors that they would make.

mod numpy;

use crate::FileError;
use crate::pickle::{Object, Pickle, Value, harmful, inert};
use crate::pytorch::{self, Storages};
use crate::tensor::{Entry, Source, StoredTensor, View, ViewError};

/// Calls around a tensor, such as `_rebuild_parameter`, that are looked through.
const MAX_WRAPPERS: usize = 4;

/// The most dimensions of a tensor. Sizes may be shared by many tensors, so without a limit a small file
/// could ask for much memory.
const MAX_RANK: usize = 8;

/// How many names may share all arrays of a file that are written as text.
const MAX_SHARED: usize = 4;

/// What a value stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning<'p> {
    /// A PyTorch tensor; the arguments of `_rebuild_tensor` or `_rebuild_tensor_v2`.
    Torch(&'p [Value]),
    /// A NumPy array; see [`numpy::Array`].
    Array(numpy::Array),
    /// A tensor of a kind that is not read; the function that makes it.
    Special(&'p str),
    /// Something else.
    Other,
    /// What a call of an unknown function gives.
    Unknown(&'p str, &'p str),
}

/// Makes the tensors of one pickle.
pub(crate) struct Rebuilder<'a> {
    pub(crate) pickle: &'a Pickle<'a>,
    pub(crate) source: &'a Source,
    /// Where PyTorch's tensors have their elements.
    pub(crate) storages: Storages,
    /// Bytes that may still be checked for being Latin-1. A text belongs to one array, and a few names at
    /// most share an array; only a hostile file would have one text checked a thousand times.
    text: usize,
}

impl<'a> Rebuilder<'a> {
    pub(crate) fn new(pickle: &'a Pickle<'a>, source: &'a Source, storages: Storages) -> Self {
        Self { pickle, source, storages, text: source.bytes().len().saturating_mul(MAX_SHARED) }
    }

    /// Refuses a pickle that names what would do harm, wherever that is.
    pub(crate) fn expect_harmless(&self) -> Result<(), FileError> {
        for object in self.pickle.objects() {
            let global = match object {
                &Object::Global { module, name } => {
                    (self.pickle.name(Value::Text(module)), self.pickle.name(Value::Text(name)))
                }
                _ => continue,
            };
            match global {
                // Paddle's way to write an array; any other use of it is refused below.
                (Some("builtins" | "__builtin__"), Some("eval")) => {}
                (Some(module), Some(name)) if !harmful(module, name) => {}
                (module, name) => {
                    let [module, name] = [module, name].map(|part| part.unwrap_or("?"));
                    return Err(FileError::Forbidden(format!("{module}.{name}")));
                }
            }
        }
        for object in self.pickle.objects() {
            if let Object::Call(call) = object
                && let Some((module, name @ "eval")) = self.pickle.global(call.function)
                && self.evaluated(call.arguments).is_none()
            {
                return Err(FileError::Forbidden(format!("{module}.{name}")));
            }
        }
        Ok(())
    }

    /// What `value` stands for, without whatever wraps it.
    pub(crate) fn meaning(&self, mut value: Value) -> Meaning<'a> {
        for _ in 0..MAX_WRAPPERS {
            let Some(call) = self.pickle.call(value) else {
                return Meaning::Other;
            };
            let mut function = call.function;
            let mut arguments = self.pickle.tuple(call.arguments).unwrap_or_default();
            if let Some(("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2")) =
                self.function(function)
                && let [inner, _type, inner_arguments, ..] = *arguments
            {
                function = inner;
                arguments = self.pickle.tuple(inner_arguments).unwrap_or_default();
            }
            value = match self.function(function) {
                Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) => {
                    arguments.first().copied().unwrap_or(Value::None)
                }
                Some(("builtins" | "__builtin__", "tuple")) => match self.named(call.arguments) {
                    Some(array) => array,
                    None => return Meaning::Other,
                },
                Some(("builtins" | "__builtin__", "eval")) => {
                    self.evaluated(call.arguments).unwrap_or(Value::None)
                }
                Some(("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2")) => {
                    return Meaning::Torch(arguments);
                }
                Some(("torch._utils", name)) if name.starts_with("_rebuild_") => {
                    return Meaning::Special(name);
                }
                Some((module, name)) => {
                    if let Some(array) = numpy::array(self.pickle, module, name, call) {
                        return Meaning::Array(array);
                    }
                    return if inert(module, name) { Meaning::Other } else { Meaning::Unknown(module, name) };
                }
                None => return Meaning::Other,
            };
        }
        Meaning::Other
    }

    /// Module and name of what is called. Old PyTorch files refer to the classes of modules as they do to
    /// storages.
    fn function(&self, value: Value) -> Option<(&'a str, &'a str)> {
        let Some(id) = self.pickle.persistent(value) else {
            return self.pickle.global(value);
        };
        match *self.pickle.tuple(id)? {
            [tag, class, ..] if self.pickle.name(tag) == Some("module") => self.pickle.global(class),
            _ => None,
        }
    }

    /// The array in the arguments of Paddle's `tuple((name, array))`.
    fn named(&self, arguments: Value) -> Option<Value> {
        let &[pair] = self.pickle.tuple(arguments)? else { return None };
        match *self.pickle.tuple(pair)? {
            [_name, array] => Some(array),
            _ => None,
        }
    }

    /// The array in the arguments of Paddle's `eval('data', {'data': array})`.
    fn evaluated(&self, arguments: Value) -> Option<Value> {
        let &[code, variables] = self.pickle.tuple(arguments)? else { return None };
        let Object::Dict(variables) = self.pickle.object(variables)? else { return None };
        match variables[..] {
            [(name, array)] if [code, name].map(|v| self.pickle.name(v)) == [Some("data"); 2] => Some(array),
            _ => None,
        }
    }

    /// The tensor `value` stands for, if it is one; `name` is for messages.
    pub(crate) fn entry(&mut self, name: &str, value: Value) -> Result<Option<Entry>, FileError> {
        match self.meaning(value) {
            Meaning::Torch(arguments) => pytorch::tensor(self, name, arguments).map(Some),
            Meaning::Array(array) => numpy::tensor(self, name, array).map(Some),
            Meaning::Special(function) => {
                let data = Err(format!("it is no plain tensor but made by {}", function.escape_debug()));
                Ok(Some(Entry { shape: Vec::new(), data }))
            }
            Meaning::Other => Ok(None),
            Meaning::Unknown(module, name) => Err(FileError::Forbidden(format!("{module}.{name}"))),
        }
    }

    /// Sizes or strides: a tuple, or a `torch.Size` of one.
    pub(crate) fn sizes(&self, name: &str, value: Value) -> Result<Vec<usize>, FileError> {
        let arguments = self.pickle.call(value).and_then(|call| self.pickle.tuple(call.arguments));
        let value = arguments.and_then(|arguments| arguments.first()).copied().unwrap_or(value);
        let sizes = self.pickle.sequence(value).filter(|sizes| sizes.len() <= MAX_RANK);
        let sizes = sizes.and_then(|sizes| sizes.iter().map(|&size| natural(size)).collect());
        sizes.ok_or_else(|| {
            FileError::tensor(name, format_args!("its sizes are not up to {MAX_RANK} numbers from zero"))
        })
    }

    /// Takes `len` off the bytes of text that may be checked.
    pub(crate) fn spend(&mut self, name: &str, len: usize) -> Result<(), FileError> {
        let left = self.text.checked_sub(len);
        self.text = left.ok_or_else(|| FileError::tensor(name, "it shares its bytes with many others"))?;
        Ok(())
    }

    /// The tensor that `view` describes.
    pub(crate) fn view(&self, name: &str, view: View) -> Result<Entry, FileError> {
        let tensor: Result<_, ViewError> = StoredTensor::new(self.source.clone(), view);
        tensor.map(Entry::from).map_err(|e| FileError::tensor(name, e))
    }
}

/// An integer that is not negative.
pub(crate) fn natural(value: Value) -> Option<usize> {
    match value {
        Value::Int(n) => usize::try_from(n).ok(),
        _ => None,
    }
}
