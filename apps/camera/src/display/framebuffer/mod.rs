//! Linux framebuffers such as `/dev/fb0`: screens without a desktop.
//!
//! The console stays in text mode, so its cursor may blink through. A desktop may hide the picture. There is one buffer, so a
//! half-drawn frame may be visible. Dropping the [`Framebuffer`] restores the screen. Killing the program does not.

#[allow(unsafe_code, reason = "calls the kernel and maps the memory of the screen")]
mod device;
mod pixel_layout;

pub use device::{Device, OpenError};
pub use pixel_layout::{Channel, PixelLayout};

use super::canvas::Canvas;
use crate::reading::{Picture, Reading, Show, ShowError};

/// The size of a framebuffer and its layout in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Bytes before the first visible pixel.
    pub offset: usize,
    /// Layout of a pixel.
    pub format: PixelLayout,
}

/// Why a [`Mode`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// A side has no pixels or more than 16384.
    #[error("shows {0}×{1} pixels; choose a mode with sides of 1 to 16384")]
    Size(u32, u32),
    /// Rows overlap.
    #[error("has {0} bytes per row, fewer than its pixels take; update its driver")]
    Stride(usize),
    /// The last row ends outside the memory.
    #[error("has {has} bytes of memory and needs {needs}; update its driver")]
    Memory {
        /// Mapped bytes.
        has: usize,
        /// Bytes from the start of the memory to the last visible pixel.
        needs: usize,
    },
}

impl Mode {
    /// Returns the bytes of the pixels of a row.
    const fn row(&self) -> usize {
        self.width as usize * self.format.bytes()
    }

    /// Checks that all pixels lie in `memory` bytes.
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

/// The memory of a screen: mapped from a device, or any other bytes.
pub trait Memory {
    /// Returns all bytes.
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

/// Shows frames on a screen. Dropping it restores the screen.
#[derive(Debug)]
pub struct Framebuffer<M: Memory> {
    mode: Mode,
    memory: M,
    canvas: Canvas,
    /// The pixels that the screen showed before.
    before: Vec<u8>,
}

impl<M: Memory> Framebuffer<M> {
    /// Draws in `memory`, whose layout is `mode`.
    ///
    /// # Errors
    ///
    /// Returns an error if the visible pixels do not lie in the memory.
    pub fn new(mode: Mode, mut memory: M) -> Result<Self, ModeError> {
        let bytes = memory.bytes();
        mode.check(bytes.len())?;
        let mut before = Vec::with_capacity(mode.row() * mode.height as usize);
        for row in rows(&mode, bytes) {
            before.extend_from_slice(row);
        }
        Ok(Self { mode, memory, canvas: Canvas::new(mode.width, mode.height), before })
    }

    /// Returns the mode of the screen.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }
}

/// Returns the visible part of each row.
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
