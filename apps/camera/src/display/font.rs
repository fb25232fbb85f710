//! Draws text in five sizes. The font is M+ 1 by Coji Morishita, with ASCII and Latin-1 in 16 shades of grey.

use core::fmt::{self, Write};
use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::{Gray4, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::Baseline;
use embedded_graphics::text::renderer::TextRenderer;
use heapless::String;
use mplusfonts::style::BitmapFontStyle;
use mplusfonts::{BitmapFont, mplus};

type Bitmaps = BitmapFont<'static, Gray4, 1>;

static EM_12: Bitmaps = mplus!(1, 560, 12, true, 1, 4, ' '..='~', '¡'..='ÿ', ["…"]);
static EM_16: Bitmaps = mplus!(1, 560, 16, true, 1, 4, ' '..='~', '¡'..='ÿ', ["…"]);
static EM_22: Bitmaps = mplus!(1, 560, 22, true, 1, 4, ' '..='~', '¡'..='ÿ', ["…"]);
static EM_32: Bitmaps = mplus!(1, 560, 32, true, 1, 4, ' '..='~', '¡'..='ÿ', ["…"]);
static EM_44: Bitmaps = mplus!(1, 560, 44, true, 1, 4, ' '..='~', '¡'..='ÿ', ["…"]);

/// The substitute for a character that the font lacks.
const REPLACEMENT: char = '?';

const ELLIPSIS: char = '…';

/// A font at one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Face {
    /// Size in pixels per em.
    pub(super) em: u32,
    bitmaps: &'static Bitmaps,
}

impl Face {
    /// All sizes, the smallest first.
    const ALL: [Self; 5] = [
        Self { em: 12, bitmaps: &EM_12 },
        Self { em: 16, bitmaps: &EM_16 },
        Self { em: 22, bitmaps: &EM_22 },
        Self { em: 32, bitmaps: &EM_32 },
        Self { em: 44, bitmaps: &EM_44 },
    ];

    /// Returns the largest size of at most `em` pixels, or the smallest size.
    pub(super) fn at_most(em: u32) -> Self {
        Self::ALL.into_iter().rev().find(|face| face.em <= em).unwrap_or(Self::ALL[0])
    }

    /// Returns the next smaller size, or the same if this is the smallest.
    pub(super) fn smaller(self) -> Self {
        Self::at_most(self.em - 1)
    }

    /// Returns the height of a line, with accents and descenders.
    pub(super) const fn line(self) -> u32 {
        self.em + self.em / 4
    }

    /// Returns the width of `text` in pixels.
    pub(super) fn width(self, text: &str) -> u32 {
        let style = BitmapFontStyle::new(self.bitmaps, Rgb888::WHITE);
        let metrics = style.measure_string(text, Point::zero(), Baseline::Alphabetic);
        // Both are needed: the last glyph may exceed its advance, and a space has no pixels.
        metrics.bounding_box.size.width.max(metrics.next_position.x.max(0) as u32)
    }

    /// Draws `text`. `at` is the top left corner of its line. Shades blend `ink` with `paper`, and pixels without ink are not
    /// changed.
    pub(super) fn draw<D>(
        self,
        target: &mut D,
        text: &str,
        at: Point,
        ink: Rgb888,
        paper: Rgb888,
    ) -> Result<(), D::Error>
    where
        D: DrawTarget<Color = Rgb888>,
    {
        let mut style = BitmapFontStyle::new(self.bitmaps, ink);
        style.background_color = Some(paper);
        let baseline = at + Point::new(0, self.em as i32);
        style.draw_string(text, baseline, Baseline::Alphabetic, &mut Ink { target, paper })?;
        Ok(())
    }

    /// Returns `text` with at most `width` pixels. An ellipsis replaces the part that does not fit. Characters that the font lacks
    /// are substituted. Returns an empty string if not even the ellipsis fits.
    pub(super) fn fit<const N: usize>(self, text: &str, width: u32) -> String<N> {
        let mut whole = String::<N>::new();
        let mut cut = false;
        for c in text.trim().chars().map(drawable) {
            // Keeps room for the ellipsis.
            if whole.len() + c.len_utf8() + ELLIPSIS.len_utf8() > N {
                cut = true;
                break;
            }
            let _ = whole.push(c);
        }
        if !cut && self.width(&whole) <= width {
            return whole;
        }
        let (mut fits, mut too_long) = (None, whole.chars().count() + 1);
        let mut shortest = 0;
        while shortest < too_long {
            let length = usize::midpoint(shortest, too_long);
            let candidate = shortened(&whole, length);
            match self.width(&candidate) <= width {
                true => (fits, shortest) = (Some(candidate), length + 1),
                false => too_long = length,
            }
        }
        fits.unwrap_or_default()
    }
}

