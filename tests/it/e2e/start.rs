//! What `verify` says that a start would do is what real servers do: the same faults, in two
//! releases.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::{Answer, assert_none};
use super::http;
use super::program::{narthex, run};
use super::server::{Attempt, Server};
use super::tools::{Release, Tools};
use super::tree;
use crate::logs;
use crate::start::{
    CHUNK_FAULTS, IN_THE_WAY, Night, flip, late_block_in_the_future, stale_series,
    unsaid_aggregates,
};

const OLDEST: &str = "01M80FKE4V4C8GPJHYD9T1D87F";
const MIDDLE: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";
const NEWEST: &str = "01M80FKE2Z8SDE7SM63DE19N15";
/// The end of the newest block of `night-1`.
const END: i64 = 1_795_312_680_000;
const HOUR: i64 = 3_600_000;
const NOW: &str = "2026-11-22T02:00:00Z";
const ALL: &str = r#"{__name__=~".+"}"#;

/// A fault of a data directory.
struct Case {
    name: &'static str,
    /// The fixture that gets it: a directory with blocks and all, or a log with chunks of the head
    /// alone.
    base: Base,
    make: fn(&Night),
    /// Options of `narthex verify`, and the flags of the server that they stand for.
    flags: (&'static [&'static str], &'static [&'static str]),
    /// Findings that are problems.
    kinds: &'static [&'static str],
    /// Whether the server answers as on the directory without the fault.
    same_answers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Night,
    Head,
}

impl Base {
    fn copy(self) -> Night {
        Night::of(match self {
            Base::Night => "night-1",
            Base::Head => "wal/wal-1",
        })
    }

    /// The time before which blocks hold the samples, and one behind the last sample.
    fn span(self) -> (i64, i64) {
        match self {
            Base::Night => (END, END + 60_000),
            Base::Head => (1_699_999_000_000, 1_700_006_400_000),
        }
    }
}

