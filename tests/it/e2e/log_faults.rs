//! What real servers do about every kind of fault of a WAL or WBL, beside what `narthex verify`
//! says they do.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::answer::Answer;
use super::program::{backup, narthex, run};
use super::server::{Attempt, Server};
use super::tools::{Release, Tools};
use super::tree::{self, fixture};
use crate::logs;
use crate::start::{BAD_HISTOGRAMS, write_histograms};

/// Series of floats that came in order, and a time after their last sample.
const SELECTOR: &str = r#"{__name__=~"go_.+|up|process_.+"}"#;
const END: i64 = 1_795_313_600_000;
/// A time at which the log has samples that no block has.
const IN_LOG: i64 = 1_795_313_000_000;

/// What becomes of the samples of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The server starts and answers all of them.
    All,
    /// It starts and answers some of them, or none.
    Fewer,
    /// It does not start, and every segment is as it was.
    NoStart,
    /// It does not start, and sound segments are gone or changed.
    Destroyed,
}

use Fate::{All, Destroyed, Fewer, NoStart};

struct Fault {
    what: &'static str,
    make: fn(&Path),
    /// The finding that says it; nothing where none is more than a note.
    kind: Option<&'static str>,
    /// A note that says it.
    note: Option<&'static str>,
    /// What 2.42 and the current release do.
    fates: [Fate; 2],
}

const fn fault(what: &'static str, make: fn(&Path), kind: &'static str, fate: Fate) -> Fault {
    Fault {
        what,
        make,
        kind: Some(kind),
        note: None,
        fates: [fate, fate],
    }
}

const fn harmless(what: &'static str, make: fn(&Path)) -> Fault {
    Fault {
        what,
        make,
        kind: None,
        note: None,
        fates: [All, All],
    }
}

const fn noted(what: &'static str, make: fn(&Path), note: &'static str) -> Fault {
    Fault {
        note: Some(note),
        ..harmless(what, make)
    }
}

const CHECKPOINT: &str = "wal/checkpoint.00000008";
const IN_CHECKPOINT: &str = "wal/checkpoint.00000008/00000000";
const FIRST: &str = "wal/00000009";
const MIDDLE: &str = "wal/00000010";
const LAST: &str = "wal/00000011";
const WBL: &str = "wbl/00000011";

