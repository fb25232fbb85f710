//! Any bytes as a `.safetensors` file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext_checkpoint::safetensors::read;
use resnext_fuzz::exhaust;

fuzz_target!(|data: &[u8]| exhaust(read(data.to_vec().into()), data.len()));
