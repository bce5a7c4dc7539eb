//! What real servers do with directories and files that they may not read, beside what `verify`
//! says.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use super::program::run;
use super::server::{Attempt, Server};
use super::tools::{Release, Tools};
use super::tree::{copy, fixture};

/// Nobody's number.
const NOBODY: u32 = 65_534;
const BLOCK: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";

/// What may not be read, below the data directory; the finding; and whether servers start.
const CASES: &[(&str, &str, bool)] = &[
    (BLOCK, "block-unlistable", true),
    (
        "01M80FJGSDDJPV4DWFG2XR4VJ2/meta.json",
        "meta-malformed",
        true,
    ),
    ("01M80FJGSDDJPV4DWFG2XR4VJ2/chunks", "unreadable", false),
    ("01M80FJGSDDJPV4DWFG2XR4VJ2/index", "unreadable", false),
    (
        "01M80FJGSDDJPV4DWFG2XR4VJ2/chunks/000001",
        "unreadable",
        false,
    ),
    ("01M80FJGSDDJPV4DWFG2XR4VJ2/tombstones", "unreadable", false),
    ("wal", "unreadable", false),
    ("wal/checkpoint.00000001", "unreadable", false),
    ("wal/00000003", "wal-broken", false),
    ("chunks_head", "unreadable", false),
    ("chunks_head/000005", "head-chunks-broken", false),
];

/// A program that runs `command` as nobody, after what it is to read was made readable.
fn as_nobody(dir: &Path, name: &str, command: &Path) -> PathBuf {
    let path = dir.join(name);
    let command = command.display();
    let script = format!(
        "#!/bin/sh\nfile=\"${{1#--config.file=}}\"\n[ -f \"$file\" ] && chmod -R a+rX \"$(dirname \"$file\")\"\n\
         exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {command} \"$@\"\n"
    );
    install(script.as_bytes(), &path);
    path
}

/// Makes a program with this content. Another process writes it: had this one it open for writing,
/// programs that other tests start in that moment would inherit that, and a file that is being
/// written cannot be run.
fn install(content: &[u8], path: &Path) {
    let mut command = Command::new("install");
    command.args(["-m", "755", "/dev/stdin"]).arg(path);
    let mut writer = command.stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(content).unwrap();
    assert!(writer.wait().unwrap().success());
}

fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

#[test]
fn what_may_not_be_read_keeps_servers_from_starting_or_not_as_verify_says() {
    let is_root = run(Command::new("id").arg("-u"), &[0]).stdout == b"0\n";
    if !is_root || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("SKIPPED: needs root and setpriv, to run programs as nobody");
        return;
    }
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        thread::scope(|scope| {
            for part in CASES.chunks(4) {
                let tools = &tools;
                scope.spawn(move || part.iter().for_each(|case| try_case(tools, *case)));
            }
        });
    }
}

fn try_case(tools: &Tools, (what, kind, starts): (&str, &str, bool)) {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
    let data = root.path().join("data");
    copy(&fixture("night-1"), &data);
    give_away(&data);
    chown(data.join(what), Some(0), Some(0)).unwrap();
    fs::set_permissions(data.join(what), Permissions::from_mode(0o000)).unwrap();

    // Nobody may read the directory that it was built in.
    let narthex = root.path().join("narthex");
    let built = fs::read(assert_cmd::cargo::cargo_bin("narthex")).unwrap();
    install(&built, &narthex);
    let verify = as_nobody(root.path(), "verify", &narthex);
    let output = run(
        Command::new(verify)
            .args([
                "verify",
                "--quick",
                "--json",
                "--now",
                "2026-11-22T02:00:00Z",
            ])
            .arg(&data),
        &[3],
    );
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = &said["verified"][0];
    let of_blocks = said["blocks"].as_array().unwrap().iter();
    let counts = of_blocks.chain([said]).map(|part| &part["counts"]);
    let found = counts.into_iter().any(|counts| counts.get(kind).is_some());
    assert!(found, "{what}: {said}");
    assert_eq!(said["start"]["starts"], starts, "{what}: {}", said["start"]);

    let tools = Tools {
        prometheus: as_nobody(root.path(), "server", &tools.prometheus),
        ..tools.clone()
    };
    let attempt = Server::attempt(&tools, &data, &[]);
    assert_eq!(
        matches!(attempt, Attempt::Ready(_)),
        starts,
        "{what}: {attempt:?}"
    );
}
