//! Chooses and opens a source.

use super::frame_source::{FrameSource, SourceError, StreamInfo};
use super::image_files::ImageFiles;
use super::mjpeg::Mjpeg;
use super::options::{Container, SourceOptions};
use super::paced::Paced;
use super::raw::Raw;
use super::stream::{Input, Stream};
use super::v4l2::Camera;
use super::y4m::{self, Y4m};
use crate::raw_format::RawFormat;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Frames per second of a recording whose rate is unknown.
const DEFAULT_RATE: f64 = 30.0;

/// Opens a device, a file, a folder, or standard input for `-`.
///
/// # Errors
///
/// Returns an error if `path` has no frames, or if `options` must state more about them.
pub fn open(path: &Path, options: &SourceOptions) -> Result<Box<dyn FrameSource>, SourceError> {
    if path == Path::new("-") {
        let stdin = io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|error| SourceError::reading(&error, None))?;
        return stream(stdin, "standard input".to_owned(), options);
    }
    let name = path.display().to_string();
    let failed = |error: io::Error| SourceError::reading(&error, None);
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_dir() {
        return Ok(paced(ImageFiles::folder(path, options.exif, &options.stop)?, options));
    }
    if kind.is_char_device() {
        return Ok(Box::new(Camera::open(path, options)?));
    }
    if !kind.is_file() && !kind.is_fifo() {
        let remedy = "give a device, a file, a folder or - for standard input";
        return Err(SourceError::format("is neither a camera nor a file, pipe or folder", remedy));
    }
    // Opening must not wait for the writer of a FIFO. `Input` waits, with a timeout.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = file.map_err(failed)?;
    if kind.is_file() && options.container.is_none() && is_png(&file).map_err(failed)? {
        return Ok(paced(ImageFiles::file(path, options.exif), options));
    }
    stream(file.into(), name, options)
}

fn is_png(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut magic = [0; 8];
    let read = file.read_at(&mut magic, 0)?;
    Ok(magic[..read] == *b"\x89PNG\r\n\x1a\n")
}

/// Opens a stream of bytes.
fn stream(fd: OwnedFd, name: String, options: &SourceOptions) -> Result<Box<dyn FrameSource>, SourceError> {
    let failed = |error: io::Error| SourceError::reading(&error, Some(options.timeout));
    let is_file = rustix::fs::fstat(&fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
    });
    let info = StreamInfo {
        name,
        live: !is_file,
        interval: options.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        timeout: Some(options.timeout),
    };
    let mut stream = Stream::new(Input::new(fd, options.timeout, options.stop.clone()));
    let container = match options.container {
        Some(container) => container,
        None => sniff(stream.peek(y4m::MAGIC.len()).map_err(failed)?)?,
    };
    match container {
        Container::Y4m => {
            let y4m = Y4m::new(stream, info, options.colours)?;
            let stated = y4m.size();
            match options.size {
                Some(asked) if asked != stated => Err(SourceError::OtherSize { stated, asked }),
                _ => Ok(paced(y4m, options)),
            }
        }
        Container::Mjpeg => Ok(paced(Mjpeg::new(stream, info), options)),
        Container::Raw(pixels) => {
            let (width, height) = options.size.ok_or(SourceError::UnknownSize)?;
            let yuv = options.colours.or_default(width, height);
            let tight = RawFormat::tight(pixels, width, height, yuv);
            let format = RawFormat { stride: options.stride.unwrap_or(tight.stride), ..tight };
            Ok(paced(Raw::new(stream, info, format)?, options))
        }
    }
}

/// Returns the container of a stream by its first bytes.
fn sniff(start: &[u8]) -> Result<Container, SourceError> {
    match start {
        y4m::MAGIC => Ok(Container::Y4m),
        [0xff, 0xd8, ..] => Ok(Container::Mjpeg),
        [] => Err(SourceError::format("is empty", "give a source that has frames")),
        _ => Err(SourceError::UnknownFormat),
    }
}

/// Plays a recording at its rate, if `options` ask for it. A live source has its own rate.
fn paced(source: impl FrameSource + 'static, options: &SourceOptions) -> Box<dyn FrameSource> {
    if !options.realtime || source.live() {
        return Box::new(source);
    }
    let default = || Duration::from_secs_f64(1.0 / options.rate.unwrap_or(DEFAULT_RATE));
    let interval = source.interval().unwrap_or_else(default);
    Box::new(Paced::new(source, interval, options.stop.clone()))
}