const CASES: &[Case] = &[
    Case {
        name: "healthy",
        base: Base::Night,
        make: |_| {},
        flags: (&[], &[]),
        kinds: &[],
        same_answers: true,
    },
    Case {
        name: "wrong magic number in chunks_head",
        base: Base::Night,
        make: |night| flip(&night.data().join("chunks_head/000005"), 1),
        flags: (&[], &[]),
        kinds: &["head-chunks-broken"],
        same_answers: false,
    },
    Case {
        name: "unknown version in chunks_head",
        base: Base::Night,
        make: |night| flip(&night.data().join("chunks_head/000006"), 4),
        flags: (&[], &[]),
        kinds: &["head-chunks-broken"],
        same_answers: false,
    },
    Case {
        name: "gap in chunks_head",
        base: Base::Night,
        make: |night| {
            let dir = night.data().join("chunks_head");
            fs::rename(dir.join("000006"), dir.join("000007")).unwrap();
        },
        flags: (&[], &[]),
        kinds: &["head-chunks-broken"],
        same_answers: false,
    },
    Case {
        name: "damaged chunk in chunks_head",
        base: Base::Head,
        make: |night| flip(&night.data().join("chunks_head/000001"), 60),
        flags: (&[], &[]),
        kinds: &["head-chunks-damaged"],
        same_answers: true,
    },
    Case {
        name: "the same chunks twice in chunks_head",
        base: Base::Head,
        make: |night| {
            let dir = night.data().join("chunks_head");
            fs::copy(dir.join("000001"), dir.join("000002")).unwrap();
        },
        flags: (&[], &[]),
        kinds: &["head-chunks-order"],
        same_answers: true,
    },
    Case {
        name: "half a chunk at the end of chunks_head",
        base: Base::Head,
        make: |night| {
            let path = night.data().join("chunks_head/000001");
            let mut bytes = fs::read(&path).unwrap();
            bytes[4096..].fill(0);
            fs::write(path, bytes).unwrap();
        },
        flags: (&[], &[]),
        kinds: &[],
        same_answers: true,
    },
    Case {
        name: "last file of chunks_head not written",
        base: Base::Night,
        make: |night| fs::write(night.data().join("chunks_head/000007"), [0; 4096]).unwrap(),
        flags: (&[], &[]),
        kinds: &[],
        same_answers: true,
    },
    Case {
        name: "chunks_head without a log",
        base: Base::Head,
        make: |night| fs::remove_dir_all(night.data().join("wal")).unwrap(),
        flags: (&[], &[]),
        kinds: &["head-chunks-orphaned"],
        same_answers: false,
    },
    Case {
        name: "samples of the log in the future",
        base: Base::Night,
        make: |night| {
            let ahead = logs::samples(&[(99_999, END + 48 * HOUR, 1.0)]);
            let records = [logs::series(&[(99_999, "ahead")]), ahead];
            logs::write_segment(&night.data(), "wal/00000006", &records);
        },
        flags: (&[], &[]),
        kinds: &["log-future"],
        same_answers: true,
    },
    Case {
        name: "late samples in the future",
        base: Base::Night,
        make: |night| {
            let series = logs::series(&[(99_999, "ahead")]);
            logs::write_segment(&night.data(), "wal/00000006", &[series]);
            let ahead = logs::samples(&[(99_999, END + 48 * HOUR, 1.0)]);
            logs::write_segment(&night.data(), "wbl/00000000", &[ahead]);
        },
        flags: (&[], &[]),
        kinds: &["log-future-late"],
        same_answers: true,
    },
    Case {
        name: "newest block ends in the future",
        base: Base::Night,
        make: |night| night.set(NEWEST, "maxTime", END + 400 * 24 * HOUR),
        flags: (&[], &[]),
        kinds: &["block-future"],
        same_answers: false,
    },
    Case {
        name: "a block of late samples ends in the future",
        base: Base::Night,
        make: |night| late_block_in_the_future(night, END + 400 * 24 * HOUR),
        flags: (&[], &[]),
        kinds: &["block-future-late"],
        same_answers: false,
    },
    Case {
        name: "newest block ends at the end of time",
        base: Base::Night,
        make: |night| night.set(NEWEST, "maxTime", i64::MAX),
        flags: (&[], &[]),
        kinds: &["block-future"],
        same_answers: false,
    },
    Case {
        name: "newest block ends a day and more after its samples",
        base: Base::Night,
        make: |night| night.set(NEWEST, "maxTime", END + 30 * HOUR),
        flags: (&["--now", "2026-11-28"], &[]),
        kinds: &["block-range"],
        same_answers: false,
    },
    Case {
        name: "newest block ends half an hour after its samples",
        base: Base::Night,
        make: |night| night.set(NEWEST, "maxTime", END + HOUR / 2),
        flags: (&[], &[]),
        kinds: &["wal-hidden"],
        same_answers: false,
    },
    Case {
        name: "newest block begins in 1970",
        base: Base::Night,
        make: |night| night.set(NEWEST, "minTime", 0),
        flags: (&[], &[]),
        kinds: &["block-range-wide"],
        same_answers: true,
    },
    Case {
        name: "retention time that ends with a block",
        base: Base::Night,
        make: |_| {},
        flags: (
            &["--retention", "30s"],
            &["--storage.tsdb.retention.time=30s"],
        ),
        kinds: &[],
        same_answers: false,
    },
    Case {
        name: "retention size",
        base: Base::Night,
        make: |_| {},
        flags: (
            &["--retention-size", "980KB"],
            &["--storage.tsdb.retention.size=980KB"],
        ),
        kinds: &[],
        same_answers: false,
    },
    Case {
        name: "what interrupted writers left",
        base: Base::Night,
        make: |night| {
            for name in [
                "01M80FKE4V4C8GPJHYD9T1D87G.tmp-for-deletion",
                "01M80FKE4V4C8GPJHYD9T1D87H.tmp-for-creation",
                "chunk_snapshot.000002.0000000000.tmp",
                "wal/checkpoint.00000004.tmp",
            ] {
                fs::create_dir(night.data().join(name)).unwrap();
            }
        },
        flags: (&[], &[]),
        kinds: &[],
        same_answers: true,
    },
    Case {
        name: "a block without chunks",
        base: Base::Night,
        make: |night| fs::remove_dir_all(night.data().join(OLDEST).join("chunks")).unwrap(),
        flags: (
            &["--retention", "1s"],
            &["--storage.tsdb.retention.time=1s"],
        ),
        kinds: &["chunks-missing", "segment-missing"],
        same_answers: false,
    },
    Case {
        name: "a block without metadata",
        base: Base::Night,
        make: |night| fs::remove_file(night.data().join(MIDDLE).join("meta.json")).unwrap(),
        flags: (&[], &[]),
        // The log has its samples still, and a start passes them over.
        kinds: &["meta-missing", "wal-hidden"],
        same_answers: false,
    },
];

/// Notes that say what cases are.
const NOTED: &[(&str, &str)] = &[
    ("half a chunk at the end of chunks_head", "head-chunks-torn"),
    (
        "last file of chunks_head not written",
        "head-chunks-unwritten",
    ),
];