const FAULTS: &[Fault] = &[
    harmless("nothing", |_| ()),
    harmless("a foreign file", |d| write(d, "wal/README", b"x")),
    noted(
        "an unfinished checkpoint",
        |d| fs::create_dir(d.join("wal/checkpoint.00000010.tmp")).unwrap(),
        "wal-note",
    ),
    noted(
        "a torn tail",
        |d| edit(d, LAST, |b| b.extend([1, 0, 50, 0, 0, 0, 0, 2, 0])),
        "wal-torn",
    ),
    noted(
        "a torn tail of the WBL",
        |d| edit(d, WBL, |b| b.extend([1, 0, 50, 0, 0, 0, 0, 2, 0])),
        "wal-torn",
    ),
    noted("a reserved bit", |d| flip_flag(d, 1, 0x40), "wal-note"),
    noted(
        "a first fragment that claims zstd",
        |d| flip_flag(d, 2, 0x10),
        "wal-note",
    ),
    noted(
        "the type byte of a record that never came",
        |d| edit(d, LAST, |b| b.push(1)),
        "wal-note",
    ),
    harmless("a segment in the middle without its last zeros", |d| {
        let records = [
            logs::series(&[(99_999, "zero")]),
            logs::samples(&[(99_999, IN_LOG, 0.0)]),
        ];
        logs::write_segment(d, "wal/00000012", &records);
        edit(d, "wal/00000012", |b| b.truncate(b.len() - 4));
        logs::write_segment(
            d,
            "wal/00000013",
            &[logs::samples(&[(99_999, IN_LOG + 1000, 1.0)])],
        );
    }),
    fault(
        "a histogram with too few buckets",
        |d| write_histograms(d, "wal/00000012", BAD_HISTOGRAMS[0]),
        "wal-histogram",
        NoStart,
    ),
    fault(
        "a histogram with too many buckets",
        |d| write_histograms(d, "wal/00000012", BAD_HISTOGRAMS[1]),
        "wal-histogram",
        NoStart,
    ),
    // The start takes it in; who asks for the series, or compacts it, encodes it.
    fault(
        "a late histogram with too few buckets",
        |d| {
            logs::write_segment(d, "wal/00000012", &[logs::series(&[(99_999, "late")])]);
            write_histograms(d, "wbl/00000012", BAD_HISTOGRAMS[0]);
        },
        "wal-histogram",
        All,
    ),
    Fault {
        fates: [NoStart, Fewer],
        ..fault(
            "an empty directory as first segment",
            |d| replace(d, FIRST, |p| fs::create_dir(p).unwrap()),
            "wal-first-not-a-file",
            Fewer,
        )
    },
    Fault {
        fates: [NoStart, All],
        ..fault(
            "a directory as a segment that the checkpoint replaced",
            |d| fs::create_dir(d.join("wal/00000008")).unwrap(),
            "wal-first-not-a-file",
            All,
        )
    },
    harmless("an empty last segment", |d| write(d, "wal/00000012", b"")),
    Fault {
        what: "a first fragment that denies snappy",
        make: |d| flip_flag(d, 2, 0x08),
        kind: Some("wal-compression-flags"),
        note: None,
        fates: [Fewer, All],
    },
    fault(
        "an empty directory as segment",
        |d| replace(d, MIDDLE, |p| fs::create_dir(p).unwrap()),
        "wal-damaged",
        Fewer,
    ),
    fault(
        "a full directory as segment",
        |d| replace(d, MIDDLE, full_directory),
        "wal-destructive",
        Destroyed,
    ),
    fault(
        "a full directory behind damage",
        |d| {
            replace(d, LAST, full_directory);
            flip(d, MIDDLE);
        },
        "wal-broken",
        NoStart,
    ),
    fault(
        "a link to nothing as segment",
        |d| replace(d, MIDDLE, |p| symlink("/nowhere", p).unwrap()),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a damaged segment",
        |d| flip(d, MIDDLE),
        "wal-damaged",
        Fewer,
    ),
    fault(
        "a damaged last segment",
        |d| flip(d, LAST),
        "wal-damaged",
        Fewer,
    ),
    fault(
        "a torn segment in the middle",
        |d| edit(d, MIDDLE, |b| b.truncate(40_000)),
        "wal-damaged",
        Fewer,
    ),
    fault(
        "a segment that is missing",
        |d| remove(d, MIDDLE),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a segment of another name",
        |d| fs::rename(d.join(MIDDLE), d.join("wal/10")).unwrap(),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a number that occurs twice",
        |d| write(d, "wal/10", b""),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a segment set aside by a repair",
        |d| fs::rename(d.join(LAST), d.join("wal/00000011.repair")).unwrap(),
        "wal-unusual",
        Fewer,
    ),
    fault(
        "no segment after the checkpoint",
        |d| [FIRST, MIDDLE, LAST].iter().for_each(|s| remove(d, s)),
        "wal-behind",
        Fewer,
    ),
    fault(
        "an empty checkpoint segment",
        |d| write(d, IN_CHECKPOINT, b""),
        "wal-checkpoint-empty",
        Fewer,
    ),
    fault(
        "an empty checkpoint",
        |d| remove(d, IN_CHECKPOINT),
        "wal-unknown-series",
        Fewer,
    ),
    fault(
        "no checkpoint",
        |d| fs::remove_dir_all(d.join(CHECKPOINT)).unwrap(),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a damaged checkpoint",
        |d| flip(d, IN_CHECKPOINT),
        "wal-destructive",
        Destroyed,
    ),
    fault(
        "a torn checkpoint",
        |d| edit(d, IN_CHECKPOINT, |b| b.truncate(9_000)),
        "wal-destructive",
        Destroyed,
    ),
    fault(
        "a directory in the checkpoint",
        |d| replace(d, IN_CHECKPOINT, |p| fs::create_dir(p).unwrap()),
        "wal-destructive",
        Destroyed,
    ),
    fault(
        "a link to nothing in the checkpoint",
        |d| replace(d, IN_CHECKPOINT, |p| symlink("/nowhere", p).unwrap()),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a gap in the checkpoint",
        |d| write(d, "wal/checkpoint.00000008/00000002", b""),
        "wal-broken",
        NoStart,
    ),
    fault(
        "a file as checkpoint",
        |d| {
            fs::remove_dir_all(d.join(CHECKPOINT)).unwrap();
            write(d, CHECKPOINT, b"");
        },
        "wal-broken",
        NoStart,
    ),
    fault(
        "a link to a checkpoint",
        |d| {
            fs::rename(d.join(CHECKPOINT), d.join("elsewhere")).unwrap();
            symlink("../elsewhere", d.join(CHECKPOINT)).unwrap();
        },
        "wal-broken",
        NoStart,
    ),
    fault(
        "no WAL beside the WBL",
        |d| fs::remove_dir_all(d.join("wal")).unwrap(),
        "wal-unknown-series",
        Fewer,
    ),
    fault(
        "a file as WAL",
        |d| {
            fs::remove_dir_all(d.join("wal")).unwrap();
            write(d, "wal", b"");
        },
        "wal-broken",
        NoStart,
    ),
];

