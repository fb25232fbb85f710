use std::format;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;

/// Written by Pillow: see `make.py` beside it.
const GOLDEN: &str = include_str!("../../tests/fixtures/pillow/golden.txt");

/// The pixels of `make.py`, in rows of `stride` bytes with rubbish between them.
fn source(width: u32, height: u32, stride: usize) -> Vec<u8> {
    let mut state = width.wrapping_mul(65536).wrapping_add(height);
    let mut data = vec![0xA5; stride * height as usize];
    for (y, row) in data.chunks_exact_mut(stride).enumerate() {
        for (i, byte) in row[..width as usize * CHANNELS].iter_mut().enumerate() {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            let value = (state >> 24) as u8;
            let edge = ((i / CHANNELS) >> 4 ^ y >> 4) & 1 == 1;
            *byte = if edge { if value >= 128 { 255 } else { 0 } } else { value };
        }
    }
    data
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

/// The whole result, from a scratch of just the length asked for, at an odd address and full of rubbish.
fn run(recipe: &Recipe, frame: &Frame<'_>) -> Vec<u8> {
    let len = recipe.scratch_len(frame.width(), frame.height()).expect("the recipe fits the frame");
    let mut scratch = vec![0x5A; len + 1];
    let mut result = Vec::new();
    recipe
        .run(frame, &mut scratch[1..], |row, rgb| {
            assert_eq!(rgb.len(), recipe.crop_width as usize * CHANNELS);
            assert_eq!(result.len(), row * rgb.len(), "rows come in order");
            result.extend_from_slice(rgb);
        })
        .expect("the scratch is long enough");
    assert_eq!(result.len(), (recipe.crop_height * recipe.crop_width) as usize * CHANNELS);
    result
}

#[test]
fn equals_pillow_to_the_byte() {
    let mut cases = 0;
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [width, height, short_side, crop_height, crop_width, filter, rules, crc, first] = fields[..]
        else {
            panic!("malformed line {line}");
        };
        let number = |field: &str| field.parse::<u32>().unwrap();
        let (rounding, crop) = match rules {
            "torchvision" => (SideRounding::Truncate, CropRounding::HalfEven),
            "paddle" => (SideRounding::Nearest, CropRounding::Floor),
            _ => panic!("unknown rules {rules}"),
        };
        let filter = match filter {
            "bilinear" => Filter::PillowBilinear,
            "bicubic" => Filter::PillowBicubic,
            _ => panic!("unknown filter {filter}"),
        };
        let recipe = Recipe {
            short_side: number(short_side),
            crop_height: number(crop_height),
            crop_width: number(crop_width),
            filter,
            rounding,
            crop,
        };
        let (width, height) = (number(width), number(height));
        for gap in [0, 13] {
            let stride = width as usize * CHANNELS + gap;
            let data = source(width, height, stride);
            // The last row ends with its last pixel.
            let frame = Frame::rgb8(&data[..data.len() - gap], width, height, stride).unwrap();
            let result = run(&recipe, &frame);
            let head: Vec<_> = result[..first.len() / 2].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(head.concat(), first, "first pixels, {width}x{height} {recipe:?}");
            assert_eq!(format!("{:08x}", crc32(&result)), crc, "{width}x{height} {recipe:?}");
        }
        cases += 1;
    }
    assert!(cases > 60, "the fixture has {cases} cases");
}

/// One direction of the whole picture in the obvious way, from `src[line][pixel]` to the same layout.
fn naive_pass(filter: Filter, lines: &[Vec<[u8; 3]>], output: usize) -> Vec<Vec<[u8; 3]>> {
    let input = lines[0].len();
    if input == output {
        return lines.to_vec();
    }
    let scale = input as f64 / output as f64;
    let widening = scale.max(1.0);
    let (support, kernel): (f64, fn(f64) -> f64) = match filter {
        Filter::PillowBilinear => (1.0, |x| (1.0 - x.abs()).max(0.0)),
        Filter::PillowBicubic => (2.0, |x| match x.abs() {
            x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }),
    };
    let taps: Vec<(usize, Vec<i64>)> = (0..output)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let start = (centre - support * widening + 0.5).trunc().max(0.0) as usize;
            let end = ((centre + support * widening + 0.5).trunc() as usize).min(input);
            let weights: Vec<f64> =
                (start..end).map(|x| kernel((x as f64 - centre + 0.5) * (1.0 / widening))).collect();
            let sum: f64 = weights.iter().fold(0.0, |sum, weight| sum + weight);
            // `f64::round` rounds halves away from zero.
            (start, weights.iter().map(|weight| (weight / sum * 4194304.0).round() as i64).collect())
        })
        .collect();
    let pixel = |line: &[[u8; 3]], (start, weights): &(usize, Vec<i64>)| {
        [0, 1, 2].map(|c| {
            let sum: i64 = weights.iter().zip(&line[*start..]).map(|(w, p)| w * i64::from(p[c])).sum();
            ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
        })
    };
    lines.iter().map(|line| taps.iter().map(|taps| pixel(line, taps)).collect()).collect()
}

