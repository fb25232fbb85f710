//! How int8 represents real values: the range that it covers, and the scale and zero point that follow from it.

/// A range of real values around zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Least value, at most 0.
    pub low: f64,
    /// Greatest value, at least 0.
    pub high: f64,
}

/// Affine int8 quantization of a tensor: `real = scale · (q − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Real value of one step; exactly representable in f32.
    pub scale: f64,
    /// Quantized value of real zero.
    pub zero_point: i8,
}

impl Activation {
    /// The input image in pixel units: `q = pixel − 128`.
    pub const PIXELS: Self = Self { scale: 1.0, zero_point: -128 };

    /// Makes the quantization that covers `range` with 256 levels. Zero is exactly one of them.
    pub fn covering(range: Range) -> Self {
        let span = range.high - range.low;
        if !(span.is_finite() && span > 0.0) {
            return Self { scale: f64::from(1.0f32 / 255.0), zero_point: -128 };
        }
        // Rounded up, so that the rounding to f32 never clips the end of the range.
        let scale = f64::from(((span / 255.0) as f32).next_up());
        let zero_point = (-128.0 - range.low / scale).round().clamp(-128.0, 127.0) as i8;
        Self { scale, zero_point }
    }

    /// Returns the real value of `q`.
    pub fn dequantize(self, q: i8) -> f64 {
        self.scale * (f64::from(q) - f64::from(self.zero_point))
    }

    /// Returns the zero point in steps of `unit`.
    pub(crate) fn zero_point_units(self, unit: f64) -> i64 {
        (f64::from(self.zero_point) * self.scale / unit).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu_ranges_use_all_levels() {
        let a = Activation::covering(Range { low: 0.0, high: 5.1 });
        assert_eq!(a.zero_point, -128);
        assert!((a.dequantize(127) - 5.1).abs() < 1e-6 && a.dequantize(-128) == 0.0);
        let b = Activation::covering(Range { low: -1.0, high: 3.0 });
        assert!((b.dequantize(-128) + 1.0).abs() < b.scale && (b.dequantize(127) - 3.0).abs() < b.scale);
        assert_eq!(
            Activation::covering(Range { low: 0.0, high: 0.0 }).zero_point,
            -128,
            "a dead tensor is fine"
        );
    }
}
