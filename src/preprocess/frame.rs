//! Camera frames as they lie in memory.

use core::fmt;
use core::ops::Range;

use super::{CHANNELS, MAX_FRAME_SIDE, is_side};
use crate::preprocess::yuv::{Yuv, YuvMatrix, YuvRange};

/// Rows of bytes, one below the other.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    /// The rows, top first. Bytes after the last row are ignored, and so is what lies between a row and the next.
    pub data: &'a [u8],
    /// Bytes from the start of a row to the start of the next.
    ///
    /// The last row needs only its pixels.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// Creates a plane of rows that start `stride` bytes apart.
    pub fn new(data: &'a [u8], stride: usize) -> Self {
        Self { data, stride }
    }

    /// Checks that there are `rows` rows of `row` bytes. `index` names the plane in the error.
    fn check(&self, index: usize, row: usize, rows: usize) -> Result<(), FrameError> {
        let (stride, got) = (self.stride, self.data.len());
        if stride < row {
            return Err(FrameError::Stride { plane: index, need: row, got: stride });
        }
        let need = stride.checked_mul(rows - 1).and_then(|above| above.checked_add(row));
        match need {
            Some(need) if need <= got => Ok(()),
            _ => Err(FrameError::Short { plane: index, need: need.unwrap_or(usize::MAX), got }),
        }
    }

    /// Returns the bytes `bytes` of row `y`, which [`Self::check`] has covered.
    fn row(&self, y: u32, bytes: Range<usize>) -> &'a [u8] {
        &self.data[y as usize * self.stride..][bytes]
    }
}

impl fmt::Debug for Plane<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plane({} bytes, stride {})", self.data.len(), self.stride)
    }
}

/// The order of the bytes of packed RGB pixels, as they lie in memory. X is a byte that is ignored.
///
/// Other interfaces have other names for the same orders. DRM and libcamera name them from the most significant bit of a
/// little-endian word:
///
/// | here | V4L2 | DRM, libcamera | OpenCV |
/// |---|---|---|---|
/// | `Rgb` | `RGB24` | `BGR888` | |
/// | `Bgr` | `BGR24` | `RGB888` | `CV_8UC3` |
/// | `Rgbx` | `RGBX32` | `XBGR8888` | |
/// | `Bgrx` | `XBGR32` | `XRGB8888` | `CV_8UC4` |
/// | `Xrgb` | `XRGB32` | `BGRX8888` | |
/// | `Xbgr` | `BGRX32` | `RGBX8888` | |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Packed {
    /// 3 bytes: red, green, blue.
    Rgb,
    /// 3 bytes: blue, green, red.
    Bgr,
    /// 4 bytes: red, green, blue, ignored.
    Rgbx,
    /// 4 bytes: blue, green, red, ignored.
    Bgrx,
    /// 4 bytes: ignored, red, green, blue.
    Xrgb,
    /// 4 bytes: ignored, blue, green, red.
    Xbgr,
}

impl Packed {
    /// Returns the number of bytes of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Rgbx | Self::Bgrx | Self::Xrgb | Self::Xbgr => 4,
        }
    }

    /// Returns the offsets of red, green and blue in a pixel.
    pub(super) fn offsets(self) -> [usize; CHANNELS] {
        match self {
            Self::Rgb | Self::Rgbx => [0, 1, 2],
            Self::Bgr | Self::Bgrx => [2, 1, 0],
            Self::Xrgb => [1, 2, 3],
            Self::Xbgr => [3, 2, 1],
        }
    }
}

