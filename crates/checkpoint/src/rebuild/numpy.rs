//! NumPy arrays in pickles.
//!
//! `ndarray.__reduce__` writes `_reconstruct(ndarray, (0,), b'b')` with the state `(1, shape, dtype, Fortran order, bytes)`.
//! Protocol 5 writes `_frombuffer(bytes, dtype, shape, order)`. A dtype is `dtype('f4', False, True)` with the state
//! `(3, '<', …)`. For protocols below 3, Python 3 writes bytes as `_codecs.encode(text, 'latin1')`.

use super::builder::TensorBuilder;
use crate::element::{Element, Encoding};
use crate::error::FileError;
use crate::pickle::{Call, Pickle, Span, Value};
use crate::tensor::{View, row_major};
use crate::tensor_file::{Entry, Unread};

/// The description of an array.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array {
    shape: Value,
    dtype: Value,
    /// Whether the first index varies fastest.
    fortran: bool,
    data: Value,
}

/// Returns the array that `call` makes, if it calls one of NumPy's functions. `module` and `name` are those of the called
/// function.
pub(super) fn array(pickle: &Pickle<'_>, module: &str, name: &str, call: &Call) -> Option<Array> {
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

/// Makes the tensor of an array.
pub(super) fn tensor(builder: &mut TensorBuilder<'_>, name: &str, array: Array) -> Result<Entry, FileError> {
    let shape = builder.sizes(name, array.shape)?;
    let element = match element(builder.pickle, array.dtype) {
        Ok(element) => element,
        Err(reason) => return Ok(Entry { shape, data: Err(Unread::element(reason)) }),
    };
    let Some((Span { start, len }, encoding)) = data(builder.pickle, array.data) else {
        return Err(FileError::Tensor {
            name: name.to_owned(),
            problem: "its elements are not written as bytes".into(),
            remedy: "load it and save it with pickle protocol 2 or later",
        });
    };
    if encoding == Encoding::Latin1 {
        builder.spend_text(name, len)?;
    }
    let mut strides = row_major(&shape);
    if array.fortran {
        let reversed: Vec<usize> = shape.iter().rev().copied().collect();
        strides = row_major(&reversed);
        strides.reverse();
    }
    builder.tensor(name, View { range: start..start + len, encoding, element, shape, strides, offset: 0 })
}

/// Returns the type of the elements, or why it is not read.
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
        // NumPy has no bfloat16. Paddle writes its bits as unsigned integers.
        Some(("u2", _)) => Ok(Element::BF16),
        Some(("f4", _)) => Ok(Element::F32),
        Some(("f8", _)) => Ok(Element::F64),
        Some((code, _)) => Err(format!("its element type is {}", code.escape_debug())),
        None => Err("its element type is not known".into()),
    }
}

/// Returns where the elements lie and how they are encoded.
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
        // Protocol 2 writes an empty byte string in this way.
        (("builtins" | "__builtin__", "bytes"), &[]) => Some((Span { start: 0, len: 0 }, Encoding::Raw)),
        _ => None,
    }
}
