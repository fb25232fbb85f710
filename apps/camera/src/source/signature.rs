//! Recognises content that is not frames by its bytes: compressed video above all, which cameras and recorders write unless told
//! otherwise. Read as frames it is noise, and a network has an opinion on noise.
//!
//! Each signature is from the definition of its format, which is named beside it.

mod bitstream;
mod transport;

use std::fmt;

/// Content that is recognised, and is not what can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// What it is, as it follows "is".
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Video,
    /// A picture that is read, if it is a file whose format is not stated.
    Photo,
    /// A picture that is not read.
    Picture,
    Sound,
    Archive,
    Text,
    /// What can be read, under another format.
    Readable,
}

impl Content {
    const fn new(kind: Kind, name: &'static str) -> Self {
        Self { name, kind }
    }

    /// Returns whether it is video that a decoder such as ffmpeg turns into frames.
    #[must_use]
    pub fn is_video(&self) -> bool {
        self.kind == Kind::Video
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.kind {
            Kind::Video => {
                write!(f, "is {name}, which is compressed; decode it to YUV4MPEG2 or to raw frames")
            }
            Kind::Photo => {
                write!(
                    f,
                    "is {name}, and pictures are read from files, without a format; give its path alone"
                )
            }
            Kind::Picture => write!(f, "is {name}, which is not read here; convert it to PNG or JPEG"),
            Kind::Sound => write!(f, "is {name} and has no frames; give a source of pictures"),
            Kind::Archive => write!(f, "is {name}; unpack it"),
            Kind::Text => write!(f, "is {name} and has no frames; give the file that it names"),
            Kind::Readable => write!(f, "is {name} and not of the stated format; leave out the format"),
        }
    }
}

/// What is known of the bytes beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// They are said to be frames, which may begin with anything. Only signatures count that no picture has.
    AmongFrames,
    /// They are nothing that can be read.
    Unreadable,
}

/// The fewest bytes that are enough for most signatures: six packets of a transport stream with error correction.
pub(super) const SEARCHED: usize = 6 * 204;

/// Recognises what `start`, the first bytes of a stream, begins.
pub(super) fn recognise(start: &[u8], certainty: Certainty) -> Option<Content> {
    let fixed = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature));
    let found = fixed
        .map(|&(_, content)| content)
        .or_else(|| iso_media(start))
        .or_else(|| riff(start))
        .or_else(|| ebml(start))
        .or_else(|| bitmap(start))
        .or_else(|| netpbm(start))
        .or_else(|| compressed(start))
        // Its packets hold elementary streams.
        .or_else(|| transport::is_transport_stream(start, certainty).then_some(TRANSPORT_STREAM))
        .or_else(|| bitstream::recognise(start));
    match certainty {
        Certainty::AmongFrames => found.or_else(|| readable(start)),
        Certainty::Unreadable => found.or_else(|| short(start)),
    }
}

const TRANSPORT_STREAM: Content = Content::new(Kind::Video, "an MPEG transport stream");
const MATROSKA: Content = Content::new(Kind::Video, "a Matroska file");
const WEBM: Content = Content::new(Kind::Video, "a WebM file");
const MP4: Content = Content::new(Kind::Video, "an MP4 file");
const QUICKTIME: Content = Content::new(Kind::Video, "a QuickTime file");
const BMP: Content = Content::new(Kind::Photo, "a BMP picture");
const GZIP: Content = Content::new(Kind::Archive, "compressed with gzip");
const BZIP2: Content = Content::new(Kind::Archive, "compressed with bzip2");
const HEIF: Content = Content::new(Kind::Picture, "a HEIF picture");