/// A borrowed picture, 8 bits a sample, top row first.
///
/// In YUV layouts with fewer chroma samples than pixels, pixel (x, y) takes the sample of the block that it lies in, at
/// (x / 2, y) or (x / 2, y / 2). Samples are replicated and not interpolated, as libyuv and OpenCV do. Where a side is
/// odd, half of the last block lies on the picture: chroma rows have `(width + 1) / 2` samples.
///
/// ```
/// use resnext::preprocess::{Frame, Plane, Yuv, YuvMatrix, YuvRange};
///
/// // An NV12 buffer as V4L2 hands it out: luma, then chroma, in rows of 704 bytes for 640 pixels.
/// let buffer = vec![128; 704 * (480 + 240)];
/// let (luma, chroma) = buffer.split_at(704 * 480);
/// let yuv = Yuv { matrix: YuvMatrix::Bt601, range: YuvRange::Limited };
/// let frame = Frame::nv12(Plane::new(luma, 704), Plane::new(chroma, 704), 640, 480, yuv)?;
/// # Ok::<_, resnext::preprocess::FrameError>(())
/// ```
#[derive(Clone, Copy)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'a> {
    width: u32,
    height: u32,
    layout: Layout<'a>,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Layout<'a> {
    Packed(Packed, Plane<'a>),
    Yuyv(Yuv, Plane<'a>),
    /// Whether V comes first, luma, chroma.
    SemiPlanar(Yuv, bool, Plane<'a>, Plane<'a>),
    /// Luma, U, V, chroma of every second pixel of every second row.
    Planar420(Yuv, [Plane<'a>; 3]),
    /// Likewise, of every second pixel.
    Planar422(Yuv, [Plane<'a>; 3]),
    /// Likewise, of every pixel.
    Planar444(Yuv, [Plane<'a>; 3]),
    Grey(YuvRange, Plane<'a>),
}

impl<'a> Frame<'a> {
    /// Creates a frame of packed RGB, red first: [`Self::packed`] with [`Packed::Rgb`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn rgb8(data: &'a [u8], width: u32, height: u32, stride: usize) -> Result<Self, FrameError> {
        Self::packed(Packed::Rgb, Plane { data, stride }, width, height)
    }

    /// Creates a frame of packed RGB: rows of `width` pixels of 3 or 4 bytes.
    ///
    /// # Errors
    ///
    /// [`FrameError::Side`] if a side is 0 or above [`MAX_FRAME_SIDE`], [`FrameError::Stride`] if rows would overlap,
    /// [`FrameError::Short`] if the data ends before the last pixel.
    pub fn packed(order: Packed, plane: Plane<'a>, width: u32, height: u32) -> Result<Self, FrameError> {
        let layout = Layout::Packed(order, plane);
        Self::new(width, height, layout, &[(plane, width as usize * order.bytes(), height as usize)])
    }

    /// Creates a frame of YUYV, also called YUY2: 4:2:2, rows of `(width + 1) / 2` pairs of pixels, each the bytes Y, U, Y, V.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn yuyv(plane: Plane<'a>, width: u32, height: u32, yuv: Yuv) -> Result<Self, FrameError> {
        let layout = Layout::Yuyv(yuv, plane);
        Self::new(width, height, layout, &[(plane, half(width) * 4, height as usize)])
    }

    /// Creates a frame of NV12: 4:2:0, rows of `width` luma bytes, and `(height + 1) / 2` rows of `(width + 1) / 2` pairs U, V.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`]; luma is plane 0.
    pub fn nv12(
        luma: Plane<'a>,
        chroma: Plane<'a>,
        width: u32,
        height: u32,
        yuv: Yuv,
    ) -> Result<Self, FrameError> {
        Self::semi_planar(luma, chroma, width, height, yuv, false)
    }

    /// Creates a frame of NV21: like [`Self::nv12`], but with pairs V, U.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`]; luma is plane 0.
    pub fn nv21(
        luma: Plane<'a>,
        chroma: Plane<'a>,
        width: u32,
        height: u32,
        yuv: Yuv,
    ) -> Result<Self, FrameError> {
        Self::semi_planar(luma, chroma, width, height, yuv, true)
    }

    fn semi_planar(
        luma: Plane<'a>,
        chroma: Plane<'a>,
        width: u32,
        height: u32,
        yuv: Yuv,
        v_first: bool,
    ) -> Result<Self, FrameError> {
        let planes = [(luma, width as usize, height as usize), (chroma, half(width) * 2, half(height))];
        Self::new(width, height, Layout::SemiPlanar(yuv, v_first, luma, chroma), &planes)
    }

    /// Creates a frame of I420, also called YUV420 or YU12: 4:2:0, rows of `width` luma bytes, and for each of U and V `(height + 1) / 2` rows
    /// of `(width + 1) / 2` bytes.
    ///
    /// `planes` are Y, U and V; YV12 is the same with the last two swapped.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn i420(planes: [Plane<'a>; 3], width: u32, height: u32, yuv: Yuv) -> Result<Self, FrameError> {
        let [y, u, v] = planes;
        let chroma = |plane| (plane, half(width), half(height));
        let sizes = [(y, width as usize, height as usize), chroma(u), chroma(v)];
        Self::new(width, height, Layout::Planar420(yuv, planes), &sizes)
    }

    /// Creates a frame of I422, also called YUV422P: 4:2:2, rows of `width` luma bytes, and for each of U and V `height` rows of
    /// `(width + 1) / 2` bytes.
    ///
    /// `planes` are Y, U and V.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn i422(planes: [Plane<'a>; 3], width: u32, height: u32, yuv: Yuv) -> Result<Self, FrameError> {
        let [y, u, v] = planes;
        let chroma = |plane| (plane, half(width), height as usize);
        let sizes = [(y, width as usize, height as usize), chroma(u), chroma(v)];
        Self::new(width, height, Layout::Planar422(yuv, planes), &sizes)
    }

    /// Creates a frame of I444, also called YUV444P: 4:4:4, rows of `width` bytes in each of the planes Y, U and V.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn i444(planes: [Plane<'a>; 3], width: u32, height: u32, yuv: Yuv) -> Result<Self, FrameError> {
        let sizes = planes.map(|plane| (plane, width as usize, height as usize));
        Self::new(width, height, Layout::Planar444(yuv, planes), &sizes)
    }

    /// Creates a grey frame: luma alone, rows of `width` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Self::packed`].
    pub fn grey(plane: Plane<'a>, width: u32, height: u32, range: YuvRange) -> Result<Self, FrameError> {
        Self::new(width, height, Layout::Grey(range, plane), &[(plane, width as usize, height as usize)])
    }

    /// Checks the sides and the planes, each given with the bytes of a row and the number of rows.
    fn new(
        width: u32,
        height: u32,
        layout: Layout<'a>,
        planes: &[(Plane<'a>, usize, usize)],
    ) -> Result<Self, FrameError> {
        if !is_side(width) || !is_side(height) {
            return Err(FrameError::Side { width, height });
        }
        for (index, (plane, row, rows)) in planes.iter().enumerate() {
            plane.check(index, *row, *rows)?;
        }
        Ok(Self { width, height, layout })
    }

    /// Returns the number of pixels in a row, 1 to [`MAX_FRAME_SIDE`].
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the number of rows, 1 to [`MAX_FRAME_SIDE`].
    pub fn height(&self) -> u32 {
        self.height
    }
}

impl<'a> Frame<'a> {
    /// Returns the pixels `columns` of row `y`. Both lie on the frame, and `columns` starts at an even one.
    pub(super) fn row(&self, y: u32, columns: Range<u32>) -> Row<'a> {
        debug_assert!(y < self.height && columns.end <= self.width && columns.start.is_multiple_of(2));
        let pixels = columns.start as usize..columns.end as usize;
        let blocks = pixels.start / 2..pixels.end.div_ceil(2);
        let bytes = |range: &Range<usize>, each: usize| range.start * each..range.end * each;
        match self.layout {
            Layout::Packed(order, plane) => {
                Row::Packed { order, pixels: plane.row(y, bytes(&pixels, order.bytes())) }
            }
            Layout::Yuyv(yuv, plane) => {
                let pairs = plane.row(y, bytes(&blocks, 4)).as_chunks().0;
                Row::Yuv { yuv, samples: Samples::Yuyv { pairs } }
            }
            Layout::SemiPlanar(yuv, v_first, luma, chroma) => {
                let chroma = chroma.row(y / 2, bytes(&blocks, 2)).as_chunks().0;
                Row::Yuv { yuv, samples: Samples::SemiPlanar { luma: luma.row(y, pixels), chroma, v_first } }
            }
            Layout::Planar420(yuv, [luma, u, v]) => {
                let [u, v] = [u, v].map(|plane| plane.row(y / 2, blocks.clone()));
                Row::Yuv { yuv, samples: Samples::Planar { luma: luma.row(y, pixels), u, v } }
            }
            Layout::Planar422(yuv, [luma, u, v]) => {
                let [u, v] = [u, v].map(|plane| plane.row(y, blocks.clone()));
                Row::Yuv { yuv, samples: Samples::Planar { luma: luma.row(y, pixels), u, v } }
            }
            Layout::Planar444(yuv, planes) => {
                let [luma, u, v] = planes.map(|plane| plane.row(y, pixels.clone()));
                Row::Yuv { yuv, samples: Samples::Full { luma, u, v } }
            }
            Layout::Grey(range, luma) => {
                // Without chroma the matrix does not matter.
                let yuv = Yuv { matrix: YuvMatrix::Bt601, range };
                Row::Yuv { yuv, samples: Samples::Grey { luma: luma.row(y, pixels) } }
            }
        }
    }
}

/// Pixels of one row, from an even one on.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    Packed { order: Packed, pixels: &'a [u8] },
    Yuv { yuv: Yuv, samples: Samples<'a> },
}

/// Samples of YUV pixels, two to a chroma sample unless said otherwise; the second of the last two may be missing.
#[derive(Clone, Copy)]
pub(super) enum Samples<'a> {
    /// Y, U, Y, V.
    Yuyv {
        pairs: &'a [[u8; 4]],
    },
    /// Chroma is U, V, or V, U.
    SemiPlanar {
        luma: &'a [u8],
        chroma: &'a [[u8; 2]],
        v_first: bool,
    },
    Planar {
        luma: &'a [u8],
        u: &'a [u8],
        v: &'a [u8],
    },
    /// Each pixel has its own.
    Full {
        luma: &'a [u8],
        u: &'a [u8],
        v: &'a [u8],
    },
    /// No pixel has one.
    Grey {
        luma: &'a [u8],
    },
}

impl Row<'_> {
    /// Returns the row without its first `pixels`, an even number.
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    pub(super) fn skip(self, pixels: usize) -> Self {
        match self {
            Self::Packed { order, pixels: bytes } => {
                Self::Packed { order, pixels: &bytes[pixels * order.bytes()..] }
            }
            Self::Yuv { yuv, samples } => {
                let blocks = pixels / 2;
                let samples = match samples {
                    Samples::Yuyv { pairs } => Samples::Yuyv { pairs: &pairs[blocks..] },
                    Samples::SemiPlanar { luma, chroma, v_first } => {
                        Samples::SemiPlanar { luma: &luma[pixels..], chroma: &chroma[blocks..], v_first }
                    }
                    Samples::Planar { luma, u, v } => {
                        Samples::Planar { luma: &luma[pixels..], u: &u[blocks..], v: &v[blocks..] }
                    }
                    Samples::Full { luma, u, v } => {
                        Samples::Full { luma: &luma[pixels..], u: &u[pixels..], v: &v[pixels..] }
                    }
                    Samples::Grey { luma } => Samples::Grey { luma: &luma[pixels..] },
                };
                Self::Yuv { yuv, samples }
            }
        }
    }
}

/// Why bytes cannot be viewed as a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// A side is 0 or above [`MAX_FRAME_SIDE`].
    Side {
        /// The width that was given, in pixels.
        width: u32,
        /// The height that was given, in pixels.
        height: u32,
    },
    /// The stride is shorter than a row.
    Stride {
        /// Which plane, counted from 0 in the order of the constructor's parameters.
        plane: usize,
        /// Bytes of a row.
        need: usize,
        /// The stride asked for, in bytes.
        got: usize,
    },
    /// The data ends before the last pixel.
    Short {
        /// Which plane, counted from 0 in the order of the constructor's parameters.
        plane: usize,
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
                write!(f, "frame is {width}x{height} pixels; use sides of 1 to {MAX_FRAME_SIDE}")
            }
            Self::Stride { plane, need, got } => {
                write!(
                    f,
                    "plane {plane} of the frame has a stride of {got} bytes; use at least {need}, a row"
                )
            }
            Self::Short { plane, need, got } => {
                write!(
                    f,
                    "plane {plane} of the frame is {got} bytes; give {need} (stride * (rows - 1) + a row) or correct the size"
                )
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// Samples of a 2× subsampled direction.
fn half(side: u32) -> usize {
    side.div_ceil(2) as usize
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}x{} {:?})", self.width, self.height, self.layout)
    }
}
