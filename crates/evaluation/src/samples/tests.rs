use std::io::Write;

use image::{ExtendedColorType, ImageEncoder};
use tempfile::TempDir;

use super::*;

fn png(width: u32, height: u32, color: ExtendedColorType, pixels: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    image::codecs::png::PngEncoder::new(&mut encoded)
        .write_image(pixels, width, height, color)
        .expect("a valid image");
    encoded
}

fn decode(encoded: Vec<u8>) -> Result<Rgb8Image, SampleError> {
    Sample::embedded("memory", None, Vec::leak(encoded)).decode()
}

/// Makes a directory with `files`, each of one grey pixel.
fn directory(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let mut out = fs::File::create(path).expect("a file");
        out.write_all(&png(1, 1, ExtendedColorType::L8, &[7])).expect("room");
    }
    root
}

#[test]
fn lists_in_path_order_whatever_the_case_of_the_extension() {
    let root = directory(&["b/2.JPEG", "b/1.png", "a/x.Jpg", "top.jpeg", "a/notes.txt", "a/deep/y.PNG"]);
    let samples = Samples::open(root.path()).expect("images");
    let relative = |s: &Sample| s.name().strip_prefix(&root.path().display().to_string()).map(str::to_owned);
    let names: Vec<_> = samples.iter().filter_map(relative).collect();
    assert_eq!(names, ["/a/deep/y.PNG", "/a/x.Jpg", "/b/1.png", "/b/2.JPEG", "/top.jpeg"]);
    let classes: Vec<_> = samples.iter().map(Sample::class).collect();
    assert_eq!(classes, [Some("deep"), Some("a"), Some("b"), Some("b"), None]);
    assert_eq!(samples.classes(), ["a", "b", "deep"]);
    // The extension does not decide the format.
    let image = samples.iter().nth(3).expect("b/2.JPEG").decode().expect("a PNG in truth");
    assert_eq!(image, Rgb8Image { width: 1, height: 1, data: vec![7; 3] });
}

#[cfg(unix)]
#[test]
fn a_loop_of_links_is_listed_once() {
    let root = directory(&["a/1.png"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).expect("a link");
    assert_eq!(Samples::open(root.path()).expect("images").len(), 1);
}

#[test]
fn unusable_directories_say_what_to_do() {
    let root = directory(&["readme.txt"]);
    let file = root.path().join("readme.txt");
    let cases = [
        (root.path().join("nowhere"), "cannot be read"),
        (file, "not a directory"),
        (root.path().into(), "no .jpg"),
    ];
    for (path, expected) in cases {
        let line = Samples::open(&path).expect_err("unusable").to_string();
        assert!(line.contains(expected) && line.contains("; give") && !line.contains('\n'), "{line}");
        assert!(line.starts_with(&path.display().to_string()), "{line}");
    }
}

/// Phones write HEIC, websites AVIF. Who finds fewer photos than there are must learn why.
#[test]
fn images_that_are_not_read_are_counted_by_format() {
    let root =
        directory(&["a/1.HEIC", "a/2.heic", "a/3.jpg", "b/4.avif", "b/5.webp", "b/6.bmp", "b/notes.txt"]);
    let samples = Samples::open(root.path()).expect("images");
    assert_eq!((samples.len(), samples.left_out().to_string().as_str()), (3, "2 HEIC, 1 AVIF"));
    let root = directory(&["1.heic"]);
    let line = Samples::open(root.path()).expect_err("no image").to_string();
    assert!(line.contains("but 1 HEIC, which must be converted first; give"), "{line}");
}

/// OpenCV reads the photos of `crates/photo/tests/fixtures/exif.txt` upright, Pillow as they are stored.
#[test]
fn rotated_photos_are_counted_and_turned() {
    let pack = include_bytes!("../../../photo/tests/fixtures/exif.bin");
    let root = tempfile::tempdir().expect("a temporary directory");
    let (mut at, mut turned) = (0, 0);
    for (i, line) in include_str!("../../../photo/tests/fixtures/exif.txt").lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(' ').collect();
        let len: usize = fields[0].parse().expect("a length");
        fs::write(root.path().join(format!("{i:02}.png")), &pack[at..at + len]).expect("room");
        at += len;
        turned += usize::from(fields[1] == "5");
    }
    let samples = Samples::open(root.path()).expect("images");
    assert_eq!((samples.len(), samples.rotated(), turned), (33, 21, 12));
    let tall =
        |samples: &Samples| samples.iter().filter(|s| s.decode().expect("an image").width == 5).count();
    assert_eq!((tall(&samples), tall(&samples.with_exif(Exif::Apply))), (0, 12));
}

