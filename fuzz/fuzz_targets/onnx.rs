//! Changes to sound ONNX files, in the first 64 KiB, where the graph is.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use resnext_calibration::import::{ImportOptions, onnx};
use resnext_fuzz::changed;
use tract_onnx::prelude::Framework;

/// What PyTorch's two exporters write.
const SOUND: [&[u8]; 3] = [
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset11-bn.onnx"),
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset17-folded.onnx"),
    include_bytes!("../../tests/fixtures/pytorch/tiny-opset18-dynamo.onnx"),
];

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = changed(&SOUND, data) else { return };
    let Ok(proto) = tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]) else { return };
    // There are no files beside it.
    let options = ImportOptions { input_size: Some(32) };
    if let Err(error) = onnx::import(&proto, Path::new("/nonexistent"), "model".into(), options) {
        let line = error.to_string();
        assert!(line.contains("; ") && !line.contains('\n'), "{line}");
    }
});
