//! Reads an fp32 ResNeXt from a file into a [`Network`].
//!
//! Data takes one path: a front end ([`onnx`] for graphs, [`checkpoint`] for named tensors) turns what the
//! file says about each layer into a `Part`, and `assembly` alone decides whether the parts make a ResNeXt and
//! puts them in execution order. The result does not depend on which front end was used, except for rounding
//! that the file itself already did.

pub mod architecture;
mod assembly;
pub mod checkpoint;
mod checks;
mod error;
mod families;
pub mod onnx;
mod parts;

use std::path::Path;

use resnext_checkpoint::{open, safetensors};

pub use error::{ImportError, ImportErrorKind, Location};

use crate::network::Network;

/// Height and width that are assumed when neither the file nor the user says otherwise.
pub const DEFAULT_INPUT_SIZE: usize = 224;

/// The largest accepted height or width; well past every published ResNeXt, and small enough that no size
/// computed from it overflows.
pub const MAX_INPUT_SIZE: usize = 4096;

/// What the user can say about a model beyond its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Height and width of the image in pixels. `None` takes what the file declares, or
    /// [`DEFAULT_INPUT_SIZE`] where it declares nothing.
    pub input_size: Option<usize>,
}

impl ImportOptions {
    /// The height or width to use where the file declares `declared`.
    fn resolve(self, declared: Option<usize>) -> Result<usize, ImportErrorKind> {
        let size = self.input_size.or(declared).unwrap_or(DEFAULT_INPUT_SIZE);
        if (1..=MAX_INPUT_SIZE).contains(&size) {
            Ok(size)
        } else {
            Err(ImportErrorKind::layer(
                Location::Graph,
                format!("the input is {size} pixels on a side"),
                format!("give an input size from 1 to {MAX_INPUT_SIZE}"),
            ))
        }
    }
}

/// Reads the model in `path` with default [`ImportOptions`]; see [`load_with`].
pub fn load(path: &Path) -> Result<Network, ImportError> {
    load_with(path, ImportOptions::default())
}

/// Reads the model in `path`: a graph if the extension is `.onnx`, and else a checkpoint in any format that
/// [`resnext_checkpoint::read`] recognises.
///
/// The network is named after the file and keeps its batch norms
/// ([`fold_batch_norm`](crate::network::fold_batch_norm) removes them). Every weight in it is finite and every
/// shape is consistent.
///
/// # Errors
///
/// The file cannot be read, is damaged, or holds something other than a ResNeXt. The error is one line that
/// names the file and the node or tensor, and says what to do. No content of the file causes a panic.
pub fn load_with(path: &Path, options: ImportOptions) -> Result<Network, ImportError> {
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let network = match extension.as_deref() {
        Some("onnx") => onnx::load(path, name, options),
        _ => {
            open(path).map_err(ImportErrorKind::File).and_then(|file| checkpoint::load(&file, name, options))
        }
    };
    network.map_err(|kind| ImportError { path: path.to_owned(), kind })
}

/// Reads a `.safetensors` checkpoint that is in memory, such as one that is part of the program.
///
/// # Errors
///
/// As for [`load_with`], with `name` in the place of the path.
pub fn load_safetensors(
    bytes: &'static [u8],
    name: &str,
    options: ImportOptions,
) -> Result<Network, ImportError> {
    safetensors::read(bytes.into())
        .map_err(ImportErrorKind::File)
        .and_then(|file| checkpoint::load(&file, name.to_owned(), options))
        .map_err(|kind| ImportError { path: name.into(), kind })
}

#[cfg(test)]
pub(crate) mod tests;
