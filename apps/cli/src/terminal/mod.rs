//! Everything that goes to the terminal: results, messages, tables, and errors as one line.

mod error;
pub(crate) mod output;
pub(crate) mod table;
pub(crate) mod text;

pub(crate) use error::Error;