fn transpose(lines: &[Vec<[u8; 3]>]) -> Vec<Vec<[u8; 3]>> {
    (0..lines[0].len()).map(|x| lines.iter().map(|line| line[x]).collect()).collect()
}

fn naive(recipe: &Recipe, data: &[u8], width: usize, height: usize) -> Vec<u8> {
    let (short, long) = (width.min(height), width.max(height));
    let target = recipe.short_side as usize;
    let long = match recipe.rounding {
        SideRounding::Truncate => target * long / short,
        SideRounding::Nearest => (long as f64 * (target as f64 / short as f64)).round_ties_even() as usize,
    };
    let (new_width, new_height) = if width <= height { (target, long) } else { (long, target) };
    let lines: Vec<Vec<[u8; 3]>> =
        data.chunks_exact(width * 3).map(|row| row.as_chunks::<3>().0.to_vec()).collect();
    let lines = naive_pass(recipe.filter, &lines, new_width);
    let lines = transpose(&naive_pass(recipe.filter, &transpose(&lines), new_height));
    let start = |size: usize, crop: u32| {
        let surplus = size as f64 - f64::from(crop);
        match recipe.crop {
            // A shortage is padded by half of it, rounded down, on this side.
            _ if surplus < 0.0 => -((-surplus / 2.0).floor() as i64),
            CropRounding::HalfEven => (surplus / 2.0).round_ties_even() as i64,
            CropRounding::Floor => (surplus / 2.0).floor() as i64,
        }
    };
    let (top, left) = (start(new_height, recipe.crop_height), start(new_width, recipe.crop_width));
    let mut result = Vec::new();
    for y in top..top + i64::from(recipe.crop_height) {
        for x in left..left + i64::from(recipe.crop_width) {
            let row = usize::try_from(y).ok().and_then(|y| lines.get(y));
            let pixel = row.and_then(|row| usize::try_from(x).ok().and_then(|x| row.get(x)));
            result.extend_from_slice(pixel.unwrap_or(&[0; 3]));
        }
    }
    result
}

/// A small generator for the sweeps: uniform in `low..=high`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: u32, high: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + ((self.0 >> 33) % u64::from(high - low + 1)) as u32
    }

    fn recipe(&mut self, largest: u32) -> Recipe {
        Recipe {
            short_side: self.roll(1, largest),
            crop_height: self.roll(1, largest),
            crop_width: self.roll(1, largest),
            filter: [Filter::PillowBilinear, Filter::PillowBicubic][self.roll(0, 1) as usize],
            rounding: [SideRounding::Truncate, SideRounding::Nearest][self.roll(0, 1) as usize],
            crop: [CropRounding::HalfEven, CropRounding::Floor][self.roll(0, 1) as usize],
        }
    }
}

#[test]
fn equals_the_naive_reference() {
    let mut dice = Dice(1);
    for round in 0..400 {
        let largest = [12, 40, 90][round % 3];
        let (width, height) = (dice.roll(1, largest), dice.roll(1, largest));
        let recipe = dice.recipe(60);
        // A small crop of a picture that becomes huge says nothing new and takes the naive reference minutes.
        if u64::from(width.max(height)) * u64::from(recipe.short_side) > 4000 * u64::from(width.min(height)) {
            continue;
        }
        let data = source(width, height, width as usize * CHANNELS);
        let frame = Frame::rgb8(&data, width, height, width as usize * CHANNELS).unwrap();
        assert!(
            run(&recipe, &frame) == naive(&recipe, &data, width as usize, height as usize),
            "{width}x{height} {recipe:?}"
        );
    }
}

