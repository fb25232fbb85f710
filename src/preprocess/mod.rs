//! Turns a camera frame into the pixels that a model reads: resizes the short side and crops the centre.
//!
//! Resampling matters more than quantization: a model that reads frames resized by another rule loses more accuracy
//! than int8 costs. So the pixels here are, to the byte, those of the library that the checkpoint was evaluated with. [`Interpolation::PillowBilinear`] and [`Interpolation::PillowBicubic`] follow Pillow's `Image.resize` for
//! 8-bit RGB (`src/libImaging/Resample.c`): antialiased, separable, a horizontal pass to 8-bit rows and then
//! a vertical pass, both in fixed point with 22 fractional bits. A direction whose size does not change is
//! left out, as Pillow does. [`Interpolation::OpenCvBilinear`] follows `cv2.resize`: two pixels in each direction, 11
//! fractional bits, not antialiased.
//!
//! **Which Pillow?** Pillow up to 12.1, which the published accuracies were measured with, always resamples along the rows
//! first. Later releases go down the columns first for tall pictures (13.0: where the height loses more than twice as
//! many pixels as the width, so portraits beyond 1:2; 12.2: beyond 1:100). That changes some pixels of those pictures, by
//! one level for bilinear and by more where bicubic overshoots. All other pictures come out the same. Pillow's own weights depend on its compiler: the reference is a build that
//! does not fuse multiplications with additions, as the x86-64 wheels are.
//!
//! **Which OpenCV?** What every release from 4.6 to 5.0 computes on x86-64, whichever vector instructions it finds,
//! and up to 4.12 on AArch64. It is neither `INTER_LINEAR_EXACT`, which differs by one level in every seventh
//! sample, nor what OpenCV 5.0 does on AArch64: there Arm's KleidiCV takes over, which differs by up to two levels.
//!
//! A [`Frame`] is what a camera delivers: RGB in any order of bytes, or YUV. A few rows at a time are converted to RGB,
//! resampled along the row into a small ring of rows, and resampled down the columns into a row of the result. This is
//! one pass over the frame, which reads only the pixels that the crop needs, so the scratch memory is tens of kilobytes:
//! see [`Preprocessing::scratch_len`]. Nothing is allocated, and no frame makes anything here panic. The passes use NEON
//! or AVX2 if the CPU has them, and give the same bytes without.
//!
//! Two sets of rules cover the published variants. `tests/fixtures/preprocess` holds what the library of each variant
//! makes of frames of two dozen sizes:
//!
//! | library | `side_rounding` | `crop_rounding` | `interpolation` |
//! |---|---|---|---|
//! | torchvision, timm, mmcls | [`SideRounding::Truncate`] | [`CropRounding::HalfEven`] | Pillow's |
//! | PaddleClas | [`SideRounding::Nearest`] | [`CropRounding::Floor`] | OpenCV's |

mod frame;
mod opencv;
mod passes;
mod pillow;
mod resample;
#[cfg(test)]
mod tests;
mod yuv;

pub use frame::{Frame, FrameError, Packed, Plane};
pub use yuv::{Yuv, YuvMatrix, YuvRange};

use core::fmt;
use core::ops::Range;

pub(crate) use passes::Passes;
use resample::{Across, Axis, BLOCK, Ring, Table, WORD};

/// The largest frame side, crop side and resize target, in pixels.
///
/// Any frame within this limit is served if the caller has [`Preprocessing::scratch_len`] bytes of scratch memory.
pub const MAX_FRAME_SIDE: u32 = 65_535;

/// Bytes of one RGB8 pixel.
const CHANNELS: usize = 3;

/// How pixels are weighed when the picture is resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Interpolation {
    /// Pillow's `Image.BILINEAR`: a triangle, widened to the pixel spacing of the target when shrinking.
    PillowBilinear,
    /// Pillow's `Image.BICUBIC`: Keys' cubic with a = −0.5, widened likewise.
    PillowBicubic,
    /// OpenCV's `INTER_LINEAR`: the two nearest pixels in each direction, whatever the shrinking factor.
    OpenCvBilinear,
}