#[test]
fn spreads_over_all_classes() {
    let sample = |i: usize| Sample::embedded(format!("{i}"), Some(["x", "y", "z", "w"][i / 25]), &[]);
    let samples: Samples = (0..100).map(sample).collect();
    let names = |s: &Samples| s.iter().map(|s| s.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&samples.take_spread(4)), ["12", "37", "62", "87"]);
    assert_eq!(samples.take_spread(4).classes().len(), 4);
    assert_eq!(samples.take_spread(0).len(), 0);
    assert_eq!(samples.take_spread(99).len(), 99);
    assert_eq!(names(&samples.take_spread(usize::MAX)), names(&samples));
    let mut distinct = names(&samples.take_spread(99));
    distinct.dedup();
    assert_eq!(distinct.len(), 99);
}

#[test]
fn converts_to_rgb_as_pillow_does() {
    use ExtendedColorType::{L8, L16, La8, Rgb8, Rgb16, Rgba8};
    // The encoder takes 16-bit samples in native order.
    let wide = |v: &[u16]| v.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
    let cases: [(ExtendedColorType, Vec<u8>, [u8; 3]); 8] = [
        (L8, vec![9], [9; 3]),
        (La8, vec![9, 0], [9; 3]),
        (Rgb8, vec![1, 2, 3], [1, 2, 3]),
        (Rgba8, vec![1, 2, 3, 0], [1, 2, 3]),
        (Rgb16, wide(&[0x01FF, 0x0280, 0xFF00]), [1, 2, 255]),
        (L16, wide(&[200]), [200; 3]),
        (L16, wide(&[256]), [255; 3]),
        (L16, wide(&[65535]), [255; 3]),
    ];
    for (color, pixels, expected) in cases {
        let image = decode(png(1, 1, color, &pixels)).expect("an image");
        assert_eq!(image.data, expected, "{color:?}");
    }
}

#[test]
fn damaged_images_are_named() {
    let sound = png(64, 64, ExtendedColorType::Rgb8, &[100; 64 * 64 * 3]);
    for damaged in [Vec::new(), b"not an image".to_vec(), sound[..sound.len() / 2].to_vec()] {
        let line = decode(damaged).expect_err("damaged").to_string();
        assert!(line.starts_with("memory: ") && !line.contains('\n'), "{line}");
    }
    let missing = Sample::file("/nowhere/x.png").decode().expect_err("missing").to_string();
    assert!(missing.starts_with("/nowhere/x.png: "), "{missing}");
}

#[test]
fn decompression_bombs_are_refused() {
    // The header states 65500×65500 pixels. The limits apply before decoding.
    let mut bomb = png(1, 1, ExtendedColorType::Rgb8, &[0; 3]);
    bomb[16..20].copy_from_slice(&65500u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&65500u32.to_be_bytes());
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let line = decode(bomb).expect_err("too large").to_string();
    assert!(line.to_lowercase().contains("limit") || line.to_lowercase().contains("large"), "{line}");
}

/// One bit a pixel takes a byte when it is decoded, and three more as RGB. Of a file of 30 KB, nothing may be decoded.
#[test]
fn what_decoding_and_conversion_need_together_is_bounded() {
    let sizes = |bits: u8, color: u8, width: u32, height: u32| {
        let mut header = b"IHDR".to_vec();
        header.extend(width.to_be_bytes());
        header.extend(height.to_be_bytes());
        header.extend([bits, color, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
        file.extend(&header);
        file.extend(crc32(&header).to_be_bytes());
        file.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        decode(file).expect_err("without pixels").to_string().contains("is larger than")
    };
    // 512 MiB are 2²⁷ pixels of four bytes, grey and RGB together.
    assert!(sizes(1, 0, 16384, 16384));
    assert!(sizes(8, 0, 16384, 8193) && !sizes(8, 0, 16384, 8192));
    assert!(sizes(1, 0, 16384, 8193) && !sizes(1, 0, 16384, 8192));
    // RGB needs three bytes and no conversion, RGBA seven.
    assert!(sizes(8, 2, 16384, 10923) && !sizes(8, 2, 16384, 10922));
    assert!(sizes(8, 6, 16384, 4682) && !sizes(8, 6, 16384, 4681));
}

/// Returns the checksum of a PNG chunk, computed bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(c & 1)))
    })
}

#[test]
fn a_cut_jpeg_is_refused() {
    let whole = include_bytes!("../../../../calibration/samples/cat.jpg");
    assert!(Sample::embedded("whole", None, whole).decode().is_ok());
    for len in [whole.len() - 1, whole.len() / 2, 2000] {
        let error = Sample::embedded("cut", None, &whole[..len]).decode().expect_err("cut");
        assert!(error.to_string().contains("ends early"), "{len}: {error}");
    }
}
