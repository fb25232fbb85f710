//! The overlay against reviewed images, and on any input.

mod support;

use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::{Rgb565, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use proptest::prelude::*;
use resnext_camera::display::{Canvas, Ground, overlay, panels};
use resnext_camera::{Health, Picture, Prediction, Reading};
use std::convert::Infallible;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use support::{Image, landscape, plain, reading};

fn composed(width: u32, height: u32, reading: &Reading<'_>, image: &Image) -> Canvas {
    let mut canvas = Canvas::new(width, height);
    canvas.compose(reading, Some(&image.picture()));
    canvas
}

fn write(path: &Path, canvas: &Canvas) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let size = canvas.size();
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().unwrap().write_image_data(canvas.rgb()).unwrap();
}

fn read(path: &Path) -> Option<(u32, u32, Vec<u8>)> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(path).ok()?)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    Some((info.width, info.height, pixels))
}

/// Compares with the image of this name, to the byte, because fonts, layout and colours are integers. The expected image is in
/// `tests/fixtures`, and the actual one goes to `target/overlay`.
fn golden(name: &str, canvas: &Canvas) {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.png"));
    let actual = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../overlay").join(format!("{name}.png"));
    let size = canvas.size();
    let same = read(&expected).is_some_and(|(width, height, pixels)| {
        (width, height) == (size.width, size.height) && pixels == canvas.rgb()
    });
    if !same {
        write(&actual, canvas);
        panic!("{} differs from {}; look at both", actual.display(), expected.display());
    }
}

#[test]
fn a_small_square_panel() {
    golden("240x240", &composed(240, 240, &reading(), &landscape(320, 240)));
}

#[test]
fn a_small_screen() {
    golden("480x320", &composed(480, 320, &reading(), &landscape(640, 480)));
}

#[test]
fn a_large_screen() {
    golden("1920x1080", &composed(1920, 1080, &reading(), &landscape(640, 360)));
}

#[test]
fn heat_odd_names_and_no_picture() {
    let top = [
        Prediction { class: 7, label: "größer Münsterländer 犬", probability: f32::NAN },
        Prediction { class: 8, label: " ", probability: 7.0 },
    ];
    let reading = Reading {
        top: &top,
        model: "../models/\u{1b}[2Ja model with a name that is much too long for a panel.rnx",
        health: Health { temperature_c: Some(84.6), slowed: Some("throttled") },
        latency_ms: f32::INFINITY,
        fps: f32::NAN,
        dropped: u64::MAX,
        ..reading()
    };
    let mut canvas = Canvas::new(320, 240);
    canvas.compose(&reading, None);
    golden("odd", &canvas);
}

/// Returns the relative luminance of WCAG.
fn luminance(pixel: &[u8]) -> f64 {
    let linear = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(pixel[0]) + 0.7152 * linear(pixel[1]) + 0.0722 * linear(pixel[2])
}

#[test]
fn text_has_contrast_on_the_brightest_picture() {
    let canvas = composed(1920, 1080, &reading(), &plain(64, 36, [255; 3]));
    for panel in panels(canvas.bounding_box(), &reading()) {
        let corner = panel.top_left.y as usize * 1920 + panel.top_left.x as usize;
        let ground = luminance(&canvas.rgb()[3 * corner..][..3]);
        let mut contrasts: Vec<f64> = Vec::new();
        for y in panel.rows() {
            for x in panel.columns() {
                let at = 3 * (y as usize * 1920 + x as usize);
                let pixel = &canvas.rgb()[at..at + 3];
                // Pixels of ink are light and nearly grey.
                if pixel.iter().all(|&channel| channel > 175) {
                    contrasts.push((luminance(pixel) + 0.05) / (ground + 0.05));
                }
            }
        }
        let least = contrasts.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(contrasts.len() > 1000 && least >= 4.5, "{least} of {}", contrasts.len());
    }
}

/// A target that can only be written, with its own kind of pixels.
struct Strict<C> {
    area: Rectangle,
    pixels: usize,
    last: Option<C>,
}

impl<C> Dimensions for Strict<C> {
    fn bounding_box(&self) -> Rectangle {
        self.area
    }
}

impl<C: PixelColor> DrawTarget for Strict<C> {
    type Color = C;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<C>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            assert!(self.area.contains(at), "{at} is outside of {:?}", self.area);
            self.pixels += 1;
            self.last = Some(color);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_reading_on_any_target(
        width in 1u32..700, height in 1u32..500, x in -100i32..100, y in -100i32..100,
        labels in prop::collection::vec(any::<String>(), 0..8),
        model in any::<String>(),
        numbers in any::<[f32; 5]>(),
        dropped in any::<u64>(),
    ) {
        let top: Vec<_> = labels.iter().enumerate()
            .map(|(i, label)| Prediction { class: i as u32, label, probability: numbers[i % 5] }).collect();
        let reading = Reading {
            frame: dropped, model: &model, top: &top, latency_ms: numbers[0], inference_ms: numbers[1], fps: numbers[2],
            dropped, health: Health { temperature_c: Some(numbers[3]), slowed: (dropped % 2 == 0).then_some("under-voltage") },
        };
        let area = Rectangle::new(Point::new(x, y), Size::new(width, height));
        let mut target = Strict::<Rgb565> { area, pixels: 0, last: None };
        overlay(&mut target, &reading, Ground::Opaque).unwrap();
        prop_assert!(target.pixels > 0 || width < 32 || height < 32);
        for panel in panels(area, &reading) {
            prop_assert_eq!(panel.intersection(&area), panel);
        }
    }

    #[test]
    fn any_picture_in_any_frame(
        width in 1u32..90, height in 1u32..90, w in 0u32..90, h in 0u32..90, missing in 0usize..2, gray in any::<u8>(),
    ) {
        let rgb = vec![gray; (3 * w as usize * h as usize).saturating_sub(missing)];
        let mut canvas = Canvas::new(width, height);
        let reading = Reading { top: &[], model: "", ..reading() };
        canvas.compose(&reading, Some(&Picture { width: w, height: h, rgb: &rgb }));
        prop_assert_eq!(canvas.rgb().len(), 3 * width as usize * height as usize);
    }
}

#[test]
fn pictures_keep_their_proportions_and_average() {
    // A picture of 2×1 in a square has black above and below.
    let image = Image { width: 2, height: 1, rgb: vec![10, 20, 30, 40, 50, 60] };
    let nothing = Reading { top: &[], model: "", ..reading() };
    // No status bar fits into this size.
    let canvas = composed(4, 4, &nothing, &image);
    let row = [[10, 20, 30], [10, 20, 30], [40, 50, 60], [40, 50, 60]].concat();
    assert_eq!(canvas.rgb(), [vec![0; 12], row.clone(), row, vec![0; 12]].concat());
    let image = Image { width: 2, height: 2, rgb: vec![0, 0, 9, 1, 0, 9, 2, 0, 9, 4, 255, 9] };
    assert_eq!(composed(1, 1, &nothing, &image).rgb(), [2, 64, 9]);
}

#[test]
fn opaque_ground_needs_no_reading_back() {
    let mut canvas = Canvas::new(240, 240);
    overlay(&mut canvas, &reading(), Ground::Opaque).unwrap();
    let corner = panels(canvas.bounding_box(), &reading())[1].top_left;
    let at = 3 * (corner.y as usize * 240 + corner.x as usize);
    let panel = Rgb888::new(canvas.rgb()[at], canvas.rgb()[at + 1], canvas.rgb()[at + 2]);
    assert_eq!(panel, Rgb888::new(13, 17, 23));
}
