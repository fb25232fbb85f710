//! Python pickles as data: read, never run.
//!
//! A pickle is a program for a stack machine that may call any Python function. Here a call is only written
//! down: [`load`] gives a graph in which `collections.OrderedDict()` is an [`Object::Call`] of an
//! [`Object::Global`], and whoever reads the graph decides what that means ([`pytorch`](crate::pytorch),
//! [`paddle`](crate::paddle)).
//!
//! What keeps a hostile file small: text and bytes stay in the file and are known by their [`Span`]; objects
//! lie in one list and refer to each other by index, so that sharing costs nothing and cycles are harmless;
//! nothing is recursive; and the number of instructions is limited.
//!
//! Own code because no crate is lazy: `serde-pickle` and `candle-core` copy every byte string and build
//! trees, `repugnant-pickle` lacks protocols 0 and 5 and is no longer maintained.

mod globals;
mod machine;

pub use machine::load;

pub(crate) use globals::{harmful, inert};

/// Where text or bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Number of bytes.
    pub len: usize,
}

/// An index into the objects of a [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(u32);

/// A value: small, or a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer of more than 64 bits: its bytes in two's complement, little-endian.
    Long(Span),
    /// A floating-point number.
    Float(f64),
    /// Text in UTF-8; whether it really is has not been checked.
    Text(Span),
    /// Bytes; also the text of Python 2, which knows no difference.
    Bytes(Span),
    /// Something that only text protocols write and no checkpoint needs, such as text with escapes.
    Unread,
    /// Anything else.
    Object(ObjectId),
}

/// What does not fit a [`Value`].
#[derive(Clone, Debug)]
pub enum Object {
    /// A list, set or frozen set.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary, in order of insertion; a later pair replaces an earlier one of the same key.
    Dict(Vec<(Value, Value)>),
    /// A class or function, by the names of its module and itself.
    Global {
        /// `torch._utils`.
        module: Span,
        /// `_rebuild_tensor_v2`.
        name: Span,
    },
    /// What calling a function, or making an instance of a class, would give.
    Call(Box<Call>),
    /// An object outside the pickle, by its id.
    Persistent(Value),
}

/// A call that was written down.
#[derive(Clone, Debug)]
pub struct Call {
    /// What would be called.
    pub function: Value,
    /// With what: a tuple, if the pickle is sound.
    pub arguments: Value,
    /// What the result's `__setstate__` would be given.
    pub state: Option<Value>,
    /// What would be inserted into the result.
    pub pairs: Vec<(Value, Value)>,
}

/// Why a pickle cannot be read. Displays as a reason, without a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The file ends first.
    #[error("the pickle ends in the middle of an instruction, at byte {0}")]
    Truncated(usize),
    /// Not an instruction, or one that no checkpoint contains.
    #[error("the pickle has the unknown instruction {code:#04x} at byte {at}")]
    Instruction {
        /// Where.
        at: usize,
        /// The byte there.
        code: u8,
    },
    /// The operands of an instruction are missing or of the wrong type.
    #[error("the pickle has an instruction with wrong operands at byte {0}")]
    Operands(usize),
    /// More instructions than [`MAX_INSTRUCTIONS`].
    #[error("the pickle has more than {MAX_INSTRUCTIONS} instructions")]
    Long,
}

/// The most instructions that are read. A thousand tensors with an optimizer's state take some hundred
/// thousand; an instruction takes some hundred bytes of memory.
pub const MAX_INSTRUCTIONS: usize = 1 << 20;

/// The longest name of anything, in bytes.
const MAX_NAME: usize = 512;

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    file: &'a [u8],
    objects: Vec<Object>,
    /// What the pickle holds.
    pub root: Value,
}

impl<'a> Pickle<'a> {
    /// The bytes of `span`.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        self.file.get(span.start..).and_then(|rest| rest.get(..span.len)).unwrap_or_default()
    }

    /// Everything that is not a plain value.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// The object `value` refers to.
    pub fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get(index as usize),
            _ => None,
        }
    }

    /// Text that is used as a name: UTF-8 and not absurdly long.
    pub fn name(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) | Value::Bytes(span) if span.len <= MAX_NAME => {
                std::str::from_utf8(self.bytes(span)).ok()
            }
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) | Object::List(values) => Some(values),
            _ => None,
        }
    }

    /// The call that makes `value`.
    pub fn call(&self, value: Value) -> Option<&Call> {
        match self.object(value)? {
            Object::Call(call) => Some(call),
            _ => None,
        }
    }

    /// The id of an object outside the pickle.
    pub fn persistent(&self, value: Value) -> Option<Value> {
        match *self.object(value)? {
            Object::Persistent(id) => Some(id),
            _ => None,
        }
    }

    /// Module and name of a class or function.
    pub fn global(&self, value: Value) -> Option<(&'a str, &'a str)> {
        match *self.object(value)? {
            Object::Global { module, name } => {
                Some((self.name(Value::Text(module))?, self.name(Value::Text(name))?))
            }
            _ => None,
        }
    }

    /// The pairs of a dictionary of any kind.
    pub fn pairs(&self, value: Value) -> Option<Vec<(Value, Value)>> {
        match self.object(value)? {
            Object::Dict(pairs) => Some(pairs.clone()),
            Object::Call(call) => {
                if !matches!(
                    self.global(call.function)?,
                    ("collections", "OrderedDict" | "defaultdict") | ("builtins" | "__builtin__", "dict")
                ) {
                    return None;
                }
                // Python 2 gives the pairs as an argument.
                let given = self.tuple(call.arguments).into_iter().flatten().find_map(|&v| self.sequence(v));
                let given = given.into_iter().flatten().filter_map(|&pair| match *self.sequence(pair)? {
                    [key, value] => Some((key, value)),
                    _ => None,
                });
                Some(given.chain(call.pairs.iter().copied()).collect())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
