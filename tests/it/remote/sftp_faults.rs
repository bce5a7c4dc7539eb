//! Connections that break at each request in turn: no false success, no object lost, nothing that
//! is taken for one's own and is not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use narthex::ErrorKind;
use narthex::store::sftp::{SftpOptions, SftpStore};
use narthex::store::{LocalStore, ObjectName, Origin, ReadStore as _, Store};

use super::contract::noise;
use super::sshd::{Sshd, script, sftp_server_or_skip, store};
use crate::e2e::tools::skip;

/// Stands between narthex and `sftp-server`, and ends the connection at the request whose number
/// is in a file, once: before it, after it was done, or so that it is done when all believe it is
/// not. Or it spoils hard links: none can be made, or they replace what has the name.
const BREAKER: &str = r#"
import os, struct, subprocess, sys, threading, time

fault, server = sys.argv[1], sys.argv[2].split()
try:
    number, mode = open(fault).read().split()
except FileNotFoundError:
    number, mode = "-1", ""
process = subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
awaited = None

def packet(stream):
    head = stream.read(4)
    return head + stream.read(struct.unpack(">I", head)[0]) if len(head) == 4 else None

def stop():
    os.unlink(fault)
    process.kill()
    os._exit(255)

def answers():
    while True:
        answer = packet(process.stdout)
        if answer is None:
            os._exit(0)
        if awaited is not None and answer[5:9] == awaited:
            stop()
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()

threading.Thread(target=answers, daemon=True).start()
count = 0
while True:
    request = packet(sys.stdin.buffer)
    if request is None:
        process.stdin.close()
        process.wait()
        time.sleep(1)
        os._exit(0)
    if request[4] == 200 and b"hardlink@" in request:
        if mode == "linkless":
            text = struct.pack(">II", 4, 0) + struct.pack(">I", 0)
            sys.stdout.buffer.write(struct.pack(">I", 17) + b"\x65" + request[5:9] + text)
            sys.stdout.buffer.flush()
            continue
        if mode == "replaces":
            place = 9
            for field in range(3):
                length = struct.unpack(">I", request[place:place + 4])[0]
                name = request[place + 4:place + 4 + length]
                place += 4 + length
            if os.path.exists(name):
                os.unlink(name)
    if request[4] != 1:
        if count == int(number):
            if mode == "before":
                stop()
            if mode == "late":
                os.unlink(fault)
                if os.fork() == 0:
                    os.setsid()
                    for standard in range(3):
                        os.close(standard)
                    time.sleep(1)
                    process.stdin.write(request)
                    process.stdin.flush()
                os._exit(255)
            awaited = request[5:9]
        count += 1
    process.stdin.write(request)
    process.stdin.flush()
"#;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// Servers whose connections break.
struct Breaking {
    home: tempfile::TempDir,
    python: String,
    server: String,
}

impl Breaking {
    fn start_or_skip(denied: &str) -> Option<Self> {
        let server = sftp_server_or_skip()?;
        // Asked for the program itself: what the PATH has may be a slow script in front of it.
        let python = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output();
        let Some(python) = python.ok().filter(|it| it.status.success()) else {
            skip("no python3 (apt-get install python3)");
            return None;
        };
        let python = String::from_utf8(python.stdout).unwrap().trim().to_owned();
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("breaker.py"), BREAKER).unwrap();
        Some(Breaking {
            home,
            python,
            server: format!("{}{denied}", server.display()),
        })
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A store below `name`, whose connection breaks at a request.
    fn store(&self, name: &str, number: usize, mode: &str, repeats: u32) -> SftpStore {
        let fault = self.fault(name);
        fs::write(&fault, format!("{number} {mode}")).unwrap();
        let text = format!(
            "#!/bin/sh\nexec {} {} {} '{}'\n",
            self.python,
            self.dir("breaker.py").display(),
            fault.display(),
            self.server
        );
        let command = script(&self.dir(&format!("{name}.sh")), &text);
        let mut options = SftpOptions::default();
        options.command = Some(command);
        options.repeats = repeats;
        options.first_wait = Duration::from_millis(20);
        let address = format!("sftp://h{}", self.dir(name).display());
        SftpStore::new(address.parse().unwrap(), options)
    }

    fn fault(&self, name: &str) -> PathBuf {
        self.dir(&format!("{name}.fault"))
    }

    /// Whether the connection of the store below `name` has not broken.
    fn is_whole(&self, name: &str) -> bool {
        self.fault(name).exists()
    }
}

/// A server that says that it knows hard links is not believed.
#[test]
fn names_are_given_once_where_a_link_to_a_name_that_is_taken_fails() {
    let Some(servers) = Breaking::start_or_skip("") else {
        return;
    };
    for (mode, expected) in [("before", true), ("linkless", false), ("replaces", false)] {
        let store = servers.store(mode, usize::MAX, mode, 0);
        assert_eq!(store.is_create_only().unwrap(), expected, "{mode}");
        assert_eq!(store.try_create_only().unwrap(), expected, "{mode}");
        assert_eq!(store.leftovers("").unwrap(), [], "{mode}");
    }
    // It is tried again over another connection.
    for number in 0.. {
        let place = format!("probe-{number}");
        let store = servers.store(&place, number, "after", 4);
        assert!(store.is_create_only().unwrap(), "{place}");
        // At most what could not be removed any more.
        for leftover in store.leftovers("").unwrap() {
            assert_eq!(leftover.origin, Origin::Unpublished, "{place}");
        }
        assert_eq!(store.list("").unwrap(), [], "{place}");
        if servers.is_whole(&place) {
            break;
        }
    }
}

