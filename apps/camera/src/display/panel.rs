//! Shows frames on any display of embedded-graphics.

use super::canvas::Canvas;
use crate::reading::{Picture, Reading, Show, ShowError};
use core::fmt::Debug;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;

/// Shows frames on a display with a driver for embedded-graphics. A frame is composed in memory and sent as a whole, so no
/// half-drawn text is visible.
#[derive(Debug)]
pub struct Panel<D> {
    target: D,
    canvas: Canvas,
}

impl<D> Panel<D>
where
    D: DrawTarget<Error: Debug>,
    D::Color: PixelColor + From<Rgb888>,
{
    /// Draws on all of `target`.
    pub fn new(target: D) -> Self {
        let Size { width, height } = target.bounding_box().size;
        Self { target, canvas: Canvas::new(width, height) }
    }

    /// Returns the display.
    pub fn target(&self) -> &D {
        &self.target
    }
}

impl<D> Show for Panel<D>
where
    D: DrawTarget<Error: Debug>,
    D::Color: PixelColor + From<Rgb888>,
{
    fn wants_picture(&self) -> bool {
        true
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        self.canvas.compose(reading, picture);
        let area = self.target.bounding_box();
        let colors = self.canvas.rgb().chunks_exact(3).map(|rgb| Rgb888::new(rgb[0], rgb[1], rgb[2]).into());
        self.target.fill_contiguous(&area, colors).map_err(|error| ShowError::Failed {
            subject: "panel".to_owned(),
            what: format!("cannot be drawn on: {error:?}; check its wiring"),
        })
    }
}