#[test]
fn serves_every_small_size() {
    let data = source(9, 9, 27);
    for (width, height) in (1..=9).flat_map(|width| (1..=9).map(move |height| (width, height))) {
        for gap in [0, 1] {
            let stride = width as usize * CHANNELS + gap;
            let need = stride * (height as usize - 1) + width as usize * CHANNELS;
            let Some(data) = data.get(..need) else { continue };
            let frame = Frame::rgb8(data, width, height, stride).unwrap();
            for short_side in 1..=10 {
                for (crop_height, crop_width) in [(1, 1), (2, 3), (8, 8), (11, 4), (4, 11)] {
                    for filter in [Filter::PillowBilinear, Filter::PillowBicubic] {
                        for (rounding, crop) in [
                            (SideRounding::Truncate, CropRounding::HalfEven),
                            (SideRounding::Nearest, CropRounding::Floor),
                        ] {
                            run(
                                &Recipe { short_side, crop_height, crop_width, filter, rounding, crop },
                                &frame,
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn serves_extreme_shapes() {
    let long = vec![200; MAX_SIDE as usize * CHANNELS];
    let thin = |width, height| Frame::rgb8(&long, width, height, width as usize * CHANNELS).unwrap();
    let mut recipe = Recipe {
        short_side: 256,
        crop_height: 224,
        crop_width: 224,
        filter: Filter::PillowBicubic,
        rounding: SideRounding::Truncate,
        crop: CropRounding::HalfEven,
    };
    for short_side in [1, 256, MAX_SIDE] {
        for crop in [1, 224] {
            recipe = Recipe { short_side, crop_height: crop, crop_width: crop, ..recipe };
            for rounding in [SideRounding::Truncate, SideRounding::Nearest] {
                recipe.rounding = rounding;
                for frame in [thin(1, 1), thin(MAX_SIDE, 1), thin(1, MAX_SIDE)] {
                    // A flat picture stays flat, whatever the filter; what is black is padding.
                    let result = run(&recipe, &frame);
                    assert!(result.iter().all(|&byte| byte == 200 || byte == 0), "{frame:?} {recipe:?}");
                    assert!(result.contains(&200), "{frame:?} {recipe:?}");
                }
            }
        }
    }
    let data = source(4096, 3000, 4096 * CHANNELS + 32);
    let frame = Frame::rgb8(&data, 4096, 3000, 4096 * CHANNELS + 32).unwrap();
    run(&Recipe { short_side: 256, crop_height: 224, crop_width: 224, ..recipe }, &frame);
    run(&Recipe { short_side: 1, crop_height: 2, crop_width: 1, ..recipe }, &frame);
}

#[test]
fn windows_stay_within_their_bounds() {
    let sizes = [1, 2, 3, 4, 5, 7, 31, 224, 255, 256, 257, 480, 1079, 1080, 4096, 65534, 65535];
    for (input, output) in sizes.iter().flat_map(|&input| sizes.map(|output| (input, output))) {
        for filter in [Filter::PillowBilinear, Filter::PillowBicubic] {
            let axis = Axis::new(filter, input, output);
            let mut before = axis.window(0);
            for index in 0..output {
                let window = axis.window(index);
                assert!((1..=axis.taps_bound()).contains(&window.len), "{input} {output} {index}");
                assert!(window.end() <= input, "{input} {output} {index}");
                // The ring relies on windows never going back.
                assert!(window.start >= before.start && window.end() >= before.end());
                before = window;
            }
        }
    }
}

#[test]
fn scratch_is_as_small_as_documented() {
    let recipe = Recipe {
        short_side: 256,
        crop_height: 224,
        crop_width: 224,
        filter: Filter::PillowBilinear,
        rounding: SideRounding::Truncate,
        crop: CropRounding::HalfEven,
    };
    assert_eq!(recipe.scratch_len(640, 480), Some(12_348));
    assert_eq!(recipe.scratch_len(1920, 1080), Some(23_124));
    // Nothing to resample: one row.
    assert_eq!(recipe.scratch_len(256, 256), Some(224 * CHANNELS));
}

#[test]
fn refuses_what_it_cannot_serve() {
    let data = [0; 64];
    assert_eq!(Frame::rgb8(&data, 0, 1, 3).unwrap_err(), FrameError::Side { width: 0, height: 1 });
    assert_eq!(Frame::rgb8(&data, 1, 65536, 3).unwrap_err(), FrameError::Side { width: 1, height: 65536 });
    assert_eq!(Frame::rgb8(&data, 4, 2, 11).unwrap_err(), FrameError::Stride { need: 12, got: 11 });
    assert_eq!(Frame::rgb8(&data, 4, 6, 12).unwrap_err(), FrameError::Short { need: 72, got: 64 });
    let endless = Frame::rgb8(&data, 1, 3, usize::MAX).unwrap_err();
    assert_eq!(endless, FrameError::Short { need: usize::MAX, got: 64 });
    // The last row needs no padding after it.
    assert!(Frame::rgb8(&data, 4, 4, 17).is_ok());
    assert!(Frame::rgb8(&data, 4, 1, usize::MAX).is_ok());

    let frame = Frame::rgb8(&data, 4, 5, 12).unwrap();
    let recipe = Recipe {
        short_side: 3,
        crop_height: 2,
        crop_width: 2,
        filter: Filter::PillowBilinear,
        rounding: SideRounding::Truncate,
        crop: CropRounding::HalfEven,
    };
    let need = recipe.scratch_len(4, 5).unwrap();
    let refuse = |recipe: &Recipe, len: usize| {
        recipe.run(&frame, &mut vec![0; len], |_, _| panic!("no row before the checks")).unwrap_err()
    };
    for got in 0..need {
        assert_eq!(refuse(&recipe, got), PreprocessError::Scratch { need, got });
    }
    for bad in [
        Recipe { short_side: 0, ..recipe },
        Recipe { crop_height: 0, ..recipe },
        Recipe { crop_width: MAX_SIDE + 1, ..recipe },
    ] {
        assert!(matches!(refuse(&bad, 1000), PreprocessError::Recipe { .. }));
        assert_eq!(bad.scratch_len(4, 5), None);
    }
    assert_eq!(recipe.scratch_len(0, 5), None);
    assert_eq!(recipe.scratch_len(4, MAX_SIDE + 1), None);

    for message in [
        FrameError::Side { width: 0, height: 1 }.to_string(),
        FrameError::Stride { need: 12, got: 11 }.to_string(),
        endless.to_string(),
        refuse(&recipe, 0).to_string(),
        refuse(&Recipe { short_side: 0, ..recipe }, 0).to_string(),
    ] {
        assert!(!message.contains('\n') && message.contains(';'), "{message}");
    }
}
