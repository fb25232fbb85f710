//! Shared by the integration tests: a small artifact built by hand, the bundled one, inputs and an oracle.
//!
//! The small artifact is made here from [`resnext::format`] and [`resnext::pack`] alone, so that the runtime
//! is tested against the format's documentation and not against the compiler that usually writes it.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "every test binary uses a part of this module")]

pub mod builder;
#[cfg(unix)]
pub mod guarded;
pub mod oracle;

use resnext::format::{CHECKSUM_FROM, checksum};
use resnext::{Kernels, Model, Runner, Workers};
use std::path::PathBuf;

pub use builder::{deep, small};

/// A deterministic stream of numbers: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A weight: −127..=127.
    pub fn weight(&mut self) -> i8 {
        (self.below(255) as i16 - 127) as i8
    }
}

/// A synthetic RGB picture: two gradients, a checkerboard and some noise.
pub fn picture(width: usize, height: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let noise = random.next();
            let noise = |shift: u32| (noise >> shift) as usize % 64;
            let check = if (x / 8 + y / 8) % 2 == 0 { 160 } else { 0 };
            pixels.push((x * 191 / width + noise(0)) as u8);
            pixels.push((y * 191 / height + noise(8)) as u8);
            pixels.push((check + noise(16)) as u8);
        }
    }
    pixels
}

/// A picture of the size that `model` reads.
pub fn input_pixels(model: &Model<'_>, seed: u64) -> Vec<u8> {
    let input = model.input().expect("validated");
    picture(input.width, input.height, seed)
}

/// Where the bundled artifact lies.
pub fn reference_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/reference/resnext26_16x4d_half-imagenette.rnx")
}

/// The bundled artifact: a trained network, compiled by `resnext compile`.
pub fn reference() -> Vec<u8> {
    let path = reference_path();
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; see models/reference/README.md", path.display()))
}

/// Sets the checksum to what the bytes have, as an attacker or a faulty compiler would.
pub fn fix_checksum(artifact: &mut [u8]) {
    let sum = checksum(artifact);
    if let Some(field) = artifact.get_mut(CHECKSUM_FROM - 8..CHECKSUM_FROM) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}

/// Logits of `pixels`.
pub fn infer(model: &Model<'_>, pixels: &[u8], kernels: Kernels, workers: &dyn Workers) -> Vec<f32> {
    let mut arena = vec![0; model.arena_len()];
    let mut logits = vec![0.0; model.class_count()];
    let mut runner = Runner::new(model, &mut arena).unwrap().with_kernels(kernels).with_workers(workers);
    runner.load_pixels(pixels).unwrap();
    runner.infer(&mut logits, &mut ()).unwrap();
    logits
}

/// Bit patterns, which compare exactly and print in full.
pub fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}
