//! From the components of a JPEG to RGB.

use super::frame::Frame;
use super::segments::Tables;

/// What the components of a JPEG are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColorSpace {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
    /// YCbCr of the inverted CMY, and K.
    Ycck,
}

impl ColorSpace {
    /// Guesses it as libjpeg does.
    pub(super) fn of(frame: &Frame, tables: &Tables) -> Self {
        match (&frame.components[..], tables.adobe) {
            ([_], _) => Self::Grey,
            ([_, _, _], _) if tables.jfif => Self::YCbCr,
            ([_, _, _], Some(0)) => Self::Rgb,
            ([r, g, b], None) if [r.id, g.id, b.id] == *b"RGB" => Self::Rgb,
            ([_, _, _], _) => Self::YCbCr,
            (_, None | Some(0)) => Self::Cmyk,
            (_, Some(_)) => Self::Ycck,
        }
    }

    /// Converts a row of pixels. `planes` are the rows of the components, at least as long.
    pub(super) fn convert(self, planes: [&[u8]; 4], out: &mut [u8]) {
        let [a, b, c, d] = planes;
        let pixels = out.as_chunks_mut::<3>().0.iter_mut();
        match self {
            Self::Grey => pixels.zip(a).for_each(|(pixel, &grey)| *pixel = [grey; 3]),
            Self::Rgb => pixels.zip(a).zip(b).zip(c).for_each(|(((pixel, &r), &g), &b)| *pixel = [r, g, b]),
            Self::YCbCr => {
                pixels.zip(a).zip(b).zip(c).for_each(|(((pixel, &y), &cb), &cr)| *pixel = rgb(y, cb, cr));
            }
            Self::Cmyk => {
                for ((((pixel, &c), &m), &y), &k) in pixels.zip(a).zip(b).zip(c).zip(d) {
                    *pixel = print([c, m, y], k);
                }
            }
            Self::Ycck => {
                for ((((pixel, &y), &cb), &cr), &k) in pixels.zip(a).zip(b).zip(c).zip(d) {
                    *pixel = print(rgb(y, cb, cr).map(|value| 255 - value), k);
                }
            }
        }
    }
}

/// Converts YCbCr (ITU-T T.871) with libjpeg's rounding.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let [y, cb, cr] = [i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128];
    let half = 1 << 15;
    // The factors are 1.402, 0.34414, 0.71414 and 1.772 in 65536ths.
    let r = y + ((91881 * cr + half) >> 16);
    let g = y + ((half - 22554 * cb - 46802 * cr) >> 16);
    let b = y + ((116130 * cb + half) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}

/// Converts CMYK as Pillow does: with a naive formula, from values that are inverted, as Adobe stores them.
#[inline(always)]
fn print(inks: [u8; 3], k: u8) -> [u8; 3] {
    inks.map(|ink| {
        // The product of ink and black over 255, rounded.
        let product = u32::from(255 - ink) * u32::from(k) + 128;
        (u32::from(k) - ((product + (product >> 8)) >> 8)) as u8
    })
}
