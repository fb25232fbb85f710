//! JPEGs decode to the same bytes as with Pillow, and damaged ones give an error.

use resnext_photo::{DecodeError, Rgb8Image};
use std::path::Path;

/// `make.py`, in the same folder, writes it.
const GOLDEN: &str = include_str!("fixtures/golden.txt");

fn read(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = [root.join("tests/fixtures").join(name), root.join("../../calibration/samples").join(name)];
    places.iter().find_map(|path| std::fs::read(path).ok()).expect(name)
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[test]
fn equals_pillow_to_the_byte() {
    let lines: Vec<&str> = GOLDEN.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 20, "{} files", lines.len());
    for line in lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, width, height, crc] = fields[..] else { panic!("malformed line {line}") };
        let image = Rgb8Image::decode(&read(name)).expect(name);
        assert_eq!([width, height], [image.width, image.height].map(|side| side.to_string()), "{name}");
        assert_eq!(image.data.len(), image.width as usize * image.height as usize * 3, "{name}");
        assert_eq!(format!("{:08x}", crc32(&image.data)), crc, "{name}");
    }
}

#[test]
fn a_cut_jpeg_is_refused() {
    for name in ["420.jpg", "420-progressive.jpg", "grey.jpg"] {
        let whole = read(name);
        for len in [whole.len() - 1, whole.len() / 2, 200, 3] {
            let error = Rgb8Image::decode(&whole[..len]).expect_err(name).to_string();
            assert_eq!(error, "is damaged (the JPEG ends early)", "{name} {len}");
        }
    }
}

/// A damaged file is decoded, or refused with one line, without a panic.
#[test]
fn damaged_jpegs_do_no_harm() {
    let mut state = 1u64;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for name in ["420.jpg", "420-progressive.jpg", "420-restarts.jpg", "cmyk.jpg", "grey.jpg"] {
        let whole = read(name);
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..=roll(4) {
                bytes[3 + roll(whole.len() - 3)] = roll(256) as u8;
            }
            if let Err(error) = Rgb8Image::decode(&bytes) {
                refused += 1;
                assert!(!error.to_string().contains('\n') && !error.remedy().is_empty());
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

/// A header may state a size that no memory holds.
#[test]
fn a_huge_jpeg_is_refused() {
    for (sides, error) in [
        ([0xff, 0xff, 0xff, 0xff], DecodeError::TooLarge),
        ([0x40, 0x01, 0x40, 0x01], DecodeError::TooLarge),
        ([0x40, 0x00, 0x40, 0x00], DecodeError::TooLarge),
    ] {
        let mut bytes = read("420-progressive.jpg");
        let frame = bytes.windows(2).position(|marker| marker == [0xff, 0xc2]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&sides);
        assert_eq!(Rgb8Image::decode(&bytes).expect_err("huge"), error);
    }
}

/// Motion JPEGs of webcams have no Huffman tables.
#[test]
fn a_jpeg_without_huffman_tables_has_the_usual_ones() {
    // The encoder uses the standard tables by default.
    let pixels: Vec<u8> = (0..40 * 30 * 3u32).map(|i| (i * i / 97) as u8).collect();
    let (format, subsampling) = (libjpeg_turbo_rs::PixelFormat::Rgb, libjpeg_turbo_rs::Subsampling::S420);
    let whole = libjpeg_turbo_rs::compress(&pixels, 40, 30, format, 80, subsampling).unwrap();
    let mut bare = whole[..2].to_vec();
    let mut at = 2;
    while whole[at + 1] != 0xda {
        let next = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            bare.extend(&whole[at..next]);
        }
        at = next;
    }
    bare.extend(&whole[at..]);
    assert!(bare.len() < whole.len() - 400);
    assert_eq!(Rgb8Image::decode(&bare), Rgb8Image::decode(&whole));
    assert!(Rgb8Image::decode(&whole).is_ok());
}
