//! Nights go into object stores and come back byte for byte, by the program as its users start it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::proxy::{Fault, Proxy};
use super::servers::{BUCKET, Kind, ObjectServer};
use crate::fixtures::tree;

/// What a command printed, and how it ended.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }
}

/// A machine with nothing but the program and the credentials of a server.
pub(super) struct Machine {
    pub(super) home: tempfile::TempDir,
    settings: BTreeMap<String, String>,
    endpoint: String,
    pub(super) repo: String,
}

impl Machine {
    /// One that reaches `server` through `port`.
    pub(super) fn beside(server: &ObjectServer, port: u16, prefix: &str) -> Self {
        let options = server.options_through(port);
        Machine {
            home: tempfile::tempdir().unwrap(),
            settings: options.settings.0,
            endpoint: options.endpoint.unwrap(),
            repo: server.address(prefix).to_string(),
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain(arguments);
        command.args(["--repo", &self.repo]);
        command
    }

    /// The same, where `arguments` say which repository.
    fn plain(&self, arguments: &[&str]) -> Command {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
        command
            .args(arguments)
            .args(["--endpoint", &self.endpoint])
            .envs(&self.settings)
            .env("NARTHEX_CACHE_DIR", home.join("cache"))
            .env("NARTHEX_STATE_DIR", home.join("state"))
            .env("HOME", home)
            .env_remove("NARTHEX_REPO")
            .current_dir(home);
        command
    }

    /// A copy, which says itself where from and where to. Gives what it says.
    #[cfg(feature = "encryption")]
    pub(super) fn copied(&self, arguments: &[&str]) -> String {
        let ran = self.plain(arguments).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&ran.stdout).into_owned(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        );
        assert_eq!(ran.status.code(), Some(0), "{arguments:?}: {out}{err}");
        out
    }

