//! Photos decode to the same bytes as with Pillow, and damaged ones give an error.

use resnext_photo::{DecodeError, Exif, FileKind, LeftOut, Rgb8Image, file_kind};
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

/// Calls `check` with the name, the bytes, the size and the checksum of each file in a packed fixture. The latter are `None` if
/// the other program refuses the file.
fn each(pack: &str, lines: &str, mut check: impl FnMut(&str, &[u8], Option<([u32; 2], u32)>)) -> usize {
    let all = read(pack);
    let (mut rest, mut count) = (&all[..], 0);
    for line in lines.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.splitn(5, ' ').collect();
        let [len, width, height, crc, name] = fields[..] else { panic!("malformed line {line}") };
        let (file, others) = rest.split_at(len.parse().unwrap());
        let sides = [width, height].map(|side| side.parse().unwrap());
        check(name, file, u32::from_str_radix(crc, 16).ok().map(|crc| (sides, crc)));
        (rest, count) = (others, count + 1);
    }
    assert!(rest.is_empty());
    count
}

fn summary(image: &Rgb8Image) -> ([u32; 2], u32) {
    ([image.width, image.height], crc32(&image.data))
}

/// Any number of components with any sampling factors, whatever the coding. What Pillow refuses, is refused.
#[test]
fn equals_pillow_in_every_layout() {
    let mut refused = 0;
    let count = each("layouts.mjpeg", include_str!("fixtures/layouts.txt"), |layout, jpeg, wanted| {
        refused += usize::from(wanted.is_none());
        assert_eq!(Rgb8Image::decode(jpeg).ok().as_ref().map(summary), wanted, "{layout}");
    });
    assert!(count > 100 && (10..count / 2).contains(&refused), "{refused} of {count} refused");
}

#[test]
fn equals_pillow_in_other_formats() {
    // The `image` crate reads them with other pixels.
    let unlike = ["16 bits", "bgr", "in runs", "small frame"];
    let count = each("formats.bin", include_str!("fixtures/formats.txt"), |name, file, wanted| {
        let wanted = wanted.filter(|_| !unlike.iter().any(|kind| name.contains(kind)));
        assert_eq!(Rgb8Image::decode(file).ok().as_ref().map(summary), wanted, "{name}");
    });
    assert!(count > 100, "{count}");
}

/// OpenCV turns photos upright, Pillow leaves them as they are.
#[test]
fn the_exif_orientation_is_applied_as_opencv_does() {
    let mut rotated = 0;
    let count = each("exif.bin", include_str!("fixtures/exif.txt"), |name, file, wanted| {
        let upright = Rgb8Image::decode_oriented(file, Exif::Apply).expect(name);
        assert_eq!(Some(summary(&upright)), wanted, "{name}");
        let stored = Rgb8Image::decode_oriented(file, Exif::Ignore).expect(name);
        assert_eq!((stored.width, stored.height), (9, 5), "{name}");
        assert_eq!(Rgb8Image::decode(file).as_ref(), Ok(&stored), "{name}");
        assert_eq!(Rgb8Image::is_rotated(file), stored != upright, "{name}");
        rotated += usize::from(stored != upright);
    });
    assert_eq!((count, rotated), (33, 21));
}

#[test]
fn what_is_no_photo_is_called_what_it_is() {
    for (bytes, error) in [
        (&b""[..], "is empty"),
        (b"words", "is not a JPEG, PNG, WebP, BMP or GIF image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "has a format that is not read (HEIC)"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "has a format that is not read (HEIC)"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "has a format that is not read (AVIF)"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "has a format that is not read (video)"),
        (b"II*\0\x08\0\0\0", "has a format that is not read (TIFF)"),
        (b"<!DOCTYPE html><html>", "has a format that is not read (HTML)"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "has a format that is not read (JPEG XL)"),
    ] {
        assert_eq!(Rgb8Image::decode(bytes).expect_err(error).to_string(), error);
        assert!(!Rgb8Image::is_rotated(bytes));
    }
}

#[test]
fn extensions_tell_photos_from_other_images_and_other_files() {
    let kind = |name: &str| file_kind(Path::new(name));
    for name in ["a.jpg", "a.b.JPEG", "a.jfif", "x/a.PNG", "a.webp", "a.bmp", "a.gif"] {
        assert_eq!(kind(name), Some(FileKind::Photo), "{name}");
    }
    let others = [
        ("a.HEIC", "HEIC"),
        ("a.avif", "AVIF"),
        ("a.tif", "TIFF"),
        ("a.CR2", "raw"),
        ("a.nrw", "raw"),
        ("a.jpc", "JPEG 2000"),
        ("a.MPO", "MPO"),
        ("a.ico", "ICO"),
        ("a.exr", "HDR"),
    ];
    for (name, format) in others {
        assert_eq!(kind(name), Some(FileKind::OtherImage(format)), "{name}");
    }
    for name in ["a.txt", "jpg", ".jpg", "a.jpg.part", "a", ""] {
        assert_eq!(kind(name), None, "{name}");
    }
    let mut left_out = LeftOut::default();
    ["AVIF", "HEIC", "HEIC"].into_iter().for_each(|format| left_out.add(format));
    assert_eq!((left_out.to_string().as_str(), left_out.images()), ("2 HEIC, 1 AVIF", 3));
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

/// A header may state a picture without pixels. libjpeg refuses it.
#[test]
fn a_picture_of_no_height_is_refused() {
    for (name, marker) in [("420.jpg", 0xc0), ("cmyk.jpg", 0xc0), ("420-progressive.jpg", 0xc2)] {
        for side in [5, 7] {
            let mut bytes = read(name);
            let frame = bytes.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
            bytes[frame + side..frame + side + 2].fill(0);
            let error = Rgb8Image::decode(&bytes).expect_err(name).to_string();
            assert_eq!(error, "is damaged (it states a width or height of 0)", "{name}");
        }
    }
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
    // Pillow uses the standard tables unless told to optimize.
    let whole = read("420.jpg");
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
