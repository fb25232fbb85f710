//! Sources that `resnext camera` does not read: it says what they are, and the command that it gives works.

use super::{RAW, fed, ffmpeg, frames};
use crate::support::Folder;
use std::process::Command;

/// The beginning of a video that ffmpeg wrote.
fn head(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../camera/tests/fixtures/encoded/");
    std::fs::read(format!("{folder}{name}.head")).unwrap()
}

#[test]
fn encoded_video_gets_the_command_that_decodes_it() {
    let folder = Folder::new();
    folder.write("my film.mp4", &head("mp4"));
    folder.write("film.h264", &head("h264"));
    let decode = "-pix_fmt yuv420p -f yuv4mpegpipe - | resnext camera model.rnx - --every-frame";
    let film = format!(
        "resnext: my film.mp4: is an MP4 file, which is compressed; decode it to YUV4MPEG2 or to raw frames: ffmpeg -v error -i \
         'my film.mp4' {decode}"
    );
    assert_eq!(folder.resnext(&["camera", "model.rnx", "my film.mp4"]).failure(), film);
    // Who was told to state a format states one.
    for how in
        [&RAW[..], &["--format", "yuv420", "--size", "64x48"], &["--format", "mjpeg"], &["--format", "y4m"]]
    {
        assert_eq!(folder.resnext(&[&["camera", "model.rnx", "my film.mp4"], how].concat()).failure(), film);
        let line = folder.resnext(&[&["camera", "model.rnx", "film.h264"], how].concat()).failure();
        assert!(line.starts_with("resnext: film.h264: is H.264 video, which is compressed; "), "{line}");
        assert!(line.ends_with(&format!(": ffmpeg -v error -i film.h264 {decode}")), "{line}");
    }
    for how in [&[][..], &RAW] {
        let line = fed(&folder, &[&["camera", "model.rnx", "-"], how].concat(), &head("h264")).failure();
        assert!(line.starts_with("resnext: standard input: is H.264 video, which is compressed; "), "{line}");
        assert!(line.contains("rpicam-vid does with --codec yuv420"), "{line}");
    }
}

#[test]
fn addresses_and_numbers_of_cameras_get_a_hint() {
    let folder = Folder::new();
    let line = folder.resnext(&["camera", "model.rnx", "rtsp://10.0.0.7/stream?a=1&b"]).failure();
    assert!(line.starts_with("resnext: rtsp://10.0.0.7/stream?a=1&b: addresses are not read; "), "{line}");
    assert!(line.contains("ffmpeg -v error -i 'rtsp://10.0.0.7/stream?a=1&b' "), "{line}");
    assert_eq!(
        folder.resnext(&["camera", "model.rnx", "0"]).failure(),
        "resnext: 0: no such file; a camera is named by its device, such as /dev/video0 (--list)"
    );
}

/// The command of the message, run by a shell.
#[test]
fn the_command_that_is_given_works() {
    let folder = Folder::new();
    let encode = ["-i", "green.png", "-c:v", "mpeg4", "-pix_fmt", "yuv420p", "my film.mp4"];
    if !ffmpeg(&folder, &encode) {
        return;
    }
    let line = folder.resnext(&["camera", "model.rnx", "my film.mp4"]).failure();
    let command =
        line.split_once("frames: ").unwrap().1.replace("resnext camera", "\"$RESNEXT\" camera --json");
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).env("RESNEXT", env!("CARGO_BIN_EXE_resnext")).current_dir(folder.path(""));
    let (lines, _) = frames(&crate::support::Ran::new(shell.output().unwrap()));
    assert_eq!(lines[0]["top"][0]["label"], "green");
}
