//! Linux framebuffers, `/dev/fb0`: a screen without a desktop.
//!
//! The console is not switched to graphics, so its cursor may blink through, and a desktop that draws by itself is not
//! seen or hides the picture. There is one buffer: a frame may be seen half drawn. The screen gets back what it showed
//! when the [`Framebuffer`] is dropped, not when the program is killed.

mod device;
mod pixel_layout;

pub use device::{Device, OpenError};
pub use pixel_layout::{Channel, PixelFormat};

use super::canvas::Canvas;
use crate::reading::{Picture, Reading, Show, ShowError};

/// What a framebuffer shows, and how it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Bytes before the first visible pixel.
    pub offset: usize,
    /// Of one pixel.
    pub format: PixelFormat,
}

/// Why a [`Mode`] cannot be drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// No pixels, or more than 16384 a side.
    #[error("shows {0}×{1} pixels; choose a mode of 1 to 16384 a side")]
    Size(u32, u32),
    /// Rows overlap.
    #[error("has {0} bytes a row, fewer than its pixels take; this is an error of its driver")]
    Stride(usize),
    /// The last row ends behind the memory.
    #[error("has {has} bytes of memory and needs {needs}; this is an error of its driver")]
    Memory {
        /// Bytes mapped.
        has: usize,
        /// Bytes from the start of the memory to the last visible pixel.
        needs: usize,
    },
}

impl Mode {
    /// Bytes of the pixels of one row.
    const fn row(&self) -> usize {
        self.width as usize * self.format.bytes()
    }

    fn check(&self, memory: usize) -> Result<(), ModeError> {
        if !(1..=16_384).contains(&self.width) || !(1..=16_384).contains(&self.height) {
            return Err(ModeError::Size(self.width, self.height));
        }
        if self.stride < self.row() {
            return Err(ModeError::Stride(self.stride));
        }
        let needs = (self.height as usize - 1)
            .checked_mul(self.stride)
            .and_then(|bytes| bytes.checked_add(self.offset)?.checked_add(self.row()))
            .unwrap_or(usize::MAX);
        if needs > memory {
            return Err(ModeError::Memory { has: memory, needs });
        }
        Ok(())
    }
}

/// The memory of a screen: mapped from a device, or anything else that is bytes.
pub trait Memory {
    /// All of it.
    fn bytes(&mut self) -> &mut [u8];
}

impl Memory for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

impl Memory for memmap2::MmapMut {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

/// A screen that frames are shown on. Gives back what was on it when dropped.
#[derive(Debug)]
pub struct Framebuffer<M: Memory> {
    mode: Mode,
    memory: M,
    canvas: Canvas,
    before: Vec<u8>,
}

impl<M: Memory> Framebuffer<M> {
    /// Draws in `memory`, which lies as `mode` says.
    ///
    /// # Errors
    /// When the visible pixels do not lie in the memory.
    pub fn new(mode: Mode, mut memory: M) -> Result<Self, ModeError> {
        let bytes = memory.bytes();
        mode.check(bytes.len())?;
        let mut before = Vec::with_capacity(mode.row() * mode.height as usize);
        for row in rows(&mode, bytes) {
            before.extend_from_slice(row);
        }
        Ok(Self { mode, memory, canvas: Canvas::new(mode.width, mode.height), before })
    }

    /// How it is drawn in.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }
}

/// The visible part of each row.
fn rows<'a>(mode: &Mode, memory: &'a mut [u8]) -> impl Iterator<Item = &'a mut [u8]> {
    let row = mode.row();
    memory[mode.offset..].chunks_mut(mode.stride).take(mode.height as usize).map(move |line| &mut line[..row])
}

impl<M: Memory> Show for Framebuffer<M> {
    fn wants_picture(&self) -> bool {
        true
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        self.canvas.compose(reading, picture);
        let lines = self.canvas.rgb().chunks_exact(3 * self.mode.width as usize);
        for (row, line) in rows(&self.mode, self.memory.bytes()).zip(lines) {
            self.mode.format.pack(line, row);
        }
        Ok(())
    }
}

impl<M: Memory> Drop for Framebuffer<M> {
    fn drop(&mut self) {
        let before = self.before.chunks_exact(self.mode.row());
        rows(&self.mode, self.memory.bytes())
            .zip(before)
            .for_each(|(row, before)| row.copy_from_slice(before));
    }
}