fn write(data: &Path, file: &str, bytes: &[u8]) {
    fs::write(data.join(file), bytes).unwrap();
}

fn edit(data: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(data.join(file)).unwrap();
    change(&mut bytes);
    write(data, file, &bytes);
}

fn remove(data: &Path, file: &str) {
    fs::remove_file(data.join(file)).unwrap();
}

fn replace(data: &Path, file: &str, make: impl FnOnce(&Path)) {
    remove(data, file);
    make(&data.join(file));
}

fn full_directory(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::write(path.join("x"), b"x").unwrap();
}

fn flip(data: &Path, file: &str) {
    edit(data, file, |bytes| bytes[2_000] ^= 4);
}

/// Flips `bit` in the type byte of the first fragment of the first segment whose position (1 full,
/// 2 first) is `position`.
fn flip_flag(data: &Path, position: u8, bit: u8) {
    edit(data, FIRST, |bytes| {
        let mut at = 0;
        while bytes[at] & 7 != position {
            let length = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
            let is_padding = bytes[at].trailing_zeros() >= 3;
            at = if is_padding {
                (at / 32_768 + 1) * 32_768
            } else {
                at + 7 + length
            };
        }
        bytes[at] ^= bit;
    });
}

#[test]
fn what_verify_says_of_a_log_is_what_the_packaged_release_does() {
    every_fault(Release::Packaged);
}

#[test]
fn what_verify_says_of_a_log_is_what_the_current_release_does() {
    every_fault(Release::Current);
}

fn every_fault(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let sound = sound(&tools);
    assert!(sound.samples() > 10_000);
    let next = AtomicUsize::new(0);
    let wrong = thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some(fault) = FAULTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                wrong.extend(judge(&tools, fault, &sound));
            }
            wrong
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        let results = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        results.collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sound(tools: &Tools) -> Answer {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tree::copy(&fixture("wal/live-snappy"), &data);
    Server::answering_from(tools, &data).range_until(SELECTOR, END)
}

