//! Reads an fp32 ResNeXt from a file into a [`Network`].
//!
//! Data takes one path: a front end (`onnx` for graphs, `checkpoint` for named tensors) turns what the file says about each layer
//! into a `Part`, and `assembly` alone decides whether the parts make a ResNeXt and puts them in execution order. The result does
//! not depend on the front end, apart from rounding in the file itself.
//!
//! | module | role |
//! |---|---|
//! | `onnx` | an ONNX graph → parts |
//! | `checkpoint` | the named tensors of a checkpoint → parts |
//! | `parts` | layers as a file describes them |
//! | `assembly`, `checks` | parts → network, if they make a ResNeXt |
//! | [`architecture`] | which published variant a network is |
//! | `families` | networks that are refused by name |

pub mod architecture;
mod assembly;
mod checkpoint;
mod checks;
mod error;
mod families;
mod onnx;
mod parts;

use std::path::Path;

use resnext_checkpoint::{open, safetensors};

pub use error::{ImportError, ImportErrorKind, Location};

use crate::network::Network;

/// Height and width in pixels where neither the file nor the options give a size.
pub const DEFAULT_INPUT_SIZE: usize = 224;

/// The largest accepted height or width in pixels: larger than that of any published ResNeXt, and small enough that no size that
/// is computed from it overflows.
pub const MAX_INPUT_SIZE: usize = 4096;

/// What a caller may say about a model beyond its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Height and width of the image in pixels. `None` takes the size that the file declares, or [`DEFAULT_INPUT_SIZE`] where it
    /// declares none.
    pub input_size: Option<usize>,
}

impl ImportOptions {
    /// Returns the height or width for a file that declares `declared`.
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

/// Reads the model in `path`: a graph if the extension is `.onnx`, and otherwise a checkpoint in any format that
/// [`resnext_checkpoint::read`] recognises.
///
/// The network has the name of the file and keeps its batch norms ([`fold_batch_norm`](crate::network::fold_batch_norm) removes
/// them). All its weights are finite and all its shapes are consistent.
///
/// # Errors
///
/// If the file cannot be read, is damaged, or holds something other than a ResNeXt. The error is one line that names the file and
/// the node or tensor, and says what to do. No content of the file causes a panic.
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

/// Reads a `.safetensors` checkpoint from memory, such as one that is part of the program.
///
/// # Errors
///
/// As for [`load_with`], with `name` in place of the path.
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
