//! Sources of frames: one trait, and one file for each kind of source.
//!
//! | module | source | drops late frames |
//! |---|---|---|
//! | [`v4l2`] | a camera that Linux drives, such as `/dev/video0` | yes |
//! | `raw` | uncompressed frames in sequence, from a pipe or a file | from a pipe |
//! | `y4m` | YUV4MPEG2, which states the format of its frames | from a pipe |
//! | `mjpeg` | JPEGs in sequence, with anything between them | from a pipe |
//! | `image_files` | a JPEG or PNG file, or a folder of them | no |
//!
//! [`open`] chooses one by the kind of the file and by its first bytes.

mod frame_source;
mod image_files;
mod mjpeg;
mod open;
mod options;
mod paced;
mod padding;
mod raw;
mod signature;
mod stream;
pub mod v4l2;
mod y4m;

pub use frame_source::{Delivery, FrameSource, SourceError, StreamInfo};
pub use image_files::ImageFiles;
pub use mjpeg::Mjpeg;
pub use open::open;
pub use options::{Colours, Container, SourceOptions};
pub use paced::Paced;
pub use raw::Raw;
pub use signature::Content;
pub use stream::{Input, Stream};
pub use y4m::Y4m;
