//! Reads the head of an HTTP request from an untrusted client.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The most bytes of a request, several times what a browser sends.
const MAX_REQUEST: usize = 8192;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// The parts of a request that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// The decoded `token` of the query.
    pub(super) token: Option<String>,
    pub(super) host: Option<String>,
    pub(super) cookies: Vec<String>,
    pub(super) authorization: Option<String>,
    /// Whether a page of another site embeds the resource: `Sec-Fetch-Site` is `cross-site`, and it is no navigation.
    pub(super) embedded_elsewhere: bool,
}

/// Why there is no valid request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The answer is an error with this status.
    Status(u16),
    /// The client has left.
    Gone,
}

/// Reads a request. All of it must arrive by `deadline`.
pub(super) fn read(stream: &mut TcpStream, deadline: Instant) -> Result<Request, Refusal> {
    let mut bytes = [0; MAX_REQUEST];
    let mut length = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left)).map_err(|_| Refusal::Gone)?;
        let read = match stream.read(&mut bytes[length..]) {
            Ok(0) => return Err(Refusal::Gone),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(Refusal::Status(408));
            }
            Err(_) => return Err(Refusal::Gone),
        };
        length += read;
        if let Some(request) = parse(&bytes[..length]).map_err(Refusal::Status)? {
            return Ok(request);
        }
        if length == MAX_REQUEST {
            return Err(Refusal::Status(431));
        }
        if Instant::now() >= deadline {
            return Err(Refusal::Status(408));
        }
    }
}

/// Parses a request. Returns `None` if it is incomplete, or the status of an error.
fn parse(bytes: &[u8]) -> Result<Option<Request>, u16> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(431),
        Err(_) => return Err(400),
    }
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        token: query.split('&').find_map(|pair| pair.strip_prefix("token=")).map(decode),
        ..Request::default()
    };
    let (mut cross_site, mut navigation) = (false, false);
    for field in head.headers.iter() {
        let Ok(value) = std::str::from_utf8(field.value).map(str::trim) else { continue };
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            // With two hosts, other software might use the other one.
            if request.host.replace(value.to_owned()).is_some() {
                return Err(400);
            }
        } else if is("cookie") {
            request.cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
        } else if is("authorization") {
            request.authorization = Some(value.to_owned());
        } else if is("sec-fetch-site") {
            cross_site = value == "cross-site";
        } else if is("sec-fetch-mode") {
            navigation = value == "navigate";
        }
    }
    request.embedded_elsewhere = cross_site && !navigation;
    Ok(Some(request))
}

/// Decodes percent-encoding and plus signs. Malformed parts are kept.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                i += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                i += 1;
            }
            (byte, ..) => {
                decoded.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browsers_request() {
        let bytes = b"GET /?a=b&token=x%2By+z%zz HTTP/1.1\r\nHost: localhost:8080\r\nCookie: a=b; c=d\r\n\
            Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n";
        let request = parse(bytes).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/"));
        assert_eq!(request.token.as_deref(), Some("x+y z%zz"));
        assert_eq!(request.host.as_deref(), Some("localhost:8080"));
        assert_eq!(request.cookies, ["a=b", "c=d"]);
        assert!(request.embedded_elsewhere);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Ok(None), "{length} bytes");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), Err(400), "TLS");
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), Err(400));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(many.as_bytes()), Err(431));
    }
}
