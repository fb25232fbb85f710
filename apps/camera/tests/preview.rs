//! The web preview, over real connections of friendly and hostile clients.

mod support;

use resnext_camera::display::Detached;
use resnext_camera::display::web::{Options, Preview, ServeError};
use resnext_camera::{Reading, Show};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::{landscape, plain, reading};

/// A preview that gets 50 frames per second.
struct Live {
    address: SocketAddr,
    url: String,
    stop: Arc<AtomicBool>,
    /// Number of frames so far, and the longest time that one took.
    thread: Option<JoinHandle<(u64, Duration)>>,
}

impl Live {
    fn new(token: Option<&str>) -> Self {
        let options = Options {
            address: "127.0.0.1:0".parse().unwrap(),
            token: token.map(str::to_owned),
            names: Vec::new(),
        };
        let preview = Preview::serve(options).unwrap();
        let (address, url) = (preview.address(), preview.url());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut show = Detached::new("preview", preview).unwrap();
            let image = landscape(320, 240);
            let (mut frame, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                frame += 1;
                let start = Instant::now();
                let picture = show.wants_picture().then(|| image.picture());
                show.show(&Reading { frame, ..reading() }, picture.as_ref()).unwrap();
                longest = longest.max(start.elapsed());
                thread::sleep(Duration::from_millis(20));
            }
            (frame, longest)
        });
        Self { address, url, stop, thread: Some(thread) }
    }

    fn stop(&mut self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn get(&self, path: &str) -> TcpStream {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address))
    }

    /// Returns the whole answer to a request.
    fn ask(&self, request: &str) -> String {
        let mut answer = String::new();
        self.send(request).read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Returns the lines of a head, up to the empty one.
fn head(reader: &mut impl BufRead) -> Vec<String> {
    let lines = reader.lines().map(Result::unwrap);
    lines.take_while(|line| !line.is_empty()).collect()
}

fn length(head: &[String]) -> usize {
    head.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap()
}

#[test]
fn the_page_is_self_contained_and_protected() {
    let live = Live::new(None);
    assert_eq!(live.url, format!("http://{}/", live.address));
    for path in ["/", "/preview.css", "/preview.js", "/icon.svg"] {
        let answer = live.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", live.address));
        assert_eq!(status(&answer), 200, "{path}");
        assert!(answer.contains("Content-Security-Policy: default-src 'none'; script-src 'self';"), "{path}");
        assert!(answer.contains("Cross-Origin-Resource-Policy: same-origin"), "{path}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head: Vec<_> = head.lines().map(str::to_owned).collect();
        assert_eq!(length(&head), body.len());
        // The only address is the namespace of SVG.
        assert!(!body.replace("http://www.w3.org/2000/svg", "").contains("//www."), "{path}");
        assert!(!body.replace("http://www.w3.org/2000/svg", "").contains("http"), "{path}");
    }
    let head = live.ask(&format!("HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", live.address));
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"));
}

#[test]
fn the_stream_is_of_whole_jpegs() {
    let live = Live::new(None);
    let mut reader = BufReader::new(live.get("/stream"));
    let first = head(&mut reader);
    assert_eq!(first[0], "HTTP/1.1 200 OK");
    let content = "Content-Type: multipart/x-mixed-replace; boundary=resnext-frame";
    assert!(first.iter().any(|line| line == content), "{first:?}");
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    for _ in 0..5 {
        assert_eq!(line, "--resnext-frame\r\n");
        let part = head(&mut reader);
        assert_eq!(part[0], "Content-Type: image/jpeg");
        let mut jpeg = vec![0; length(&part)];
        reader.read_exact(&mut jpeg).unwrap();
        let photo = resnext_photo::Rgb8Image::decode(&jpeg).unwrap();
        assert_eq!((photo.width, photo.height), (640, 480), "enlarged for the text");
        reader.read_line(&mut line).unwrap();
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    let mut reader = BufReader::new(live.get("/picture.jpg"));
    let part = head(&mut reader);
    let mut jpeg = vec![0; length(&part)];
    reader.read_exact(&mut jpeg).unwrap();
    resnext_photo::Rgb8Image::decode(&jpeg).unwrap();
}

#[test]
fn events_are_readings() {
    let live = Live::new(None);
    let mut reader = BufReader::new(live.get("/events"));
    assert!(head(&mut reader).iter().any(|line| line == "Content-Type: text/event-stream; charset=utf-8"));
    let mut before = 0;
    let mut events = reader.lines().map(Result::unwrap);
    for _ in 0..3 {
        let event = events.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        let frame = event["frame"].as_u64().unwrap();
        assert!(frame > before);
        before = frame;
        assert_eq!(event["top"][0]["label"], "English springer, English springer spaniel");
        assert_eq!(event["top"].as_array().unwrap().len(), 5);
        assert!((event["latency_ms"].as_f64().unwrap() - 41.34).abs() < 1e-3);
        assert_eq!(event["dropped"], 3);
    }
}

/// On a slow board every reading is sent, and its picture is of the same frame. Frames are red and blue in turn.
#[test]
fn a_reading_names_its_picture() {
    let options = Options { address: "127.0.0.1:0".parse().unwrap(), token: None, names: Vec::new() };
    let preview = Preview::serve(options).unwrap();
    let address = preview.address();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
        BufReader::new(stream)
    };
    let mut events = get("/events");
    head(&mut events);
    let feeder = thread::spawn(move || {
        let mut show = Detached::new("preview", preview).unwrap();
        let images = [plain(320, 240, [220, 20, 20]), plain(320, 240, [20, 20, 220])];
        for frame in 0..8u64 {
            // The model is slower than the display, and that is free again when the next frame comes.
            let start = Instant::now();
            while !show.wants_picture() {
                assert!(start.elapsed() < Duration::from_secs(10), "frame {frame} has no picture");
                thread::sleep(Duration::from_millis(5));
            }
            let image = &images[frame as usize % 2];
            show.show(&Reading { frame, ..reading() }, Some(&image.picture())).unwrap();
            thread::sleep(Duration::from_millis(150));
        }
        show
    });
    let events = events.lines().map_while(Result::ok);
    let events = events.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    let mut frames = Vec::new();
    for event in events.take(8) {
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        let frame = event["frame"].as_u64().unwrap();
        assert_eq!(event["picture"], format!("/frame/{frame}.jpg"));
        let mut answer = get(event["picture"].as_str().unwrap());
        let fields = head(&mut answer);
        assert_eq!(status(&fields[0]), 200, "{fields:?}");
        let mut jpeg = vec![0; length(&fields)];
        answer.read_exact(&mut jpeg).unwrap();
        let photo = resnext_photo::Rgb8Image::decode(&jpeg).unwrap();
        let (red, blue) = photo.data.chunks_exact(3).fold((0, 0), |(red, blue), pixel| {
            (
                red + u64::from(pixel[0] > 150 && pixel[2] < 90),
                blue + u64::from(pixel[2] > 150 && pixel[0] < 90),
            )
        });
        assert_eq!(
            frame.is_multiple_of(2),
            red > 10 * blue,
            "frame {frame}: {red} red pixels and {blue} blue ones"
        );
        frames.push(frame);
    }
    assert_eq!(frames, (0..8).collect::<Vec<_>>());
    drop(feeder.join().unwrap());
}

#[test]
fn a_picture_that_is_no_longer_there_is_not_another() {
    let live = Live::new(None);
    let mut events = BufReader::new(live.get("/events")).lines().map(Result::unwrap);
    events.find(|line| line.starts_with("data: ")).unwrap();
    for path in ["/frame/999999999.jpg", "/frame/.jpg", "/frame/-1.jpg", "/frame/1", "/frame/1.png"] {
        let answer = live.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", live.address));
        assert_eq!(status(&answer), 404, "{path}");
    }
}

/// A browser shows a picture of the stream only when the next one comes.
#[test]
fn the_stream_repeats_the_picture_of_a_slow_board() {
    let options = Options { address: "127.0.0.1:0".parse().unwrap(), token: None, names: Vec::new() };
    let mut preview = Preview::serve(options).unwrap();
    let mut stream = TcpStream::connect(preview.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
        .write_all(format!("GET /stream HTTP/1.1\r\nHost: {}\r\n\r\n", preview.address()).as_bytes())
        .unwrap();
    let mut reader = BufReader::new(stream);
    head(&mut reader);
    let image = plain(320, 240, [9, 99, 9]);
    preview.show(&reading(), Some(&image.picture())).unwrap();
    let start = Instant::now();
    let mut pictures = Vec::new();
    for _ in 0..2 {
        let part = head(&mut reader);
        assert_eq!(part[0], "--resnext-frame", "{part:?}");
        let mut jpeg = vec![0; length(&part)];
        reader.read_exact(&mut jpeg).unwrap();
        reader.read_line(&mut String::new()).unwrap();
        pictures.push(jpeg);
    }
    assert_eq!(pictures[0], pictures[1]);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_token_lets_in_and_nothing_else_does() {
    let live = Live::new(Some("open sesame!"));
    assert_eq!(live.url, format!("http://{}/?token=open%20sesame%21", live.address));
    let get = |path: &str, fields: &str| {
        live.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", live.address))
    };
    for path in [
        "/",
        "/stream",
        "/events",
        "/picture.jpg",
        "/frame/1.jpg",
        "/preview.js",
        "/nothing",
        "/?token=open+sesame",
    ] {
        let answer = get(path, "");
        assert_eq!(status(&answer), 401, "{path}");
        assert!(answer.contains("WWW-Authenticate: Bearer"), "{path}");
        assert!(!answer.contains("sesame"), "{path}");
    }
    let entered = get("/?token=open%20sesame!", "");
    assert_eq!(status(&entered), 303);
    assert!(entered.contains("\r\nLocation: /\r\n"));
    let cookie = entered.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(status(&get("/", &cookie)), 200);
    assert_eq!(status(&get("/preview.js", "Authorization: Bearer open sesame!\r\n")), 200);
    assert_eq!(status(&get("/preview.js", "Authorization: Bearer open\r\n")), 401);
}

#[test]
fn beyond_loopback_there_is_always_a_token() {
    let options = |token: Option<&str>| Options {
        address: "0.0.0.0:0".parse().unwrap(),
        token: token.map(str::to_owned),
        names: Vec::new(),
    };
    let preview = Preview::serve(options(None)).unwrap();
    let (start, token) =
        preview.url().split_once("/?token=").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(start, format!("http://HOST:{}", preview.address().port()));
    assert_eq!(token.len(), 32);
    assert!(matches!(Preview::serve(options(Some("short"))), Err(ServeError::Token)));
    let taken = Options { address: preview.address(), ..options(None) };
    assert!(matches!(Preview::serve(taken), Err(ServeError::InUse(_))));
}

#[test]
fn other_peoples_names_and_pages_are_refused() {
    let live = Live::new(None);
    let ask = |fields: &str| status(&live.ask(&format!("GET /stream HTTP/1.1\r\n{fields}\r\n")));
    assert_eq!(ask("Host: evil.example\r\n"), 421);
    assert_eq!(ask("Host: 127.0.0.1.evil.example:80\r\n"), 421);
    assert_eq!(ask(""), 400);
    assert_eq!(ask("Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"), 403);
}

#[test]
fn nonsense_is_answered_and_forgotten() {
    let live = Live::new(None);
    let ask = |request: &str| status(&live.ask(request));
    assert_eq!(ask("GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404);
    assert_eq!(ask("GET /page/index.html HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404);
    assert_eq!(ask("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"), 405);
    assert_eq!(ask("\x16\x03\x01 hello\r\n\r\n"), 400);
    assert_eq!(ask("GET / HTTP/1.1\r\n\r\n"), 400);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(ask(&long), 431);
    let many = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(ask(&many), 431);
}

#[test]
fn a_request_that_drips_is_given_up() {
    let live = Live::new(None);
    let mut stream = live.connect();
    let start = Instant::now();
    let mut dripping = stream.try_clone().unwrap();
    let thread = thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if dripping.write_all(&[*byte]).is_err() || start.elapsed() > Duration::from_secs(20) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(status(&answer), 408);
    let elapsed = start.elapsed();
    assert!((4..15).contains(&elapsed.as_secs()), "{elapsed:?}");
    thread.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(15), "hung up on, not listened to for as long as it drips");
}

/// Of fifty clients that do not read, most are accepted and the others get an error. Frames continue as before.
#[test]
fn fifty_idle_clients_do_not_slow_the_pipeline() {
    let mut live = Live::new(None);
    let streams: Vec<_> = (0..50).map(|_| live.get("/stream")).collect();
    thread::sleep(Duration::from_secs(2));
    let mut answers = Vec::new();
    for mut stream in streams {
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        answers.push((String::from_utf8_lossy(&start).into_owned(), stream));
    }
    let count = |status: &str| answers.iter().filter(|(answer, _)| answer.ends_with(status)).count();
    assert_eq!((count("200"), count("503")), (32, 18));
    drop(answers);
    // Clients that leave make room for others.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = live.ask(&format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", live.address));
        if status(&answer) == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "nobody leaves");
        thread::sleep(Duration::from_millis(200));
    }
    let (frames, longest) = live.stop();
    assert!(frames >= 20, "{frames} frames");
    // A frame costs a copy of the picture. The limit allows for a busy machine.
    assert!(longest < Duration::from_secs(1), "a frame was held up for {longest:?}");
}

#[test]
fn dropping_it_hangs_up() {
    let mut live = Live::new(None);
    let mut stream = live.get("/stream");
    let mut start = [0; 1000];
    stream.read_exact(&mut start).unwrap();
    let before = Instant::now();
    live.stop();
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(live.address).is_err(), "nobody listens");
}
