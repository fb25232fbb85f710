//! Displays: the picture with an overlay, on screens, in files and on a web page.
//!
//! [`overlay()`] draws on any [`DrawTarget`](embedded_graphics::draw_target::DrawTarget). [`Canvas`] composes picture and overlay
//! in memory. Each display is a [`Show`](crate::Show) that owns a canvas: [`Framebuffer`], [`Panel`], [`Snapshots`] and the web
//! [`Preview`](web::Preview). [`Detached`] runs a display on its own thread with the latest frame, so that it does not delay the
//! pipeline. [`Retrying`] retries a display that fails.

mod canvas;
mod detached;
mod font;
pub mod framebuffer;
mod jpeg;
mod overlay;
mod panel;
mod retrying;
mod snapshots;
#[cfg(feature = "spi")]
pub mod spi;
pub mod web;

pub use canvas::Canvas;
pub use detached::Detached;
pub use framebuffer::Framebuffer;
pub use overlay::{Ground, overlay, panels};
pub use panel::Panel;
pub use retrying::{Retrying, Trouble};
pub use snapshots::{SnapshotFormat, Snapshots};

impl<S: crate::Show + ?Sized> crate::Show for Box<S> {
    fn wants_picture(&self) -> bool {
        (**self).wants_picture()
    }

    fn show(
        &mut self,
        reading: &crate::Reading<'_>,
        picture: Option<&crate::Picture<'_>>,
    ) -> Result<(), crate::ShowError> {
        (**self).show(reading, picture)
    }
}
