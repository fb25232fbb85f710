//! A photo is decoded or refused, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use resnext_photo::{Exif, Rgb8Image};

fuzz_target!(|bytes: &[u8]| {
    let rotated = Rgb8Image::is_rotated(bytes);
    if let Ok(image) = Rgb8Image::decode_oriented(bytes, Exif::Apply) {
        assert_eq!(image.data.len(), image.width as usize * image.height as usize * 3);
        if !rotated {
            assert_eq!(Rgb8Image::decode(bytes), Ok(image));
        }
    }
});
