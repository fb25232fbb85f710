//! From what the user named to a source.

use super::v4l2::Camera;
use super::{Input, Kind, Mjpeg, Paced, Pictures, Raw, Source, SourceError, Stream, Y4m};
use crate::captured::{PixelFormat, RawFormat};
use crate::stop::Stop;
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What the frames of a source are packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// Nothing: one after the other.
    Raw(PixelFormat),
    /// YUV4MPEG2.
    Y4m,
    /// JPEG each.
    Mjpeg,
}

impl FromStr for Container {
    type Err = ();

    /// `y4m`, `mjpeg`, or the name of a [`PixelFormat`].
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "y4m" => Ok(Self::Y4m),
            "mjpeg" | "mjpg" => Ok(Self::Mjpeg),
            _ => text.parse().map(Self::Raw),
        }
    }
}

/// What the user says about colours; `None` is for the source to say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Colours {
    /// Weights of red, green and blue.
    pub matrix: Option<YuvMatrix>,
    /// Levels.
    pub range: Option<YuvRange>,
}

impl Colours {
    /// With what is usual for frames of that size.
    pub(crate) fn or_usual(self, width: u32, height: u32) -> Yuv {
        Yuv {
            matrix: self.matrix.unwrap_or_else(|| default_matrix(width, height)),
            range: self.range.unwrap_or(YuvRange::Limited),
        }
    }
}

/// BT.709 from 720p on, as libcamera's programs choose it, and BT.601 below.
pub(crate) fn default_matrix(width: u32, height: u32) -> YuvMatrix {
    if width >= 1280 || height >= 720 { YuvMatrix::Bt709 } else { YuvMatrix::Bt601 }
}

/// What the user wants of a source.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What the frames are packed in; `None` to find out.
    pub container: Option<Container>,
    /// Width and height, which a device may change to what it can do.
    pub size: Option<(u32, u32)>,
    /// Bytes from row to row of raw frames, if there is more than the pixels.
    pub stride: Option<usize>,
    /// Frames a second: to ask of a device, or of a recording that does not say.
    pub rate: Option<f64>,
    /// What the numbers mean.
    pub colours: Colours,
    /// How long nothing may come.
    pub timeout: Duration,
    /// Whether a recording is to be played at its rate, and frames dropped that come too late.
    pub realtime: bool,
    /// Ends the source.
    pub stop: Stop,
}

/// Frames a second of a recording that nobody knows the rate of.
const USUAL_RATE: f64 = 30.0;

/// Opens a device, file, folder, or standard input for `-`.
///
/// # Errors
///
/// If there is nothing that frames could come from, or more has to be said about it.
pub fn open(path: &Path, wanted: &Wanted) -> Result<Box<dyn Source>, SourceError> {
    if path == Path::new("-") {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|error| SourceError::reading(&error, None))?;
        return stream(stdin, "standard input".to_owned(), wanted);
    }
    let name = path.display().to_string();
    let failed = |error: io::Error| SourceError::reading(&error, None);
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_dir() {
        return Ok(paced(Pictures::folder(path, &wanted.stop)?, wanted));
    }
    if kind.is_char_device() {
        return Ok(Box::new(Camera::open(path, wanted)?));
    }
    if !kind.is_file() && !kind.is_fifo() {
        let remedy = "give a device, a file, a folder or - for standard input";
        return Err(SourceError::format("is neither a camera nor a file, pipe or folder", remedy));
    }
    // A FIFO without a writer must not keep us here: how long to wait is said by `Input`.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = file.map_err(failed)?;
    if kind.is_file() && wanted.container.is_none() && is_png(&file).map_err(failed)? {
        return Ok(paced(Pictures::file(path), wanted));
    }
    stream(file.into(), name, wanted)
}

fn is_png(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut magic = [0; 8];
    let read = file.read_at(&mut magic, 0)?;
    Ok(magic[..read] == *b"\x89PNG\r\n\x1a\n")
}

/// A source of bytes.
fn stream(fd: OwnedFd, name: String, wanted: &Wanted) -> Result<Box<dyn Source>, SourceError> {
    let failed = |error: io::Error| SourceError::reading(&error, Some(wanted.timeout));
    let is_file = rustix::fs::fstat(&fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
    });
    let kind = Kind {
        name,
        live: !is_file,
        interval: wanted.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        timeout: Some(wanted.timeout),
    };
    let mut stream = Stream::new(Input::new(fd, wanted.timeout, wanted.stop.clone()));
    let container = match wanted.container {
        Some(container) => container,
        None => sniff(stream.peek(super::y4m::MAGIC.len()).map_err(failed)?)?,
    };
    match container {
        Container::Y4m => {
            let y4m = Y4m::new(stream, kind, wanted.colours)?;
            let (width, height) = y4m.size();
            match wanted.size {
                Some(size) if size != (width, height) => {
                    let what = format!("has frames of {width}x{height} pixels, not of {}x{}", size.0, size.1);
                    Err(SourceError::format(what, "leave out --size: the stream says it"))
                }
                _ => Ok(paced(y4m, wanted)),
            }
        }
        Container::Mjpeg => Ok(paced(Mjpeg::new(stream, kind), wanted)),
        Container::Raw(pixels) => {
            let remedy = "say it with --size, such as --size 1280x720";
            let no_size = || SourceError::format("raw frames have no size of their own", remedy);
            let (width, height) = wanted.size.ok_or_else(no_size)?;
            let yuv = wanted.colours.or_usual(width, height);
            let tight = RawFormat::tight(pixels, width, height, yuv);
            let format = RawFormat { stride: wanted.stride.unwrap_or(tight.stride), ..tight };
            Ok(paced(Raw::new(stream, kind, format)?, wanted))
        }
    }
}

/// What a stream is, by its first bytes.
fn sniff(start: &[u8]) -> Result<Container, SourceError> {
    match start {
        super::y4m::MAGIC => Ok(Container::Y4m),
        [0xff, 0xd8, ..] => Ok(Container::Mjpeg),
        [] => Err(SourceError::format("is empty", "give something with frames in it")),
        _ => Err(SourceError::format(
            "is neither YUV4MPEG2, JPEG nor PNG",
            "say what its frames are, such as --format yuv420 --size 1280x720",
        )),
    }
}

/// Plays a recording at its rate, if that is wanted. A live source has one.
fn paced(source: impl Source + 'static, wanted: &Wanted) -> Box<dyn Source> {
    if !wanted.realtime || source.live() {
        return Box::new(source);
    }
    let usual = || Duration::from_secs_f64(1.0 / wanted.rate.unwrap_or(USUAL_RATE));
    let interval = source.interval().unwrap_or_else(usual);
    Box::new(Paced::new(source, interval, wanted.stop.clone()))
}
