//! `resnext classify`.

use crate::keys;
use crate::support::Folder;
use resnext_testing::networks::COLOURS;
use serde_json::Value;

#[test]
fn classify_names_the_colours() {
    let folder = Folder::new();
    let results =
        folder.resnext(&["classify", "model.rnx", "red.png", "green.png", "blue.png", "--json"]).json();
    let results = results.as_array().unwrap();
    for (index, (result, colour)) in results.iter().zip(COLOURS).enumerate() {
        assert_eq!(keys(result), ["image", "top"]);
        assert_eq!(result["image"], format!("{colour}.png"));
        let best = &result["top"][0];
        assert_eq!(keys(best), ["class", "label", "probability"]);
        assert_eq!(best["label"], colour);
        // A class without identifier goes by its index.
        assert_eq!(best["class"], ["c0", "c1", "2"][index]);
        assert!(best["probability"].as_f64().unwrap() > 0.99, "{result}");
        assert_eq!(result["top"].as_array().unwrap().len(), 3, "there are only 3 classes");
    }
}

#[test]
fn classify_reads_well() {
    let folder = Folder::new();
    let text = folder.resnext(&["classify", "model.rnx", "blue.png", "red.png", "--top-k", "2"]).results();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[0].starts_with("blue.png: 40×30, inference "), "{text}");
    assert_eq!(lines[1], "  100.0 %  ████████████████████  2   blue");
    assert_eq!(lines[2], "    0.0 %                        c0  red");
    assert_eq!(lines[3], "");
    assert!(lines[4].starts_with("red.png: "), "{text}");
}

#[test]
fn results_are_the_same_on_all_kernels_and_threads() {
    let folder = Folder::new();
    let run = |how: &[&str]| {
        let args = ["classify", "model.rnx", "red.png", "blue.png", "--json"];
        folder.resnext(&[&args, how].concat())
    };
    let expected = run(&["--kernels", "scalar", "--threads", "1"]).results();
    assert_eq!(run(&["--threads", "3"]).results(), expected);
    for kernels in ["native", "tract", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512vnni"] {
        let ran = run(&["--kernels", kernels]);
        match ran.status {
            0 => assert_eq!(ran.results(), expected, "{kernels}"),
            _ => {
                // No image was tried, so there is no JSON either.
                let line = ran.failure();
                assert!(line.starts_with(&format!("resnext: --kernels {kernels}: ")), "{line}");
                assert!(line.contains("auto, native, scalar"), "{line}");
            }
        }
    }
}

#[test]
fn a_bad_image_among_others_is_reported_and_skipped() {
    let folder = Folder::new();
    let png = std::fs::read(folder.path("red.png")).unwrap();
    folder.write("cut.png", &png[..png.len() / 2]);
    folder.write("words.jpg", b"these are words, not an image");
    folder.write("empty.jpg", b"");
    std::fs::create_dir(folder.path("photos")).unwrap();
    let images = ["red.png", "cut.png", "words.jpg", "empty.jpg", "photos", "missing.jpg", "blue.png"];
    let ran = folder.resnext(&[&["classify", "model.rnx", "--json"], &images[..]].concat());
    assert_eq!(ran.status, 1);
    let results: Value = serde_json::from_str(&ran.stdout).unwrap();
    let done: Vec<_> = results.as_array().unwrap().iter().map(|result| &result["image"]).collect();
    assert_eq!(done, ["red.png", "blue.png"]);
    let complaints: Vec<_> = ran.stderr.lines().collect();
    let expected = [
        "resnext: cut.png: is damaged (",
        "resnext: words.jpg: is not a JPEG, PNG, WebP, BMP or GIF image; ",
        "resnext: empty.jpg: is empty; ",
        "resnext: photos: is a directory; ",
        "resnext: missing.jpg: no such file; ",
    ];
    assert_eq!(complaints.len(), expected.len(), "{}", ran.stderr);
    for (complaint, start) in complaints.iter().zip(expected) {
        assert!(complaint.starts_with(start), "{complaint}");
    }
}

