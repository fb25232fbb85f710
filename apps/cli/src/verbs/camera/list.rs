//! `resnext camera --list`: the cameras of this machine, their formats and sizes.

use crate::terminal::Error;
use crate::terminal::output;
use crate::terminal::text::clean;
use resnext_camera::source::v4l2::{self, Listed};
use std::fmt;

/// Lists the cameras.
pub(super) fn run(json: bool) -> Result<(), Error> {
    let cameras = v4l2::list();
    if json {
        return output::print_json(&cameras);
    }
    if cameras.is_empty() {
        output::note("found no camera; connect one, or pipe frames in (rpicam-vid on a Raspberry Pi)");
    }
    cameras.iter().try_for_each(|camera| output::print(&CameraText(camera)))
}

/// A camera and its formats for people.
struct CameraText<'a>(&'a Listed);

impl fmt::Display for CameraText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listed { path, name, driver, formats, problem } = self.0;
        let path = path.display().to_string();
        match problem {
            Some(problem) => return writeln!(f, "{}: {}", clean(&path), clean(problem)),
            None => writeln!(f, "{}: {} ({})", clean(&path), clean(name), clean(driver))?,
        }
        for offer in formats {
            let sizes: Vec<_> =
                offer.sizes.iter().map(|[width, height]| format!("{width}x{height}")).collect();
            let unread = if offer.read { "" } else { "  (not supported)" };
            writeln!(f, "  {}  {}{unread}", offer.code, sizes.join(" "))?;
        }
        Ok(())
    }
}
