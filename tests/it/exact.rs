//! `narthex restore --exact` as a user runs it: what is cut, what stays as it was, what is said,
//! and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use narthex::model::Millis;
use narthex::progress::Silent;
use narthex::raw::ReadMode;
use narthex::repository::Repository;
use narthex::repository::copies::Copies;
use narthex::restore::{self, Exact, Target, TargetContent, Wanted};
use narthex::select::Selection;
use narthex::store::LocalStore;
use narthex::store::faulty::{FaultyStore, StoreFault, StoreFaults};
use serde_json::Value as Json;

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{fixture, tree};
use crate::sick::copy;

/// A place with a repository `repo`, in which both nights are archived.
fn place(codec: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for night in ["night-1", "night-2"] {
        let night = fixture(night);
        let night = night.to_str().unwrap();
        let common = ["--repo", "repo", "--source", "p", "--codec", codec];
        let ran = narthex(dir.path(), &[&["backup", night][..], &common].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    dir
}

/// Restores blocks alone.
fn restore(dir: &Path, target: &str, more: &[&str]) -> Ran {
    let no_wal: &[&str] = if more.contains(&"--no-wal") {
        &[]
    } else {
        &["--no-wal"]
    };
    restore_with_logs(dir, target, &[no_wal, more].concat())
}

fn restore_with_logs(dir: &Path, target: &str, more: &[&str]) -> Ran {
    let common = ["restore", "latest", "--repo", "repo", "--target", target];
    narthex(dir, &[&common[..], more].concat())
}

/// A time on the command line.
fn time(millis: Millis) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Begin and end of the blocks in `dir`, by their time.
fn spans(dir: &Path) -> Vec<(String, Millis, Millis)> {
    let listed = narthex(dir, &["list", ".", "--json"]).json();
    let blocks = listed["directories"][0]["blocks"].as_array().unwrap();
    let span = |block: &Json| {
        let time = |key: &str| block[key].as_i64().unwrap();
        let ulid = block["ulid"].as_str().unwrap().to_owned();
        (ulid, time("min_time"), time("max_time"))
    };
    let mut spans: Vec<_> = blocks.iter().map(span).collect();
    spans.sort_by_key(|(_, min, _)| *min);
    spans
}

/// What `dump` prints, but for what trimmed chunks say of a counter reset before them.
fn dump(dir: &Path, data: &str, more: &[&str]) -> Vec<String> {
    let ran = narthex(
        dir,
        &[&["dump", data, "--format", "json"][..], more].concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said = |hint: &str| format!("\"counter_reset\":\"{hint}\"");
    let unsaid = |line: &str| {
        let line = line.replace(&said("no"), &said("unknown"));
        line.replace(&said("yes"), &said("unknown"))
    };
    ran.out.lines().map(unsaid).collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_range_comes_back_to_the_millisecond_from_either_codec() {
    for codec in ["dense", "portable"] {
        let place = place(codec);
        let dir = place.path();
        assert_eq!(restore(dir, "all", &["--since", "0"]).code, 0);
        let blocks = spans(&dir.join("all"));
        let (first, last) = (&blocks[0], &blocks[blocks.len() - 1]);
        let since = i64::midpoint(first.1, first.2);
        let until = i64::midpoint(last.1, last.2);
        let (from, to) = (time(since), time(until));
        let range = ["--since", &from, "--until", &to, "--exact", "--json"];
        let ran = restore_with_logs(dir, "part", &range);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let more = [
            "--since",
            &from,
            "--until",
            "3000-01-01",
            "--exact",
            "--json",
        ];
        let more = restore_with_logs(dir, "more", &more);
        // Samples of the range are in the log alone, and come as a block of their own.
        assert_eq!(more.code, 0, "{}", more.err);
        assert!(more.json()["head"]["samples"].as_u64() > Some(0));
        assert_eq!(ran.json()["head"], Json::Null);
        let report = ran.json();
        assert_eq!(report["wal"], false);

        let found = dump(dir, "part", &[]);
        assert_eq!(found, dump(dir, "all", &["--since", &from, "--until", &to]));
        assert!(found.len() > 1000);
        let wanted = narthex(dir, &["verify", "part"]);
        assert_eq!(wanted.code, 0, "{}{}", wanted.out, wanted.err);

        let cut = report["cut"].as_array().unwrap();
        let originals: BTreeSet<_> = cut
            .iter()
            .map(|cut| cut["original"].as_str().unwrap())
            .collect();
        let beyond = |(_, min, max): &&(String, i64, i64)| *min < since || *max > until;
        let wanted: BTreeSet<_> = blocks
            .iter()
            .filter(beyond)
            .map(|(ulid, ..)| &**ulid)
            .collect();
        assert_eq!(originals, wanted);
        let here = names(&dir.join("part"));
        let mut bytes = 0;
        for (ulid, ..) in &blocks {
            if originals.contains(&**ulid) {
                assert!(!here.contains(ulid));
            } else {
                let (part, all) = (dir.join("part").join(ulid), dir.join("all").join(ulid));
                assert!(tree(&part) == tree(&all), "{ulid} is as it was");
            }
        }
        for content in tree(&dir.join("part")).values() {
            bytes += content.len();
        }
        assert_eq!(report["bytes"], bytes);
        let made = report["blocks"].as_array().unwrap();
        let made: BTreeSet<_> = made
            .iter()
            .map(|ulid| ulid.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(here, made, "nothing else is there");
        let samples: u64 = cut.iter().filter_map(|cut| cut["samples"].as_u64()).sum();
        assert!(samples > 0 && samples <= found.len() as u64);
    }
}

#[test]
fn one_jobs_series_come_back_out_of_a_whole_archive_and_out_of_one_block() {
    let place = place("dense");
    let dir = place.path();
    restore(dir, "all", &["--no-wal"]);
    let matches = ["--match", r#"{__name__=~"go_.*"}"#, "-m", "up"];
    restore_with_logs(dir, "whole", &[]);
    let ran = restore_with_logs(dir, "part", &[&["--exact"][..], &matches].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in ["\ncut            01", "\nhead           01"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    let found = dump(dir, "part", &[]);
    assert_eq!(found, dump(dir, "whole", &matches));
    assert!(found.len() > dump(dir, "all", &matches).len());
    // The newest hours are a block of their own.
    assert_eq!(
        spans(&dir.join("part")).len(),
        spans(&dir.join("all")).len() + 1
    );
    let quiet = restore(
        dir,
        "quiet",
        &[&["--exact", "--no-wal"][..], &matches].concat(),
    );
    assert!(!quiet.err.contains("WAL"), "{}", quiet.err);

    let ulid = spans(&dir.join("all"))[0].0.clone();
    let ran = restore(
        dir,
        "one",
        &[&["--exact", "--block", &ulid][..], &matches].concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let all = format!("all/{ulid}");
    assert_eq!(dump(dir, "one", &[]), dump(dir, &all, &matches));
}

#[test]
fn a_dry_run_says_which_blocks_would_be_cut_and_writes_nothing() {
    let place = place("dense");
    let dir = place.path();
    restore(dir, "all", &["--since", "0"]);
    let blocks = spans(&dir.join("all"));
    let until = time(blocks[1].2 - 1);
    let arguments = ["--until", &until, "--exact", "--dry-run"];
    let ran = restore(dir, "part", &arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains(&format!("restore        {}", blocks[0].0)),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains(&format!("cut            {}", blocks[1].0)),
        "{}",
        ran.out
    );
    let json = restore(dir, "part", &[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(json["blocks"][0], *blocks[0].0);
    assert!(
        json["to_cut"]
            .as_array()
            .unwrap()
            .iter()
            .all(|ulid| *ulid != *blocks[0].0)
    );
    assert!(!dir.join("part").exists());
}

#[test]
fn where_nothing_is_left_nothing_is_made_and_said_so() {
    let place = place("dense");
    let dir = place.path();
    let ran = restore(
        dir,
        "part",
        &["--exact", "--match", r#"{job="no such job"}"#],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("nothing is left of the"), "{}", ran.err);
    assert!(!dir.join("part").exists());

    restore(dir, "all", &["--since", "0"]);
    let (ulid, since, until) = spans(&dir.join("all"))[0].clone();
    let alone = narthex(dir, &["dump", &format!("all/{ulid}"), "--match", "up"]);
    let mut times: Vec<Millis> = alone
        .out
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    times.sort_unstable();
    let pause = times.windows(2).find(|pair| pair[1] > pair[0] + 2).unwrap();
    assert!(since <= pause[0] && pause[1] < until);
    let (from, to) = (time(pause[0] + 1), time(pause[1]));
    let range = ["--since", &from, "--until", &to, "--exact", "--match", "up"];
    let ran = restore(dir, "part", &range);
    assert_eq!(ran.code, 1, "a time between two scrapes: {}", ran.out);

    let most = ["--since", &from, "--exact", "--match", "up"];
    assert_eq!(restore(dir, "most", &most).code, 0);
    let until_first = ["--until", &time(times[0] + 1), "--exact", "--match", "up"];
    let ran = restore(dir, "first", &until_first);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        dump(dir, "first", &[])
            .iter()
            .all(|line| line.contains(&format!(r#""time":{}"#, times[0])))
    );
}

#[test]
fn a_block_of_which_nothing_is_left_is_named_beside_those_that_are_cut() {
    let (here, data) = (tempfile::tempdir().unwrap(), fixture("night-1"));
    let dir = here.path();
    copy(&data, &dir.join("data"));
    copy(
        &fixture("blocks/tiny/01M7ZTB71NJ67GWWE5SXTVHFTH"),
        &dir.join("data/01M7ZTB71NJ67GWWE5SXTVHFTH"),
    );
    assert_eq!(narthex(dir, &["backup", "data", "--repo", "repo"]).code, 0);
    let ran = restore(
        dir,
        "part",
        &["--exact", "--match", r#"{__name__=~"go_.*"}"#],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out
            .contains("nothing of     01M7ZTB71NJ67GWWE5SXTVHFTH"),
        "{}",
        ran.out
    );
    assert_eq!(names(&dir.join("part")).len(), 3);
}

#[test]
fn damaged_blocks_are_not_cut_but_named_and_the_rest_is_restored() {
    let here = tempfile::tempdir().unwrap();
    let dir = here.path();
    copy(&fixture("night-1"), &dir.join("data"));
    let damaged = "01M80FJGSDDJPV4DWFG2XR4VJ2";
    let segment = dir.join("data").join(damaged).join("chunks/000001");
    let mut content = fs::read(&segment).unwrap();
    content[5000] ^= 0x20;
    fs::write(&segment, content).unwrap();
    assert_eq!(narthex(dir, &["backup", "data", "--repo", "repo"]).code, 3);
    let matches = ["--exact", "--match", r#"{__name__=~"go_.*"}"#];
    let ran = restore(dir, "part", &matches);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let named = format!("{damaged} could not be restored: expected a sound block to cut");
    assert!(ran.err.contains(&named), "{}", ran.err);
    assert_eq!(names(&dir.join("part")).len(), 2);
    let preview = restore(dir, "other", &[&matches[..], &["--dry-run"]].concat());
    assert_eq!(preview.code, 3);
    assert!(preview.err.contains("and cannot be cut"), "{}", preview.err);
    let whole = restore(dir, "whole", &["--exact", "--since", "0"]);
    assert_eq!(whole.code, 3, "it needs no cut and comes back as it was");
    assert!(dir.join("whole").join(damaged).is_dir());
}

#[test]
fn options_that_make_no_sense_with_exact_are_wrong_usage() {
    let here = tempfile::tempdir().unwrap();
    for wrong in [
        &["--exact"][..],
        &["--match", "up"],
        &["--match", "up", "--since", "1h"],
        &["--exact", "--match", "{"],
        &["--exact", "--match", "up", "--wal"],
        &["--exact", "--match", "up", "--add-missing"],
    ] {
        let ran = restore(here.path(), "t", wrong);
        assert_eq!(ran.code, 2, "{wrong:?}: {}", ran.err);
    }
}

#[test]
fn a_repository_that_fails_at_any_operation_never_leaves_a_block_that_is_not_cut_and_whole() {
    let here = tempfile::tempdir().unwrap();
    let night = fixture("night-1");
    let night = night.to_str().unwrap();
    narthex(here.path(), &["backup", night, "--repo", "repo"]);
    let store = Arc::new(LocalStore::new(here.path().join("repo")));
    let repository = Repository::open(store.clone()).unwrap();
    let archive = repository.archives().unwrap().archives.remove(0);
    let part = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse().unwrap()]);
    let mut plan = restore::plan(
        &Wanted::Archive,
        &archive,
        &[],
        false,
        &TargetContent::default(),
    )
    .unwrap();
    plan.exact = Some(Exact {
        part,
        read_mode: ReadMode::Map,
    });
    let target = here.path().join("a/b");
    let run = |faults| {
        let failing = FaultyStore::new(store.clone(), faults);
        let repository = Repository::open(Arc::new(failing.clone()));
        let copies = repository.and_then(|repository| Copies::new(&repository));
        let outcome = copies.and_then(|copies| {
            restore::apply(
                &plan,
                &copies,
                &Target::new(&target, false).unwrap(),
                &Silent,
            )
        });
        (outcome, failing.operations())
    };
    let (_, operations) = run(StoreFaults::default());
    fs::remove_dir_all(&target).unwrap();
    let mut partial = 0;
    for at in 0..operations {
        let (outcome, _) = run(StoreFaults {
            crash_at: Some((at, StoreFault::Before)),
            ..StoreFaults::default()
        });
        match outcome {
            Ok(report) => {
                partial += usize::from(!report.failed.is_empty());
                assert_eq!(names(&target).len(), report.blocks.len());
                let verified = narthex(here.path(), &["verify", "a/b"]);
                assert_eq!(verified.code, 0, "{at}: {}", verified.out);
                fs::remove_dir_all(&target).unwrap();
            }
            Err(_) => assert!(!target.exists(), "{at}: what was made is removed"),
        }
    }
    assert!(partial > 0, "some blocks were restored without others");
}
