//! Recorded fp32 logits. A workstation records them, and a board that has only the int8 model compares with them.
//!
//! A record is a [safetensors](https://github.com/huggingface/safetensors) file, so that any tool can read it:
//!
//! | tensor | type and shape | contents |
//! |---|---|---|
//! | `pixels` | U64 `[images]` | XXH3-64 of the cropped pixels of each image, `height × width × 3` bytes |
//! | `logits` | F32 or F16 `[images, classes]` | logits of the fp32 network |
//! | `names` | U8 `[bytes]` | path of each image below the data directory, in UTF-8, with `/` between folders and a NUL after each |
//!
//! Images are sorted by path. All values of the metadata are strings:
//!
//! | key | value |
//! |---|---|
//! | `format`, `version` | `resnext-fp32-logits`, `1` |
//! | `tool` | the program that wrote the record |
//! | `baseline` | name of the file of the fp32 network |
//! | `baseline_checksum` | XXH3-64 of that file, 16 hexadecimal digits |
//! | `preprocessing` | resize rule, crop, interpolation, mean and standard deviation, as text |
//! | `classes` | XXH3-64 of the classes' identifiers and labels |
//! | `checksum` | XXH3-64 of the three tensors as they lie in the file |
//!
//! Opening a record with a model checks that both have the same preprocessing and classes. Comparing an image checks the
//! checksum of its pixels, and so finds another photo, decoder or crop.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use format::LogitType;
pub use read::{Record, RecordError};
pub use write::write;
