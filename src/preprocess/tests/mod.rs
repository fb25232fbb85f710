mod golden;
mod layouts;
mod limits;
mod naive;

use std::vec;
use std::vec::Vec;

use super::*;

const INTERPOLATIONS: [Interpolation; 3] = Interpolation::ALL;

const RULES: [(SideRounding, CropRounding); 2] =
    [(SideRounding::Truncate, CropRounding::HalfEven), (SideRounding::Nearest, CropRounding::Floor)];

const IMAGENET: Preprocessing = Preprocessing::imagenet(224, 256);

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

/// The whole result, the same with and without vectors, from a scratch of just the length asked for, at an odd address and
/// full of rubbish.
fn run(preprocessing: &Preprocessing, frame: &Frame<'_>) -> Vec<u8> {
    let len =
        preprocessing.scratch_len(frame.width(), frame.height()).expect("the preprocessing fits the frame");
    let [vectors, scalar] = [Passes::detect(), Passes::Scalar].map(|passes| {
        let mut scratch = vec![0x5A; len + 1];
        let mut result = Vec::new();
        let mut sink = |row: usize, rgb: &[u8]| {
            assert_eq!(rgb.len(), preprocessing.crop_width as usize * CHANNELS);
            assert_eq!(result.len(), row * rgb.len(), "rows come in order");
            result.extend_from_slice(rgb);
        };
        preprocessing
            .run_on(passes, frame, &mut scratch[1..], &mut sink)
            .expect("the scratch is long enough");
        assert_eq!(result.len(), (preprocessing.crop_height * preprocessing.crop_width) as usize * CHANNELS);
        result
    });
    assert!(vectors == scalar, "{:?} differs from scalar: {frame:?} {preprocessing:?}", Passes::detect());
    scalar
}

/// A small generator for the sweeps: uniform in `low..=high`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: u32, high: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + ((self.0 >> 33) % u64::from(high - low + 1)) as u32
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(0, from.len() as u32 - 1) as usize]
    }

    fn preprocessing(&mut self, largest: u32) -> Preprocessing {
        Preprocessing {
            short_side: self.roll(1, largest),
            crop_height: self.roll(1, largest),
            crop_width: self.roll(1, largest),
            interpolation: self.pick(&INTERPOLATIONS),
            side_rounding: self.pick(&SideRounding::ALL),
            crop_rounding: self.pick(&CropRounding::ALL),
            ..IMAGENET
        }
    }
}
