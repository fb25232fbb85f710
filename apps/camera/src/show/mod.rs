//! Readings as text: for people at a terminal, for logs, and for programs.

mod json;
mod terminal;

pub use json::JsonLines;
pub use terminal::{Style, Terminal};
