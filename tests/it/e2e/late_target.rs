//! A scrape target whose samples come late: Prometheus calls them out of order and keeps them in `wbl/`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::UNIX_EPOCH;

/// Starts a target that serves until the test process ends; returns its port.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (scrape, connection) in listener.incoming().enumerate() {
            // A server that is killed in the middle of a scrape is no fault of the target.
            let _ = connection.and_then(|stream| serve(stream, scrape));
        }
    });
    port
}

fn serve(mut stream: TcpStream, scrape: usize) -> std::io::Result<()> {
    let request = BufReader::new(stream.try_clone()?);
    for line in request.lines() {
        if line?.is_empty() {
            break;
        }
    }
    let body = samples(scrape);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Ten series that lag behind by up to nine seconds, each scrape by another amount. The value follows from the time:
/// a sample that is given twice is the same one.
fn samples(scrape: usize) -> String {
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
    (0..10_usize).fold(String::new(), |mut text, series| {
        let lag = (scrape * 7 + series) % 10 * 1_000;
        let time = now - lag as u128;
        let _ = writeln!(text, "late{{series=\"{series}\"}} {time} {time}");
        text
    })
}
