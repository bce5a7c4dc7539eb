//! A proxy between narthex and an object store that does what networks and services do on bad days.
//!
//! It passes requests on unchanged, so that their signatures hold, one connection per request.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as far as faults look at it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) is_conditional: bool,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is passed on, and so is its answer.
    None,
    /// It is answered so, and not passed on.
    Answer(u16, &'static str),
    /// It is passed on, and answered so.
    AnswerAfter(u16, &'static str),
    /// It is passed on, and the connection is closed without an answer.
    LoseAnswer,
    /// The connection is closed at once.
    Reset,
    /// Half of the answer's body arrives.
    CutBody,
    /// The answer's body arrives in small pieces, with pauses.
    SlowBody,
    /// It is passed on without its condition.
    DropCondition,
}

type Script = Box<dyn FnMut(&Request) -> Fault + Send>;

struct Shared {
    upstream: u16,
    script: Mutex<Script>,
    delay: Duration,
    is_over: AtomicBool,
}

/// A proxy at work; dropping it stops it.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Passes requests on to `upstream`, each after `delay`, with the faults that `script` says.
    pub(crate) fn start(
        upstream: u16,
        delay: Duration,
        script: impl FnMut(&Request) -> Fault + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            script: Mutex::new(Box::new(script)),
            delay,
            is_over: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let served = Arc::clone(&served);
                if let Ok(stream) = stream {
                    thread::spawn(move || {
                        let _ = serve(&served, &stream);
                        let _ = stream.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Proxy { port, shared }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Head and body of a message.
pub(super) struct Message {
    pub(super) lines: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// `None` when the other side has closed the connection.
    pub(super) fn read(
        reader: &mut impl io::BufRead,
        has_body: impl Fn(&str) -> bool,
    ) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut message = Message {
            lines,
            body: Vec::new(),
        };
        let first = message.lines.first().cloned().unwrap_or_default();
        if !has_body(&first) {
            return Ok(Some(message));
        }
        if let Some(length) = message.header("content-length") {
            let length: u64 = length.parse().map_err(io::Error::other)?;
            reader.take(length).read_to_end(&mut message.body)?;
        } else if message.header("transfer-encoding").is_some() {
            message.read_chunks(reader)?;
        }
        Ok(Some(message))
    }

    /// Reads a body in chunks (RFC 9112, 7.1), and makes it one with a length.
    fn read_chunks(&mut self, reader: &mut impl io::BufRead) -> io::Result<()> {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            reader.by_ref().take(size).read_to_end(&mut self.body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
        self.lines.retain(|line| !is(line, "transfer-encoding"));
        self.lines
            .push(format!("Content-Length: {}", self.body.len()));
        Ok(())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.lines.iter().skip(1).find(|line| is(line, name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub(super) fn head(&self) -> String {
        format!("{}\r\n\r\n", self.lines.join("\r\n"))
    }
}

fn is(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn serve(shared: &Shared, stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(mut message) = Message::read(&mut reader, |_| true)? {
        let first = message.lines.first().cloned().unwrap_or_default();
        let mut words = first.split(' ');
        let request = Request {
            method: words.next().unwrap_or_default().to_owned(),
            path: words.next().unwrap_or_default().to_owned(),
            is_conditional: message.header("if-none-match").is_some()
                || first.contains("ifGenerationMatch=0")
                || message.header("x-goog-if-generation-match").is_some(),
        };
        let fault = (shared.script.lock().unwrap())(&request);
        thread::sleep(shared.delay);
        let answer = |status: u16, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nETag: \"x\"\r\n\r\n{body}"
            )
        };
        match fault {
            Fault::Reset => return Ok(()),
            Fault::Answer(status, body) => {
                writer.write_all(answer(status, body).as_bytes())?;
                continue;
            }
            Fault::DropCondition => message.lines.retain(|line| !is(line, "if-none-match")),
            _ => {}
        }
        let upstream = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.upstream))?;
        let mut to = &upstream;
        to.write_all(message.head().as_bytes())?;
        to.write_all(&message.body)?;
        let is_head = request.method == "HEAD";
        let mut from = BufReader::new(&upstream);
        let found = loop {
            let found = Message::read(&mut from, |status| {
                !is_head
                    && !status.contains(" 204")
                    && !status.contains(" 304")
                    && !status.contains(" 100")
            })?;
            let Some(found) = found else { return Ok(()) };
            if found
                .lines
                .first()
                .is_none_or(|status| !status.contains(" 100"))
            {
                break found;
            }
        };
        match fault {
            Fault::LoseAnswer => return Ok(()),
            Fault::AnswerAfter(status, body) => {
                writer.write_all(answer(status, body).as_bytes())?;
            }
            Fault::CutBody => {
                writer.write_all(found.head().as_bytes())?;
                writer.write_all(&found.body[..found.body.len() / 2])?;
                return Ok(());
            }
            Fault::SlowBody => {
                writer.write_all(found.head().as_bytes())?;
                for piece in found.body.chunks(found.body.len() / 8 + 1) {
                    writer.write_all(piece)?;
                    thread::sleep(Duration::from_millis(100));
                }
            }
            _ => {
                writer.write_all(found.head().as_bytes())?;
                writer.write_all(&found.body)?;
            }
        }
        let closes = |message: &Message| {
            message
                .header("connection")
                .is_some_and(|it| it.eq_ignore_ascii_case("close"))
        };
        if closes(&found) {
            return Ok(());
        }
    }
    Ok(())
}
