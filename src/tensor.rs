//! Geometry and quantization of one activation tensor.

use crate::format::TENSOR_SLACK;
use core::ops::Range;

/// An int8 NHWC tensor of batch 1 inside the arena, `real = scale · (q − zero_point)`.
///
/// It is stored with `halo` more pixels on every side. All offsets are in bytes, which are elements, from the first byte
/// of the halo.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Tensor {
    /// First byte of the halo in the arena.
    pub arena_offset: usize,
    /// Rows without the halo.
    pub height: usize,
    /// Columns without the halo.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Width of the halo in pixels.
    pub halo: usize,
    /// Real value of one step.
    pub scale: f32,
    /// Quantized value of real zero.
    pub zero_point: i8,
    /// Value of the halo in channels 0, 1 and 2, and in all others.
    pub fill: [i8; 4],
}

impl Tensor {
    /// Returns the number of pixels without the halo.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Returns the number of bytes from one row to the next.
    pub fn row_stride(&self) -> usize {
        (self.width + 2 * self.halo) * self.channels
    }

    /// Returns the number of bytes of the tensor with its halo.
    pub fn extent(&self) -> usize {
        (self.height + 2 * self.halo) * self.row_stride()
    }

    /// Returns the offset of pixel (`y`, `x`), which are counted without the halo.
    pub fn offset(&self, y: usize, x: usize) -> usize {
        (y + self.halo) * self.row_stride() + (x + self.halo) * self.channels
    }

    /// Returns the offset of a pixel that is counted row by row, without the halo.
    pub fn pixel_offset(&self, pixel: usize) -> usize {
        self.offset(pixel / self.width, pixel % self.width)
    }

    /// Returns the range of the arena that kernels may read: the extent and the slack.
    pub fn arena_range(&self) -> Range<usize> {
        self.arena_offset..self.arena_offset + self.extent() + TENSOR_SLACK
    }

    /// Returns the value of the halo in `channel`.
    pub fn fill_of(&self, channel: usize) -> i8 {
        self.fill[channel.min(3)]
    }

    /// Fills the halo of `data`, the tensor's [`Self::extent`] bytes.
    pub fn fill_halo(&self, data: &mut [i8]) {
        if self.halo == 0 {
            return;
        }
        let stride = self.row_stride();
        let side = self.halo * self.channels;
        for (y, row) in data[..self.extent()].chunks_exact_mut(stride).enumerate() {
            if y < self.halo || y >= self.halo + self.height {
                self.fill_pixels(row);
            } else {
                self.fill_pixels(&mut row[..side]);
                self.fill_pixels(&mut row[stride - side..]);
            }
        }
    }

    fn fill_pixels(&self, bytes: &mut [i8]) {
        if self.fill == [self.fill[0]; 4] {
            bytes.fill(self.fill[0]);
        } else {
            for pixel in bytes.chunks_exact_mut(self.channels) {
                pixel.iter_mut().enumerate().for_each(|(c, byte)| *byte = self.fill_of(c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn halo_is_filled_and_nothing_else() {
        let t = Tensor {
            arena_offset: 0,
            height: 2,
            width: 3,
            channels: 3,
            halo: 1,
            scale: 1.0,
            zero_point: 0,
            fill: [1, 2, 3, 4],
        };
        let mut data = vec![0i8; t.extent()];
        t.fill_halo(&mut data);
        for y in 0..4 {
            for x in 0..5 {
                let inside = (1..3).contains(&y) && (1..4).contains(&x);
                let pixel = &data[(y * 5 + x) * 3..][..3];
                assert_eq!(pixel, if inside { [0, 0, 0] } else { [1, 2, 3] }, "{y} {x}");
            }
        }
        assert_eq!(t.offset(0, 0), 18);
        assert_eq!(t.pixel_offset(4), t.offset(1, 1));
    }
}
