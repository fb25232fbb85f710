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
//! | `claims` | what the name of a checkpoint and its metadata say about the network |
//! | `notes` | what was chosen, assumed or left out |

pub mod architecture;
mod assembly;
mod checkpoint;
mod checks;
mod claims;
mod error;
mod families;
mod notes;
mod onnx;
mod parts;

use std::path::Path;

use resnext_checkpoint::{open_with, safetensors};

pub use claims::Claim;
pub use error::{ImportError, ImportErrorKind, Location};
pub use notes::Note;
pub use resnext_checkpoint::FileError;

use crate::network::Network;

/// Height and width in pixels where neither the file nor the options give a size.
pub const DEFAULT_INPUT_SIZE: usize = 224;

/// The largest accepted height or width in pixels: larger than that of any published ResNeXt, and small enough that no size that
/// is computed from it overflows.
pub const MAX_INPUT_SIZE: usize = 4096;

/// What a caller may say about a model beyond its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions<'a> {
    /// Height and width of the image in pixels. `None` takes the size that the file declares, or [`DEFAULT_INPUT_SIZE`] where it
    /// declares none.
    pub input_size: Option<usize>,
    /// Which of several sets of weights to read; see [`resnext_checkpoint::read_with`].
    pub weights_key: Option<&'a str>,
    /// Whether the caller knows that the network is a plain ResNet or ResNeXt, whatever its file is called. What the file does not
    /// tell is then no assumption but known.
    pub is_plain: bool,
}

impl ImportOptions<'_> {
    /// Returns the options for an image of `size` pixels on each side.
    pub const fn of_size(size: usize) -> Self {
        Self { input_size: Some(size), weights_key: None, is_plain: false }
    }

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

/// A network, and what its user should know about how it was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network.
    pub network: Network,
    /// What was chosen, assumed or left out.
    pub notes: Vec<Note>,
}

/// Reads the model in `path` with default [`ImportOptions`]; see [`load_with`].
pub fn load(path: &Path) -> Result<Network, ImportError> {
    load_with(path, ImportOptions::default())
}

/// Reads the model in `path` as [`read`] does, without the notes.
///
/// # Errors
///
/// As for [`read`].
pub fn load_with(path: &Path, options: ImportOptions) -> Result<Network, ImportError> {
    read(path, options).map(|imported| imported.network)
}

/// Reads the model in `path`: a graph if the extension is `.onnx`, and otherwise a checkpoint in any format that
/// [`resnext_checkpoint::read`] recognises.
///
/// The network has the name of the file and keeps its batch norms ([`fold_batch_norm`](crate::network::fold_batch_norm) removes
/// them). All its weights are finite and all its shapes are consistent.
///
/// # Errors
///
/// If the file cannot be read, is damaged, or holds something other than a ResNeXt; or if the name of a checkpoint or what it says
/// beside its tensors tells that it is another network than the tensors alone suggest. The error is one line that names the file
/// and the node or tensor, and says what to do. No content of the file causes a panic.
pub fn read(path: &Path, options: ImportOptions) -> Result<Imported, ImportError> {
    let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let imported = match extension.as_deref() {
        Some("onnx") => onnx::load(path, name, options),
        _ => open_with(path, options.weights_key).map_err(ImportErrorKind::File).and_then(|file| {
            let mut imported =
                checkpoint::load(&file, name, options).map_err(|error| match part_of(path) {
                    Some(count) => ImportErrorKind::layer(
                        Location::Graph,
                        format!("it is one of {count} files of a checkpoint"),
                        "load the model and save its state dict in one file",
                    ),
                    None => error,
                })?;
            let claim = claims::of_file(path).or_else(|| claims::of_facts("its metadata", file.facts()));
            match claim {
                Some(claim) if options.is_plain => imported.notes.push(Note::Overruled(claim)),
                Some(claim) => return Err(ImportErrorKind::Claim(claim)),
                None => {}
            }
            Ok(imported)
        }),
    };
    imported.map_err(|kind| ImportError { path: path.to_owned(), kind })
}

/// Returns over how many files a checkpoint is spread, if `path` is named as one of several: `model-00001-of-00002.safetensors`.
fn part_of(path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_string_lossy();
    let (before, count) = stem.rsplit_once("-of-")?;
    before.rsplit_once('-')?.1.parse::<u32>().ok()?;
    count.parse().ok().filter(|&count| count > 1)
}

/// Reads a `.safetensors` checkpoint from memory, such as one that is part of the program.
///
/// # Errors
///
/// As for [`read`], with `name` in place of the path.
pub fn load_safetensors(
    bytes: &'static [u8],
    name: &str,
    options: ImportOptions,
) -> Result<Network, ImportError> {
    safetensors::read(bytes.into())
        .map_err(ImportErrorKind::File)
        .and_then(|file| checkpoint::load(&file, name.to_owned(), options))
        .map(|imported| imported.network)
        .map_err(|kind| ImportError { path: name.into(), kind })
}

#[cfg(test)]
pub(crate) mod tests;
