//! Chooses and opens a source.

use super::frame_source::{FrameSource, SourceError, StreamInfo};
use super::image_files::{ImageFiles, PNG};
use super::mjpeg::Mjpeg;
use super::options::{Container, SourceOptions};
use super::paced::Paced;
use super::raw::Raw;
use super::signature::{Certainty, SEARCHED, recognise};
use super::stream::{Input, Stream};
use super::v4l2::Camera;
use super::y4m::{self, Y4m};
use crate::raw_format::RawFormat;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
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
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) => return Err(misnamed(path).unwrap_or_else(|| failed(error))),
    };
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
    if kind.is_file() && options.container.is_none() && is_image(&file).map_err(failed)? {
        return Ok(paced(ImageFiles::file(path, options.exif), options));
    }
    stream(file.into(), name, options)
}

/// Returns the error for a path that does not exist, if it is the name that other programs have for a source.
fn misnamed(path: &Path) -> Option<SourceError> {
    let name = path.to_str()?;
    if let Some((scheme, _)) = name.split_once("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let named = scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        return (named && scheme.chars().all(is_scheme)).then_some(SourceError::Address);
    }
    // OpenCV and others count cameras, and `v4l2-ctl` leaves out the folder.
    let number = name.strip_prefix("video").unwrap_or(name);
    let is_number = !number.is_empty() && number.len() <= 3 && number.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| SourceError::NoSuchCamera(format!("/dev/video{number}")))
}

/// Returns whether a file is an image that is no JPEG. Several JPEGs in a file are a stream, so a JPEG is one too.
fn is_image(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut start = [0; 12];
    let read = file.read_at(&mut start, 0)?;
    Ok(match &start[..read] {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => true,
        start => [PNG, b"GIF8", b"BM"].iter().any(|magic| start.starts_with(magic)),
    })
}

/// Opens a stream of bytes.
fn stream(fd: OwnedFd, name: String, options: &SourceOptions) -> Result<Box<dyn FrameSource>, SourceError> {
    let bytes = bytes_of_file(&fd);
    let info = StreamInfo {
        name,
        live: bytes.is_none(),
        interval: options.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
        timeout: Some(options.timeout),
        bytes,
    };
    let mut stream = Stream::new(Input::new(fd, options.timeout, options.stop.clone()));
    let container = match options.container {
        Some(container) => container,
        None => sniff(&mut stream, &info)?,
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
            let Some((width, height)) = options.size else {
                // What is no frames has no use for a size. A pipe would have to be waited for.
                if info.bytes.is_some() {
                    let _ = stream.peek(SEARCHED);
                }
                let content = recognise(stream.buffered(), Certainty::AmongFrames);
                return Err(content.map_or(SourceError::UnknownSize, SourceError::Encoded));
            };
            let yuv = options.colours.or_default(width, height);
            let tight = RawFormat::tight(pixels, width, height, yuv);
            let stride = options.stride.unwrap_or(tight.stride);
            let format = RawFormat { stride, rows: options.rows.unwrap_or(tight.rows), ..tight };
            Ok(paced(Raw::new(stream, info, format)?, options))
        }
    }
}

/// Returns the number of bytes that can still be read, if `fd` is a file and no pipe.
fn bytes_of_file(fd: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return None;
    }
    let at = rustix::fs::seek(fd, rustix::fs::SeekFrom::Current(0)).unwrap_or(0);
    Some(u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(at))
}

/// Returns the container of a stream by its first bytes.
fn sniff<R: Read>(stream: &mut Stream<R>, info: &StreamInfo) -> Result<Container, SourceError> {
    let start = stream.peek(y4m::MAGIC.len()).map_err(|error| SourceError::reading(&error, info.timeout))?;
    match start {
        y4m::MAGIC => return Ok(Container::Y4m),
        [0xff, 0xd8, ..] => return Ok(Container::Mjpeg),
        [] => return Err(SourceError::format("is empty", "give a source that has frames")),
        _ => {}
    }
    // It fails in any case, so it may take a moment to find out why. If no more bytes arrive, those that did must do.
    let _ = stream.peek(SEARCHED);
    let start = stream.buffered();
    if is_multipart(start) {
        return Ok(Container::Mjpeg);
    }
    Err(recognise(start, Certainty::Unreadable).map_or(SourceError::UnknownFormat, SourceError::Encoded))
}

/// Returns whether a stream begins as that of a network camera does: with a boundary and the head of a JPEG (RFC 2046).
fn is_multipart(start: &[u8]) -> bool {
    let start = start[..start.len().min(512)].trim_ascii_start();
    start.starts_with(b"--") && start.to_ascii_lowercase().windows(10).any(|part| part == b"image/jpeg")
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