/// What lies in the way: `head-file-blocked`, `head-chunks-broken`, `wal-broken`.
#[test]
fn servers_do_not_start_where_something_lies_in_the_way() {
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            return;
        };
        for (name, make, kind) in IN_THE_WAY {
            let night = Base::Night.copy();
            make(&night.data());
            let found = foretell(&night.data(), "3.16", &[]);
            assert!(problems(&found).contains(kind.id()), "{name}");
            assert_eq!(found["start"]["starts"], false, "{name}");
            // Servers of the package do not lock.
            if (release, *name) != (Release::Packaged, "a directory as lock") {
                let attempt = Server::attempt(&tools, &night.data(), &[]);
                assert!(matches!(attempt, Attempt::Ended(_)), "{name}: {release:?}");
            }
        }
    }
}

/// A `release-log` of a kind that servers do not pass over, but take for something else.
#[test]
fn a_series_that_is_gone_is_deleted_for_good_by_the_packaged_release_alone() {
    for (release, version, samples) in [
        (Release::Packaged, "2.42", 0),
        (Release::Current, "3.16", 10),
    ] {
        let Some(tools) = Tools::find_or_skip(release) else {
            return;
        };
        let root = tempfile::tempdir().unwrap();
        stale_series(root.path());
        let found = problems(&foretell(root.path(), version, &[]));
        assert_eq!(found.contains("release-log"), samples == 0, "{version}");
        let server = Server::answering_from(&tools, root.path());
        let answer = server.range_until("a", END + HOUR);
        assert_eq!(answer.samples(), samples, "{version}");
    }
}

#[test]
fn a_packaged_server_does_what_verify_says_that_a_start_does() {
    every_case(Release::Packaged, "2.42");
}

#[test]
fn a_current_server_does_what_verify_says_that_a_start_does() {
    every_case(Release::Current, "3.16");
}

fn every_case(release: Release, version: &str) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let truth = |base: Base| answers(&tools, base, &base.copy(), &[]).unwrap();
    let (night_truth, head_truth) = (truth(Base::Night), truth(Base::Head));
    for case in CASES {
        eprintln!("{}", case.name);
        let night = case.base.copy();
        (case.make)(&night);
        let found = foretell(&night.data(), version, case.flags.0);
        let wanted: BTreeSet<_> = case.kinds.iter().map(ToString::to_string).collect();
        assert_eq!(problems(&found), wanted);
        for (_, note) in NOTED.iter().filter(|(name, _)| *name == case.name) {
            assert_ne!(found["counts"][note], Value::Null, "{note}");
        }
        let start = &found["start"];

        let Ok(answer) = answers(&tools, case.base, &night, case.flags.1) else {
            assert_eq!(start["starts"], false, "the server does not start");
            continue;
        };
        assert_eq!(start["starts"], true, "the server starts");
        assert_eq!(kept(&night.data()), strings(&start["keeps"]));
        for step in start["entries"].as_array().unwrap() {
            for path in strings(&step["paths"]) {
                // A new server soon writes a new file of chunks_head under the old name.
                let stays = step["kind"] != "removes-leftovers" || path.contains("chunks_head");
                assert!(stays || !Path::new(&path).exists(), "{path} is removed");
            }
        }
        let (stored, end) = case.base.span();
        let replayed = answer.within(stored, end).samples();
        assert_eq!(
            replayed > 0,
            start["replays"].is_object(),
            "{replayed} samples"
        );
        if case.same_answers {
            let truth = match case.base {
                Base::Night => &night_truth,
                Base::Head => &head_truth,
            };
            assert!(truth.samples() > 1000);
            assert_none(&truth.missing_from(&answer), "samples are missing");
            assert_none(&answer.missing_from(truth), "samples are new");
        }
    }
}

/// What `narthex verify` says of the directory.
pub(super) fn foretell(data: &Path, version: &str, options: &[&str]) -> Value {
    let mut command = narthex(["verify", "--json", "--prometheus", version]);
    if !options.contains(&"--now") {
        command.args(["--now", NOW]);
    }
    let output = run(command.args(options).arg(data), &[0, 3]);
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["verified"][0].take()
}

/// The kinds of findings that are more than notes.
pub(super) fn problems(found: &Value) -> BTreeSet<String> {
    let blocks = found["blocks"].as_array().unwrap().iter();
    let all = blocks
        .chain([found])
        .flat_map(|part| part["findings"].as_array().unwrap());
    let problems = all.filter(|finding| finding["severity"] != "note");
    problems
        .map(|finding| finding["kind"].as_str().unwrap().to_owned())
        .collect()
}