/// What is not as the table or `verify` says.
fn judge(tools: &Tools, fault: &Fault, sound: &Answer) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tree::copy(&fixture("wal/live-snappy"), &data);
    (fault.make)(&data);
    let before = tree::files(&data);
    let (major, minor) = tools.release.version();
    let starts = verified(&data, &["--prometheus", &format!("{major}.{minor}")]);
    // Not what this release passes over.
    let verdict = verified(&data, &[]);
    let healthy = verdict["healthy"].as_bool().unwrap();
    let kinds: BTreeSet<_> = verdict["counts"].as_object().unwrap().keys().collect();
    let kinds: BTreeSet<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    let starts = starts["start"]["starts"].as_bool().unwrap();
    let mut wrong = Vec::new();
    if let Some(note) = fault.note.filter(|note| !kinds.contains(note)) {
        wrong.push(format!("{}: no {note} among {kinds:?}", fault.what));
    }
    match fault.kind {
        None if healthy => {}
        None => wrong.push(format!("{}: verify finds {kinds:?}", fault.what)),
        Some(kind) if kinds.contains(kind) && !healthy => {}
        Some(kind) => wrong.push(format!("{}: no {kind} among {kinds:?}", fault.what)),
    }
    let segments = |files: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        let is_segment = |(path, _): &(&std::path::PathBuf, &Vec<u8>)| path.starts_with("wal");
        let kept = files.iter().filter(is_segment);
        let kept = kept.filter(|(_, bytes)| !bytes.is_empty());
        kept.map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect::<BTreeSet<_>>()
    };
    let fate = match Server::attempt(tools, &data, &[]) {
        Attempt::Ready(server) => {
            let answer = server.range_until(SELECTOR, END);
            if answer == *sound { All } else { Fewer }
        }
        Attempt::Ended(_) if segments(&before).is_subset(&segments(&tree::files(&data))) => NoStart,
        Attempt::Ended(_) => Destroyed,
    };
    let expected = match tools.release {
        Release::Packaged => fault.fates[0],
        Release::Current => fault.fates[1],
    };
    if starts != matches!(fate, All | Fewer) {
        wrong.push(format!("{}: {fate:?}, starts: {starts}", fault.what));
    }
    if fate != expected {
        wrong.push(format!(
            "{}: expected {expected:?}, found {fate:?}",
            fault.what
        ));
    }
    wrong
}

/// What `verify` says of `data`.
fn verified(data: &Path, arguments: &[&str]) -> Value {
    let mut command = narthex(["verify", "--json", "--quiet"]);
    let output = run(command.args(arguments).arg(data), &[0, 3]);
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["verified"][0].take()
}

#[test]
fn a_log_with_an_odd_entry_is_archived_so_that_both_releases_start_on_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tree::copy(&fixture("wal/live-snappy"), &data);
    replace(&data, MIDDLE, full_directory);
    let repository = home.path().join("repository");
    let output = run(&mut backup(&data, &repository), &[3]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("wal/00000010 is left out: expected a file, found a directory"),
        "{said}"
    );
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        let target = home.path().join(format!("target-{release:?}"));
        restored(&repository, &target, 3);
        let sound = sound(&tools);
        let restored = Server::answering_from(&tools, &target).range_until(SELECTOR, END);
        assert!(restored.samples() > sound.samples() / 2);
        assert!(restored.missing_from(&sound).is_empty());
    }
}

#[test]
fn empty_directories_that_a_start_needs_come_back_and_a_log_that_keeps_it_from_starting_is_named() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tree::copy(&fixture("wal/live-snappy"), &data);
    remove(&data, IN_CHECKPOINT);
    let repository = home.path().join("repository");
    run(&mut backup(&data, &repository), &[3]);
    let target = home.path().join("target");
    restored(&repository, &target, 0);
    assert!(target.join(CHECKPOINT).is_dir());
    for release in [Release::Packaged, Release::Current] {
        if let Some(tools) = Tools::find_or_skip(release) {
            Server::answering_from(&tools, &target).kill();
        }
    }

    fs::remove_dir(data.join(CHECKPOINT)).unwrap();
    run(&mut backup(&data, &repository), &[3]);
    let target = home.path().join("refused");
    let said = restored(&repository, &target, 3);
    let why =
        "Prometheus will not start on this: wal/replay starts with segment 0, which is missing";
    assert!(said.contains(why) && said.contains("--no-wal"), "{said}");
}

/// What `narthex restore latest` prints, which ends with `code`.
fn restored(repository: &Path, target: &Path, code: i32) -> String {
    let mut command = narthex(["restore", "latest"]);
    command
        .arg("--repo")
        .arg(repository)
        .arg("--target")
        .arg(target);
    let output = run(&mut command, &[code]);
    String::from_utf8(output.stdout).unwrap()
}
