//! Google's XML API in front of fake-gcs-server, which knows the JSON API, and of the XML API what
//! reads. Names, conditions, metadata and bytes are the server's; of uploads in parts the parts
//! are kept here until they are put together.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::proxy::Message;

/// Uploads that have begun, each with its parts by number.
type Uploads = Arc<Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>>;

/// Speaks the XML API on a port of its own, for as long as the process lives.
pub(super) fn translate(upstream: u16) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let uploads = Uploads::default();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let uploads = Arc::clone(&uploads);
            thread::spawn(move || {
                let _ = serve(&stream, upstream, &uploads);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

fn serve(stream: &TcpStream, upstream: u16, uploads: &Uploads) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(message) = Message::read(&mut reader, |_| true)? {
        let answer = answer(message, upstream, uploads)?;
        writer.write_all(answer.head().as_bytes())?;
        writer.write_all(&answer.body)?;
    }
    Ok(())
}

/// A request in parts that are easy to look at.
struct Target {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
}

impl Target {
    fn of(message: &Message) -> Self {
        let mut words = message.lines[0].split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Target {
            method,
            path: path.to_owned(),
            query: pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    fn upload(&self) -> Option<&String> {
        self.query.get("uploadId")
    }
}

fn answer(mut message: Message, upstream: u16, uploads: &Uploads) -> io::Result<Message> {
    let target = Target::of(&message);
    let mut all = uploads.lock().unwrap();
    match (&*target.method, target.upload()) {
        ("POST", None) if target.query.contains_key("uploads") => {
            let id = format!("upload-{}", ulid::Ulid::generate());
            all.insert(id.clone(), BTreeMap::new());
            Ok(told(&format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            )))
        }
        ("PUT", Some(id)) => {
            let number = target.query["partNumber"].parse().unwrap();
            match all.get_mut(id) {
                Some(parts) => {
                    parts.insert(number, std::mem::take(&mut message.body));
                    Ok(told(""))
                }
                None => Ok(status(404, "NoSuchUpload")),
            }
        }
        ("POST", Some(id)) => {
            let Some(parts) = all.remove(id) else {
                return Ok(status(404, "NoSuchUpload"));
            };
            drop(all);
            message.body = parts.into_values().flatten().collect();
            let answer = put(message, &target.path, upstream)?;
            if !answer.lines[0].contains(" 200") {
                return Ok(answer);
            }
            Ok(told(
                "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>",
            ))
        }
        ("DELETE", Some(id)) => Ok(match all.remove(id) {
            Some(_) => status(204, ""),
            None => status(404, "NoSuchUpload"),
        }),
        ("PUT", None) => {
            drop(all);
            if let Some(source) = message.header("x-goog-copy-source") {
                let from = format!("/{}", source.trim_start_matches('/'));
                let found = ask(
                    &Message {
                        lines: vec![format!("GET {from} HTTP/1.1"), host(upstream)],
                        body: Vec::new(),
                    },
                    upstream,
                )?;
                if !found.lines[0].contains(" 200") {
                    return Ok(found);
                }
                // A copy has the metadata of what it is one of.
                let own = found.lines.iter().filter(|line| is_metadata(line));
                message.lines.extend(own.cloned());
                message.body = found.body;
            }
            let answer = put(message, &target.path, upstream)?;
            Ok(if answer.lines[0].contains(" 200") {
                told("<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>")
            } else {
                answer
            })
        }
        _ => {
            drop(all);
            ask(&message, upstream)
        }
    }
}

fn is_metadata(line: &str) -> bool {
    line.to_ascii_lowercase().starts_with("x-goog-meta-")
}

/// Writes the object at `path`, in the words of the JSON API.
fn put(mut message: Message, path: &str, upstream: u16) -> io::Result<Message> {
    let name = path.splitn(3, '/').nth(2).unwrap_or_default();
    let condition = message.header("x-goog-if-generation-match");
    let condition = condition.map_or(String::new(), |generation| {
        format!("&ifGenerationMatch={generation}")
    });
    let line = format!("PUT {path}?uploadType=media&name={name}{condition} HTTP/1.1");
    message.lines.retain(|line| {
        let name = line.split(':').next().unwrap_or_default();
        name.eq_ignore_ascii_case("content-type") || is_metadata(line)
    });
    message.lines.insert(0, line);
    message.lines.push(host(upstream));
    ask(&message, upstream)
}

fn host(upstream: u16) -> String {
    format!("Host: 127.0.0.1:{upstream}")
}

/// Asks the server, and gives its answer, whole.
fn ask(message: &Message, upstream: u16) -> io::Result<Message> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream))?;
    let mut to = &stream;
    let own = ["content-length", "transfer-encoding", "host", "connection"];
    let kept = message.lines.iter().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !own.iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    let mut lines: Vec<_> = kept.cloned().collect();
    lines.push(host(upstream));
    lines.push(format!("Content-Length: {}", message.body.len()));
    lines.push("Connection: close".to_owned());
    to.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    to.write_all(&message.body)?;
    let is_head = message.lines[0].starts_with("HEAD");
    let mut from = BufReader::new(&stream);
    let found = Message::read(&mut from, |status| !is_head && !status.contains(" 204"))?;
    let mut found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
    found
        .lines
        .retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    Ok(found)
}

fn told(body: &str) -> Message {
    status(200, body)
}

fn status(code: u16, body: &str) -> Message {
    let length = body.len();
    Message {
        lines: vec![
            format!("HTTP/1.1 {code} Told"),
            "Content-Type: application/xml".to_owned(),
            format!("Content-Length: {length}"),
            "ETag: \"x\"".to_owned(),
        ],
        body: body.as_bytes().to_vec(),
    }
}
