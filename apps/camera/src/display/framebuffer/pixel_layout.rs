//! The bits of a pixel in a framebuffer.

/// The position of a colour in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Index of the lowest bit.
    pub shift: u32,
    /// Number of bits, 1..=8.
    pub bits: u32,
}

impl Channel {
    /// Returns the pixel bits of a colour value.
    const fn encode(self, value: u8) -> u32 {
        (value as u32 >> (8 - self.bits)) << self.shift
    }
}

/// The layout of little-endian pixels of 2, 3 or 4 bytes, with a bit field for each colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLayout {
    bytes: usize,
    channels: [Channel; 3],
    /// The bits of opacity, all set.
    rest: u32,
}

impl PixelLayout {
    /// 16 bits, with red in the upper bits.
    pub const RGB565: Self = Self::known(2, [(11, 5), (5, 6), (0, 5)]);
    /// 32 bits: blue, green, red and an unused byte.
    pub const XRGB8888: Self = Self::known(4, [(16, 8), (8, 8), (0, 8)]);

    const fn known(bytes: usize, [red, green, blue]: [(u32, u32); 3]) -> Self {
        let channels = [
            Channel { shift: red.0, bits: red.1 },
            Channel { shift: green.0, bits: green.1 },
            Channel { shift: blue.0, bits: blue.1 },
        ];
        Self { bytes, channels, rest: 0 }
    }

    /// Makes a layout with pixels of 16, 24 or 32 `bits`. `channels` are red, green and blue, and `alpha` is the opacity. Returns
    /// `None` if a field does not lie in the pixel, or has no or more than 8 bits.
    #[must_use]
    pub fn new(bits: u32, channels: [Channel; 3], alpha: Channel) -> Option<Self> {
        let inside = |channel: Channel| {
            channel.bits <= 8 && channel.shift.checked_add(channel.bits).is_some_and(|end| end <= bits)
        };
        let valid = matches!(bits, 16 | 24 | 32)
            && channels.iter().all(|&channel| channel.bits > 0 && inside(channel))
            && inside(alpha);
        let rest = || if alpha.bits == 0 { 0 } else { alpha.encode(u8::MAX) };
        valid.then(|| Self { bytes: bits as usize / 8, channels, rest: rest() })
    }

    /// Returns the bytes of a pixel.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Converts a row of RGB8 pixels.
    pub(super) fn pack(&self, rgb: &[u8], row: &mut [u8]) {
        let [red, green, blue] = self.channels;
        for (rgb, out) in rgb.chunks_exact(3).zip(row.chunks_exact_mut(self.bytes)) {
            let pixel = self.rest | red.encode(rgb[0]) | green.encode(rgb[1]) | blue.encode(rgb[2]);
            out.copy_from_slice(&pixel.to_le_bytes()[..self.bytes]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(format: PixelLayout, rgb: [u8; 3]) -> Vec<u8> {
        let mut row = vec![0xEE; format.bytes()];
        format.pack(&rgb, &mut row);
        row
    }

    const NONE: Channel = Channel { shift: 0, bits: 0 };

    fn eight(shift: u32) -> Channel {
        Channel { shift, bits: 8 }
    }

    #[test]
    fn formats_are_what_linux_calls_them() {
        assert_eq!(packed(PixelLayout::RGB565, [255, 0, 0]), 0xF800u16.to_le_bytes());
        assert_eq!(packed(PixelLayout::RGB565, [0, 255, 0]), 0x07E0u16.to_le_bytes());
        assert_eq!(packed(PixelLayout::RGB565, [0, 0, 255]), 0x001Fu16.to_le_bytes());
        assert_eq!(packed(PixelLayout::RGB565, [0x84, 0x82, 0x87]), 0x8410u16.to_le_bytes());
        assert_eq!(packed(PixelLayout::XRGB8888, [1, 2, 3]), [3, 2, 1, 0]);
    }

    #[test]
    fn any_layout_of_fields() {
        let rgb565 = [(11, 5), (5, 6), (0, 5)].map(|(shift, bits)| Channel { shift, bits });
        assert_eq!(PixelLayout::new(16, rgb565, NONE), Some(PixelLayout::RGB565));
        let bgr = PixelLayout::new(24, [eight(0), eight(8), eight(16)], NONE).unwrap();
        assert_eq!(packed(bgr, [1, 2, 3]), [1, 2, 3]);
        let abgr = PixelLayout::new(32, [eight(0), eight(8), eight(16)], eight(24)).unwrap();
        assert_eq!(packed(abgr, [1, 2, 3]), [1, 2, 3, 255]);
    }

    #[test]
    fn what_no_screen_has_is_refused() {
        let rgb = [eight(16), eight(8), eight(0)];
        for bits in [0, 1, 8, 15, 30, 64, u32::MAX] {
            assert_eq!(PixelLayout::new(bits, rgb, NONE), None);
        }
        assert_eq!(PixelLayout::new(16, rgb, NONE), None, "red ends at 24");
        for odd in [Channel { shift: 0, bits: 0 }, Channel { shift: 0, bits: 10 }, eight(25), eight(u32::MAX)]
        {
            assert_eq!(PixelLayout::new(32, [odd, rgb[1], rgb[2]], NONE), None);
        }
        assert_eq!(PixelLayout::new(32, rgb, eight(25)), None);
    }
}
