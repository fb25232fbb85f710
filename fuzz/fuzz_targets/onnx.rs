//! Any bytes as an ONNX file.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use resnext_calibration::import::{ImportOptions, onnx};
use tract_onnx::prelude::Framework;

fuzz_target!(|data: &[u8]| {
    let Ok(proto) = tract_onnx::onnx().proto_model_for_read(&mut &*data) else { return };
    // There are no files beside it.
    let options = ImportOptions { input_size: Some(32) };
    if let Err(error) = onnx::import(&proto, Path::new("/nonexistent"), "model".into(), options) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
});
