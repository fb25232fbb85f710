//! Readings as text, for terminals, logs and programs.

mod json;
mod terminal;

pub use json::JsonLines;
pub use terminal::{Style, Terminal};
