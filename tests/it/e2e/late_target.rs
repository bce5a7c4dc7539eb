//! A scrape target whose samples come late at first: Prometheus calls them out of order and keeps
//! them in `wbl/`.
//!
//! Only at first, because Prometheus is not crash-safe with late samples that arrive while it
//! compacts earlier ones: the WBL then says that the earlier ones are in chunks on disk, which they
//! need not be (3.14), and a block compacted from late samples alone makes a restart discard what
//! the head holds of the same time (before 3.14). No copy of a live directory can be better than
//! that, and a test could not tell it from a fault of the copy.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How long samples come late; shorter than it takes the servers under test to compact for the
/// first time.
pub(crate) const LATE_FOR: Duration = Duration::from_millis(2_500);

/// Starts a target that serves until the test process ends; returns its port.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut first = None;
        for (scrape, connection) in listener.incoming().enumerate() {
            let late = first.get_or_insert_with(Instant::now).elapsed() < LATE_FOR;
            // A server that is killed in the middle of a scrape is no fault of the target.
            let _ = connection.and_then(|stream| serve(stream, &samples(scrape, late)));
        }
    });
    port
}

fn serve(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let request = BufReader::new(stream.try_clone()?);
    for line in request.lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Ten series; when late, each lags behind by up to nine seconds, by another amount at each scrape.
/// The value follows from the time: a sample that is given twice is the same one.
fn samples(scrape: usize, late: bool) -> String {
    let now = UNIX_EPOCH.elapsed().unwrap().as_millis();
    (0..10_usize).fold(String::new(), |mut text, series| {
        let lag = if late {
            (scrape * 7 + series) % 10 * 1_000
        } else {
            0
        };
        let time = now - lag as u128;
        let _ = writeln!(text, "late{{series=\"{series}\"}} {time} {time}");
        text
    })
}
