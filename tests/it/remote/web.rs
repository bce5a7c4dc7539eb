//! Repositories that a web server gives out as files: they can be read, and nothing else.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use narthex::ErrorKind;
use narthex::store::contract::READ_CLAUSES;
use narthex::store::http::{HttpOptions, HttpStore};
use narthex::store::{LocalStore, ObjectName, ReadStore as _, Store};

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// How a server differs from one that is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Answers with all of a file when a part is asked for.
    NoRanges,
    /// Lists directories for people.
    Html,
    /// Ends the first answer in its middle.
    CutOnce,
    /// Is busy at first.
    BusyOnce,
    /// Lists names that lead elsewhere.
    Escapes,
    /// Gives out files and lists nothing, as Caddy without `browse`.
    NoDirs,
    /// Lists the root alone.
    RootOnly,
    /// Leads whoever asks for a directory to another place.
    DirsElsewhere,
    /// Has the same two directories in each.
    Endless,
}

/// What nginx does with `autoindex_format json`, as far as it matters here.
struct Web {
    port: u16,
    root: tempfile::TempDir,
}

impl Web {
    fn start(fault: Fault) -> Self {
        let root = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        fs::create_dir(root.path().join("repo")).unwrap();
        let dir = root.path().to_owned();
        let count = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (dir, count) = (dir.clone(), Arc::clone(&count));
                std::thread::spawn(move || {
                    let _ = answer(stream, &dir, fault, &count);
                });
            }
        });
        Web { port, root }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/repo", self.port)
    }

    fn store(&self) -> HttpStore {
        HttpStore::new(self.url().parse().unwrap(), &HttpOptions::default()).unwrap()
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    fn put(&self, object: &str, content: &[u8]) {
        let local = LocalStore::new(self.dir());
        (&local as &dyn Store).put(&name(object), content).unwrap();
    }
}

/// One request and its answer.
fn answer(
    mut stream: TcpStream,
    root: &Path,
    fault: Fault,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap()?;
    let mut range = None;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        if let Some(asked) = line.strip_prefix("range: bytes=") {
            let (from, last) = asked.split_once('-').unwrap();
            range = Some((from.parse::<u64>().unwrap(), last.parse::<u64>().unwrap()));
        }
        if line.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
    let mut head = String::new();
    let mut body = Vec::new();
    let file = root.join(path.trim_matches('/'));
    if fault == Fault::BusyOnce && is_first {
        head.push_str("503 Service Unavailable\r\n");
    } else if path.ends_with('/')
        && (fault == Fault::NoDirs || fault == Fault::RootOnly && path != "/repo/")
    {
        head.push_str("404 Not Found\r\n");
    } else if path.ends_with('/') && fault == Fault::DirsElsewhere {
        let _ = write!(head, "302 Found\r\nLocation: http://127.0.0.1:1{path}\r\n");
    } else if path.ends_with('/') && fault == Fault::Endless {
        head.push_str("200 OK\r\n");
        body = br#"[{"name":"a","type":"directory"},{"name":"b","type":"directory"}]"#.to_vec();
    } else if file.is_dir() && path.ends_with('/') {
        head.push_str("200 OK\r\n");
        body = list(&file, fault).into_bytes();
    } else if file.is_dir() {
        let _ = write!(head, "301 Moved Permanently\r\nLocation: {path}/\r\n");
    } else if let Ok(content) = fs::read(&file) {
        let size = content.len() as u64;
        match range.filter(|_| fault != Fault::NoRanges) {
            Some((from, _)) if from >= size => {
                head.push_str("416 Range Not Satisfiable\r\n");
                let _ = write!(head, "Content-Range: bytes */{size}\r\n");
            }
            Some((from, last)) => {
                let last = last.min(size - 1);
                head.push_str("206 Partial Content\r\n");
                let _ = write!(head, "Content-Range: bytes {from}-{last}/{size}\r\n");
                body = content[from as usize..=last as usize].to_vec();
            }
            None => {
                head.push_str("200 OK\r\n");
                body = content;
            }
        }
    } else {
        head.push_str("404 Not Found\r\n");
    }
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {head}Content-Length: {len}\r\nConnection: close\r\n\r\n"
    )?;
    if method != "HEAD" {
        let end = if fault == Fault::CutOnce && is_first {
            len / 2
        } else {
            len
        };
        stream.write_all(&body[..end])?;
    }
    Ok(())
}