fn strings(list: &Value) -> BTreeSet<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// The blocks in the directory that have metadata.
fn kept(data: &Path) -> BTreeSet<String> {
    let ulid = |meta: &Value| meta["ulid"].as_str().unwrap().to_owned();
    tree::metas(data).iter().map(ulid).collect()
}

/// Everything that a server answers from the directory; what it logged where it does not start.
fn answers(tools: &Tools, base: Base, night: &Night, flags: &[&str]) -> Result<Answer, String> {
    match Server::attempt(tools, &night.data(), flags) {
        Attempt::Ready(server) => Ok(server.range_until(ALL, base.span().1)),
        Attempt::Ended(log) => Err(log),
    }
}

#[test]
fn a_packaged_server_goes_by_chunks_of_the_head_as_verify_says() {
    goes_by_chunks(Release::Packaged, "2.42");
}

#[test]
fn a_current_server_goes_by_chunks_of_the_head_as_verify_says() {
    goes_by_chunks(Release::Current, "3.16");
}

fn goes_by_chunks(release: Release, version: &str) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    for (name, make, kinds) in CHUNK_FAULTS {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let found = foretell(root.path(), version, &[]);
        let wanted: BTreeSet<_> = kinds.iter().map(|kind| kind.id().to_owned()).collect();
        assert_eq!(problems(&found), wanted, "{name}");
        let findings = found["findings"].as_array().unwrap();
        let lost = |kind: &str| {
            let mut of_kind = findings.iter().filter(|finding| finding["kind"] == kind);
            of_kind
                .next()
                .map_or(0, |finding| finding["samples"].as_u64().unwrap())
        };
        // The log holds 40 samples.
        let foretold = 40 + lost("head-chunks-foreign") - lost("head-chunks-contradict");
        let server = Server::answering_from(&tools, root.path());
        let answer = server.range_until(ALL, END + HOUR);
        assert_eq!(answer.samples() as u64, foretold, "{name}");
    }
}

#[test]
fn a_packaged_server_cannot_read_what_verify_says_that_it_cannot() {
    let Some(tools) = Tools::find_or_skip(Release::Packaged) else {
        return;
    };
    // Queries fail that touch chunks of a newer release.
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    tree::copy(&tree::fixture("blocks/encodings-456"), &data);
    let wanted = BTreeSet::from(["release-chunks".to_owned()]);
    assert_eq!(problems(&foretell(&data, "2.42", &[])), wanted);
    let server = Server::answering_from(&tools, &data);
    let answer = server.try_query(&format!("{ALL}[1d] @ 1700013600"));
    assert!(answer.is_err(), "{answer:?}");
    drop(server);

    // Records of a newer release are passed over: the log has 39,366 samples.
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    tree::copy(&tree::fixture("wal/live-zstd"), &data);
    let wanted = BTreeSet::from(["release-log".to_owned()]);
    assert_eq!(problems(&foretell(&data, "2.42", &[])), wanted);
    let server = Server::answering_from(&tools, &data);
    assert_eq!(server.range_until(ALL, 1_795_313_600_000).samples(), 0);
}

/// Aggregates beside raw blocks of the same time: queries fail, and so does every compaction, in
/// either release.
#[test]
fn servers_stumble_over_aggregates_as_verify_says() {
    thread::scope(|scope| {
        for make in [said_aggregates, unsaid_aggregates] {
            scope.spawn(move || stumbles_over_aggregates(Release::Packaged, "2.42", make));
            scope.spawn(move || stumbles_over_aggregates(Release::Current, "3.16", make));
        }
    });
}

fn said_aggregates(data: &Path) {
    tree::copy(&tree::fixture("thanos/aggregates"), data);
}

fn stumbles_over_aggregates(release: Release, version: &str, make: fn(&Path)) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    make(&data);
    let found = foretell(&data, version, &["--retention", "100y"]);
    let steps = found["start"]["entries"].as_array().unwrap();
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| step["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["cannot-compact", "cannot-answer"], "{version}");
    let flags = ["--storage.tsdb.retention.time=100y"];
    let server = Server::configured(&tools, &data, &flags, "");
    let answer = server.try_query(&format!("{ALL}[4h] @ 1790013600"));
    assert!(answer.is_err(), "{version}: {answer:?}");
    // A server looks for something to compact once a minute.
    let failures = || {
        let metrics = http::get(server.port(), "/metrics").unwrap();
        let mut lines = metrics.lines();
        let line =
            lines.find_map(|line| line.strip_prefix("prometheus_tsdb_compactions_failed_total "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let before = Instant::now();
    while failures() == 0.0 {
        assert!(
            before.elapsed() < Duration::from_mins(3),
            "{version}: compacted"
        );
        thread::sleep(Duration::from_millis(500));
    }
}
