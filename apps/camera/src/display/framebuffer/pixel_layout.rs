//! How a framebuffer writes a colour.

/// Where one colour is in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its lowest bit.
    pub shift: u32,
    /// How many bits, of 1..=8.
    pub bits: u32,
}

impl Channel {
    const fn place(self, value: u8) -> u32 {
        (value as u32 >> (8 - self.bits)) << self.shift
    }
}

/// Pixels of 2, 3 or 4 bytes, little-endian, with a field of bits for each colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelFormat {
    bytes: usize,
    channels: [Channel; 3],
    /// What the remaining bits are: opaque where there is transparency.
    rest: u32,
}

impl PixelFormat {
    /// 16 bits, red in the upper ones.
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

    /// Any with pixels of `bits` = 16, 24 or 32 bits, of which `channels` are red, green and blue and `alpha` is how opaque
    /// they are; `None` if fields do not lie within a pixel or have none or more than 8 bits.
    #[must_use]
    pub fn new(bits: u32, channels: [Channel; 3], alpha: Channel) -> Option<Self> {
        let inside = |channel: Channel| {
            channel.bits <= 8 && channel.shift.checked_add(channel.bits).is_some_and(|end| end <= bits)
        };
        let valid = matches!(bits, 16 | 24 | 32)
            && channels.iter().all(|&channel| channel.bits > 0 && inside(channel))
            && inside(alpha);
        let rest = || if alpha.bits == 0 { 0 } else { alpha.place(u8::MAX) };
        valid.then(|| Self { bytes: bits as usize / 8, channels, rest: rest() })
    }

    /// Bytes a pixel.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes RGB8 pixels into a row.
    pub(super) fn pack(&self, rgb: &[u8], row: &mut [u8]) {
        let [red, green, blue] = self.channels;
        for (rgb, out) in rgb.chunks_exact(3).zip(row.chunks_exact_mut(self.bytes)) {
            let pixel = self.rest | red.place(rgb[0]) | green.place(rgb[1]) | blue.place(rgb[2]);
            out.copy_from_slice(&pixel.to_le_bytes()[..self.bytes]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(format: PixelFormat, rgb: [u8; 3]) -> Vec<u8> {
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
        assert_eq!(packed(PixelFormat::RGB565, [255, 0, 0]), 0xF800u16.to_le_bytes());
        assert_eq!(packed(PixelFormat::RGB565, [0, 255, 0]), 0x07E0u16.to_le_bytes());
        assert_eq!(packed(PixelFormat::RGB565, [0, 0, 255]), 0x001Fu16.to_le_bytes());
        assert_eq!(packed(PixelFormat::RGB565, [0x84, 0x82, 0x87]), 0x8410u16.to_le_bytes());
        assert_eq!(packed(PixelFormat::XRGB8888, [1, 2, 3]), [3, 2, 1, 0]);
    }

    #[test]
    fn any_layout_of_fields() {
        let rgb565 = [(11, 5), (5, 6), (0, 5)].map(|(shift, bits)| Channel { shift, bits });
        assert_eq!(PixelFormat::new(16, rgb565, NONE), Some(PixelFormat::RGB565));
        let bgr = PixelFormat::new(24, [eight(0), eight(8), eight(16)], NONE).unwrap();
        assert_eq!(packed(bgr, [1, 2, 3]), [1, 2, 3]);
        let abgr = PixelFormat::new(32, [eight(0), eight(8), eight(16)], eight(24)).unwrap();
        assert_eq!(packed(abgr, [1, 2, 3]), [1, 2, 3, 255]);
    }

    #[test]
    fn what_no_screen_has_is_refused() {
        let rgb = [eight(16), eight(8), eight(0)];
        for bits in [0, 1, 8, 15, 30, 64, u32::MAX] {
            assert_eq!(PixelFormat::new(bits, rgb, NONE), None);
        }
        assert_eq!(PixelFormat::new(16, rgb, NONE), None, "red ends at 24");
        for odd in [Channel { shift: 0, bits: 0 }, Channel { shift: 0, bits: 10 }, eight(25), eight(u32::MAX)]
        {
            assert_eq!(PixelFormat::new(32, [odd, rgb[1], rgb[2]], NONE), None);
        }
        assert_eq!(PixelFormat::new(32, rgb, eight(25)), None);
    }
}