#[test]
fn a_jpeg_that_ends_early_is_refused() {
    let folder = Folder::new();
    let whole = include_bytes!("../../../../calibration/samples/cat.jpg");
    folder.write("cut.jpg", &whole[..whole.len() / 2]);
    let line = folder.resnext(&["classify", "model.rnx", "cut.jpg"]).failure();
    assert!(line.starts_with("resnext: cut.jpg: is damaged (the JPEG ends early); "), "{line}");
}

/// Photographers' CMYK, where a decoder panicked: the classes are those of the pixels that Pillow reads.
#[test]
fn four_components_of_any_sampling_are_read_as_pillow_does() {
    let folder = Folder::new();
    let pack = include_bytes!("../../../../crates/photo/tests/fixtures/layouts.mjpeg");
    let mut rest = &pack[..];
    let mut tried = 0;
    for line in include_str!("../../../../crates/photo/tests/fixtures/layouts.txt").lines().skip(1) {
        let fields: Vec<&str> = line.splitn(5, ' ').collect();
        let (jpeg, others) = rest.split_at(fields[0].parse().unwrap());
        rest = others;
        if fields[4].matches("),(").count() == 3 && tried < 24 {
            tried += 1;
            folder.write("four.jpg", jpeg);
            let ran = folder.resnext(&["classify", "model.rnx", "four.jpg", "--json"]);
            let refused = fields[3] == "refused";
            assert_eq!(ran.status, i32::from(refused), "{line}: {}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), usize::from(refused), "{}", ran.stderr);
        }
    }
    assert_eq!(tried, 24);
}

/// OpenCV turns a photo by its EXIF orientation and Pillow does not, so neither is done in silence.
#[test]
fn an_exif_orientation_is_told() {
    let folder = Folder::new();
    let pack = include_bytes!("../../../../crates/photo/tests/fixtures/exif.bin");
    let mut at = 0;
    for (i, line) in
        include_str!("../../../../crates/photo/tests/fixtures/exif.txt").lines().skip(1).take(9).enumerate()
    {
        let len: usize = line.split(' ').next().unwrap().parse().unwrap();
        folder.write(&format!("{i}.jpg"), &pack[at..at + len]);
        at += len;
    }
    let ran = folder.resnext(&["classify", "model.rnx", "1.jpg"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with("1.jpg: 9×5, "), "{}", ran.stdout);
    let ran = folder.resnext(&["classify", "model.rnx", "1.jpg", "6.jpg"]);
    assert!(ran.stdout.contains("6.jpg: 9×5, "), "{}", ran.stdout);
    let note = "resnext: 1 of 2 images has an EXIF orientation; it is read as stored; --exif apply turns photos upright\n";
    assert_eq!(ran.stderr, note);
    let ran = folder.resnext(&["classify", "model.rnx", "6.jpg", "--exif", "apply"]);
    assert!(ran.stdout.starts_with("6.jpg: 5×9, "), "{}", ran.stdout);
    assert!(ran.stderr.contains("it is turned upright; --exif ignore"), "{}", ran.stderr);
}

#[test]
fn an_image_larger_than_any_camera_is_refused() {
    let folder = Folder::new();
    image::GrayImage::new(20_000, 1).save(folder.path("wide.png")).unwrap();
    let line = folder.resnext(&["classify", "model.rnx", "wide.png"]).failure();
    assert!(line.starts_with("resnext: wide.png: is larger than 16384×16384 pixels"), "{line}");
}

#[test]
fn grey_and_alpha_and_sixteen_bits_are_colours_too() {
    let folder = Folder::new();
    let red = image::Rgba([60_000u16, 2_000, 2_000, 0]);
    image::ImageBuffer::from_pixel(30, 30, red).save(folder.path("deep.png")).unwrap();
    image::GrayImage::from_pixel(30, 30, image::Luma([90])).save(folder.path("grey.png")).unwrap();
    let results = folder.resnext(&["classify", "model.rnx", "deep.png", "grey.png", "--json"]).json();
    assert_eq!(results[0]["top"][0]["label"], "red");
    let thirds =
        results[1]["top"].as_array().unwrap().iter().map(|class| class["probability"].as_f64().unwrap());
    assert!(thirds.into_iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6), "{results}");
}
