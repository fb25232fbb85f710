//! Any bytes as a `.pdparams` file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext_checkpoint::paddle::read;
use resnext_fuzz::exhaust;

fuzz_target!(|data: &[u8]| exhaust(read(data.to_vec().into()), data.len()));