/// Signatures of at least four bytes at the start.
const SIGNATURES: &[(&[u8], Content)] = &[
    // Adobe, Video File Format Specification 10.1, annex E.2: version 1, flags of sound and video, length of the header.
    (b"FLV\x01\x01\0\0\0\x09", Content::new(Kind::Video, "a Flash video")),
    (b"FLV\x01\x05\0\0\0\x09", Content::new(Kind::Video, "a Flash video")),
    (b"FLV\x01\x04\0\0\0\x09", Content::new(Kind::Sound, "sound in a Flash video")),
    // RFC 3533.
    (b"OggS\0", Content::new(Kind::Video, "an Ogg file")),
    // The container of libvpx.
    (b"DKIF\0\0", Content::new(Kind::Video, "an IVF file")),
    // ASF Specification 01.20.05, section 10.1: the GUID of the header object.
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", Content::new(Kind::Video, "an ASF (WMV) file")),
    // SMPTE 377: the key of the header partition pack.
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", Content::new(Kind::Video, "an MXF file")),
    // https://ffmpeg.org/~michael/nut.txt.
    (b"nut/multimedia container\0", Content::new(Kind::Video, "a NUT file")),
    // The GUID of Windows Media Center.
    (b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e", Content::new(Kind::Video, "a WTV file")),
    (b".RMF\0\0\0", Content::new(Kind::Video, "a RealMedia file")),
    // SMPTE 314M: the DIF block of a header, of 525 or 625 lines.
    (b"\x1f\x07\x00\x3f", Content::new(Kind::Video, "DV video")),
    (b"\x1f\x07\x00\xbf", Content::new(Kind::Video, "DV video")),
    // Dirac Specification 2.2.3, section 9.6.
    (b"BBCD\0\0\0\0", Content::new(Kind::Video, "Dirac video")),
    (super::image_files::PNG, Content::new(Kind::Photo, "a PNG picture")),
    (b"GIF87a", Content::new(Kind::Photo, "a GIF picture")),
    (b"GIF89a", Content::new(Kind::Photo, "a GIF picture")),
    (b"II*\0", Content::new(Kind::Picture, "a TIFF picture")),
    (b"MM\0*", Content::new(Kind::Picture, "a TIFF picture")),
    // The boxes of JPEG XL and of JPEG 2000.
    (b"\0\0\0\x0cJXL \r\n\x87\n", Content::new(Kind::Picture, "a JPEG XL picture")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Content::new(Kind::Picture, "a JPEG 2000 picture")),
    (b"\xff\x4f\xff\x51\0", Content::new(Kind::Picture, "a JPEG 2000 picture")),
    (b"8BPS\0\x01", Content::new(Kind::Picture, "a Photoshop picture")),
    (b"fLaC", Content::new(Kind::Sound, "FLAC")),
    // The magic numbers of compressors and archives.
    (b"\xfd7zXZ\0", Content::new(Kind::Archive, "compressed with xz")),
    (b"\x28\xb5\x2f\xfd", Content::new(Kind::Archive, "compressed with zstd")),
    (b"\x04\x22\x4d\x18", Content::new(Kind::Archive, "compressed with lz4")),
    (b"PK\x03\x04", Content::new(Kind::Archive, "a ZIP archive")),
    (b"7z\xbc\xaf\x27\x1c", Content::new(Kind::Archive, "a 7z archive")),
    (b"#EXTM3U", Content::new(Kind::Text, "a playlist")),
];

/// Recognises by the few bytes that a picture may begin with, too.
fn short(start: &[u8]) -> Option<Content> {
    let signatures: [(&[u8], Content); 6] = [
        (b"\x1f\x8b\x08", GZIP),
        (b"BZh", BZIP2),
        (b"BM", BMP),
        (b"\xff\x0a", Content::new(Kind::Picture, "a JPEG XL picture")),
        (b"ID3", Content::new(Kind::Sound, "MP3")),
        (b"v=0", Content::new(Kind::Text, "a session description (SDP)")),
    ];
    signatures.iter().find(|(signature, _)| start.starts_with(signature)).map(|&(_, content)| content)
}

/// Recognises what can be read if its format is not stated, or stated rightly.
fn readable(start: &[u8]) -> Option<Content> {
    // After the start of a JPEG there are application data, a comment or a table.
    let jpeg = matches!(start, [0xff, 0xd8, 0xff, 0xe0..=0xef | 0xfe | 0xdb, 0, ..]);
    match start {
        _ if start.starts_with(super::y4m::MAGIC) => Some(Content::new(Kind::Readable, "YUV4MPEG2")),
        _ if jpeg => Some(Content::new(Kind::Readable, "JPEG")),
        _ => None,
    }
}

/// Recognises files of boxes (ISO/IEC 14496-12): a length, a type, and in the first box a brand.
fn iso_media(start: &[u8]) -> Option<Content> {
    let (length, kind) = (start.first_chunk::<4>()?, start.get(4..8)?);
    let length = u32::from_be_bytes(*length);
    // A length of 0 reaches to the end of the file, and 1 means that a longer one follows.
    if !matches!(length, 0 | 1 | 8..) {
        return None;
    }
    match kind {
        b"ftyp" | b"styp" => Some(match start.get(8..12).unwrap_or_default() {
            b"qt  " => QUICKTIME,
            b"heic" | b"heix" | b"heim" | b"heis" | b"mif1" | b"msf1" => HEIF,
            b"avif" => Content::new(Kind::Picture, "an AVIF picture"),
            b"crx " => Content::new(Kind::Picture, "a raw photo (CR3)"),
            b"M4A " | b"M4B " => Content::new(Kind::Sound, "sound in an MP4 file"),
            [b'3', b'g', ..] => Content::new(Kind::Video, "a 3GP file"),
            _ => MP4,
        }),
        // A fragment, or a file that begins with its frames.
        b"moof" | b"sidx" | b"emsg" | b"prft" | b"moov" => Some(MP4),
        // Old recorders write no brand.
        b"mdat" | b"wide" | b"free" | b"skip" | b"pnot" => Some(QUICKTIME),
        _ => None,
    }
}

/// Recognises RIFF: a type, a length, and a type of content.
fn riff(start: &[u8]) -> Option<Content> {
    match (start.get(..4)?, start.get(8..12)?) {
        (b"RIFF", b"AVI " | b"AVIX") => Some(Content::new(Kind::Video, "an AVI file")),
        (b"RIFF", b"WEBP") => Some(Content::new(Kind::Photo, "a WebP picture")),
        (b"RIFF" | b"RIFX" | b"RF64", b"WAVE") => Some(Content::new(Kind::Sound, "WAV")),
        _ => None,
    }
}

/// Recognises BMP by its reserved bytes, the length of the second header, and its one plane.
fn bitmap(start: &[u8]) -> Option<Content> {
    let (reserved, header) = (start.strip_prefix(b"BM")?.get(4..8)?, start.get(14..18)?);
    let planes = match u32::from_le_bytes(header.try_into().ok()?) {
        12 => start.get(22..24)?,
        40 | 52 | 56 | 64 | 108 | 124 => start.get(26..28)?,
        _ => return None,
    };
    (reserved == [0; 4] && planes == [1, 0]).then_some(BMP)
}

/// Recognises the formats of Netpbm: `P6`, white space, and a width or a comment.
fn netpbm(start: &[u8]) -> Option<Content> {
    let [b'P', b'1'..=b'6', space, first, second, ..] = start else { return None };
    let begins = matches!(first, b'#' | b'1'..=b'9') && (second.is_ascii_graphic() || *second == b' ');
    (matches!(space, b'\n' | b' ' | b'\t') && begins).then_some(Content::new(Kind::Picture, "a PNM picture"))
}

/// Recognises compressed files by the whole header: flags and system of gzip (RFC 1952), the first block of bzip2.
fn compressed(start: &[u8]) -> Option<Content> {
    match start {
        [0x1f, 0x8b, 8, 0..=0x1f, _, _, _, _, 0 | 2 | 4, 0..=13 | 255, ..] => Some(GZIP),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => Some(BZIP2),
        _ => None,
    }
}

/// Recognises EBML (RFC 8794), whose header states the type of document.
fn ebml(start: &[u8]) -> Option<Content> {
    let header = start.strip_prefix(b"\x1a\x45\xdf\xa3")?;
    let header = &header[..header.len().min(64)];
    Some(if header.windows(4).any(|window| window == b"webm") { WEBM } else { MATROSKA })
}

#[cfg(test)]
mod tests;
