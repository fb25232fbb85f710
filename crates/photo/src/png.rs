//! PNG, to the byte as Pillow decodes it.

use crate::{DecodeError, MAX_DECODED_BYTES, MAX_PHOTO_SIDE, Rgb8Image, reason};
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

/// Whether `bytes` begin as every PNG does.
pub(crate) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

/// Decodes a PNG as `Image.open(file).convert("RGB")` does; of an animation, the first picture.
pub(crate) fn decode(bytes: &[u8]) -> Result<Rgb8Image, DecodeError> {
    let limit = usize::try_from(MAX_DECODED_BYTES).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: limit });
    let header = decoder.read_header_info()?;
    if header.width.max(header.height) > MAX_PHOTO_SIDE {
        return Err(DecodeError::TooLarge);
    }
    // Palettes become colours, and grey of fewer than 8 bits becomes 8 bits; 16 bits stay.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info()?;
    let len = reader.output_buffer_size().filter(|&len| len <= limit).ok_or(DecodeError::TooLarge)?;
    let mut data = vec![0; len];
    let picture = reader.next_frame(&mut data)?;
    data.truncate(picture.buffer_size());
    Ok(Rgb8Image {
        width: picture.width,
        height: picture.height,
        data: rgb8(data, picture.color_type, picture.bit_depth),
    })
}

/// Returns RGB triples of expanded pixels; [`Rgb8Image::decode`] has the rules.
fn rgb8(data: Vec<u8>, color: ColorType, depth: BitDepth) -> Vec<u8> {
    let wide = depth == BitDepth::Sixteen;
    match (color, wide) {
        (ColorType::Rgb, false) => data,
        (ColorType::Rgb, true) => data.into_iter().step_by(2).collect(),
        (ColorType::Rgba, false) => {
            data.as_chunks().0.iter().flat_map(|&[r, g, b, _]: &[u8; 4]| [r, g, b]).collect()
        }
        (ColorType::Rgba, true) => {
            data.as_chunks().0.iter().flat_map(|&[r, _, g, _, b, ..]: &[u8; 8]| [r, g, b]).collect()
        }
        (ColorType::GrayscaleAlpha, _) => {
            data.chunks_exact(if wide { 4 } else { 2 }).flat_map(|pixel| [pixel[0]; 3]).collect()
        }
        // Pillow reads 16-bit grey as integers and clips them.
        (_, true) => {
            let clipped = |&[high, low]: &[u8; 2]| if high == 0 { low } else { u8::MAX };
            data.as_chunks().0.iter().flat_map(|pixel| [clipped(pixel); 3]).collect()
        }
        (_, false) => data.into_iter().flat_map(|grey| [grey; 3]).collect(),
    }
}

impl From<DecodingError> for DecodeError {
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::LimitsExceeded => Self::TooLarge,
            error => Self::Damaged(reason(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes one row of pixels, given as the file stores them.
    fn encoded(width: u32, color: ColorType, depth: BitDepth, palette: Option<&[u8]>, row: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
            // The second colour is transparent, which changes nothing.
            encoder.set_trns(vec![255, 0]);
        }
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(row).expect("pixels");
        writer.finish().expect("an end");
        file
    }

    #[test]
    fn every_kind_of_pixel_becomes_rgb() {
        use BitDepth::{Eight, Four, One, Sixteen, Two};
        use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        let palette: &[u8] = &[1, 2, 3, 4, 5, 6];
        type Case = (ColorType, BitDepth, &'static [u8], [[u8; 3]; 2]);
        let cases: [Case; 13] = [
            (Grayscale, One, &[0b0100_0000], [[0; 3], [255; 3]]),
            (Grayscale, Two, &[0b0110_0000], [[85; 3], [170; 3]]),
            (Grayscale, Four, &[0x2f], [[34; 3], [255; 3]]),
            (Grayscale, Eight, &[7, 200], [[7; 3], [200; 3]]),
            (Grayscale, Sixteen, &[0, 99, 1, 0], [[99; 3], [255; 3]]),
            (GrayscaleAlpha, Eight, &[7, 0, 200, 255], [[7; 3], [200; 3]]),
            (GrayscaleAlpha, Sixteen, &[7, 9, 0, 0, 200, 9, 1, 1], [[7; 3], [200; 3]]),
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]),
            (Rgb, Sixteen, &[1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9], [[1, 2, 3], [4, 5, 6]]),
            (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 255], [[1, 2, 3], [4, 5, 6]]),
            (Rgba, Sixteen, &[1, 9, 2, 9, 3, 9, 0, 0, 4, 9, 5, 9, 6, 9, 9, 9], [[1, 2, 3], [4, 5, 6]]),
            (Indexed, One, &[0b0100_0000], [[1, 2, 3], [4, 5, 6]]),
            (Indexed, Eight, &[0, 1], [[1, 2, 3], [4, 5, 6]]),
        ];
        for (color, depth, row, expected) in cases {
            let palette = (color == Indexed).then_some(palette);
            let image = Rgb8Image::decode(&encoded(2, color, depth, palette, row)).expect("decodes");
            assert_eq!((image.width, image.height), (2, 1));
            assert_eq!(image.data, expected.as_flattened(), "{color:?} {depth:?}");
        }
    }

    #[test]
    fn what_is_damaged_too_large_or_no_png_is_refused() {
        let whole = encoded(2, ColorType::Rgb, BitDepth::Eight, None, &[0; 6]);
        for len in [whole.len() / 2, 20, 8] {
            let error = Rgb8Image::decode(&whole[..len]).expect_err("cut");
            assert!(matches!(error, DecodeError::Damaged(_)), "{len}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
        let row = vec![0; MAX_PHOTO_SIDE as usize + 1];
        let wide = encoded(MAX_PHOTO_SIDE + 1, ColorType::Grayscale, BitDepth::Eight, None, &row);
        assert_eq!(Rgb8Image::decode(&wide), Err(DecodeError::TooLarge));
        assert_eq!(Rgb8Image::decode(&whole[1..]), Err(DecodeError::Format));
        assert_eq!(Rgb8Image::decode(b"GIF89a"), Err(DecodeError::Format));
    }
}