impl Interpolation {
    /// All interpolations in the order of their [codes](Self::code).
    pub const ALL: [Self; 3] = [Self::PillowBilinear, Self::PillowBicubic, Self::OpenCvBilinear];

    /// Returns the name used in reports: `pillow-bilinear`, `pillow-bicubic` or `opencv-bilinear`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PillowBilinear => "pillow-bilinear",
            Self::PillowBicubic => "pillow-bicubic",
            Self::OpenCvBilinear => "opencv-bilinear",
        }
    }

    /// Returns the code of [`PreprocessingRecord::interpolation`](crate::format::PreprocessingRecord::interpolation).
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the interpolation with this [`Self::code`], if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// How the long side's new length becomes a whole number of pixels.
///
/// The short side is always [`Preprocessing::short_side`] exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SideRounding {
    /// `int(target * long / short)`: torchvision's and timm's `Resize`, mmcls' `Resize` and mmpretrain's
    /// `ResizeEdge`.
    Truncate,
    /// `int(round(long * (target / short)))` in binary64, halves to even: PaddleClas'
    /// `ResizeImage(resize_short=…)`.
    Nearest,
}

impl SideRounding {
    /// All roundings in the order of their [codes](Self::code).
    pub const ALL: [Self; 2] = [Self::Truncate, Self::Nearest];

    /// Returns the name used in reports: `truncate` or `nearest`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Nearest => "nearest",
        }
    }

    /// Returns the code of [`PreprocessingRecord::side_rounding`](crate::format::PreprocessingRecord::side_rounding).
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the rounding with this [`Self::code`], if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Where a centred crop starts if the surplus is odd, so that both sides cannot lose as many pixels.
///
/// Of a surplus of `d` pixels, `left` are cut off on the left (or above). The rules differ by at most one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CropRounding {
    /// `left = int(round(d / 2.))`, halves to even: `CenterCrop` of torchvision, timm and mmcls.
    HalfEven,
    /// `left = d // 2`: PaddleClas' `CropImage`.
    Floor,
}

impl CropRounding {
    /// All roundings in the order of their [codes](Self::code).
    pub const ALL: [Self; 2] = [Self::HalfEven, Self::Floor];

