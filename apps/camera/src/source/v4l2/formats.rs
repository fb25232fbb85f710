//! Negotiates a format with a driver.

use super::abi::{self, PixFormat};
use super::device::Device;
use super::retry::retry;
use crate::raw_format::{PixelFormat, RawFormat};
use crate::source::frame_source::SourceError;
use crate::source::options::{Container, SourceOptions};
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use rustix::io::Errno;

/// The supported formats, best first. Earlier ones are cheaper to convert. YUV has a half or two thirds of the bytes of RGB.
/// JPEG is last because it has to be decoded.
const FORMATS: [(&[u8; 4], Container); 12] = [
    (b"NV12", Container::Raw(PixelFormat::Nv12)),
    (b"NV21", Container::Raw(PixelFormat::Nv21)),
    (b"YU12", Container::Raw(PixelFormat::I420)),
    (b"YV12", Container::Raw(PixelFormat::Yv12)),
    (b"YUYV", Container::Raw(PixelFormat::Yuyv)),
    (b"UYVY", Container::Raw(PixelFormat::Uyvy)),
    (b"422P", Container::Raw(PixelFormat::I422)),
    (b"RGB3", Container::Raw(PixelFormat::Rgb)),
    (b"BGR3", Container::Raw(PixelFormat::Bgr)),
    (b"GREY", Container::Raw(PixelFormat::Grey)),
    (b"MJPG", Container::Mjpeg),
    (b"JPEG", Container::Mjpeg),
];

/// The default size. It is larger than the input of any model, and every webcam delivers it uncompressed.
const DEFAULT_SIZE: (u32, u32) = (640, 480);

/// The contents of the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Raw(RawFormat),
    Jpeg,
}

/// Returns a code as a number.
pub(super) fn code(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}

