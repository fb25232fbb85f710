//! Random numbers and synthetic pictures, the same on every machine.

use resnext::Model;

/// A deterministic stream of numbers: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    #[expect(clippy::should_implement_trait, reason = "the stream has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Returns a weight, −127..=127.
    pub fn weight(&mut self) -> i8 {
        (self.below(255) as i16 - 127) as i8
    }
}

/// Returns a synthetic RGB picture of `height × width × 3` bytes: two gradients, a checkerboard and some noise.
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

/// Returns a synthetic picture of the size that `model` reads.
pub fn input_pixels(model: &Model<'_>, seed: u64) -> Vec<u8> {
    let input = model.input();
    picture(input.width, input.height, seed)
}
