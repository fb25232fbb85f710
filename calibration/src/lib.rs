//! The offline half of resnext: an fp32 ResNeXt goes in, a calibrated int8 artifact comes out.

pub mod network;
