//! A preview in the browser: picture, labels and latency of a board without a screen.
//!
//! `/` is a page. `/events` are the readings as Server-Sent Events. Each names its picture, `/frame/NUMBER.jpg`, and is sent only when
//! that exists, so that a page can show a reading and the frame that it is of, however slow the board or the network.
//! For other clients, `/stream` is the picture with its overlay as MJPEG, and `/picture.jpg` a single picture.
//!
//! This is our own small server, because it has only eight resources, and because a preview treats slow clients in a special way.
//! The latest readings have one place (`latest.rs`). A client takes the newest one when it has been sent the previous one, so that it
//! slows down neither other clients nor the pipeline. Clients, their requests and their time are limited; see `server.rs`.

mod access;
mod latest;
mod request;
mod response;
mod server;

use super::canvas::Canvas;
use super::jpeg;
use crate::reading::{Health, Picture, Reading, Show, ShowError};
use access::Access;
use serde::Serialize;
use server::{Server, Shared, Shown};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least time between two readings with their pictures, for at most 15 per second. Faster ones would not be readable.
const PICTURE_INTERVAL: Duration = Duration::from_millis(66);

/// The largest width and height of a picture. This is enough for a page, and encoding larger JPEGs takes too much time.
const LARGEST: (u32, u32) = (800, 600);

/// The least short side of a picture, in pixels. Smaller pictures are enlarged, so that the text on them is readable.
const SHORT_SIDE: u32 = 360;

/// The options of a preview.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on. Port 0 chooses a free port.
    pub address: SocketAddr,
    /// The token that a client needs. `None` creates a random token, except on a loopback address, which needs no token.
    pub token: Option<String>,
    /// Names of this machine in addresses, besides its host name and `localhost`.
    pub names: Vec<String>,
}

/// Why a preview cannot start. Displays as `what is wrong; how to fix it`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The token is too short.
    #[error(
        "the token has fewer than {} characters; make it longer, or leave it out for a random one",
        access::MIN_TOKEN
    )]
    Token,
    /// The system has no random numbers.
    #[error("there are no random numbers for a token: {0}; choose a token yourself")]
    Random(#[from] getrandom::Error),
    /// Another program uses the port.
    #[error("{0} is in use; choose another port")]
    InUse(SocketAddr),
    /// The system cannot listen on the address.
    #[error("{0} cannot be listened on: {1}; choose an address of this machine and a port above 1023")]
    Listen(SocketAddr, io::Error),
}

/// A web server that shows the latest frame. Dropping it stops the server.
#[derive(Debug)]
pub struct Preview {
    server: Server,
    shared: Arc<Shared>,
    address: SocketAddr,
    token: Option<String>,
    canvas: Canvas,
    last: Option<Instant>,
}

impl Preview {
    /// Starts a server.
    ///
    /// # Errors
    ///
    /// Returns an error if the system cannot listen on the address, or the token is too short.
    pub fn serve(options: Options) -> Result<Self, ServeError> {
        let Options { address, mut token, names } = options;
        if token.as_ref().is_some_and(|token| token.chars().count() < access::MIN_TOKEN) {
            return Err(ServeError::Token);
        }
        if token.is_none() && !address.ip().is_loopback() {
            token = Some(access::random()?);
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse(address),
            _ => ServeError::Listen(address, error),
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(Access::new(address, token.clone(), &names)?));
        let server = Server::start(listener, Arc::clone(&shared)).map_err(failed)?;
        Ok(Self { server, shared, address, token, canvas: Canvas::new(1, 1), last: None })
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for a browser, with the token. If the server listens on all addresses, `HOST` stands for the machine.
    #[must_use]
    pub fn url(&self) -> String {
        let host = match self.address.ip() {
            ip if ip.is_unspecified() => format!("HOST:{}", self.address.port()),
            _ => self.address.to_string(),
        };
        match &self.token {
            Some(token) => format!("http://{host}/?token={}", percent_encoded(token)),
            None => format!("http://{host}/"),
        }
    }

    /// Returns the number of connected clients.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.server.clients()
    }
}

/// Escapes all characters but letters, digits, `-` and `_`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

impl Show for Preview {
    fn wants_picture(&self) -> bool {
        self.shared.has_clients() && self.last.is_none_or(|last| last.elapsed() >= PICTURE_INTERVAL)
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        let Some(picture) = picture.filter(|_| self.wants_picture()) else { return Ok(()) };
        self.last = Some(Instant::now());
        self.canvas.resize_for(picture, SHORT_SIDE, LARGEST);
        self.canvas.compose(reading, Some(picture));
        self.shared.latest.publish(Shown {
            frame: reading.frame,
            event: serde_json::to_string(&Event::from(reading)).map_err(|error| failed(&error))?,
            jpeg: jpeg::encode(&self.canvas, jpeg::FOR_VIDEO).map_err(|error| failed(&error))?,
        });
        Ok(())
    }
}

fn failed(error: &dyn std::error::Error) -> ShowError {
    ShowError::Failed {
        subject: "web preview".to_owned(),
        what: format!("cannot be encoded: {error}; use smaller frames"),
    }
}

/// A reading as JSON for the page.
#[derive(Serialize)]
struct Event<'a> {
    frame: u64,
    /// The path of the picture.
    picture: String,
    model: &'a str,
    top: Vec<Class<'a>>,
    latency_ms: f32,
    inference_ms: f32,
    fps: f32,
    dropped: u64,
    temperature_c: Option<f32>,
    slowed: Option<&'a str>,
}

#[derive(Serialize)]
struct Class<'a> {
    class: u32,
    label: &'a str,
    probability: f32,
}

impl<'a> From<&Reading<'a>> for Event<'a> {
    fn from(reading: &Reading<'a>) -> Self {
        let Reading { frame, model, top, latency_ms, inference_ms, fps, dropped, health } = *reading;
        let Health { temperature_c, slowed } = health;
        let class = |prediction: &crate::Prediction<'a>| Class {
            class: prediction.class,
            label: prediction.label,
            probability: prediction.probability,
        };
        let top = top.iter().take(super::overlay::ROWS).map(class).collect();
        let picture = server::path_of(frame);
        Self { frame, picture, model, top, latency_ms, inference_ms, fps, dropped, temperature_c, slowed }
    }
}