    /// Returns the name used in reports: `half-even` or `floor`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HalfEven => "half-even",
            Self::Floor => "floor",
        }
    }

    /// Returns the code of [`PreprocessingRecord::crop_rounding`](crate::format::PreprocessingRecord::crop_rounding).
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the rounding with this [`Self::code`], if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// How a photo or a frame becomes the input of a network.
///
/// The picture is resized so that its short side is `short_side`, and `crop_height` × `crop_width` pixels are cut out
/// of its middle. An fp32 network reads them normalised, `(pixel / 255 − mean) / std`. The runtime reads them as they
/// are, because its first convolution contains the normalisation.
///
/// A crop larger than the resized picture in a direction is filled with black there, as torchvision's
/// `CenterCrop` does: of `d` missing pixels, `d / 2` go left (above) and `(d + 1) / 2` right (below). timm's
/// evaluation transform is torchvision's, so this is its rule too.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Preprocessing {
    /// Length of the short side after resizing, in pixels, 1 to [`MAX_FRAME_SIDE`].
    pub short_side: u32,
    /// Rows of the result, 1 to [`MAX_FRAME_SIDE`].
    pub crop_height: u32,
    /// Pixels in a row of the result, 1 to [`MAX_FRAME_SIDE`].
    pub crop_width: u32,
    /// How pixels are weighed when the picture is resized.
    pub interpolation: Interpolation,
    /// Rounding of the long side's length.
    pub side_rounding: SideRounding,
    /// Rounding of the crop's position.
    pub crop_rounding: CropRounding,
    /// Mean of each RGB channel, of pixels in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each RGB channel, of pixels in 0..1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Returns what torchvision's models expect: the short side is resized to `short_side` with Pillow's bilinear filter,
    /// `size` × `size` pixels are cropped, and the mean and standard deviation are those of ImageNet.
    pub const fn imagenet(size: u32, short_side: u32) -> Self {
        Self {
            short_side,
            crop_height: size,
            crop_width: size,
            interpolation: Interpolation::PillowBilinear,
            side_rounding: SideRounding::Truncate,
            crop_rounding: CropRounding::HalfEven,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// Returns the number of bytes of scratch that [`Preprocessing::run`] needs for a frame of `width` × `height`.
    ///
    /// Returns `None` if `run` would refuse the lengths or the size, or if the count does not fit a `usize`. It grows with the
    /// shrinking factor and does not depend on the frame's layout; a resize to 256 and a crop of 224 with Pillow's bilinear filter take 16 kB at
    /// 640×480 and 33 kB at 1920×1080. For a camera whose size is known, compute it once.
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
    /// [`PreprocessError::OutOfRange`] if a length is out of range, [`PreprocessError::Scratch`] if
    /// `scratch` is too short. `sink` has not been called then.
    pub fn run(
        &self,
        frame: &Frame<'_>,
        scratch: &mut [u8],
        mut sink: impl FnMut(usize, &[u8]),
    ) -> Result<(), PreprocessError> {
        self.run_on(Passes::detect(), frame, scratch, &mut sink)
    }

    /// [`Self::run`] on an instruction set.
    pub(crate) fn run_on(
        &self,
        passes: Passes,
        frame: &Frame<'_>,
        scratch: &mut [u8],
        sink: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), PreprocessError> {
        self.check()?;
        let plan = self.plan(frame.width(), frame.height());
        let got = scratch.len();
        let layout = plan.layout().ok_or(PreprocessError::Scratch { need: usize::MAX, got })?;
        let scratch =
            scratch.get_mut(..layout.total).ok_or(PreprocessError::Scratch { need: layout.total, got })?;

        let (across_table, scratch) = scratch.split_at_mut(layout.across_table);
        let (down_table, scratch) = scratch.split_at_mut(layout.down_table);
        let (lines, scratch) = scratch.split_at_mut(layout.lines);
        let (ring, out) = scratch.split_at_mut(layout.ring);
        let (columns, rows) = (plan.columns.shown(), plan.rows.shown());
        let source = plan.source_columns();

        let mut across_table = Table::new(across_table, plan.across.taps(&columns));
        across_table.fill_across(&plan.across, columns.start, source.start);
        let mut down_table = Table::new(down_table, plan.down.taps(&rows));
        let mut ring = Ring::new(ring, plan.ring_row(), self.interpolation, plan.down.source(&rows));
        let mut across = Across {
            passes,
            interpolation: self.interpolation,
            table: across_table,
            columns: source,
            first: columns.start,
            lines,
        };

        let left = plan.columns.before as usize * CHANNELS;
        let right = left + plan.columns.len as usize * CHANNELS;
        let width = self.crop_width as usize * CHANNELS;
        out.fill(0);
        for y in 0..self.crop_height {
            match y.checked_sub(plan.rows.before) {
                Some(index) if index < plan.rows.len => {
                    let index = rows.start + index;
                    let window = plan.down.window(index);
                    ring.advance(window, frame, &mut across);
                    let pixels = &mut out[left..][..plan.out_row()];
                    if plan.down.is_identity() {
                        ring.rows(window).copy_first(pixels);
                    } else {
                        down_table.fill_down(&plan.down, index);
                        passes.down(self.interpolation, &ring.rows(window), down_table.weights(), pixels);
                    }
                    // Passes write whole blocks; what is right of the picture is black.
                    out[right..].fill(0);
                }
                // Above the picture, or below it.
                Some(index) if index == plan.rows.len => out.fill(0),
                _ => {}
            }
            sink(y as usize, &out[..width]);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), PreprocessError> {
        if is_side(self.short_side) && is_side(self.crop_height) && is_side(self.crop_width) {
            Ok(())
        } else {
            Err(PreprocessError::OutOfRange {
                short_side: self.short_side,
                crop_height: self.crop_height,
                crop_width: self.crop_width,
            })
        }
    }

    /// Sides must have passed [`is_side`]: products of two of them then fit a `u32`.
    fn plan(&self, width: u32, height: u32) -> Plan {
        let long_side = |short: u32, long: u32| match self.side_rounding {
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
            interpolation: self.interpolation,
            across: Axis::new(self.interpolation, width, new_width),
            down: Axis::new(self.interpolation, height, new_height),
            columns: Span::centred(new_width, self.crop_width, self.crop_rounding),
            rows: Span::centred(new_height, self.crop_height, self.crop_rounding),
        }
    }
}

/// A [`Preprocessing`] applied to one frame size.
struct Plan {
    interpolation: Interpolation,
    across: Axis,
    down: Axis,
    columns: Span,
    rows: Span,
}

impl Plan {
    /// Returns the source columns that are read. They start at an even one, so that chroma blocks are whole.
    fn source_columns(&self) -> Range<u32> {
        let source = self.across.source(&self.columns.shown());
        source.start & !1..source.end
    }

    /// Returns the number of bytes that a vertical pass writes: a row of the shown picture and up to a block beyond it.
    fn out_row(&self) -> usize {
        // One more sample than there are, because horizontal passes store four at a time.
        (self.columns.len as usize * CHANNELS + 1).next_multiple_of(BLOCK)
    }

    /// Returns the number of bytes of a row between the passes.
    fn ring_row(&self) -> usize {
        self.out_row() * self.interpolation.sample()
    }

    /// Returns the layout of the scratch, or `None` if its length does not fit a `usize`.
    fn layout(&self) -> Option<ScratchLayout> {
        let (columns, rows) = (self.columns.shown(), self.rows.shown());
        let taps = (self.across.taps(&columns), self.down.taps(&rows));
        let record = |taps| Table::record(taps) * WORD as u64;
        // Every term is below 2^52, so the sum cannot wrap.
        let across_table = u64::from(self.columns.len) * record(taps.0);
        let down_table = record(taps.1);
        let lines = Across::line_len(&self.source_columns(), taps.0) * self.interpolation.batch() as u64;
        let ring = Ring::rows_for(taps.1, self.interpolation) * self.ring_row() as u64;
        let out = u64::from(self.columns.crop) * CHANNELS as u64 + BLOCK as u64;
        Some(ScratchLayout {
            across_table: usize::try_from(across_table).ok()?,
            down_table: usize::try_from(down_table).ok()?,
            lines: usize::try_from(lines).ok()?,
            ring: usize::try_from(ring).ok()?,
            total: usize::try_from(across_table + down_table + lines + ring + out).ok()?,
        })
    }
}

/// Byte counts of the regions of the scratch, in order; the output row takes the rest of `total`.
struct ScratchLayout {
    across_table: usize,
    down_table: usize,
    lines: usize,
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
    /// Returns the pixels of the resized picture that show.
    fn shown(&self) -> Range<u32> {
        self.first..self.first + self.len
    }

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
    (1..=MAX_FRAME_SIDE).contains(&side)
}

/// `x` must be at least 0 and below 2^32.
fn round_half_even(x: f64) -> u32 {
    let whole = x as u32;
    let rest = x - f64::from(whole);
    whole + u32::from(rest > 0.5 || (rest == 0.5 && whole & 1 == 1))
}

/// Why [`Preprocessing::run`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PreprocessError {
    /// A length is 0 or above [`MAX_FRAME_SIDE`].
    OutOfRange {
        /// [`Preprocessing::short_side`].
        short_side: u32,
        /// [`Preprocessing::crop_height`].
        crop_height: u32,
        /// [`Preprocessing::crop_width`].
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
            Self::OutOfRange { short_side, crop_height, crop_width } => write!(
                f,
                "resize to {short_side} and crop {crop_height}x{crop_width} is out of range; use lengths of 1 to {MAX_FRAME_SIDE}"
            ),
            Self::Scratch { need, got } => {
                write!(
                    f,
                    "preprocessing scratch is {got} bytes; give the {need} that Preprocessing::scratch_len reports"
                )
            }
        }
    }
}

impl core::error::Error for PreprocessError {}
