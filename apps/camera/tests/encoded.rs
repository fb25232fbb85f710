//! Encoded video, pictures and sound, as ffmpeg writes them, are called what they are, however they are given. The files are made by
//! `fixtures/encoded/make.py`.

use resnext_camera::source::{Colours, Container, SourceError, SourceOptions, open};
use resnext_camera::{Captured, PixelFormat, Stop};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first words of a name of a file, and what the content is called.
const NAMES: [(&str, &str); 32] = [
    ("mp4", "an MP4 file"),
    ("mov", "a QuickTime file"),
    ("3gp", "a 3GP file"),
    ("mkv", "a Matroska file"),
    ("webm", "a WebM file"),
    ("avi", "an AVI file"),
    ("flv", "a Flash video"),
    ("ogg", "an Ogg file"),
    ("ivf", "an IVF file"),
    ("asf", "an ASF (WMV) file"),
    ("mxf", "an MXF file"),
    ("nut", "a NUT file"),
    ("rm", "a RealMedia file"),
    ("wtv", "a WTV file"),
    ("dv", "DV video"),
    ("ts", "an MPEG transport stream"),
    ("ps", "an MPEG program stream"),
    ("h264", "H.264 video"),
    ("h265", "H.265 (HEVC) video"),
    ("h266", "H.266 (VVC) video"),
    ("av1", "AV1 video"),
    ("mpeg1", "MPEG-1 or MPEG-2 video"),
    ("mpeg2", "MPEG-1 or MPEG-2 video"),
    ("mpeg4", "MPEG-4 video"),
    ("dirac", "Dirac video"),
    ("jxl", "a JPEG XL picture"),
    ("jp2", "a JPEG 2000 picture"),
    ("avif", "an AVIF picture"),
    ("tiff", "a TIFF picture"),
    ("mp3", "MP3"),
    ("wav", "WAV"),
    ("flac", "FLAC"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoded")
}

fn options(container: Option<Container>) -> SourceOptions {
    SourceOptions {
        exif: resnext_photo::Exif::Ignore,
        container,
        size: Some((64, 48)),
        stride: None,
        rows: None,
        rate: None,
        colours: Colours::default(),
        timeout: Duration::from_secs(5),
        realtime: false,
        stop: Stop::default(),
    }
}

/// Opens a source and reads its first frame. Returns the error.
fn refusal(path: &Path, container: Option<Container>) -> SourceError {
    let read = open(path, &options(container)).and_then(|mut source| source.next(&mut Captured::default()));
    read.expect_err(&format!("{} as {container:?}", path.display()))
}

#[test]
fn encoded_content_is_called_what_it_is() {
    let mut files: Vec<_> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "head"));
    files.sort();
    assert!(files.len() > 40);
    let folder = tempfile::tempdir().unwrap();
    for path in &files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let first = stem.split('-').next().unwrap();
        let (_, name) = NAMES.iter().find(|(known, _)| *known == first).expect(stem);
        // Pictures of a file that is shorter than a frame, as long as one, and longer.
        let bytes = std::fs::read(path).unwrap();
        let long = folder.path().join(stem);
        std::fs::write(&long, [&bytes[..], &vec![0x55; 9000]].concat()).unwrap();
        for path in [path, &long] {
            let mut containers = vec![None, Some(Container::Y4m), Some(Container::Mjpeg)];
            // These begin as pictures may, or are recognised by fewer bytes.
            if !matches!(stem, "jxl" | "mp3" | "ts-joined") {
                containers.push(Some(Container::Raw(PixelFormat::Nv12)));
                containers.push(Some(Container::Raw(PixelFormat::Rgb)));
            }
            for container in containers {
                let error = refusal(path, container).to_string();
                assert!(
                    error.starts_with(&format!("is {name}")) && error.contains("; "),
                    "{stem} {container:?}: {error}"
                );
            }
        }
    }
}

/// Without a size nothing can be read, but what the content is matters more.
#[test]
fn encoded_content_needs_no_size() {
    let mp4 = fixtures().join("mp4.head");
    let nv12 = Some(Container::Raw(PixelFormat::Nv12));
    let without_size = SourceOptions { size: None, ..options(nv12) };
    let said = |path: &Path| open(path, &without_size).err().unwrap().to_string();
    assert!(said(&mp4).starts_with("is an MP4 file, which is compressed; "), "{}", said(&mp4));
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    std::fs::write(&frames, [90; 640]).unwrap();
    assert_eq!(open(&frames, &without_size).err(), Some(SourceError::UnknownSize));
}

/// A camera's stream may be joined at any byte.
#[test]
fn a_transport_stream_is_recognised_wherever_it_is_joined() {
    let whole = std::fs::read(fixtures().join("ts.head")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined");
    for skipped in (0..=whole.len() - 4 * 188).step_by(31) {
        std::fs::write(&path, &whole[skipped..]).unwrap();
        assert!(refusal(&path, None).to_string().starts_with("is an MPEG transport stream"), "{skipped}");
    }
}

#[test]
fn names_of_sources_elsewhere_get_a_hint() {
    for url in
        ["rtsp://10.0.0.7:554/stream", "http://camera.local/video?size=1", "udp://@:1234", "srt://host:9"]
    {
        assert_eq!(refusal(Path::new(url), None), SourceError::Address, "{url}");
    }
    for (name, device) in [("0", "/dev/video0"), ("12", "/dev/video12"), ("video2", "/dev/video2")] {
        let error = refusal(Path::new(name), None);
        assert_eq!(error, SourceError::NoSuchCamera(device.to_owned()), "{name}");
    }
    for name in ["film.mp4", "C:/film.mp4", "videos", "1234567", "/dev/video99"] {
        assert!(matches!(refusal(Path::new(name), None), SourceError::Unreadable { .. }), "{name}");
    }
}

#[test]
fn a_network_camera_says_that_it_sends_jpeg() {
    let image = resnext_photo::Rgb8Image { width: 16, height: 8, data: vec![90; 16 * 8 * 3] };
    let jpeg = image.to_jpeg(90).unwrap();
    let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    for start in ["--frame\r\n", "\r\n--frame\r\n", "--frame\nX-Timestamp: 1\n"] {
        std::fs::write(&path, [start.as_bytes(), head.as_bytes(), &jpeg, b"\r\n--frame\r\n"].concat())
            .unwrap();
        let mut source = open(&path, &SourceOptions { size: None, ..options(None) }).unwrap();
        let mut captured = Captured::default();
        assert_eq!(source.next(&mut captured), Ok(resnext_camera::source::Delivery::Frame), "{start:?}");
        assert_eq!(captured.frame().unwrap().width(), 16);
    }
}

/// Motion JPEG in a container is read, if that is what is said to be in it.
#[test]
fn pictures_in_a_container_can_be_read() {
    let image = resnext_photo::Rgb8Image { width: 16, height: 8, data: vec![90; 16 * 8 * 3] };
    let jpeg = image.to_jpeg(90).unwrap();
    let mut bytes = std::fs::read(fixtures().join("avi.head")).unwrap();
    bytes.truncate(100);
    bytes.extend(&jpeg);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.avi");
    std::fs::write(&path, bytes).unwrap();
    let mut source = open(&path, &options(Some(Container::Mjpeg))).unwrap();
    let mut captured = Captured::default();
    assert_eq!(source.next(&mut captured), Ok(resnext_camera::source::Delivery::Frame));
    assert_eq!(source.next(&mut captured), Ok(resnext_camera::source::Delivery::End));
}
