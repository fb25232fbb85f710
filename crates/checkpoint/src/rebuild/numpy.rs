//! NumPy arrays in pickles.
//!
//! `ndarray.__reduce__` gives `_reconstruct(ndarray, (0,), b'b')` and the state `(1, shape, dtype, Fortran
//! order, bytes)`; protocol 5 gives `_frombuffer(bytes, dtype, shape, order)`. A dtype is `dtype('f4', False,
//! True)` with the state `(3, '<', …)`. For protocols below 3, Python 3 writes bytes as `_codecs.encode(text,
//! 'latin1')`.

use crate::FileError;
use crate::pickle::{Call, Pickle, Span, Value};
use crate::rebuild::Rebuilder;
use crate::tensor::{Element, Encoding, Entry, View, row_major};

/// What describes an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array {
    shape: Value,
    dtype: Value,
    /// Whether the first index varies fastest.
    fortran: bool,
    data: Value,
}

/// The array that `call`, of the function `module.name`, makes.
pub(crate) fn array(pickle: &Pickle<'_>, module: &str, name: &str, call: &Call) -> Option<Array> {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
            match *pickle.tuple(call.state?)? {
                [_version, shape, dtype, Value::Bool(fortran), data] => {
                    Some(Array { shape, dtype, fortran, data })
                }
                _ => None,
            }
        }
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
            match *pickle.tuple(call.arguments)? {
                [data, dtype, shape, order] => {
                    Some(Array { shape, dtype, fortran: pickle.name(order) == Some("F"), data })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The tensor in an array.
pub(crate) fn tensor(from: &mut Rebuilder<'_>, name: &str, array: Array) -> Result<Entry, FileError> {
    let shape = from.sizes(name, array.shape)?;
    let element = match element(from.pickle, array.dtype) {
        Ok(element) => element,
        Err(reason) => return Ok(Entry { shape, data: Err(reason) }),
    };
    let Some((Span { start, len }, encoding)) = data(from.pickle, array.data) else {
        return Err(FileError::Tensor {
            name: name.to_owned(),
            problem: "its elements are not written as bytes".into(),
            remedy: "load it and save it with pickle protocol 2 or later",
        });
    };
    if encoding == Encoding::Latin1 {
        from.spend(name, len)?;
    }
    let mut strides = row_major(&shape);
    if array.fortran {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        strides = row_major(&reversed);
        strides.reverse();
    }
    from.view(name, View { range: start..start + len, encoding, element, shape, strides, offset: 0 })
}

/// The type of elements, or why it is not read.
fn element(pickle: &Pickle<'_>, dtype: Value) -> Result<Element, String> {
    let describe = || {
        let call = pickle.call(dtype)?;
        let code = pickle.name(*pickle.tuple(call.arguments)?.first()?)?;
        let &[_version, order, ..] = pickle.tuple(call.state?)? else { return None };
        Some((code, pickle.name(order)?))
    };
    match describe() {
        Some((_, ">")) => Err("its elements are big-endian".into()),
        Some(("f2", _)) => Ok(Element::F16),
        // NumPy has no such type; Paddle writes bfloat16 like this.
        Some(("u2", _)) => Ok(Element::BF16),
        Some(("f4", _)) => Ok(Element::F32),
        Some(("f8", _)) => Ok(Element::F64),
        Some((code, _)) => Err(format!("its element type is {}", code.escape_debug())),
        None => Err("its element type is not known".into()),
    }
}

/// Where the elements lie and how they are written.
fn data(pickle: &Pickle<'_>, value: Value) -> Option<(Span, Encoding)> {
    if let Value::Bytes(span) = value {
        return Some((span, Encoding::Raw));
    }
    let call = pickle.call(value)?;
    match (pickle.global(call.function)?, pickle.tuple(call.arguments)?) {
        (("_codecs", "encode"), &[Value::Text(span), encoding])
            if matches!(pickle.name(encoding)?, "latin1" | "latin-1") =>
        {
            Some((span, Encoding::Latin1))
        }
        // How protocol 2 writes no bytes at all.
        (("builtins" | "__builtin__", "bytes"), &[]) => Some((Span { start: 0, len: 0 }, Encoding::Raw)),
        _ => None,
    }
}
