//! Where readings are shown: an overlay drawn on screens, files and a web page.
//!
//! [`overlay()`] draws on anything that is a [`DrawTarget`](embedded_graphics::draw_target::DrawTarget). [`Canvas`] puts it over
//! the picture, in memory. Each output is a [`Show`](crate::Show) that owns a canvas: [`Framebuffer`], [`Panel`],
//! [`Snapshots`] and the web [`Preview`](web::Preview). [`Detached`] runs any of them on a thread of its own, with the latest
//! frame, so that none holds up the pipeline, and [`Retrying`] lets it fail for a while.

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
pub use snapshots::Snapshots;

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