    pub(super) fn narthex(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Makes a key to read with, in the file `name` at home. Gives its public half.
    #[cfg(feature = "encryption")]
    pub(super) fn key(&self, name: &str) -> String {
        let made = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(["key", "generate", name])
            .current_dir(self.home.path())
            .output()
            .unwrap();
        assert!(made.status.success());
        // What needs to read gets it by the environment.
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// A command that must do what it is asked.
    pub(super) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.narthex(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.out, ran.err);
        ran
    }
}

pub(super) fn night(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// The data directory without what no archive holds.
pub(super) fn archived(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = tree(dir);
    files.retain(|name, _| {
        !["lock", "queries.active"].contains(&&**name) && !name.starts_with("chunks_head/")
    });
    files
}

fn nights_come_back(kind: Kind) {
    let Some(server) = ObjectServer::start_or_skip(kind) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "nights/mon1");
    let mut archives = Vec::new();
    for name in ["night-1", "night-2"] {
        let dir = night(name);
        let dir = dir.to_str().unwrap();
        let ran = machine.done(&["backup", dir, "--source", "mon1", "--host", "h", "--json"]);
        let said = ran.json();
        archives.push((name, said["id"].as_str().unwrap().to_owned()));
        // What is asked is counted, and said in both ways.
        let traffic = &said["traffic"][0];
        assert_eq!(traffic["store"], machine.repo, "{said}");
        assert!(traffic["requests"].as_u64().unwrap() > 5, "{said}");
        assert!(traffic["sent_bytes"].as_u64().unwrap() > 10_000, "{said}");
        assert!(ran.err.contains(" requests ("), "{}", ran.err);
    }
    machine.done(&["check", "--read-data"]);
    for (name, id) in &archives {
        let target = machine.home.path().join(name);
        machine.done(&["restore", id, "--target", target.to_str().unwrap()]);
        assert!(
            archived(&target) == archived(&night(name)),
            "{kind:?}: {name} came back otherwise"
        );
    }
    let listed = machine.done(&["archives", "--json"]).json();
    assert_eq!(listed["archives"].as_array().unwrap().len(), 2, "{listed}");

    // Letting go works as on a disk.
    machine.done(&["forget", &archives[0].1]);
    machine.done(&["prune", "--grace", "0s"]);
    machine.done(&["prune", "--grace", "0s"]);
    machine.done(&["check", "--read-data"]);
    let target = machine.home.path().join("again");
    machine.done(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert!(archived(&target) == archived(&night("night-2")), "{kind:?}");
}

#[test]
fn nights_come_back_from_versitygw() {
    nights_come_back(Kind::Versity);
}

#[test]
fn nights_come_back_from_moto() {
    nights_come_back(Kind::Moto);
}

#[test]
fn nights_come_back_from_fake_gcs() {
    nights_come_back(Kind::Gcs);
}

#[test]
fn nights_come_back_from_azurite() {
    nights_come_back(Kind::Azurite);
}

#[test]
fn a_store_that_gives_names_twice_is_said_and_not_pruned() {
    // moto does not look at signatures, of which the condition is a part.
    let Some(server) = ObjectServer::start_or_skip(Kind::Moto) else {
        return;
    };
    let proxy = Proxy::start(server.port, Duration::ZERO, |_| Fault::DropCondition);
    let machine = Machine::beside(&server, proxy.port, "twice");
    let dir = night("night-1");
    let ran = machine.done(&["backup", dir.to_str().unwrap(), "--source", "mon1"]);
    let said = "replaces objects whose names are taken";
    assert!(ran.err.contains(said), "{}", ran.err);
    let ran = machine.narthex(&["prune", "--grace", "0s"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("nothing is deleted"), "{}", ran.err);
    assert!(ran.err.contains("--only-writer"), "{}", ran.err);
    machine.done(&["prune", "--grace", "0s", "--dry-run"]);
    machine.done(&["prune", "--grace", "0s", "--only-writer"]);
    machine.done(&["check", "--read-data"]);
}

#[test]
fn a_store_that_stops_giving_names_once_is_found_out_before_anything_is_deleted() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Moto) else {
        return;
    };
    let honest = Machine::beside(&server, server.port, "later");
    let dir = night("night-1");
    honest.done(&["backup", dir.to_str().unwrap(), "--source", "mon1"]);
    // Its objects say that names are given once. Now that is no longer so.
    let proxy = Proxy::start(server.port, Duration::ZERO, |_| Fault::DropCondition);
    let lied_to = Machine::beside(&server, proxy.port, "later");
    let ran = lied_to.narthex(&["prune", "--grace", "0s"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("nothing is deleted"), "{}", ran.err);
}

#[test]
fn a_store_that_fails_on_the_way_ends_a_check() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "ends");
    let dir = night("night-1");
    machine.done(&["backup", dir.to_str().unwrap(), "--source", "mon1"]);
    // From the first manifest on it answers nothing any more.
    let mut is_over = false;
    let proxy = Proxy::start(server.port, Duration::ZERO, move |request| {
        if is_over {
            return Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>");
        }
        is_over = request.method == "GET" && request.path.contains("/archives/2");
        Fault::None
    });
    let failing = Machine::beside(&server, proxy.port, "ends");
    let ran = failing.narthex(&["check"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(!ran.out.contains("no problems"), "{}", ran.out);
    assert!(ran.err.contains("AccessDenied"), "{}", ran.err);
}

#[test]
fn secrets_are_in_no_output() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "secrets");
    let dir = night("night-1");
    let dir = dir.to_str().unwrap();
    let secret = "wrong-and-very-secret";
    let output = machine
        .command(&["backup", dir, "--json"])
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    // It says whose credentials were refused.
    assert!(
        err.contains("AWS_ACCESS_KEY_ID of the environment"),
        "{err}"
    );
}

/// What `docs/performance.md` says of requests.
#[test]
fn an_unchanged_night_takes_few_requests() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "few");
    let requests = |arguments: &[&str]| {
        let said = machine.done(&[arguments, &["--json"]].concat()).json();
        said["traffic"][0]["requests"].as_u64().unwrap()
    };
    let backup = |name: &str| {
        let dir = night(name);
        requests(&["backup", dir.to_str().unwrap(), "--source", "mon1"])
    };
    backup("night-1");
    backup("night-2");
    let night = backup("night-2");
    assert!(night <= 9, "{night}");
    let (archives, check) = (requests(&["archives"]), requests(&["check"]));
    assert!(archives <= 8 && check <= 8, "{archives} and {check}");
}

/// There is no such host: whoever knows it is the proxy.
#[test]
fn requests_go_through_the_proxy_that_the_environment_names() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let proxy = Proxy::start(server.port, Duration::ZERO, move |request| {
        let is_ours = request.path.starts_with("http://narthex.invalid:9000/");
        counted.fetch_add(u64::from(is_ours), Ordering::SeqCst);
        Fault::None
    });
    let mut machine = Machine::beside(&server, server.port, "proxied");
    machine.endpoint = "http://narthex.invalid:9000".to_owned();
    let allow = ("AWS_ALLOW_HTTP".to_owned(), "true".to_owned());
    machine.settings.extend([allow]);
    let dir = night("night-1");
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "mon1",
        "--json",
    ];
    let through = format!("http://127.0.0.1:{}", proxy.port);
    machine.settings.insert("HTTP_PROXY".to_owned(), through);
    let said = machine.done(&backup).json();
    let requests = said["traffic"][0]["requests"].as_u64();
    assert_eq!(requests, Some(asked.load(Ordering::SeqCst)), "{said}");
    machine.done(&["restore", "latest", "--target", "back"]);
    let back = machine.home.path().join("back");
    assert!(tree(&back) == archived(&dir), "other bytes");
}

