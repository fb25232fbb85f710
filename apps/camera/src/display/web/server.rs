//! Serves the connections.
//!
//! Each client has a thread with a small stack. There are at most [`MAX_CLIENTS`]; further ones get an error. A request must
//! arrive within [`TIMEOUT`], and a client that accepts no data for as long is disconnected. A connection serves one request.

use super::access::{Access, Verdict};
use super::latest::{Latest, Next};
use super::request::{self, Refusal, Request};
use super::response::{ICON, PAGE, SCRIPT, STYLE, head, jpeg, refuse, text};
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

/// The silence after which a stream repeats its picture. A browser shows a picture only when it sees the next one, which may take
/// a slow model seconds.
const REPEAT_AFTER: Duration = Duration::from_millis(250);

/// How long a client that wants a single picture waits for it. Large models take seconds for a frame.
const MAX_FRAME_TIME: Duration = Duration::from_secs(30);

/// Bytes of the stack of a client's thread, most of which is the buffer of the request.
const STACK_SIZE: usize = 128 * 1024;

/// The boundary between the parts of the stream.
const BOUNDARY: &str = "resnext-frame";

/// A reading and the picture that it is of.
#[derive(Debug)]
pub(super) struct Shown {
    /// Number of the frame.
    pub(super) frame: u64,
    /// The reading as JSON.
    pub(super) event: String,
    /// The picture with its overlay.
    pub(super) jpeg: Vec<u8>,
}

/// Returns the path of the picture of a frame.
pub(super) fn path_of(frame: u64) -> String {
    format!("/frame/{frame}.jpg")
}

/// Returns the number of the frame whose picture has this path.
fn frame_of(path: &str) -> Option<u64> {
    path.strip_prefix("/frame/")?.strip_suffix(".jpg")?.parse().ok()
}

/// The state that clients and the preview share.
#[derive(Debug)]
pub(super) struct Shared {
    access: Access,
    pub(super) latest: Latest<Shown>,
    /// Number of clients that want readings or pictures as they come.
    clients: AtomicUsize,
    closed: AtomicBool,
    /// A handle of each client's connection, to close it.
    connections: Mutex<Vec<(u64, TcpStream)>>,
}

impl Shared {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            latest: Latest::new(),
            clients: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            connections: Mutex::default(),
        }
    }

    /// Returns whether a client waits for readings or pictures.
    pub(super) fn has_clients(&self) -> bool {
        self.clients.load(Ordering::Relaxed) > 0
    }

    /// Counts a client that waits. Returns the number of the last reading, which may be old because nobody waited for it.
    fn join(&self) -> (Counted<'_>, u64) {
        let seen = self.latest.number();
        (Counted::new(&self.clients), seen)
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
        self.shared.latest.close();
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
        (path, _) => {
            match frame_of(path).and_then(|frame| shared.latest.find(|shown| shown.frame == frame)) {
                Some(shown) => jpeg(stream, &shown.jpeg, only_head),
                None => refuse(stream, 404),
            }
        }
    }
}

fn picture(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (_client, seen) = shared.join();
    match shared.latest.after(seen, MAX_FRAME_TIME) {
        Next::New(_, shown) => jpeg(stream, &shown.jpeg, false),
        Next::Quiet | Next::Closed => refuse(stream, 503),
    }
}

fn pictures(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (_client, mut seen) = shared.join();
    let content = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    stream.write_all(head(200, &content, None, "").as_bytes())?;
    let (mut last, mut patience): (Option<Arc<Shown>>, _) = (None, MAX_SILENCE);
    loop {
        let shown = match shared.latest.after(seen, patience) {
            Next::New(number, shown) => {
                (seen, patience) = (number, REPEAT_AFTER);
                shown
            }
            // Sends the last picture again: once soon, and then now and then, which is the only way to find out whether the client
            // is still there.
            Next::Quiet => match &last {
                Some(last) => {
                    patience = MAX_SILENCE;
                    Arc::clone(last)
                }
                // Before the first boundary anything may stand.
                None => {
                    stream.write_all(b"\r\n")?;
                    continue;
                }
            },
            Next::Closed => return Ok(()),
        };
        if last.is_none() {
            stream.write_all(format!("--{BOUNDARY}\r\n").as_bytes())?;
        }
        let part = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", shown.jpeg.len());
        stream.write_all(part.as_bytes())?;
        stream.write_all(&shown.jpeg)?;
        stream.write_all(format!("\r\n--{BOUNDARY}\r\n").as_bytes())?;
        last = Some(shown);
    }
}

fn events(stream: &mut TcpStream, shared: &Shared) -> io::Result<()> {
    let (_client, mut seen) = shared.join();
    stream.write_all(head(200, "text/event-stream; charset=utf-8", None, "").as_bytes())?;
    stream.write_all(b"retry: 2000\n\n")?;
    loop {
        match shared.latest.after(seen, MAX_SILENCE) {
            Next::New(number, shown) => {
                seen = number;
                stream.write_all(format!("data: {}\n\n", shown.event).as_bytes())?;
            }
            Next::Quiet => stream.write_all(b": nothing new\n\n")?,
            Next::Closed => return Ok(()),
        }
    }
}
