//! The noise that quantization adds to a tensor.

use resnext::program::Tensor;

/// Power of a signal and of its noise. Sums over several samples add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Σ fp32².
    pub signal: f64,
    /// Σ (int8 − fp32)².
    pub noise: f64,
}

impl Noise {
    /// Compares an int8 tensor (NHWC with halo) with its fp32 original (`[channels][height][width]`).
    pub fn of_tensor(tensor: &Tensor, quantized: &[i8], original: &[f32]) -> Self {
        let mut sum = Self::default();
        let pixels = tensor.pixels();
        for (pixel, at) in (0..pixels).map(|pixel| (pixel, tensor.pixel_offset(pixel))) {
            for (channel, &q) in quantized[at..at + tensor.channels].iter().enumerate() {
                let real = f64::from(tensor.scale) * f64::from(i32::from(q) - i32::from(tensor.zero_point));
                sum.add(real, original[channel * pixels + pixel].into());
            }
        }
        sum
    }

    /// Compares the output of a global average pool, which has two digits of base 256 for each channel, with its fp32 original,
    /// which has one number for each channel.
    pub fn of_digits(tensor: &Tensor, quantized: &[i8], original: &[f32]) -> Self {
        let mut sum = Self::default();
        let (high, low) = quantized.split_at(tensor.channels);
        for ((&high, &low), &x) in high.iter().zip(low).zip(original) {
            let digits = 256 * i32::from(high) + i32::from(low);
            sum.add(f64::from(tensor.scale) * f64::from(digits), x.into());
        }
        sum
    }

    /// Compares two vectors.
    pub fn of_slices(quantized: &[f32], original: &[f32]) -> Self {
        let mut sum = Self::default();
        quantized.iter().zip(original).for_each(|(&q, &x)| sum.add(q.into(), x.into()));
        sum
    }

    fn add(&mut self, quantized: f64, original: f64) {
        self.signal += original * original;
        self.noise += (quantized - original) * (quantized - original);
    }

    /// Returns the signal-to-quantization-noise ratio in dB. It is infinite without noise.
    pub fn sqnr_db(self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }
}

impl std::ops::AddAssign for Noise {
    fn add_assign(&mut self, other: Self) {
        self.signal += other.signal;
        self.noise += other.noise;
    }
}

/// Returns the index of the greatest logit, and the first one of several that are equal.
pub fn argmax(logits: &[f32]) -> usize {
    resnext::top_k::<1>(logits).first().map_or(0, |hit| hit.class)
}
