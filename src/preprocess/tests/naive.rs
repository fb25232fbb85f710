//! The obvious way: convert the whole frame, resample the whole picture, crop.

use super::*;

/// A picture, `[row][column]`.
type Picture<T> = Vec<Vec<[T; 3]>>;

/// One direction of the whole picture as Pillow goes about it, from `src[line][pixel]` to the same layout.
fn pillow_pass(interpolation: Interpolation, lines: &Picture<u8>, output: usize) -> Picture<u8> {
    let input = lines[0].len();
    if input == output {
        return lines.to_vec();
    }
    let scale = input as f64 / output as f64;
    let widening = scale.max(1.0);
    let (support, kernel): (f64, fn(f64) -> f64) = match interpolation {
        Interpolation::PillowBicubic => (2.0, |x| match x.abs() {
            x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }),
        _ => (1.0, |x| (1.0 - x.abs()).max(0.0)),
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

/// The whole picture as OpenCV goes about it.
fn opencv_resize(picture: &Picture<u8>, width: usize, height: usize) -> Picture<u8> {
    /// Neighbours and their weights. Beyond the picture both neighbours are the same pixel; `folds` gives the first all
    /// of the weight then.
    fn taps(input: usize, output: usize, folds: bool) -> Vec<([usize; 2], [i32; 2])> {
        let scale = 1.0 / (output as f64 / input as f64);
        let taps = |index| {
            let position = ((index as f64 + 0.5) * scale - 0.5) as f32;
            let fraction = position - position.floor();
            let neighbours =
                [0, 1].map(|i| (position.floor() as i64 + i).clamp(0, input as i64 - 1) as usize);
            let fixed = |share: f32| (share * 2048.0).round_ties_even() as i32;
            match neighbours {
                [a, b] if a == b && folds => (neighbours, [2048, 0]),
                _ => (neighbours, [fixed(1.0 - fraction), fixed(fraction)]),
            }
        };
        (0..output).map(taps).collect()
    }
    let across: Picture<i32> = picture
        .iter()
        .map(|line| {
            let pixel = |([a, b], [u, v]): ([usize; 2], [i32; 2])| {
                [0, 1, 2].map(|c| (i32::from(line[a][c]) * u + i32::from(line[b][c]) * v) >> 4)
            };
            taps(line.len(), width, true).into_iter().map(pixel).collect()
        })
        .collect();
    let line = |([a, b], [u, v]): ([usize; 2], [i32; 2])| {
        let pixel = |(upper, lower): (&[i32; 3], &[i32; 3])| {
            [0, 1, 2].map(|c| ((((upper[c] * u) >> 16) + ((lower[c] * v) >> 16) + 2) >> 2) as u8)
        };
        across[a].iter().zip(&across[b]).map(pixel).collect()
    };
    taps(picture.len(), height, false).into_iter().map(line).collect()
}

fn transpose(lines: &Picture<u8>) -> Picture<u8> {
    (0..lines[0].len()).map(|x| lines.iter().map(|line| line[x]).collect()).collect()
}

/// Resizes and crops.
pub(super) fn naive(preprocessing: &Preprocessing, picture: &Picture<u8>) -> Vec<u8> {
    let (width, height) = (picture[0].len(), picture.len());
    let (short, long) = (width.min(height), width.max(height));
    let target = preprocessing.short_side as usize;
    let long = match preprocessing.side_rounding {
        SideRounding::Truncate => target * long / short,
        SideRounding::Nearest => (long as f64 * (target as f64 / short as f64)).round_ties_even() as usize,
    };
    let (new_width, new_height) = if width <= height { (target, long) } else { (long, target) };
    let resized = if preprocessing.interpolation == Interpolation::OpenCvBilinear {
        opencv_resize(picture, new_width, new_height)
    } else {
        let across = pillow_pass(preprocessing.interpolation, picture, new_width);
        transpose(&pillow_pass(preprocessing.interpolation, &transpose(&across), new_height))
    };
    let start = |size: usize, crop: u32| {
        let surplus = size as f64 - f64::from(crop);
        match preprocessing.crop_rounding {
            // A shortage is padded by half of it, rounded down, on this side.
            _ if surplus < 0.0 => -((-surplus / 2.0).floor() as i64),
            CropRounding::HalfEven => (surplus / 2.0).round_ties_even() as i64,
            CropRounding::Floor => (surplus / 2.0).floor() as i64,
        }
    };
    let (top, left) =
        (start(new_height, preprocessing.crop_height), start(new_width, preprocessing.crop_width));
    let mut result = Vec::new();
    for y in top..top + i64::from(preprocessing.crop_height) {
        for x in left..left + i64::from(preprocessing.crop_width) {
            let row = usize::try_from(y).ok().and_then(|y| resized.get(y));
            let pixel = row.and_then(|row| usize::try_from(x).ok().and_then(|x| row.get(x)));
            result.extend_from_slice(pixel.unwrap_or(&[0; 3]));
        }
    }
    result
}

/// Whether `preprocessing` makes a small picture of a frame. A small crop of a picture that becomes huge says nothing new and takes
/// the naive reference minutes.
pub(super) fn stays_small(preprocessing: &Preprocessing, width: u32, height: u32) -> bool {
    u64::from(width.max(height)) * u64::from(preprocessing.short_side) <= 4000 * u64::from(width.min(height))
}

#[test]
fn equals_the_naive_reference() {
    let mut dice = Dice(1);
    for round in 0..600 {
        let largest = [12, 40, 90][round % 3];
        let (width, height) = (dice.roll(1, largest), dice.roll(1, largest));
        let preprocessing = dice.preprocessing(60);
        if !stays_small(&preprocessing, width, height) {
            continue;
        }
        let stride = width as usize * CHANNELS;
        let data = source(width, height, stride);
        let frame = Frame::rgb8(&data, width, height, stride).unwrap();
        let picture = data.chunks_exact(stride).map(|row| row.as_chunks().0.to_vec()).collect();
        assert!(
            run(&preprocessing, &frame) == naive(&preprocessing, &picture),
            "{width}x{height} {preprocessing:?}"
        );
    }
}
