//! Serves the connections.
//!
//! Each client has a thread with a small stack. There are at most [`MAX_CLIENTS`]; further ones get an error. A request must
//! arrive within [`TIMEOUT`], and a client that accepts no data for as long is disconnected. A connection serves one request.

use super::access::{Access, Verdict};
use super::latest::{Latest, Next};
use super::request::{self, Refusal, Request};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The most clients at the same time.
pub(super) const MAX_CLIENTS: usize = 32;

/// How long a request may take to arrive, and a client to accept data.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to close the connection after its answer.
const LINGER: Duration = Duration::from_millis(300);

/// The longest silence of a stream. After it something is sent, to notice clients that have left.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// The least time between two events for a client. Faster ones would not be readable.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of the stack of a client's thread, most of which is the buffer of the request.
const STACK_SIZE: usize = 128 * 1024;

const PAGE: &str = include_str!("page/index.html");
const ENTRANCE: &str = include_str!("page/entrance.html");
const STYLE: &str = include_str!("page/preview.css");
const SCRIPT: &str = include_str!("page/preview.js");
const ICON: &str = include_str!("page/icon.svg");

/// Header fields of every answer. The page loads only our own files and must not be embedded in another page.
const PROTECTION: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n";

/// The boundary between the parts of the stream.
const BOUNDARY: &str = "resnext-frame";

/// The state that clients and the preview share.
#[derive(Debug)]
pub(super) struct Shared {
    access: Access,
    /// The latest picture, as a JPEG.
    pub(super) pictures: Latest<Vec<u8>>,
    /// The latest reading, as JSON.
    pub(super) events: Latest<String>,
    viewers: AtomicUsize,
    listeners: AtomicUsize,
    closed: AtomicBool,
    /// A handle of each client's connection, to close it.
    connections: Mutex<Vec<(u64, TcpStream)>>,
}

impl Shared {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            pictures: Latest::new(),
            events: Latest::new(),
            viewers: AtomicUsize::new(0),
            listeners: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    /// Returns whether a client shows the picture.
    pub(super) fn has_viewers(&self) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0
    }

    /// Returns whether a client reads the events.
    pub(super) fn has_listeners(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    fn connections(&self) -> MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a client until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread that accepts connections. Dropping it closes all connections and ends the thread.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("web".to_owned()).spawn(move || accept(&listener, &theirs))?;
        Ok(Self { shared, address, thread: Some(thread) })
    }

    pub(super) fn clients(&self) -> usize {
        self.shared.connections().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.pictures.close();
        self.shared.events.close();
        for (_, connection) in self.shared.connections().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // The listener waits for a connection, so this makes one.
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(if own.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
        }
        let woken = TcpStream::connect_timeout(&own, Duration::from_secs(1)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    loop {
        let accepted = listener.accept();
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // The system may be out of file descriptors, so the next attempt waits.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        number += 1;
        admit(stream, number, shared);
    }
}

/// Starts a thread for a client, or sends an error if there are too many clients.
fn admit(stream: TcpStream, number: u64, shared: &Arc<Shared>) {
    let mut connections = shared.connections();
    if connections.len() >= MAX_CLIENTS {
        drop(connections);
        return turn_away(stream);
    }
    let Ok(clone) = stream.try_clone() else { return };
    connections.push((number, clone));
    drop(connections);
    let theirs = Arc::clone(shared);
    let client = move || {
        let _ = serve(stream, &theirs);
        theirs.connections().retain(|(other, _)| *other != number);
    };
    if thread::Builder::new().name("web client".to_owned()).stack_size(STACK_SIZE).spawn(client).is_err() {
        shared.connections().retain(|(other, _)| *other != number);
    }
}

/// Sends an error without waiting, because this thread must accept other clients.
fn turn_away(mut stream: TcpStream) {
    let text = "too many viewers; try again later\n";
    let head = head(503, "text/plain; charset=utf-8", Some(text.len()), "Retry-After: 5\r\n");
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(format!("{head}{text}").as_bytes());
    // If bytes of the request stay unread, the system discards the answer.
    let _ = stream.read(&mut [0; 2048]);
    let _ = stream.shutdown(Shutdown::Write);
}

fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    match request::read(&mut stream, Instant::now() + TIMEOUT) {
        Ok(request) => answer(&mut stream, &request, shared)?,
        Err(Refusal::Status(status)) => refuse(&mut stream, status)?,
        Err(Refusal::Gone) => return Ok(()),
    }
    linger(&stream)
}

/// Reads for a moment after the answer, because closing with unread bytes would discard the answer.
fn linger(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let deadline = Instant::now() + LINGER;
    let mut bytes = [0; 4096];
    loop {
        // The deadline holds for all bytes together.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut bytes)? == 0 {
            return Ok(());
        }
    }
}