/// What others have in a repository in parts is not listed, and not read.
#[test]
fn a_night_among_many_servers_takes_no_more_requests() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "fleet");
    machine.done(&["init", "--by-source"]);
    let said = |arguments: &[&str]| machine.done(&[arguments, &["--json"]].concat()).json();
    let requests = |said: &serde_json::Value| said["traffic"][0]["requests"].as_u64().unwrap();
    let backup = |name: &str, source: &str| {
        let dir = night(name);
        said(&["backup", dir.to_str().unwrap(), "--source", source])
    };
    backup("night-2", "mon1");
    let alone = requests(&backup("night-2", "mon1"));
    for other in ["mon2", "mon3", "mon4"] {
        backup("night-1", other);
        backup("night-2", other);
    }
    let among = requests(&backup("night-2", "mon1"));
    assert_eq!(alone, among);
    assert!(among <= 9, "{among}");
    // The other way about: what a night reads without anything remembered.
    let dir = night("night-2");
    let afresh = [
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "mon1",
        "--no-cache",
    ];
    let afresh = requests(&said(&afresh));
    // Ten, and one for each of its three manifests.
    assert!(afresh <= 13, "{afresh}");
    let own = said(&["archives", "--source", "mon1"]);
    assert_eq!(own["archives"].as_array().unwrap().len(), 4);
    assert!(requests(&own) <= 10, "{own}");
    let all = said(&["archives"]);
    assert_eq!(all["archives"].as_array().unwrap().len(), 10);
    machine.done(&["check", "--read-data"]);
    machine.done(&["prune", "--grace", "0s"]);
    machine.done(&["check", "--read-data"]);
}

#[test]
fn no_more_requests_a_second_are_made_than_allowed() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "slow");
    let dir = night("night-1");
    let begin = Instant::now();
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--json",
        "--limit-requests",
        "20",
    ];
    let said = machine.done(&backup).json();
    let requests = said["traffic"][0]["requests"].as_u64().unwrap();
    // The first passes at once.
    let least = Duration::from_millis((requests - 1) * 1_000 / 20);
    assert!(
        begin.elapsed() >= least,
        "{requests} in {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_server_is_believed_by_the_authority_that_is_named() {
    let Some(server) = ObjectServer::start_encrypted_or_skip() else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "tls");
    let dir = night("night-1");
    let backup = ["backup", dir.to_str().unwrap(), "--source", "mon1"];
    let refused = machine.narthex(&backup);
    assert_eq!(refused.code, 1, "{}{}", refused.out, refused.err);
    let authority = server.authority();
    let believing = ["--ca-file", authority.to_str().unwrap()];
    machine.done(&[&backup[..], &believing].concat());
    // Unfinished uploads are listed by another client.
    machine.done(&[&["check", "--read-data"][..], &believing].concat());
    machine.done(&[&["prune", "--grace", "0s"][..], &believing].concat());
}

#[test]
fn a_directory_has_no_traffic() {
    let home = tempfile::tempdir().unwrap();
    let repo = home.path().join("repo");
    let dir = night("night-1");
    let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(["backup", dir.to_str().unwrap(), "--json", "--repo"])
        .arg(&repo)
        .env("NARTHEX_CACHE_DIR", home.path().join("cache"))
        .env("NARTHEX_STATE_DIR", home.path().join("state"))
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.get("traffic").is_none(), "{said}");
    assert!(fs::metadata(&repo).unwrap().is_dir());
}

#[test]
fn first_backups_at_once_make_one_repository_also_where_one_was_killed() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let prefix = "at-once";
    // What a run leaves that was killed while it tried whether names are given once.
    let left = server
        .home
        .path()
        .join("data")
        .join(BUCKET)
        .join(prefix)
        .join("tmp");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("probe-01M8T6DJV9751EQDQP1PB5WSK3"), b"1").unwrap();
    let machines: Vec<_> = (0..4)
        .map(|_| Machine::beside(&server, server.port, prefix))
        .collect();
    let dir = night("night-1");
    let started = machines.iter().zip(0..).map(|(machine, number)| {
        let source = format!("mon{number}");
        let words = [
            "backup",
            dir.to_str().unwrap(),
            "--source",
            &source,
            "--host",
            "h",
        ];
        let mut command = machine.command(&words);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for child in started.collect::<Vec<_>>() {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    let listed = machines[0].done(&["archives", "--json"]).json();
    assert_eq!(listed["archives"].as_array().unwrap().len(), 4, "{listed}");
    machines[0].done(&["check", "--read-data"]);
}
