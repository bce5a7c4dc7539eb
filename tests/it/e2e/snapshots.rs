//! What real servers with the feature `memory-snapshot-on-shutdown` do about faults of chunk
//! snapshots, beside what `verify` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::server::Server;
use super::start::{foretell, problems};
use super::tools::{Release, Tools};
use super::tree::{copy, fixture};
use crate::logs;
use crate::start::flip;

/// The feature, and blocks so long that none is cut.
const FLAGS: &[&str] = &[
    "--enable-feature=memory-snapshot-on-shutdown",
    "--storage.tsdb.min-block-duration=24h",
];
const ALL: &str = r#"{__name__=~".+"}"#;
/// After the last sample of the log.
const END: i64 = 1_700_006_400_000;

/// A fault: what makes it in the snapshot of a data directory, the finding, how many samples in a
/// hundred a server answers after it, and whether the snapshot is still there then, by release.
struct Fault {
    name: &'static str,
    make: fn(&Path),
    kind: Option<&'static str>,
    answers: [u64; 2],
    stays: [bool; 2],
}

const fn fault(name: &'static str, make: fn(&Path), kind: &'static str) -> Fault {
    Fault {
        name,
        make,
        kind: Some(kind),
        answers: [100, 100],
        stays: [true, true],
    }
}

const FAULTS: &[Fault] = &[
    Fault {
        kind: None,
        ..fault("none", |_| {}, "")
    },
    fault(
        "a flipped record",
        |data| flip(&segment(data), 2000),
        "snapshot-unusable",
    ),
    fault(
        "a truncated record",
        |data| {
            let bytes = fs::read(segment(data)).unwrap();
            fs::write(segment(data), &bytes[..9000]).unwrap();
        },
        "snapshot-unusable",
    ),
    fault(
        "a record of an unknown type",
        |data| {
            let bytes = logs::segment(&[vec![9, 1, 2, 3]]);
            fs::write(segment(data), bytes).unwrap();
        },
        "snapshot-unusable",
    ),
    fault(
        "a missing segment",
        |data| {
            let path = segment(data);
            fs::copy(&path, path.with_file_name("00000002"))
                .map(drop)
                .unwrap();
        },
        "snapshot-unusable",
    ),
    fault(
        "a file instead of it",
        |data| {
            let path = snapshot(data);
            fs::remove_dir_all(&path).unwrap();
            fs::write(path, b"x").unwrap();
        },
        "snapshot-unusable",
    ),
    Fault {
        kind: None,
        ..fault(
            "an offset behind the end of the segment",
            |data| {
                fs::rename(
                    snapshot(data),
                    data.join("chunk_snapshot.000001.0099999999"),
                )
                .unwrap();
            },
            "",
        )
    },
    Fault {
        kind: None,
        ..fault(
            "one that is older than the log",
            |data| {
                fs::rename(
                    snapshot(data),
                    data.join("chunk_snapshot.000000.0000000000"),
                )
                .unwrap();
            },
            "",
        )
    },
    Fault {
        answers: [0, 0],
        ..fault(
            "an empty segment",
            |data| fs::write(segment(data), b"").unwrap(),
            "snapshot-short",
        )
    },
    Fault {
        answers: [0, 0],
        ..fault(
            "no segment",
            |data| fs::remove_file(segment(data)).unwrap(),
            "snapshot-short",
        )
    },
    Fault {
        kind: None,
        ..fault(
            "one of the segment that a start adds",
            |data| next_segment(data, 0),
            "",
        )
    },
    fault(
        "one that reaches into the segment that a start adds",
        |data| next_segment(data, 100),
        "snapshot-tail",
    ),
    Fault {
        stays: [true, false],
        ..fault(
            "one that is ahead of the log",
            |data| {
                fs::rename(
                    snapshot(data),
                    data.join("chunk_snapshot.000099.0000000000"),
                )
                .unwrap();
            },
            "snapshot-ahead",
        )
    },
    Fault {
        answers: [100, 0],
        stays: [true, false],
        ..fault(
            "no log",
            |data| fs::remove_dir_all(data.join("wal")).unwrap(),
            "snapshot-ahead",
        )
    },
];

fn snapshot(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("chunk_snapshot.")
    };
    entries.into_iter().find(is_snapshot).unwrap()
}

/// Renames the snapshot to one of the segment behind the last of the log, at `offset`.
fn next_segment(data: &Path, offset: u64) {
    let segments = fs::read_dir(data.join("wal")).unwrap();
    let names = segments.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.filter_map(|name| name.parse::<u64>().ok()).max();
    let next = last.unwrap() + 1;
    let name = format!("chunk_snapshot.{next:06}.{offset:010}");
    fs::rename(snapshot(data), data.join(name)).unwrap();
}

fn segment(data: &Path) -> PathBuf {
    snapshot(data).join("00000000")
}

#[test]
fn a_packaged_server_does_with_snapshots_what_verify_says() {
    every_fault(Release::Packaged);
}

#[test]
fn a_current_server_does_with_snapshots_what_verify_says() {
    every_fault(Release::Current);
}

fn every_fault(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("base");
    copy(&fixture("wal/wal-1"), &base);
    fs::remove_dir_all(base.join("chunks_head")).unwrap();
    Server::configured(&tools, &base, FLAGS, "").end();
    thread::scope(|scope| {
        for part in FAULTS.chunks(FAULTS.len().div_ceil(3)) {
            let (tools, base) = (&tools, &base);
            scope.spawn(move || part.iter().for_each(|fault| try_fault(tools, base, fault)));
        }
    });
}

fn try_fault(tools: &Tools, base: &Path, fault: &Fault) {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    copy(base, &data);
    (fault.make)(&data);
    let (version, release) = match tools.release {
        Release::Packaged => ("2.42", 0),
        Release::Current => ("3.16", 1),
    };
    let foretold = foretell(&data, version, &[]);
    let mut found = problems(&foretold);
    assert_eq!(foretold["start"]["starts"], true, "{}", fault.name);
    // Without a log its own chunks are lost as well.
    found.remove("head-chunks-orphaned");
    let wanted: BTreeSet<_> = fault.kind.into_iter().map(str::to_owned).collect();
    assert_eq!(found, wanted, "{}", fault.name);
    let there = snapshot(&data);
    let server = Server::configured(tools, &data, FLAGS, "");
    let samples = server.range_until(ALL, END).samples() as u64;
    assert_eq!(
        samples * 100 / 9480,
        fault.answers[release],
        "{}",
        fault.name
    );
    assert_eq!(there.exists(), fault.stays[release], "{}", fault.name);
}
