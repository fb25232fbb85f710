//! From a camera frame to the model's input pixels: resize the short side, crop the centre.
//!
//! Resampling matters more than quantization: a model scored on frames resized by another rule loses more
//! than int8 costs it. So the pixels here are those of the library that the checkpoint was evaluated with, to
//! the byte. [`Filter::PillowBilinear`] and [`Filter::PillowBicubic`] follow Pillow's `Image.resize` for
//! 8-bit RGB (`src/libImaging/Resample.c`): antialiased, separable, a horizontal pass to 8-bit rows and then
//! a vertical pass, both in fixed point with 22 fractional bits. A direction whose size does not change is
//! left out, as Pillow does.
//!
//! Which Pillow? Along the rows first, always, is the order of Pillow up to 12.1, which the published
//! accuracies were measured with. Later releases go down the columns first for tall pictures (13.0: where the
//! height loses more than twice as many pixels as the width, so portraits beyond 1:2; 12.2: beyond 1:100).
//! That moves some of their pixels, by one level for bilinear and by more where bicubic overshoots; all other
//! pictures come out the same. Pillow's own weights depend on its compiler: the reference is a build that
//! does not fuse multiplications with additions, as the x86-64 wheels are.
//!
//! Only the pixels inside the crop are computed, and source rows stream through a small ring of resampled
//! rows, so the scratch memory is tens of kilobytes for a camera frame: see [`Recipe::scratch_len`]. Nothing
//! is allocated, and nothing here panics, whatever the frame.
//!
//! Two recipes cover the zoo:
//!
//! | source | `rounding` | `crop` |
//! |---|---|---|
//! | torchvision, timm, mmcls | [`SideRounding::Truncate`] | [`CropRounding::HalfEven`] |
//! | PaddleClas | [`SideRounding::Nearest`] | [`CropRounding::Floor`] |

mod resample;
#[cfg(test)]
mod tests;

use core::fmt;

use resample::{Axis, Ring, WORD, Weights};

/// The largest frame side, crop side and resize target, in pixels.
///
/// Any frame within it is served, provided that the caller can spare [`Recipe::scratch_len`] bytes.
pub const MAX_SIDE: u32 = 65_535;

/// Bytes of one RGB8 pixel.
const CHANNELS: usize = 3;

/// A borrowed picture: 8-bit RGB, interleaved, top row first.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    data: &'a [u8],
    width: u32,
    height: u32,
    stride: usize,
}

impl<'a> Frame<'a> {
    /// Views `data` as `height` rows of `width` RGB8 pixels, each row starting `stride` bytes after the one
    /// above.
    ///
    /// `stride` is `width * 3` for a packed picture and larger for a padded or cropped one; the last row
    /// needs only its pixels. Bytes of `data` after the last pixel are ignored.
    ///
    /// # Errors
    /// [`FrameError::Side`] if a side is 0 or above [`MAX_SIDE`], [`FrameError::Stride`] if rows would
    /// overlap, [`FrameError::Short`] if `data` ends before the last pixel.
    pub fn rgb8(data: &'a [u8], width: u32, height: u32, stride: usize) -> Result<Self, FrameError> {
        if !is_side(width) || !is_side(height) {
            return Err(FrameError::Side { width, height });
        }
        let row = width as usize * CHANNELS;
        if stride < row {
            return Err(FrameError::Stride { need: row, got: stride });
        }
        let need = stride.checked_mul(height as usize - 1).and_then(|above| above.checked_add(row));
        match need {
            Some(need) if need <= data.len() => Ok(Self { data, width, height, stride }),
            _ => Err(FrameError::Short { need: need.unwrap_or(usize::MAX), got: data.len() }),
        }
    }

    /// Pixels in a row, 1 to [`MAX_SIDE`].
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows, 1 to [`MAX_SIDE`].
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Everything from row `y` on: the row itself is at its front. `y < height` was checked by the
    /// constructor's length.
    fn rows_from(&self, y: u32) -> &'a [u8] {
        debug_assert!(y < self.height);
        &self.data[y as usize * self.stride..]
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}x{} RGB8, stride {})", self.width, self.height, self.stride)
    }
}