/// Returns the first `length` characters and an ellipsis, without spaces and commas before it.
fn shortened<const N: usize>(text: &str, length: usize) -> String<N> {
    let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
    let mut short = String::new();
    let _ = short.push_str(text[..end].trim_end_matches([' ', ',', '.', '(']));
    let _ = short.push(ELLIPSIS);
    short
}

/// Returns `c`, or its substitute if the font lacks it.
fn drawable(c: char) -> char {
    match c {
        '\u{ad}' => REPLACEMENT,
        ' '..='~' | '¡'..='ÿ' | ELLIPSIS => c,
        _ if c.is_whitespace() => ' ',
        _ => REPLACEMENT,
    }
}

/// Formats text and cuts it to the capacity.
pub(super) fn text<const N: usize>(arguments: fmt::Arguments<'_>) -> String<N> {
    struct Cut<const N: usize>(String<N>);
    impl<const N: usize> Write for Cut<N> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars().try_for_each(|c| self.0.push(c).map_err(|_| fmt::Error))
        }
    }
    let mut cut = Cut(String::new());
    let _ = cut.write_fmt(arguments);
    cut.0
}

/// Draws all pixels except those of the paper, because the font has no transparency.
struct Ink<'a, D> {
    target: &'a mut D,
    paper: Rgb888,
}

impl<D: Dimensions> Dimensions for Ink<'_, D> {
    fn bounding_box(&self) -> Rectangle {
        self.target.bounding_box()
    }
}

impl<D: DrawTarget<Color = Rgb888>> DrawTarget for Ink<'_, D> {
    type Color = Rgb888;
    type Error = D::Error;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), D::Error>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let paper = self.paper;
        self.target.draw_iter(pixels.into_iter().filter(|Pixel(_, color)| *color != paper))
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), D::Error> {
        if color == self.paper { Ok(()) } else { self.target.fill_solid(area, color) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_chosen_from_below() {
        assert_eq!([0, 12, 15, 16, 43, 44, 999].map(|em| Face::at_most(em).em), [12, 12, 12, 16, 32, 44, 44]);
        assert_eq!(Face::ALL.map(|face| face.smaller().em), [12, 12, 16, 22, 32]);
    }

    #[test]
    fn text_that_fits_is_left_alone() {
        for face in Face::ALL {
            let text = face.fit::<64>(" tench, Tinca tinca ", 1000);
            assert_eq!(text, "tench, Tinca tinca");
            assert_eq!(face.fit::<64>("tench", face.width("tench")), "tench");
        }
    }

    #[test]
    fn long_text_is_cut_as_late_as_possible() {
        let text = "English springer, English springer spaniel";
        for face in Face::ALL {
            for width in 0..face.width(text) {
                let short = face.fit::<64>(text, width);
                assert!(face.width(&short) <= width, "{short} in {width}");
                assert!(short.is_empty() || short.ends_with('…'), "{short} in {width}");
            }
            let short = face.fit::<64>(text, face.width(text) - 1);
            assert!(short.starts_with("English springer, English springer spa"), "{short}");
        }
        assert_eq!(
            Face::ALL[0].fit::<64>(text, Face::ALL[0].width("English springer…")),
            "English springer…"
        );
        assert_eq!(Face::ALL[0].fit::<24>("abcdefghijklmnopqrstuvwxyz", 1000), "abcdefghijklmnopqrstu…");
    }

    #[test]
    fn what_the_font_lacks_is_replaced() {
        let face = Face::ALL[1];
        assert_eq!(face.fit::<64>("Hündin\u{7}\t犬\u{ad}🐕", 1000), "Hündin? ???");
        // Every character that is not replaced has a glyph of its own, not the font's box for missing ones.
        for c in (' '..='~').chain('¡'..='ÿ').filter(|c| drawable(*c) == *c) {
            let entry = face.bitmaps.charmap.get(c.encode_utf8(&mut [0; 4]));
            assert!(entry.key.starts_with(c), "{c:?} has no glyph");
        }
    }

    #[test]
    fn formatted_text_is_cut() {
        assert_eq!(text::<8>(format_args!("{}", 123_456_789)), "12345678");
        assert_eq!(text::<3>(format_args!("aé…")), "aé");
    }
}
