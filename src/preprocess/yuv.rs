//! From YUV to RGB in fixed point.
//!
//! The definition is ITU-R BT.601 and BT.709 for 8 bits, in levels, with Y₀ = 16 and excursions of 219 and 224 for
//! limited range, 0 and 255 for full range:
//!
//! ```text
//! a = 255 / luma excursion, s = 255 / chroma excursion, Kg = 1 − Kr − Kb
//! R = a·(Y − Y₀)                                 + 2·s·(1 − Kr)·(V − 128)
//! G = a·(Y − Y₀) − 2·s·Kb·(1 − Kb)/Kg·(U − 128)  − 2·s·Kr·(1 − Kr)/Kg·(V − 128)
//! B = a·(Y − Y₀) + 2·s·(1 − Kb)·(U − 128)
//! ```
//!
//! This module computes, with halves rounded upwards everywhere,
//!
//! ```text
//! L = ⌊(Y − Y₀)·2⁷ · luma / 2¹⁵ + ½⌋     luma = ⌊a·2¹⁴ + ½⌋
//! C = ⌊(c − 128)·2⁸ · k / 2¹⁵ + ½⌋       k = ⌊K·2¹³ + ½⌋ for each of the four factors K above
//! R = clamp(⌊(L + C) / 2⁶ + ½⌋, 0, 255)  B likewise; G has two C
//! ```
//!
//! so that every term counts 64ths of a level and every product is the rounding multiplication of 16-bit lanes that Arm
//! calls SQRDMULH and x86 PMULHRSW. A sum that leaves 16 bits is far beyond the clamp, so vectors may saturate. No
//! result is further than 0.54 from the real-valued one: it is the nearest level, or the second nearest where two levels
//! are about as near.
//!
//! OpenCV's `COLOR_YUV2RGB_NV12` (BT.601, limited) differs by at most a level for luma of 16 and more. It treats darker
//! luma as 16.

use super::CHANNELS;

/// How the numbers of a YUV picture are to be read.
///
/// A camera that does not say otherwise sends BT.601 in limited range, or in full range if it decodes JPEG. HD video is
/// BT.709 in limited range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Yuv {
    /// The weights of red, green and blue in luma.
    pub matrix: YuvMatrix,
    /// The levels of black, white and full colour.
    pub range: YuvRange,
}

/// Weights of red, green and blue in luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum YuvMatrix {
    /// ITU-R BT.601: Kr = 0.299, Kb = 0.114. Standard definition, webcams, JPEG.
    Bt601,
    /// ITU-R BT.709: Kr = 0.2126, Kb = 0.0722. High definition.
    Bt709,
}

/// Levels of black, white and full colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum YuvRange {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// 0 to 255.
    Full,
}

/// The fixed-point factors of one [`Yuv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors {
    /// Y₀.
    pub(super) black: i16,
    /// Of luma, 14 fractional bits.
    pub(super) luma: i16,
    /// Of V in red, 13 fractional bits like all that follow.
    pub(super) red_v: i16,
    /// Of U in green; negative.
    pub(super) green_u: i16,
    /// Of V in green; negative.
    pub(super) green_v: i16,
    /// Of U in blue.
    pub(super) blue_u: i16,
}

impl Yuv {
    /// Returns the factors of the definition above, rounded.
    pub(super) fn factors(self) -> &'static Factors {
        static FACTORS: [[Factors; 2]; 2] = [
            [Factors::new(0.299, 0.114, true), Factors::new(0.299, 0.114, false)],
            [Factors::new(0.2126, 0.0722, true), Factors::new(0.2126, 0.0722, false)],
        ];
        &FACTORS[self.matrix as usize][self.range as usize]
    }
}

impl Factors {
    const fn new(kr: f64, kb: f64, limited: bool) -> Self {
        /// Returns the nearest multiple of 2⁻¹³.
        const fn fixed(factor: f64) -> i16 {
            (factor * 8192.0 + if factor < 0.0 { -0.5 } else { 0.5 }) as i16
        }
        let (black, a, s) = if limited { (16, 255.0 / 219.0, 255.0 / 224.0) } else { (0, 1.0, 1.0) };
        let kg = 1.0 - kr - kb;
        Self {
            black,
            luma: fixed(2.0 * a),
            red_v: fixed(2.0 * s * (1.0 - kr)),
            green_u: fixed(-2.0 * s * kb * (1.0 - kb) / kg),
            green_v: fixed(-2.0 * s * kr * (1.0 - kr) / kg),
            blue_u: fixed(2.0 * s * (1.0 - kb)),
        }
    }