const MODES: [&str; 3] = ["before", "after", "late"];

/// Puts an object while the connection breaks at each request in turn.
fn puts_survive(denied: &str, repeats: u32) {
    let Some(servers) = Breaking::start_or_skip(denied) else {
        return;
    };
    let content = noise(100_000);
    for mode in MODES {
        let mut stores = Vec::new();
        for number in 0.. {
            let place = format!("{mode}-{number}");
            let store = servers.store(&place, number, mode, repeats);
            let put = (&store as &dyn Store).put(&name("a/b/object"), &content);
            let is_whole = servers.is_whole(&place);
            if repeats > 0 || is_whole {
                assert!(put.is_ok(), "{mode} {number}: {}", put.unwrap_err().chain());
            }
            stores.push((place, put.is_ok()));
            if is_whole {
                break;
            }
        }
        eprintln!("{mode}: {} requests", stores.len());
        assert!(stores.len() > 10);
        // What was late is done by now.
        std::thread::sleep(Duration::from_millis(1500));
        for (place, is_done) in stores {
            let local = LocalStore::new(servers.dir(&place));
            match local.get(&name("a/b/object"), u64::MAX) {
                Ok(read) => assert!(read == content, "{place}: other bytes"),
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::NotFound,
                        "{place}: {}",
                        error.chain()
                    );
                    assert!(!is_done, "{place}: what was acknowledged is not there");
                    // The next run.
                    (&local as &dyn Store)
                        .put(&name("a/b/object"), &content)
                        .unwrap();
                }
            }
            for leftover in local.leftovers("").unwrap() {
                assert_eq!(leftover.origin, Origin::Unpublished, "{place}");
                local.remove_leftover(&leftover).unwrap();
            }
        }
    }
}

#[test]
fn a_write_goes_on_over_another_connection() {
    puts_survive("", 4);
}

#[test]
fn a_write_goes_on_over_another_connection_without_extensions() {
    puts_survive(" -P hardlink,fsync", 4);
}

#[test]
fn a_write_that_is_given_up_leaves_the_object_absent_or_complete() {
    puts_survive("", 0);
}

/// What another has written is never taken for one's own, not even the same bytes.
#[test]
fn a_name_that_another_has_given_stays_taken_whatever_breaks() {
    let Some(servers) = Breaking::start_or_skip("") else {
        return;
    };
    let object = name("a/object");
    for mode in ["before", "after"] {
        for number in 0.. {
            let place = format!("{mode}-{number}");
            let local = LocalStore::new(servers.dir(&place));
            (&local as &dyn Store).put(&object, b"the same").unwrap();
            let store = servers.store(&place, number, mode, 4);
            let put = (&store as &dyn Store)
                .put(&object, b"the same")
                .unwrap_err();
            assert_eq!(
                put.kind(),
                ErrorKind::AlreadyExists,
                "{place}: {}",
                put.chain()
            );
            if servers.is_whole(&place) {
                break;
            }
        }
    }
}

#[test]
fn reads_lists_and_deletions_go_on_over_another_connection() {
    let Some(servers) = Breaking::start_or_skip("") else {
        return;
    };
    let content = noise(100_000);
    let object = name("a/b/object");
    for mode in ["before", "after"] {
        for number in 0.. {
            let place = format!("{mode}-{number}");
            let local = LocalStore::new(servers.dir(&place));
            (&local as &dyn Store).put(&object, &content).unwrap();
            let store = servers.store(&place, number, mode, 4);
            assert_eq!(
                store.list("a/").unwrap(),
                [(object.clone(), 100_000)],
                "{place}"
            );
            assert!(store.get(&object, u64::MAX).unwrap() == content, "{place}");
            assert_eq!(store.get_range(&object, 7..9).unwrap(), content[7..9]);
            store.settle(&object).unwrap();
            let deleted = store.delete(&object);
            assert!(deleted.is_ok(), "{place}: {}", deleted.unwrap_err().chain());
            assert_eq!(local.list("").unwrap(), [], "{place}");
            if servers.is_whole(&place) {
                break;
            }
        }
    }
}

/// `ssh` killed at any moment, over a real connection.
#[test]
fn ssh_may_be_killed_at_any_moment() {
    let Some(server) = Sshd::start_or_skip() else {
        return;
    };
    let dir = server.home.path();
    let pids = dir.join("pids");
    let text = format!(
        "#!/bin/sh\necho $$ > {}\nexec {} \"$@\"\n",
        pids.display(),
        server.command("ssh_config")
    );
    let command = script(&dir.join("ssh.sh"), &text);
    let content = noise(3 << 20);
    for round in 0..12_u64 {
        let object = name(&format!("packs/{round}"));
        let store = store(&server.address("killed"), &command);
        let _ = fs::remove_file(&pids);
        let put = std::thread::scope(|scope| {
            let writer = scope.spawn(|| (&store as &dyn Store).put(&object, &content));
            for kill in 0..3 {
                std::thread::sleep(Duration::from_millis(40 + 67 * round % 300 + 90 * kill));
                if let Ok(pid) = fs::read_to_string(&pids) {
                    let _ = Command::new("kill").args(["-KILL", pid.trim()]).output();
                }
            }
            writer.join().unwrap()
        });
        let local = LocalStore::new(dir.join("data/killed"));
        match local.get(&object, u64::MAX) {
            Ok(read) => assert!(read == content, "{round}: other bytes"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert!(put.is_err(), "{round}");
                (&server.store("killed") as &dyn Store)
                    .put(&object, &content)
                    .unwrap();
            }
        }
    }
}
