//! Composes the picture and the overlay in memory.

use super::overlay::{Ground, PANEL, overlay, panels};
use crate::reading::{Picture, Reading};
use core::convert::Infallible;
use embedded_graphics::Pixel;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// The longest side of a canvas, in pixels.
const MAX_CANVAS_SIDE: u32 = 16_384;

/// Opacity of the ground under text, of 256. White text stays readable on a white wall, with a contrast above 4.5, which a test
/// computes, and the picture stays visible.
const SHADE: u32 = 216;

/// An RGB8 image in memory.
#[derive(Debug)]
pub struct Canvas {
    size: Size,
    rgb: Vec<u8>,
}

impl Canvas {
    /// Makes a black canvas of `width` × `height` pixels, each clamped to 1..=16384.
    #[must_use]
    pub fn new(width: u32, height: u32) -> Self {
        let size = Size::new(width.clamp(1, MAX_CANVAS_SIDE), height.clamp(1, MAX_CANVAS_SIDE));
        Self { size, rgb: vec![0; 3 * size.width as usize * size.height as usize] }
    }

    /// Returns the pixels, in rows without gaps.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Resizes the canvas to the size of `picture`, enlarged until the short side has at least `short` pixels, and reduced to fit
    /// into `longest`. The contents are undefined afterwards. Allocates only to grow.
    pub(super) fn resize_for(&mut self, picture: &Picture<'_>, short: u32, longest: (u32, u32)) {
        let (width, height) =
            (picture.width.clamp(1, MAX_CANVAS_SIDE), picture.height.clamp(1, MAX_CANVAS_SIDE));
        let factor = short.div_ceil(width.min(height)).max(1);
        let mut size = Size::new(width * factor, height * factor);
        if size.width > longest.0 || size.height > longest.1 {
            size = fitted(width, height, Size::new(longest.0, longest.1));
        }
        self.size = size;
        self.rgb.resize(3 * size.width as usize * size.height as usize, 0);
    }

    /// Draws `picture` on black, as large as it fits, and `reading` over it. Does not allocate.
    pub fn compose(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) {
        match picture {
            Some(picture) => self.fit(picture),
            None => self.rgb.fill(0),
        }
        for panel in panels(self.bounding_box(), reading) {
            self.shade(&panel);
        }
        let Ok(()) = overlay(self, reading, Ground::Shaded);
    }

    /// Draws `picture` with its aspect ratio. Each pixel is the average of the pixels that it covers, or the nearest pixel if the
    /// picture is enlarged. A picture with too few bytes is drawn as black.
    fn fit(&mut self, picture: &Picture<'_>) {
        let bytes = u64::from(picture.width) * u64::from(picture.height) * 3;
        if bytes == 0 || bytes > picture.rgb.len() as u64 {
            return self.rgb.fill(0);
        }
        let Size { width, height } = fitted(picture.width, picture.height, self.size);
        let left = ((self.size.width - width) / 2) as usize;
        let top = ((self.size.height - height) / 2) as usize;
        let (width, height) = (width as usize, height as usize);
        let row = 3 * self.size.width as usize;
        self.rgb[..top * row].fill(0);
        self.rgb[(top + height) * row..].fill(0);
        let mut above: Option<(usize, usize)> = None;
        for y in 0..height {
            let rows = covered(y, height, picture.height as usize);
            let start = (top + y) * row;
            if above == Some(rows) {
                self.rgb.copy_within(start - row..start, start);
                continue;
            }
            above = Some(rows);
            let line = &mut self.rgb[start..start + row];
            line[..3 * left].fill(0);
            line[3 * (left + width)..].fill(0);
            average(picture, rows, &mut line[3 * left..3 * (left + width)]);
        }
    }

    /// Darkens an area, so that text on it is readable.
    fn shade(&mut self, area: &Rectangle) {
        let area = area.intersection(&self.bounding_box());
        let ground = [PANEL.r(), PANEL.g(), PANEL.b()].map(|c| u32::from(c) * SHADE);
        for y in area.rows() {
            let pixels = self.run(y, area.columns());
            for pixel in pixels.chunks_exact_mut(3) {
                for (channel, ground) in pixel.iter_mut().zip(ground) {
                    *channel = ((u32::from(*channel) * (256 - SHADE) + ground) / 256) as u8;
                }
            }
        }
    }

    /// Returns the pixels of row `y` in `columns`, which are inside the canvas.
    fn run(&mut self, y: i32, columns: core::ops::Range<i32>) -> &mut [u8] {
        let row = y as usize * self.size.width as usize;
        &mut self.rgb[3 * (row + columns.start as usize)..3 * (row + columns.end as usize)]
    }
}

/// Returns the size at which `width` × `height` pixels fit into `frame`, with their aspect ratio.
fn fitted(width: u32, height: u32, frame: Size) -> Size {
    let (w, h) = (u64::from(width), u64::from(height));
    let (fw, fh) = (u64::from(frame.width), u64::from(frame.height));
    match fw * h <= fh * w {
        true => Size::new(frame.width, ((h * fw / w) as u32).max(1)),
        false => Size::new(((w * fh / h) as u32).max(1), frame.height),
    }
}

/// Returns the range of the `from` pixels that pixel `i` of `to` covers.
fn covered(i: usize, to: usize, from: usize) -> (usize, usize) {
    let start = i * from / to;
    (start, ((i + 1) * from / to).max(start + 1))
}

/// Fills a row of the canvas with averages over the rows `y0..y1` of the picture.
fn average(picture: &Picture<'_>, (y0, y1): (usize, usize), line: &mut [u8]) {
    let stride = 3 * picture.width as usize;
    let width = line.len() / 3;
    for (x, pixel) in line.chunks_exact_mut(3).enumerate() {
        let (x0, x1) = covered(x, width, picture.width as usize);
        let mut sums = [0u32; 3];
        for y in y0..y1 {
            for source in picture.rgb[y * stride + 3 * x0..y * stride + 3 * x1].chunks_exact(3) {
                sums.iter_mut().zip(source).for_each(|(sum, &value)| *sum += u32::from(value));
            }
        }
        let count = ((x1 - x0) * (y1 - y0)) as u32;
        pixel.iter_mut().zip(sums).for_each(|(out, sum)| *out = ((sum + count / 2) / count) as u8);
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(at, color) in pixels.into_iter().filter(|Pixel(at, _)| area.contains(*at)) {
            self.run(at.y, at.x..at.x + 1).copy_from_slice(&[color.r(), color.g(), color.b()]);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        for y in area.rows() {
            for pixel in self.run(y, area.columns()).chunks_exact_mut(3) {
                pixel.copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}
