//! Photographs: decoding, and what a model makes of them.

use crate::artifact::cannot_read;
use crate::error::Error;
use image::{DynamicImage, ImageReader, Limits};
use resnext::Frame;
use resnext::preprocess::Recipe;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The largest accepted side, and the most memory that decoding may take. Enough for any camera; a file that
/// expands a thousandfold is refused. The same as for calibration samples.
const MAX_SIDE: u32 = 16_384;
const MAX_BYTES: u64 = 512 << 20;

/// A decoded picture: 8-bit RGB.
pub(crate) struct Photo {
    path: PathBuf,
    pub(crate) width: u32,
    pub(crate) height: u32,
    rgb: Vec<u8>,
}

impl Photo {
    /// Decodes a JPEG or PNG, told apart by content, as Pillow's `convert("RGB")` would: grey is replicated,
    /// alpha dropped, 16-bit grey clipped, and the EXIF orientation **not** applied. Published accuracies were
    /// measured that way, and so are ours.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let remedy = "give the path of a JPEG or PNG image";
        let failed = |error: std::io::Error| Error::at(path, cannot_read(&error, remedy));
        let kind = fs::metadata(path).map_err(failed)?;
        if kind.is_dir() {
            return Err(Error::at(path, "is a directory; give the images in it (DIR/*.jpg)"));
        }
        if !kind.is_file() {
            return Err(Error::at(path, format_args!("is not a regular file; {remedy}")));
        }
        let file = BufReader::new(File::open(path).map_err(failed)?);
        let mut reader = ImageReader::new(file).with_guessed_format().map_err(failed)?;
        if reader.format().is_none() {
            return Err(Error::at(path, format_args!("is not a JPEG or PNG image; {remedy}")));
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_BYTES);
        reader.limits(limits);
        let image = reader.decode().map_err(|error| Error::at(path, refused(&error)))?;
        Ok(Self { path: path.to_owned(), width: image.width(), height: image.height(), rgb: rgb8(image) })
    }

    /// Resizes and crops: the `height × width × 3` bytes a runner loads.
    ///
    /// A runner can do this itself in its arena, which is made for camera frames; a photograph of any size
    /// may need more scratch than that.
    pub(crate) fn cropped(&self, recipe: &Recipe) -> Result<Vec<u8>, Error> {
        let frame = Frame::rgb8(&self.rgb, self.width, self.height, 3 * self.width as usize)
            .map_err(|error| Error::at(&self.path, error))?;
        let row = 3 * recipe.crop_width as usize;
        let mut pixels = vec![0; row * recipe.crop_height as usize];
        let mut scratch = vec![0; recipe.scratch_len(self.width, self.height).unwrap_or_default()];
        let sink = |y: usize, rgb: &[u8]| pixels[y * row..][..row].copy_from_slice(rgb);
        recipe.run(&frame, &mut scratch, sink).map_err(|error| Error::at(&self.path, error))?;
        Ok(pixels)
    }
}

fn refused(error: &image::ImageError) -> String {
    use image::ImageError;
    match error {
        ImageError::Limits(_) => {
            format!("is larger than {MAX_SIDE}×{MAX_SIDE} pixels or {} MiB; shrink it first", MAX_BYTES >> 20)
        }
        ImageError::Unsupported(_) => format!("cannot be decoded ({error}); convert it to JPEG or PNG"),
        // Decoders end some messages with a full stop or a line break, and this goes into a sentence.
        _ => {
            let reason = error.to_string();
            format!("is damaged ({}); skip or replace it", reason.trim().trim_end_matches('.'))
        }
    }
}

/// RGB triples; see [`Photo::open`] for the rules.
fn rgb8(image: DynamicImage) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageLuma16(grey) => {
            grey.into_raw().into_iter().flat_map(|v| [u8::try_from(v).unwrap_or(u8::MAX); 3]).collect()
        }
        DynamicImage::ImageLumaA16(grey) => grey.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(rgb) => rgb.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(rgba) => {
            rgba.pixels().flat_map(|p| [high(p.0[0]), high(p.0[1]), high(p.0[2])]).collect()
        }
        eight_bit => eight_bit.into_rgb8().into_raw(),
    }
}