fn list(dir: &Path, fault: Fault) -> String {
    match fault {
        Fault::Html => return "<html><body>Index of /</body></html>".to_owned(),
        Fault::Escapes => {
            return r#"[{"name":"../../etc","type":"directory"},{"name":"..","type":"directory"},
                {"name":"a b","type":"file","size":1},{"name":"tmp","type":"file","size":1},
                {"name":"ok","type":"file","size":2}]"#
                .to_owned();
        }
        _ => {}
    }
    let entries = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        let name = entry.file_name().into_string().unwrap();
        if found.is_dir() {
            format!(r#"{{ "name":"{name}", "type":"directory" }}"#)
        } else {
            format!(
                r#"{{ "name":"{name}", "type":"file", "size":{} }}"#,
                found.len()
            )
        }
    });
    format!("[\n{}\n]", entries.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn a_web_server_keeps_the_contract_for_readers() {
    for clause in READ_CLAUSES {
        let web = Web::start(Fault::None);
        for (object, content) in clause.objects {
            web.put(object, content);
        }
        eprintln!("{}", clause.name);
        (clause.holds)(&web.store());
    }
}

#[test]
fn what_passes_is_asked_for_again() {
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for fault in [Fault::CutOnce, Fault::BusyOnce] {
        for part in [false, true] {
            let web = Web::start(fault);
            web.put("a/b", &content);
            let store = web.store();
            let read = if part {
                store.get_range(&name("a/b"), 7..300_007)
            } else {
                store.get(&name("a/b"), u64::MAX)
            };
            let expected = if part { &content[7..300_007] } else { &content };
            assert!(read.unwrap() == expected, "{fault:?}");
        }
    }
}

#[test]
fn servers_that_cannot_be_read_from_are_refused_with_what_to_do() {
    let web = Web::start(Fault::NoRanges);
    web.put("a", b"0123456789");
    let error = web.store().get_range(&name("a"), 2..4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Range"), "{error}");
    let web = Web::start(Fault::Html);
    web.put("a", b"0123456789");
    let error = web.store().list("").unwrap_err().chain();
    assert!(error.contains("autoindex_format json"), "{error}");
    let web = Web::start(Fault::Escapes);
    web.put("ok", b"12");
    assert_eq!(web.store().list("").unwrap(), [(name("ok"), 2)]);
    let elsewhere = "http://192.0.2.1/x".parse().unwrap();
    let error = HttpStore::new(elsewhere, &HttpOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Nothing is known of what is in a directory that is not listed: it is not empty.
#[test]
fn directories_that_are_not_listed_are_errors() {
    for (fault, expected) in [
        (Fault::NoDirs, "/repo/ is not there"),
        (Fault::RootOnly, "/repo/a/ is not there"),
        (Fault::DirsElsewhere, "302 Found for http://127.0.0.1"),
        (Fault::Endless, "directories below each other"),
    ] {
        let web = Web::start(fault);
        web.put("a/b/c", b"0123456789");
        let store = web.store();
        assert_eq!(store.size(&name("a/b/c")).unwrap(), 10);
        for prefix in ["", "a/", "a/b/"] {
            let error = store.list(prefix).unwrap_err().chain();
            assert!(error.contains(expected), "{fault:?} {prefix}: {error}");
        }
    }
    // Not listed by the directory above.
    let web = Web::start(Fault::RootOnly);
    web.put("a", b"0123456789");
    for absent in ["b/", "b/c", "a/b/"] {
        assert_eq!(web.store().list(absent).unwrap(), [], "{absent}");
    }
}

/// Check and restore as a user runs them, and a backup that is refused.
#[test]
fn a_repository_is_checked_and_restored_over_http_and_not_written_to() {
    let web = Web::start(Fault::None);
    let dir = tempfile::tempdir().unwrap();
    let night = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/night-1");
    let night = night.to_str().unwrap();
    let run = |repo: &str, arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(arguments)
            .env("NARTHEX_REPO", repo)
            .env("NARTHEX_CACHE_DIR", dir.path().join("cache"))
            .env("NARTHEX_STATE_DIR", dir.path().join("state"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let local = web.dir();
    let (code, said) = run(local.to_str().unwrap(), &["backup", night, "--source", "p"]);
    assert_eq!(code, Some(0), "{said}");
    for arguments in [
        &["check"][..],
        &["archives"],
        &["restore", "latest", "--target", "back"],
    ] {
        let (code, said) = run(&web.url(), arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        assert!(said.contains(" requests (0 writes, "), "{said}");
        assert!(
            said.contains(" 0 B sent, ") && !said.contains(" 0 B received"),
            "{said}"
        );
    }
    // Says so, and not that there are no archives.
    let unlisted = Web::start(Fault::NoDirs);
    fs::remove_dir(unlisted.dir()).unwrap();
    fs::rename(&local, unlisted.dir()).unwrap();
    let (code, said) = run(&unlisted.url(), &["check"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(said.contains("file_server browse"), "{said}");
    fs::rename(unlisted.dir(), &local).unwrap();
    let (code, said) = run(&web.url(), &["backup", night, "--source", "q"]);
    assert_ne!(code, Some(0));
    assert!(said.contains("can only be read"), "{said}");
}
