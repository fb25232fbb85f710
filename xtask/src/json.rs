//! What programs print as JSON, compared.

use crate::step::Result;
use serde_json::Value;

/// Parses one value a line.
///
/// # Errors
///
/// A line is not JSON.
pub(crate) fn lines(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Removes a key from an object.
///
/// # Errors
///
/// The value is no object, or has no such key.
pub(crate) fn remove(value: &mut Value, key: &str) -> Result {
    let object = value.as_object_mut().ok_or("not an object")?;
    object.remove(key).map(|_| ()).ok_or_else(|| format!("there is no `{key}`").into())
}

/// Holds what the host says against what a board says.
///
/// # Errors
///
/// They differ; the error shows both.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(host: &T, board: &T) -> Result {
    if host == board {
        Ok(())
    } else {
        Err(format!("the host says\n{host:?}\nand the board\n{board:?}").into())
    }
}
