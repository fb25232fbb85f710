//! Cameras that Linux drives: Video4Linux, with buffers mapped into memory.
//!
//! The calls go through `rustix`, not through a crate for V4L2. `v4l`, `v4l2r` and `linux-media` generate their bindings with
//! bindgen at build time, which needs libclang and the headers of the board. `linuxvideo` does not, but it reports neither
//! range and matrix of a format nor the time of a capture, and it panics on unexpected answers of a driver.

pub mod abi;
mod camera;
#[allow(unsafe_code, reason = "calls the kernel and reads the buffers that it fills")]
mod device;
mod formats;
mod list;
mod retry;
mod role;

pub use camera::Camera;
pub use device::{Device, Filled, Kernel};
pub use list::{Listed, Offer, list};
