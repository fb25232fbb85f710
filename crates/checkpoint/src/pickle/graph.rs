//! What a pickle holds, as a graph of values and objects.

/// Bytes of the longest name of a class, function, key or tensor.
const MAX_NAME: usize = 512;

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
pub struct ObjectId(pub(super) u32);

/// A small value, or a reference to an object.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer of more than 64 bits. Its bytes are little-endian, in two's complement.
    Long(Span),
    /// A floating-point number.
    Float(f64),
    /// Text. It should be UTF-8, which has not been checked.
    Text(Span),
    /// Bytes, or a string of Python 2, which does not distinguish the two.
    Bytes(Span),
    /// A value that only text protocols write and no checkpoint needs, such as text with escapes.
    Unread,
    /// An object of the pickle.
    Object(ObjectId),
}

impl Value {
    /// Returns an integer that is not negative.
    pub(crate) fn as_usize(self) -> Option<usize> {
        match self {
            Self::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }
}

/// An object that does not fit a [`Value`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Object {
    /// A list, set or frozen set.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary, in order of insertion. A later pair replaces an earlier pair of the same key.
    Dict(Vec<(Value, Value)>),
    /// A class or function.
    Global {
        /// Name of its module, such as `torch._utils`.
        module: Span,
        /// Its name, such as `_rebuild_tensor_v2`.
        name: Span,
    },
    /// The result of calling a function or making an instance of a class.
    Call(Box<Call>),
    /// An object outside the pickle, identified by the value.
    Persistent(Value),
}

/// A call that Python would make.
#[derive(Clone, Debug)]
pub struct Call {
    /// The called class or function.
    pub function: Value,
    /// The arguments: a tuple, if the pickle is valid.
    pub arguments: Value,
    /// The argument of the result's `__setstate__`.
    pub state: Option<Value>,
    /// Pairs to insert into the result.
    pub pairs: Vec<(Value, Value)>,
}

/// The graph of a pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(super) file: &'a [u8],
    pub(super) objects: Vec<Object>,
    /// The pickled value.
    pub root: Value,
}

impl<'a> Pickle<'a> {
    /// Returns the bytes of `span`.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        self.file.get(span.start..).and_then(|rest| rest.get(..span.len)).unwrap_or_default()
    }

    /// Returns all objects.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    /// Returns the object that `value` refers to.
    pub fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(ObjectId(index)) => self.objects.get(index as usize),
            _ => None,
        }
    }

    /// Returns text that serves as a name. Returns `None` if it is not UTF-8 or longer than 512 bytes.
    pub fn name(&self, value: Value) -> Option<&'a str> {
        match value {
            Value::Text(span) | Value::Bytes(span) if span.len <= MAX_NAME => {
                std::str::from_utf8(self.bytes(span)).ok()
            }
            _ => None,
        }
    }

    /// Returns the elements of a tuple.
    pub fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the elements of a tuple or list.
    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) | Object::List(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the call that makes `value`.
    pub fn call(&self, value: Value) -> Option<&Call> {
        match self.object(value)? {
            Object::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Returns the id of an object outside the pickle.
    pub fn persistent(&self, value: Value) -> Option<Value> {
        match *self.object(value)? {
            Object::Persistent(id) => Some(id),
            _ => None,
        }
    }

    /// Returns the module and the name of a class or function.
    pub fn global(&self, value: Value) -> Option<(&'a str, &'a str)> {
        match *self.object(value)? {
            Object::Global { module, name } => {
                Some((self.name(Value::Text(module))?, self.name(Value::Text(name))?))
            }
            _ => None,
        }
    }

    /// Returns the pairs of a dictionary of any kind.
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
                // Python 2 passes the pairs as an argument.
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
