//! The displays of `resnext camera` besides stdout: screens, panels, snapshots and the web preview.

use crate::files::write::{check_writable, write_atomically};
use crate::records;
use crate::remedies;
use crate::terminal::Error;
use crate::terminal::output;
use resnext_camera::display::web::{self, Preview};
use resnext_camera::display::{Detached, Framebuffer, Retrying, SnapshotFormat, Snapshots, Trouble};
use resnext_camera::{Show, ShowError};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The options for displays.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Display")]
pub(crate) struct Display {
    /// Show frames and labels on a framebuffer such as /dev/fb0: a screen without a desktop
    #[arg(long, value_name = "DEVICE")]
    fb: Option<PathBuf>,

    /// Show frames and labels on an SPI panel: DEVICE,st7789|ili9341,WIDTHxHEIGHT,dc=LINE and any of reset=LINE, backlight=LINE, rotate=90,
    /// hz=N, offset=X+Y, chip=DEVICE, bgr, rgb, invert, normal
    #[cfg(feature = "spi")]
    #[arg(long, value_name = "PANEL")]
    spi: Option<resnext_camera::display::spi::Settings>,

    /// Save a frame and its labels from time to time, replacing the previous one: FILE.jpg as a JPEG, FILE.png as a PNG
    #[arg(long, value_name = "FILE", value_parser = snapshot)]
    snapshot: Option<Snapshot>,

    /// Seconds between two snapshots
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "snapshot",
        value_parser = clap::value_parser!(u32).range(1..))]
    snapshot_every: u32,

    /// Serve a preview for browsers at ADDRESS:PORT. If other machines can reach the address, as with 0.0.0.0:8080, the
    /// preview asks for a token [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8080", value_parser = address)]
    serve: Option<SocketAddr>,

    /// Token that browsers need for the preview, at least 12 characters [default: random, or none if only this machine can
    /// reach the address]
    #[arg(long, value_name = "TOKEN", requires = "serve")]
    token: Option<String>,

    /// Another name of this machine that browsers may use, besides its host name; may be repeated
    #[arg(long, value_name = "NAME", requires = "serve")]
    serve_name: Vec<String>,
}

/// A picture to save, in the format that its name states.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snapshot {
    path: PathBuf,
    format: SnapshotFormat,
}

/// Parses the name of a picture.
fn snapshot(text: &str) -> Result<Snapshot, String> {
    let path = PathBuf::from(text);
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    let format = match end.as_str() {
        "png" => SnapshotFormat::Png,
        "jpg" | "jpeg" => SnapshotFormat::Jpeg,
        _ => return Err("use a name that ends in .jpg or .png, which says how to save it".to_owned()),
    };
    Ok(Snapshot { path, format })
}

/// Parses an address and a port. If the address is `localhost` or left out, only this machine can reach it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").unwrap_or(text.strip_prefix(':').unwrap_or(text));
    let local = port.parse().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into());
    local.or_else(|_| text.parse()).map_err(|_| {
        "use ADDRESS:PORT, such as 127.0.0.1:8080, and put MODEL.rnx and SOURCE before --serve".to_owned()
    })
}

impl Display {
    /// Opens all displays that the options name. Each works on its own thread and delays nothing else. If a display fails later,
    /// `remarks` says so and the display is tried again.
    pub(crate) fn open(&self, remarks: Remarks) -> Result<Displays, Error> {
        let mut displays = Displays::default();
        if let Some(path) = &self.fb {
            let screen =
                Framebuffer::open(path).map_err(|error| remedies::failure(path.display(), &error))?;
            displays.add("framebuffer", screen, remarks)?;
        }
        #[cfg(feature = "spi")]
        if let Some(settings) = &self.spi {
            let panel =
                resnext_camera::display::spi::open(settings).map_err(|error| Error::new("", error))?;
            displays.add("panel", panel, remarks)?;
        }
        if let Some(Snapshot { path, format }) = self.snapshot.clone() {
            check_writable(&path)?;
            let save = move |picture: &[u8]| write_atomically(&path, picture).map_err(failed);
            let every = Duration::from_secs(self.snapshot_every.into());
            displays.add("snapshots", Snapshots::new(every, format, save), remarks)?;
        }
        if let Some(address) = self.serve {
            let options = web::Options { address, token: self.token.clone(), names: self.serve_name.clone() };
            let preview = Preview::serve(options).map_err(|error| remedies::failure("--serve", &error))?;
            output::note(format_args!("preview at {}", preview.url()));
            displays.add("preview", preview, remarks)?;
        }
        Ok(displays)
    }
}

/// The open displays.
#[derive(Default)]
pub(crate) struct Displays {
    shows: Vec<Detached>,
    /// For each display, whether it fails at the moment.
    failing: Vec<Arc<AtomicBool>>,
}

impl Displays {
    fn add(&mut self, name: &str, show: impl Show + Send + 'static, remarks: Remarks) -> Result<(), Error> {
        let failing = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&failing);
        let show = Retrying::new(show, move |trouble| {
            state.store(matches!(trouble, Trouble::Begins(_)), Ordering::Relaxed);
            remarks.say(trouble);
            records::warning(&trouble.to_string());
        });
        let no_thread = |error| {
            Error::new(name, format_args!("cannot start a thread for it: {error}; stop other programs"))
        };
        self.shows.push(Detached::new(name, show).map_err(no_thread)?);
        self.failing.push(failing);
        Ok(())
    }

    /// Returns all displays.
    pub(crate) fn shows(&mut self) -> impl Iterator<Item = &mut dyn Show> {
        self.shows.iter_mut().map(|show| show as &mut dyn Show)
    }

    /// Waits until each display has shown its last frame. Returns whether all of them could.
    pub(crate) fn finish(self) -> bool {
        drop(self.shows);
        !self.failing.iter().any(|failing| failing.load(Ordering::Relaxed))
    }
}

/// Prints messages on stderr, from any thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remarks {
    /// Whether a message replaces a line of the terminal that shows the current frame.
    pub(crate) over: bool,
}

impl Remarks {
    /// Prints a message.
    pub(crate) fn say(self, what: impl std::fmt::Display) {
        if self.over {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
        output::note(what);
    }
}

fn failed(error: Error) -> ShowError {
    match error {
        Error::Failed { subject, what } => ShowError::Failed { subject, what },
        Error::Reported | Error::OutputClosed => ShowError::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_snapshot_states_its_format() {
        let format = |text: &str| snapshot(text).map(|snapshot| snapshot.format).ok();
        for (text, expected) in [
            ("seen.png", Some(SnapshotFormat::Png)),
            ("/run/a.b/seen.JPG", Some(SnapshotFormat::Jpeg)),
            ("seen.jpeg", Some(SnapshotFormat::Jpeg)),
            ("seen.webp", None),
            ("seen", None),
            ("png", None),
        ] {
            assert_eq!(format(text), expected, "{text}");
        }
    }

    #[test]
    fn addresses_to_serve_at() {
        for text in ["127.0.0.1:81", "localhost:81", ":81", "81"] {
            assert_eq!(address(text), Ok("127.0.0.1:81".parse().unwrap()), "{text}");
        }
        assert_eq!(address("[::]:8080"), Ok("[::]:8080".parse().unwrap()));
        for text in [
            "",
            ":",
            "model.rnx",
            "localhost",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:65536",
            "camera.local:80",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