/// How pixels are weighed when the picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Filter {
    /// Pillow's `Image.BILINEAR`: a triangle, widened to the pixel spacing of the target when shrinking.
    PillowBilinear,
    /// Pillow's `Image.BICUBIC`: Keys' cubic with a = −0.5, widened likewise.
    PillowBicubic,
}

/// How the long side's new length becomes a whole number of pixels.
///
/// The short side is always [`Recipe::short_side`] exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SideRounding {
    /// `int(target * long / short)`: torchvision's and timm's `Resize`, mmcls' `Resize` and mmpretrain's
    /// `ResizeEdge`.
    Truncate,
    /// `int(round(long * (target / short)))` in binary64, halves to even: PaddleClas'
    /// `ResizeImage(resize_short=…)`.
    Nearest,
}

/// Where a centred crop starts when as many pixels cannot be left on either side.
///
/// Of a surplus of `d` pixels, `left` go on the left (or above). For odd `d` the rules differ by at most one
/// pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CropRounding {
    /// `left = int(round(d / 2.))`, halves to even: `CenterCrop` of torchvision, timm and mmcls.
    HalfEven,
    /// `left = d // 2`: PaddleClas' `CropImage`.
    Floor,
}

/// What to do to a frame before the model sees it: resize so that the short side is `short_side`, then cut
/// `crop_height` × `crop_width` pixels out of the middle.
///
/// A crop larger than the resized picture in a direction is filled with black there, as torchvision's
/// `CenterCrop` does: of `d` missing pixels, `d / 2` go left (above) and `(d + 1) / 2` right (below). timm's
/// evaluation transform is torchvision's, so this is its rule too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Recipe {
    /// Length of the short side after resizing, in pixels, 1 to [`MAX_SIDE`].
    pub short_side: u32,
    /// Rows of the result, 1 to [`MAX_SIDE`].
    pub crop_height: u32,
    /// Pixels in a row of the result, 1 to [`MAX_SIDE`].
    pub crop_width: u32,
    /// Resampling filter.
    pub filter: Filter,
    /// Rounding of the long side's length.
    pub rounding: SideRounding,
    /// Rounding of the crop's position.
    pub crop: CropRounding,
}

impl Recipe {
    /// Bytes of scratch that [`Recipe::run`] needs for a frame of `width` × `height`.
    ///
    /// `None` if `run` would refuse the recipe or the size, or if the count does not fit a `usize`. It grows
    /// with the shrinking factor; a bilinear 256/224 recipe takes 12 kB at 640×480 and 23 kB
    /// at 1920×1080. For a camera whose size is
    /// known, compute it once.
    pub fn scratch_len(&self, width: u32, height: u32) -> Option<usize> {
        if !is_side(width) || !is_side(height) {
            return None;
        }
        self.check().ok()?;
        self.plan(width, height).layout().map(|layout| layout.total)
    }