    /// Returns what chroma adds to red, green and blue: C.
    pub(super) fn chroma(&self, u: u8, v: u8) -> [i32; CHANNELS] {
        let (u, v) = ((i32::from(u) - 128) << 8, (i32::from(v) - 128) << 8);
        [
            multiply(v, self.red_v),
            multiply(u, self.green_u) + multiply(v, self.green_v),
            multiply(u, self.blue_u),
        ]
    }

    /// Returns red, green and blue of a pixel with this [`Self::chroma`].
    pub(super) fn rgb(&self, y: u8, chroma: [i32; CHANNELS]) -> [u8; CHANNELS] {
        let luma = multiply((i32::from(y) - i32::from(self.black)) << 7, self.luma);
        chroma.map(|c| ((luma + c + 32) >> 6).clamp(0, 255) as u8)
    }
}

/// SQRDMULH.
fn multiply(a: i32, factor: i16) -> i32 {
    (a * i32::from(factor) + (1 << 14)) >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Yuv; 4] = {
        use {YuvMatrix::*, YuvRange::*};
        [
            Yuv { matrix: Bt601, range: Limited },
            Yuv { matrix: Bt601, range: Full },
            Yuv { matrix: Bt709, range: Limited },
            Yuv { matrix: Bt709, range: Full },
        ]
    };

    /// The factors as the standards and their users print them.
    #[test]
    fn factors_are_the_standards() {
        let printed = [
            [1.164, 1.596, -0.392, -0.813, 2.017],
            [1.0, 1.402, -0.344, -0.714, 1.772],
            [1.164, 1.793, -0.213, -0.533, 2.112],
            [1.0, 1.575, -0.187, -0.468, 1.856],
        ];
        for (yuv, printed) in ALL.into_iter().zip(printed) {
            let f = yuv.factors();
            let factors = [f.luma / 2, f.red_v, f.green_u, f.green_v, f.blue_u];
            for (factor, printed) in factors.into_iter().zip(printed) {
                assert!((f64::from(factor) / 8192.0 - printed).abs() < 0.001, "{yuv:?} {factor} {printed}");
            }
        }
    }

    /// All 2²⁴ inputs against the definition in binary64.
    #[test]
    fn every_result_is_within_half_a_level_and_a_bit() {
        for yuv in ALL {
            let (kr, kb) = match yuv.matrix {
                YuvMatrix::Bt601 => (0.299, 0.114),
                YuvMatrix::Bt709 => (0.2126, 0.0722),
            };
            let kg = 1.0 - kr - kb;
            let (black, a, s) = match yuv.range {
                YuvRange::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
                YuvRange::Full => (0.0, 1.0, 1.0),
            };
            let factors = yuv.factors();
            let mut worst = 0.0f64;
            for y in 0..=255u8 {
                let luma = a * (f64::from(y) - black);
                for u in 0..=255u8 {
                    let pb = 2.0 * s * (f64::from(u) - 128.0);
                    for v in 0..=255u8 {
                        let pr = 2.0 * s * (f64::from(v) - 128.0);
                        let exact = [
                            luma + (1.0 - kr) * pr,
                            luma - kb * (1.0 - kb) / kg * pb - kr * (1.0 - kr) / kg * pr,
                            luma + (1.0 - kb) * pb,
                        ];
                        for (got, exact) in factors.rgb(y, factors.chroma(u, v)).into_iter().zip(exact) {
                            worst = worst.max((f64::from(got) - exact.clamp(0.0, 255.0)).abs());
                        }
                    }
                }
            }
            assert!((0.5..0.54).contains(&worst), "{yuv:?}: {worst}");
        }
    }

    #[test]
    fn greys_and_primaries() {
        let limited = |y, u, v| ALL[0].factors().rgb(y, ALL[0].factors().chroma(u, v));
        assert_eq!(limited(16, 128, 128), [0; 3]);
        assert_eq!(limited(235, 128, 128), [255; 3]);
        assert_eq!(limited(0, 128, 128), [0; 3]);
        // The 75 % bars of EBU, whose levels are rounded: 191 is 75 % of 255.
        let bars =
            [((65, 100, 212), [191, 0, 0]), ((112, 72, 58), [0, 191, 0]), ((35, 212, 114), [0, 0, 191])];
        for ((y, u, v), bar) in bars {
            let rgb = limited(y, u, v);
            assert!(
                rgb.iter().zip(bar).all(|(&got, bar): (_, u8)| got.abs_diff(bar) <= 1),
                "{rgb:?} {bar:?}"
            );
        }
        for yuv in [ALL[1], ALL[3]] {
            let factors = yuv.factors();
            for y in 0..=255 {
                assert_eq!(factors.rgb(y, factors.chroma(128, 128)), [y; 3]);
            }
        }
    }
}