fn answer(stream: &mut TcpStream, request: &Request, shared: &Shared) -> io::Result<()> {
    match shared.access.judge(request) {
        Verdict::Granted => {}
        Verdict::Enter(cookie) => {
            let fields = format!("Location: /\r\nSet-Cookie: {cookie}\r\n");
            return stream.write_all(head(303, "text/plain; charset=utf-8", Some(0), &fields).as_bytes());
        }
        Verdict::Refused(status) => return refuse(stream, status),
    }
    let only_head = match request.method.as_str() {
        "GET" => false,
        "HEAD" => true,
        _ => return refuse(stream, 405),
    };
    match (request.path.as_str(), only_head) {
        ("/", _) => text(stream, 200, "text/html; charset=utf-8", PAGE, only_head),
        ("/preview.css", _) => text(stream, 200, "text/css; charset=utf-8", STYLE, only_head),
        ("/preview.js", _) => text(stream, 200, "text/javascript; charset=utf-8", SCRIPT, only_head),
        ("/icon.svg", _) => text(stream, 200, "image/svg+xml", ICON, only_head),
        ("/stream" | "/events" | "/picture.jpg", true) => refuse(stream, 405),
        ("/stream", false) => pictures(stream, shared),
        ("/events", false) => events(stream, shared),
        ("/picture.jpg", false) => picture(stream, shared),
        _ => refuse(stream, 404),
    }
}

fn reason(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("OK", ""),
        303 => ("See Other", ""),
        400 => ("Bad Request", "this is not a request that resnext understands"),
        401 => ("Unauthorized", "this preview needs a token"),
        403 => ("Forbidden", "the preview cannot be embedded in other pages"),
        404 => ("Not Found", "there is nothing here; the preview is at /"),
        405 => ("Method Not Allowed", "only GET is answered"),
        408 => ("Request Timeout", "the request took too long"),
        421 => (
            "Misdirected Request",
            "this name is not known; use the IP address, or make the name known to the preview when it starts",
        ),
        431 => ("Request Header Fields Too Large", "the request is too long"),
        _ => ("Service Unavailable", "there is no picture; is the camera running?"),
    }
}

fn refuse(stream: &mut TcpStream, status: u16) -> io::Result<()> {
    match status {
        401 => text(stream, 401, "text/html; charset=utf-8", ENTRANCE, false),
        _ => text(stream, status, "text/plain; charset=utf-8", &format!("{}\n", reason(status).1), false),
    }
}

/// Returns the head of an answer. `length` is the number of bytes of its body, if it is known.
fn head(status: u16, content: &str, length: Option<usize>, fields: &str) -> String {
    let length = length.map_or_else(String::new, |length| format!("Content-Length: {length}\r\n"));
    let reason = reason(status).0;
    let special = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        405 => "Allow: GET\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content}\r\n{length}{PROTECTION}{special}{fields}\r\n"
    )
}

fn text(stream: &mut TcpStream, status: u16, content: &str, text: &str, only_head: bool) -> io::Result<()> {
    let head = head(status, content, Some(text.len()), "");
    let body = if only_head { "" } else { text };
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// Counts a viewer. Returns the number of the last picture, which may be old because no viewer wanted it.
fn first_picture(shared: &Shared) -> (Counted<'_>, u64) {
    let seen = shared.pictures.number();
    (Counted::new(&shared.viewers), seen)
}

fn picture(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (_viewer, seen) = first_picture(shared);
    match shared.pictures.after(seen, TIMEOUT) {
        Next::New(_, jpeg) => {
            stream.write_all(head(200, "image/jpeg", Some(jpeg.len()), "").as_bytes())?;
            stream.write_all(&jpeg)
        }
        Next::Quiet | Next::Closed => refuse(stream, 503),
    }
}

fn pictures(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (_viewer, mut seen) = first_picture(shared);
    let content = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    stream.write_all(format!("{}--{BOUNDARY}\r\n", head(200, &content, None, "")).as_bytes())?;
    let mut last: Option<Arc<Vec<u8>>> = None;
    loop {
        let jpeg = match shared.pictures.after(seen, MAX_SILENCE) {
            Next::New(number, jpeg) => {
                seen = number;
                jpeg
            }
            // Sends the last picture again, which is the only way to find out whether the client is still there.
            Next::Quiet => match &last {
                Some(last) => Arc::clone(last),
                None => return Ok(()),
            },
            Next::Closed => return Ok(()),
        };
        let part = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        stream.write_all(part.as_bytes())?;
        stream.write_all(&jpeg)?;
        // A browser shows a picture only when it sees the boundary after it.
        stream.write_all(format!("\r\n--{BOUNDARY}\r\n").as_bytes())?;
        last = Some(jpeg);
    }
}

fn events(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let _listener = Counted::new(&shared.listeners);
    let mut seen = shared.events.number();
    stream.write_all(head(200, "text/event-stream; charset=utf-8", None, "").as_bytes())?;
    stream.write_all(b"retry: 2000\n\n")?;
    loop {
        match shared.events.after(seen, MAX_SILENCE) {
            Next::New(number, json) => {
                seen = number;
                stream.write_all(format!("data: {json}\n\n").as_bytes())?;
                thread::sleep(EVENT_INTERVAL);
            }
            Next::Quiet => stream.write_all(b": nothing new\n\n")?,
            Next::Closed => return Ok(()),
        }
    }
}
