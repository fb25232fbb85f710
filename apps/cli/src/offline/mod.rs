//! fp32 networks. Only a build with the offline half (feature `compile`) can read them.

pub(crate) mod arch;
mod hub_config;
mod labels;
pub(crate) mod layers;
pub(crate) mod network;
pub(crate) mod onnx;
pub(crate) mod recipe;
