//! What is sent: the page, errors, and the head of every answer.

use std::io::{self, Write};
use std::net::TcpStream;

pub(super) const PAGE: &str = include_str!("page/index.html");
const ENTRANCE: &str = include_str!("page/entrance.html");
pub(super) const STYLE: &str = include_str!("page/preview.css");
pub(super) const SCRIPT: &str = include_str!("page/preview.js");
pub(super) const ICON: &str = include_str!("page/icon.svg");

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

fn reason(status: u16) -> (&'static str, &'static str) {
    match status {
        200 => ("OK", ""),
        303 => ("See Other", ""),
        400 => ("Bad Request", "this is not a request that resnext understands"),
        401 => ("Unauthorized", "this preview needs a token"),
        403 => ("Forbidden", "the preview cannot be embedded in other pages"),
        404 => ("Not Found", "there is nothing here, or no longer; the preview is at /"),
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

pub(super) fn refuse(stream: &mut TcpStream, status: u16) -> io::Result<()> {
    match status {
        401 => text(stream, 401, "text/html; charset=utf-8", ENTRANCE, false),
        _ => text(stream, status, "text/plain; charset=utf-8", &format!("{}\n", reason(status).1), false),
    }
}

/// Returns the head of an answer. `length` is the number of bytes of its body, if it is known.
pub(super) fn head(status: u16, content: &str, length: Option<usize>, fields: &str) -> String {
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

pub(super) fn text(
    stream: &mut TcpStream,
    status: u16,
    content: &str,
    text: &str,
    only_head: bool,
) -> io::Result<()> {
    let head = head(status, content, Some(text.len()), "");
    let body = if only_head { "" } else { text };
    stream.write_all(format!("{head}{body}").as_bytes())
}

pub(super) fn jpeg(stream: &mut TcpStream, jpeg: &[u8], only_head: bool) -> io::Result<()> {
    stream.write_all(head(200, "image/jpeg", Some(jpeg.len()), "").as_bytes())?;
    if only_head { Ok(()) } else { stream.write_all(jpeg) }
}
