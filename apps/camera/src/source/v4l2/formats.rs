//! What is asked of a driver, and what its answer means.

use super::abi::{self, PixFormat};
use super::device::Device;
use super::retry;
use crate::captured::{PixelFormat, RawFormat};
use crate::source::{Container, SourceError, Wanted};
use resnext::preprocess::{Yuv, YuvMatrix, YuvRange};
use rustix::io::Errno;

/// Codes of the formats read here. What is further up costs less to convert, and of YUV half or two thirds of RGB to
/// move; JPEG comes last, for it has to be decoded.
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

/// Asked for where nobody says: more than any model looks at, and what every webcam does uncompressed.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// What fills the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Raw(RawFormat),
    Jpeg,
}

/// The code as a number.
pub(super) fn code(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}

/// A code in letters.
pub(super) fn spell(code: u32) -> String {
    // The last bit says big-endian.
    let letters = (code & 0x7fff_ffff).to_le_bytes();
    letters
        .iter()
        .flat_map(|&byte| char::from(byte).escape_default())
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// What is read here of a code.
pub(super) fn container(pixelformat: u32) -> Option<Container> {
    FORMATS.iter().find(|(name, _)| code(name) == pixelformat).map(|&(_, container)| container)
}

/// The codes that a device offers.
pub(super) fn offered(device: &mut dyn Device) -> Vec<u32> {
    let mut codes = Vec::new();
    // A driver that never ends its list must not keep us.
    for index in 0..256 {
        match retry(|| device.offered(index)) {
            Ok(format) => codes.push(format.pixelformat),
            Err(_) => break,
        }
    }
    codes
}

/// Agrees with the driver on a format and a size. Says what it is, and what became of the size.
pub(super) fn negotiate(
    device: &mut dyn Device,
    wanted: &Wanted,
) -> Result<(Contents, Option<String>), SourceError> {
    let codes = offered(device);
    let fits = |container: Container| wanted.container.is_none_or(|wanted| wanted == container);
    let chosen = FORMATS.iter().find(|(name, container)| fits(*container) && codes.contains(&code(name)));
    let Some((name, container)) = chosen else {
        let all: Vec<_> = codes.iter().map(|&code| spell(code)).collect();
        let what = match wanted.container {
            Some(_) => format!("does not offer that format, but {}", all.join(", ")),
            None => format!("offers no format that is read here, but {}", all.join(", ")),
        };
        let remedy = "choose another with --format, or let a program convert it (rpicam-vid, gst-launch-1.0, ffmpeg) and pipe it in";
        return Err(SourceError::format(what, remedy));
    };
    let (width, height) = wanted.size.unwrap_or(USUAL_SIZE);
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
            format!("was asked for {} and gives {}", spell(asked.pixelformat), spell(got.pixelformat)),
            "choose another with --format",
        ));
    }
    use abi::{FIELD_ANY, FIELD_INTERLACED, FIELD_INTERLACED_BT, FIELD_INTERLACED_TB, FIELD_NONE};
    let whole = [FIELD_ANY, FIELD_NONE, FIELD_INTERLACED, FIELD_INTERLACED_TB, FIELD_INTERLACED_BT];
    if !whole.contains(&got.field) {
        let remedy = "set it to progressive video (v4l2-ctl), or pipe frames in";
        return Err(SourceError::format("gives the two fields of a frame apart, which are not read", remedy));
    }
    let note = ((got.width, got.height) != (width, height) && wanted.size.is_some())
        .then(|| format!("gives {}x{} pixels instead of {width}x{height}", got.width, got.height));
    let contents = match *container {
        Container::Raw(pixels) => Contents::Raw(raw(pixels, &got, wanted)?),
        _ => Contents::Jpeg,
    };
    Ok((contents, note))
}

fn raw(pixels: PixelFormat, got: &PixFormat, wanted: &Wanted) -> Result<RawFormat, SourceError> {
    let told = colours(pixels, got);
    let yuv = Yuv {
        matrix: wanted.colours.matrix.unwrap_or(told.matrix),
        range: wanted.colours.range.unwrap_or(told.range),
    };
    let tight = RawFormat::tight(pixels, got.width, got.height, yuv);
    // Some drivers leave it to the reader that rows have no gaps.
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
            "ask for another size with --size",
        )),
    }
}

/// `V4L2_MAP_YCBCR_ENC_DEFAULT` and `V4L2_MAP_QUANTIZATION_DEFAULT`, and what they map to the two matrices we know.
fn colours(pixels: PixelFormat, got: &PixFormat) -> Yuv {
    let encoding = match got.ycbcr_enc {
        abi::YCBCR_ENC_DEFAULT
            if [abi::COLORSPACE_REC709, abi::COLORSPACE_DCI_P3].contains(&got.colorspace) =>
        {
            abi::YCBCR_ENC_709
        }
        encoding => encoding,
    };
    // Luma of a grey sensor is what it measured.
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

/// What the kernel did not do.
pub(super) fn refused(what: &str, errno: Errno) -> SourceError {
    let (why, remedy) = match errno {
        Errno::ACCESS | Errno::PERM => {
            ("permission denied", "add yourself to its group (sudo usermod -aG video $USER) and log in again")
        }
        Errno::BUSY => ("another program uses it", "end that one; `fuser -v` with the device names it"),
        Errno::NODEV | Errno::NXIO | Errno::NOENT => ("it is gone", "plug the camera in"),
        Errno::NOTTY => ("it is no video device", "`resnext camera --list` lists those that are"),
        _ => {
            let what = format!("{what}: {}", std::io::Error::from(errno));
            return SourceError::Unreadable {
                what,
                remedy: "plug the camera in again, or try another --format or --size",
            };
        }
    };
    SourceError::Unreadable { what: format!("{what}: {why}"), remedy }
}
