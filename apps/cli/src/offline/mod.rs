//! fp32 networks, which only a build with the offline half can read.

pub(crate) mod arch;
pub(crate) mod layers;
pub(crate) mod network;
pub(crate) mod onnx;