/// Returns a code in letters.
pub(super) fn spell(code: u32) -> String {
    // The highest bit marks big-endian formats.
    let letters = (code & 0x7fff_ffff).to_le_bytes();
    letters
        .iter()
        .flat_map(|&byte| char::from(byte).escape_default())
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Returns the supported format with this code.
pub(super) fn container(pixelformat: u32) -> Option<Container> {
    FORMATS.iter().find(|(name, _)| code(name) == pixelformat).map(|&(_, container)| container)
}

/// Returns the codes that a device offers.
pub(super) fn offered(device: &mut dyn Device) -> Vec<u32> {
    let mut codes = Vec::new();
    // The limit is for drivers that never end their list.
    for index in 0..256 {
        match retry(|| device.offered(index)) {
            Ok(format) => codes.push(format.pixelformat),
            Err(_) => break,
        }
    }
    codes
}

/// Agrees with the driver on a format and a size. Returns the format, and a note if the size is another one than requested.
pub(super) fn negotiate(
    device: &mut dyn Device,
    options: &SourceOptions,
) -> Result<(Contents, Option<String>), SourceError> {
    let codes = offered(device);
    let fits = |container: Container| options.container.is_none_or(|wanted| wanted == container);
    let chosen = FORMATS.iter().find(|(name, container)| fits(*container) && codes.contains(&code(name)));
    let Some((name, container)) = chosen else {
        let all: Vec<_> = codes.iter().map(|&code| spell(code)).collect();
        let what = match options.container {
            Some(_) => format!("does not offer that format, but {}", all.join(", ")),
            None => format!("offers no supported format, but {}", all.join(", ")),
        };
        let remedy = "choose another format, or let a program convert it (rpicam-vid, gst-launch-1.0, ffmpeg) and pipe it in";
        return Err(SourceError::format(what, remedy));
    };
    let (width, height) = options.size.unwrap_or(DEFAULT_SIZE);
    let asked = PixFormat {
        width,
        height,
        pixelformat: code(name),
        field: abi::FIELD_NONE,
        private: abi::PIX_FMT_PRIV_MAGIC,
        ..PixFormat::default()
    };
    let got =
        retry(|| device.set_format(asked)).map_err(|errno| refused("cannot be set to that format", errno))?;
    if got.pixelformat != asked.pixelformat {
        return Err(SourceError::format(
            format!("was asked for {} and delivers {}", spell(asked.pixelformat), spell(got.pixelformat)),
            "choose another format",
        ));
    }
    use abi::{FIELD_ANY, FIELD_INTERLACED, FIELD_INTERLACED_BT, FIELD_INTERLACED_TB, FIELD_NONE};
    let whole = [FIELD_ANY, FIELD_NONE, FIELD_INTERLACED, FIELD_INTERLACED_TB, FIELD_INTERLACED_BT];
    if !whole.contains(&got.field) {
        let remedy = "set it to progressive video (v4l2-ctl), or pipe frames in";
        return Err(SourceError::format(
            "delivers the two fields of a frame apart, which is not supported",
            remedy,
        ));
    }
    let note = ((got.width, got.height) != (width, height) && options.size.is_some())
        .then(|| format!("delivers {}x{} pixels instead of {width}x{height}", got.width, got.height));
    let contents = match *container {
        Container::Raw(pixels) => Contents::Raw(raw(pixels, &got, options)?),
        _ => Contents::Jpeg,
    };
    Ok((contents, note))
}

/// Returns the layout of the frames that the driver delivers.
fn raw(pixels: PixelFormat, got: &PixFormat, options: &SourceOptions) -> Result<RawFormat, SourceError> {
    let reported = colours(pixels, got);
    let yuv = Yuv {
        matrix: options.colours.matrix.unwrap_or(reported.matrix),
        range: options.colours.range.unwrap_or(reported.range),
    };
    let tight = RawFormat::tight(pixels, got.width, got.height, yuv);
    // Some drivers report no stride if rows are not padded.
    let stride = match got.bytesperline {
        0 => tight.stride,
        stride => stride as usize,
    };
    let format = RawFormat { stride, ..tight };
    match format.frame_len() {
        Some(_) => Ok(format),
        None => Err(SourceError::format(
            format!(
                "describes impossible frames of {}x{} pixels and rows of {stride} bytes",
                got.width, got.height
            ),
            "ask for another size",
        )),
    }
}

/// Returns the colours of a format, by the rules of `V4L2_MAP_YCBCR_ENC_DEFAULT` and `V4L2_MAP_QUANTIZATION_DEFAULT`.
fn colours(pixels: PixelFormat, got: &PixFormat) -> Yuv {
    let encoding = match got.ycbcr_enc {
        abi::YCBCR_ENC_DEFAULT
            if [abi::COLORSPACE_REC709, abi::COLORSPACE_DCI_P3].contains(&got.colorspace) =>
        {
            abi::YCBCR_ENC_709
        }
        encoding => encoding,
    };
    // The luma of a grey sensor has full range, because it is what the sensor measures.
    let full = got.colorspace == abi::COLORSPACE_JPEG || pixels == PixelFormat::Grey;
    Yuv {
        matrix: match encoding {
            abi::YCBCR_ENC_709 | abi::YCBCR_ENC_XV709 => YuvMatrix::Bt709,
            _ => YuvMatrix::Bt601,
        },
        range: match got.quantization {
            abi::QUANTIZATION_FULL_RANGE => YuvRange::Full,
            abi::QUANTIZATION_DEFAULT if full => YuvRange::Full,
            _ => YuvRange::Limited,
        },
    }
}

/// Returns the error for a call that the kernel refuses.
pub(super) fn refused(what: &str, errno: Errno) -> SourceError {
    let (why, remedy) = match errno {
        Errno::ACCESS | Errno::PERM => {
            ("permission denied", "add yourself to its group (sudo usermod -aG video $USER) and log in again")
        }
        Errno::BUSY => ("another program uses it", "end that program; `fuser -v DEVICE` names it"),
        Errno::NODEV | Errno::NXIO | Errno::NOENT => ("it is gone", "plug the camera in"),
        Errno::NOTTY => return SourceError::NotACamera(format!("{what}: it is no video device")),
        _ => {
            let what = format!("{what}: {}", std::io::Error::from(errno));
            return SourceError::Unreadable {
                what,
                remedy: "plug the camera in again, or try another format or size",
            };
        }
    };
    SourceError::Unreadable { what: format!("{what}: {why}"), remedy }
}
