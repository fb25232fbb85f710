//! Results on stdout, messages on stderr.

use super::Error;
use super::text::clean;
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Prints a result for people.
pub(crate) fn print(result: &impl Display) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    write!(out, "{result}").and_then(|()| out.flush()).map_err(|error| unwritable(&error))
}

/// Prints a result for tools, as JSON.
pub(crate) fn print_json(result: &impl Serialize) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, result)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(|error| unwritable(&error))
}

/// Reports a failure on stderr. If stderr is closed too, nobody is left to read it.
pub(crate) fn complain(error: &Error) {
    let _ = writeln!(io::stderr(), "resnext: {error}");
}

/// Prints a message on stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "resnext: {}", clean(&text.to_string()));
}

fn unwritable(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::new("stdout", format_args!("cannot be written: {error}; send the output elsewhere")),
    }
}

/// Returns the number of columns of the terminal, or `None` if stdout is a file or a pipe, which get every column.
pub(crate) fn terminal_width() -> Option<usize> {
    let forced = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    forced.or_else(|| {
        let (width, _) = io::stdout().is_terminal().then(terminal_size::terminal_size)??;
        Some(usize::from(width.0))
    })
}

/// The largest number of columns of a paragraph, as of `--help`. Longer lines are hard to read.
#[cfg(feature = "compile")]
const MAX_TEXT_WIDTH: usize = 100;

/// Returns a paragraph with lines that fit the terminal. In a file they are as long as those of a wide terminal.
#[cfg(feature = "compile")]
pub(crate) fn paragraph(text: &str) -> String {
    super::text::wrap(text, Some(terminal_width().unwrap_or(MAX_TEXT_WIDTH).min(MAX_TEXT_WIDTH)), 0)
}

/// Returns whether stdout is a terminal whose locale has characters beyond ASCII.
pub(crate) fn unicode() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find(set).and_then(|name| std::env::var(name).ok());
    let utf8 = locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
    utf8 && io::stdout().is_terminal()
}
