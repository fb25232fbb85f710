//! A preview in the browser: picture, labels and latency of a board without a screen.
//!
//! `/` is a page, `/stream` the picture with its overlay as MJPEG, `/picture.jpg` one frame of it, `/events` the readings as
//! Server-Sent Events. The server is small on purpose, and its own: it answers GET with seven fixed answers, and what makes
//! a preview different from other servers is how it treats those who do not keep up. Pictures and readings are one
//! [slot](latest) each, from which every client takes the newest when it has sent the last, so that none slows down another
//! or the pipeline. Clients, their requests and their time are limited: see [`server`].

mod access;
mod latest;
mod request;
mod server;

use super::canvas::Canvas;
use super::jpeg;
use crate::reading::{Health, Picture, Reading, Show, ShowError};
use access::Access;
use serde::Serialize;
use server::{Server, Shared};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two pictures: 15 a second at most.
const PICTURES: Duration = Duration::from_millis(66);

/// Pictures are reduced to fit: enough for a page, and a JPEG every 66 ms is work.
const LARGEST: (u32, u32) = (800, 600);

/// Pictures are enlarged until their short side has this many pixels, for the text on them.
const SHORT_SIDE: u32 = 360;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// What those who want to look have to know. `None` makes one up, except on a loopback address, where there is none then.
    pub token: Option<String>,
    /// Names of this machine in a browser's address bar, beside its host name and `localhost`.
    pub names: Vec<String>,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The token is too short.
    #[error(
        "the token has fewer than {} characters; make it longer, or leave it out for a random one",
        access::SHORTEST
    )]
    Token,
    /// The system has no random numbers.
    #[error("there are no random numbers for a token: {0}; give one with --token")]
    Random(#[from] getrandom::Error),
    /// Somebody else has the port.
    #[error("{0} is in use; choose another port")]
    InUse(SocketAddr),
    /// Anything else that listening can fail of.
    #[error("{0} cannot be listened at: {1}; choose an address of this machine and a port above 1023")]
    Listen(SocketAddr, io::Error),
}

/// A web server that shows the latest frame. Stops when dropped.
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
    /// Begins to serve.
    ///
    /// # Errors
    /// When the address cannot be had or the token is too short.
    pub fn serve(options: Options) -> Result<Self, ServeError> {
        let Options { address, mut token, names } = options;
        if token.as_ref().is_some_and(|token| token.chars().count() < access::SHORTEST) {
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

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser, token included. Where it listens at all addresses, `HOST` stands for the machine's own.
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

    /// Clients that are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.server.clients()
    }
}

/// Whatever is not a letter or digit, escaped.
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
        self.shared.has_viewers() && self.last.is_none_or(|last| last.elapsed() >= PICTURES)
    }

    fn show(&mut self, reading: &Reading<'_>, picture: Option<&Picture<'_>>) -> Result<(), ShowError> {
        if self.shared.has_listeners() {
            let event = serde_json::to_string(&Event::from(reading)).map_err(|error| failed(&error))?;
            self.shared.events.publish(event);
        }
        let Some(picture) = picture.filter(|_| self.wants_picture()) else { return Ok(()) };
        self.last = Some(Instant::now());
        self.canvas.resize_for(picture, SHORT_SIDE, LARGEST);
        self.canvas.compose(reading, Some(picture));
        self.shared.pictures.publish(jpeg::encode(&self.canvas).map_err(|error| failed(&error))?);
        Ok(())
    }
}

fn failed(error: &dyn std::error::Error) -> ShowError {
    ShowError::Failed { subject: "web preview".to_owned(), what: error.to_string() }
}

/// A reading, for the page.
#[derive(Serialize)]
struct Event<'a> {
    frame: u64,
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
        let class = |guess: &crate::Guess<'a>| Class {
            class: guess.class,
            label: guess.label,
            probability: guess.probability,
        };
        let top = top.iter().take(super::overlay::ROWS).map(class).collect();
        Self { frame, model, top, latency_ms, inference_ms, fps, dropped, temperature_c, slowed }
    }
}
