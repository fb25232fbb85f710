//! What to do about sources that are not read: commands to paste.

use crate::remedies;
use crate::terminal::Error;
use crate::terminal::text::shell;
use resnext_camera::source::SourceError;
use std::path::Path;

/// What turns any video into frames that `camera` reads, before and after the name of the video.
const DECODE: [&str; 2] = ["ffmpeg -v error -i", "-pix_fmt yuv420p -f yuv4mpegpipe -"];

/// Converts an error about `source`, given as `path`, to a failure that says how the `model` gets its frames all the same.
pub(super) fn failure(source: &str, path: &Path, model: &Path, error: &SourceError) -> Error {
    let [before, after] = DECODE;
    let (name, model) = (path.display().to_string(), model.display().to_string());
    let (quoted, model) = (shell(&name), shell(&model));
    match error {
        SourceError::Encoded(content) if content.is_video() && name == "-" => Error::new(
            source,
            format_args!(
                "{error}: let {before} - {after} read the pipe first, or have the program write frames, as rpicam-vid does with \
                 --codec yuv420 (then add --format yuv420 --size WxH)"
            ),
        ),
        SourceError::Encoded(content) if content.is_video() => Error::new(
            source,
            format_args!("{error}: {before} {quoted} {after} | resnext camera {model} - --every-frame"),
        ),
        SourceError::Address => {
            Error::new(source, format_args!("{error}: {before} {quoted} {after} | resnext camera {model} -"))
        }
        _ => remedies::failure(source, error),
    }
}
