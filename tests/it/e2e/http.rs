//! As much of HTTP as asking a server on this machine takes.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The body of `GET path` from the server on `port`, when the answer is 200.
///
/// HTTP/1.0 spares us chunked bodies: the answer ends where the connection does.
pub(crate) fn get(port: u16, path: &str) -> io::Result<String> {
    ask(port, "GET", path, "200")
}

/// Asks for `POST path` without a body; the answer must be 204, which has none either.
pub(crate) fn post(port: u16, path: &str) -> io::Result<()> {
    ask(port, "POST", path, "204").map(|_| ())
}

/// The body of the answer to `POST path` without a body, when the answer is 200.
pub(crate) fn post_for_answer(port: u16, path: &str) -> io::Result<String> {
    ask(port, "POST", path, "200")
}

fn ask(port: u16, method: &str, path: &str, wanted: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1);
    if status == Some(wanted) {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(format!("{method} {path}: {head}\n{body}")))
    }
}

/// `text` as it may stand in a query string.
pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