    /// Resizes and crops `frame`, handing each row of the result to `sink` as soon as it is ready, top row
    /// first.
    ///
    /// `sink(row, rgb)` is called `crop_height` times with `row` counting up from 0 and `rgb` holding
    /// `crop_width * 3` bytes, interleaved RGB. `scratch` may hold anything, at any alignment, and may be
    /// longer than needed.
    ///
    /// # Errors
    /// [`PreprocessError::Recipe`] if a length in the recipe is out of range, [`PreprocessError::Scratch`] if
    /// `scratch` is too short. `sink` has not been called then.
    pub fn run(
        &self,
        frame: &Frame<'_>,
        scratch: &mut [u8],
        mut sink: impl FnMut(usize, &[u8]),
    ) -> Result<(), PreprocessError> {
        self.check()?;
        let plan = self.plan(frame.width, frame.height);
        let got = scratch.len();
        let layout = plan.layout().ok_or(PreprocessError::Scratch { need: usize::MAX, got })?;
        let scratch =
            scratch.get_mut(..layout.total).ok_or(PreprocessError::Scratch { need: layout.total, got })?;

        let (across_table, scratch) = scratch.split_at_mut(layout.across_table);
        let (down_table, scratch) = scratch.split_at_mut(layout.down_table);
        let (ring, out) = scratch.split_at_mut(layout.ring);
        let Plan { across, down, columns, rows } = plan;
        let mut across_table = Weights::new(across_table, across.taps_bound());
        let mut down_table = Weights::new(down_table, down.taps_bound());
        let visible = columns.len as usize * CHANNELS;
        let left = columns.before as usize * CHANNELS;

        if !across.is_identity() {
            across_table.fill(&across, columns.first);
        }
        // Rows are resampled from the first that the crop's top row reads to the last that its bottom row
        // reads.
        let source = if down.is_identity() {
            rows.first..rows.first + rows.len
        } else {
            down.window(rows.first).start..down.window(rows.first + rows.len - 1).end()
        };
        let mut ring = Ring::new(ring, visible, source);

        out.fill(0);
        for y in 0..self.crop_height {
            let row = y as usize;
            let Some(index) = y.checked_sub(rows.before).filter(|&index| index < rows.len) else {
                if y == rows.before + rows.len {
                    out.fill(0);
                }
                sink(row, out);
                continue;
            };
            let index = rows.first + index;
            let pixels = &mut out[left..left + visible];
            let cut = columns.first as usize * CHANNELS;
            match (across.is_identity(), down.is_identity()) {
                (true, true) => pixels.copy_from_slice(&frame.rows_from(index)[cut..cut + visible]),
                (false, true) => resample::across([frame.rows_from(index)], &across_table, pixels),
                (true, false) => {
                    down_table.fill(&down, index);
                    resample::down(|y| &frame.rows_from(y)[cut..cut + visible], &down_table, pixels);
                }
                (false, false) => {
                    down_table.fill(&down, index);
                    ring.advance(down.window(index).end(), &across_table, |y| frame.rows_from(y));
                    resample::down(|y| ring.row(y), &down_table, pixels);
                }
            }
            sink(row, out);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), PreprocessError> {
        if is_side(self.short_side) && is_side(self.crop_height) && is_side(self.crop_width) {
            Ok(())
        } else {
            Err(PreprocessError::Recipe {
                short_side: self.short_side,
                crop_height: self.crop_height,
                crop_width: self.crop_width,
            })
        }
    }

    /// Sides must have passed [`is_side`]: products of two of them then fit a `u32`.
    fn plan(&self, width: u32, height: u32) -> Plan {
        let long_side = |short: u32, long: u32| match self.rounding {
            SideRounding::Truncate => self.short_side * long / short,
            SideRounding::Nearest => {
                round_half_even(f64::from(long) * (f64::from(self.short_side) / f64::from(short)))
            }
        };
        let (new_width, new_height) = if width <= height {
            (self.short_side, long_side(width, height))
        } else {
            (long_side(height, width), self.short_side)
        };
        Plan {
            across: Axis::new(self.filter, width, new_width),
            down: Axis::new(self.filter, height, new_height),
            columns: Span::centred(new_width, self.crop_width, self.crop),
            rows: Span::centred(new_height, self.crop_height, self.crop),
        }
    }
}

/// A recipe applied to one frame size.
struct Plan {
    across: Axis,
    down: Axis,
    columns: Span,
    rows: Span,
}

impl Plan {
    /// `None` if the scratch does not fit a `usize`.
    fn layout(&self) -> Option<Layout> {
        let both = !self.across.is_identity() && !self.down.is_identity();
        let columns = u64::from(self.columns.len);
        let visible = columns * CHANNELS as u64;
        let record = |axis: &Axis| {
            if axis.is_identity() { 0 } else { Weights::record_words(axis.taps_bound()) * WORD as u64 }
        };
        // Every term is below 2^52, so the sum cannot wrap.
        let across_table = columns * record(&self.across);
        let down_table = record(&self.down);
        let ring = if both { Ring::rows_for(self.down.taps_bound()) * visible } else { 0 };
        let out = u64::from(self.columns.crop) * CHANNELS as u64;
        Some(Layout {
            across_table: usize::try_from(across_table).ok()?,
            down_table: usize::try_from(down_table).ok()?,
            ring: usize::try_from(ring).ok()?,
            total: usize::try_from(across_table + down_table + ring + out).ok()?,
        })
    }
}

/// Byte counts of the regions of the scratch, in order; the output row takes the rest of `total`.
struct Layout {
    across_table: usize,
    down_table: usize,
    ring: usize,
    total: usize,
}

/// The part of one direction of the resized picture that the crop shows.
struct Span {
    /// Black pixels of the crop before the picture starts.
    before: u32,
    /// First pixel of the resized picture that shows.
    first: u32,
    /// Pixels of the picture that show: at least 1.
    len: u32,
    /// Pixels of the crop.
    crop: u32,
}

impl Span {
    fn centred(size: u32, crop: u32, rounding: CropRounding) -> Self {
        if crop > size {
            return Self { before: (crop - size) / 2, first: 0, len: size, crop };
        }
        let surplus = size - crop;
        let half = surplus / 2;
        let first = match rounding {
            // Halves only arise for an odd surplus; the even neighbour is above when `half` is odd.
            CropRounding::HalfEven => half + (surplus & half & 1),
            CropRounding::Floor => half,
        };
        Self { before: 0, first, len: crop, crop }
    }
}

fn is_side(side: u32) -> bool {
    (1..=MAX_SIDE).contains(&side)
}

/// `x` must be at least 0 and below 2^32.
fn round_half_even(x: f64) -> u32 {
    let whole = x as u32;
    let rest = x - f64::from(whole);
    whole + u32::from(rest > 0.5 || (rest == 0.5 && whole & 1 == 1))
}

/// Why bytes cannot be viewed as a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// A side is 0 or above [`MAX_SIDE`].
    Side {
        /// The width asked for, in pixels.
        width: u32,
        /// The height asked for, in pixels.
        height: u32,
    },
    /// The stride is shorter than a row.
    Stride {
        /// Bytes of a row.
        need: usize,
        /// The stride asked for, in bytes.
        got: usize,
    },
    /// The data ends before the last pixel.
    Short {
        /// Bytes up to the last pixel (`usize::MAX` if they cannot be counted in a `usize`).
        need: usize,
        /// Bytes given.
        got: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Side { width, height } => {
                write!(f, "frame is {width}x{height} pixels; use sides of 1 to {MAX_SIDE}")
            }
            Self::Stride { need, got } => {
                write!(f, "frame stride is {got} bytes; use at least width * 3 = {need}")
            }
            Self::Short { need, got } => {
                write!(
                    f,
                    "frame data is {got} bytes; give {need} (stride * (height - 1) + width * 3) or correct the size"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Why [`Recipe::run`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PreprocessError {
    /// A length in the recipe is 0 or above [`MAX_SIDE`].
    Recipe {
        /// [`Recipe::short_side`].
        short_side: u32,
        /// [`Recipe::crop_height`].
        crop_height: u32,
        /// [`Recipe::crop_width`].
        crop_width: u32,
    },
    /// The scratch is too short.
    Scratch {
        /// Bytes needed (`usize::MAX` if they cannot be counted in a `usize`).
        need: usize,
        /// Bytes given.
        got: usize,
    },
}

impl fmt::Display for PreprocessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Recipe { short_side, crop_height, crop_width } => write!(
                f,
                "resize to {short_side} and crop {crop_height}x{crop_width} is out of range; use lengths of 1 to {MAX_SIDE}"
            ),
            Self::Scratch { need, got } => {
                write!(
                    f,
                    "preprocessing scratch is {got} bytes; give the {need} that Recipe::scratch_len reports"
                )
            }
        }
    }
}

impl core::error::Error for PreprocessError {}
