//! `narthex diff` on directories: what differs is found, named and counted; what is equal is
//! proved.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use narthex::block::Block;
use narthex::compare::chunks_stand_in;
use narthex::raw::{ReadMode, crc32c};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::fixtures::{self, fixture};
use crate::reading::{Copy, Ran, narthex};

fn diff(arguments: &[&str]) -> (Ran, Json) {
    let ran = narthex(&[&["diff", "--json"], arguments].concat());
    let json = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    (ran, json)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Samples by series and time, each as JSON without its labels and what depends on chunks.
fn dumped(dir: &str) -> BTreeMap<(String, i64), String> {
    let ran = narthex(&["dump", dir, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let samples = ran.out.lines().map(|line| {
        let mut sample: Json = serde_json::from_str(line).unwrap();
        let labels = sample["labels"].take().to_string();
        if let Some(histogram) = sample["histogram"].as_object_mut() {
            plain(histogram);
        }
        (
            (labels, sample["time"].as_i64().unwrap()),
            sample.to_string(),
        )
    });
    samples.collect()
}

/// Takes out of a histogram what depends on where chunks begin: spans that are laid out in another
/// way, resets.
fn plain(histogram: &mut serde_json::Map<String, Json>) {
    if histogram["counter_reset"] != "gauge" {
        histogram.remove("counter_reset");
    }
    for side in ["positive", "negative"] {
        let spans = histogram.remove(&format!("{side}_spans"));
        let Some(Json::Array(spans)) = spans else {
            continue;
        };
        let buckets = histogram.get_mut(&format!("{side}_buckets")).unwrap();
        let mut counts = buckets.take().as_array().unwrap().clone().into_iter();
        let mut filled = Vec::new();
        let mut index = 0;
        for span in spans {
            index += span["offset"].as_i64().unwrap();
            for _ in 0..span["length"].as_i64().unwrap() {
                let count = counts.next().unwrap();
                if count.as_f64() != Some(0.0) {
                    filled.push(Json::from(vec![Json::from(index), count]));
                }
                index += 1;
            }
        }
        *buckets = Json::Array(filled);
    }
}

#[test]
fn a_compacted_block_has_the_content_of_its_parents_and_not_their_files() {
    let sides = ["blocks/parents-three", "blocks/child-of-three"];
    let (ran, json) = diff(&[&sides[..], &["--prove"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(json["equal"], "samples");
    assert_eq!(
        json["sides"][0]["content_sha256"],
        json["sides"][1]["content_sha256"]
    );
    assert_eq!(json["counts"]["samples_equal"], 53_800);
    assert_eq!(json["metrics"], Json::Array(Vec::new()));
    let (ran, json) = diff(&[&sides[..], &["--prove=files"]].concat());
    assert_eq!((ran.code, &json["complete"]), (3, &Json::Bool(true)));
    let both = Copy::of("blocks/parents-three").with("blocks/child-of-three");
    let (ran, _) = diff(&[sides[0], text(both.path()), "--prove"]);
    assert_eq!(ran.code, 0, "blocks that hold the same twice are merged");
}

#[test]
fn a_diff_for_people_says_what_changed_and_where() {
    let ran = narthex(&[
        "diff",
        "blocks/overlap-a",
        "blocks/overlap-xor2",
        "--top",
        "3",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out);
}

/// Counts are those of the two dumps, sample by sample.
#[test]
fn counts_are_those_of_comparing_two_dumps() {
    for [dir_a, dir_b] in [
        ["blocks/overlap-a", "blocks/overlap-xor2"],
        ["blocks/child-of-three", "blocks/child-of-tombstoned"],
        ["night-1", "night-2"],
        ["blocks/tiny", "blocks/overlap-a"],
    ] {
        let (a, b) = (dumped(dir_a), dumped(dir_b));
        let (_, json) = diff(&[dir_a, dir_b, "--top", "0"]);
        let counts = &json["counts"];
        let series = |side: &BTreeMap<(String, i64), String>| -> BTreeMap<String, u64> {
            let mut series = BTreeMap::new();
            for (labels, _) in side.keys() {
                *series.entry(labels.clone()).or_default() += 1;
            }
            series
        };
        let (series_a, series_b) = (series(&a), series(&b));
        let only_a = series_a
            .keys()
            .filter(|labels| !series_b.contains_key(*labels));
        assert_eq!(counts["series_only_a"], only_a.count(), "{dir_a} {dir_b}");
        let only_b = series_b
            .keys()
            .filter(|labels| !series_a.contains_key(*labels));
        assert_eq!(counts["series_only_b"], only_b.count(), "{dir_a} {dir_b}");
        let grew = series_a
            .iter()
            .filter(|(labels, count)| series_b.get(*labels).is_some_and(|more| more > count));
        assert_eq!(counts["series_grew"], grew.count(), "{dir_a} {dir_b}");
        let common = |(labels, _): &(String, i64)| {
            series_a.contains_key(labels) && series_b.contains_key(labels)
        };
        let equal = a.iter().filter(|(key, value)| b.get(*key) == Some(*value));
        assert_eq!(counts["samples_equal"], equal.count(), "{dir_a} {dir_b}");
        let other = a
            .iter()
            .filter(|(key, value)| b.get(*key).is_some_and(|other| other != *value));
        assert_eq!(
            counts["samples_different"],
            other.count(),
            "{dir_a} {dir_b}"
        );
        let only = a.keys().filter(|key| common(key) && !b.contains_key(*key));
        assert_eq!(counts["samples_only_a"], only.count(), "{dir_a} {dir_b}");
        let only = b.keys().filter(|key| common(key) && !a.contains_key(*key));
        assert_eq!(counts["samples_only_b"], only.count(), "{dir_a} {dir_b}");
        let metrics = json["metrics"].as_array().unwrap();
        let changes: i64 = metrics
            .iter()
            .map(|metric| metric["samples_change"].as_i64().unwrap())
            .sum();
        assert_eq!(changes, b.len() as i64 - a.len() as i64, "{dir_a} {dir_b}");
    }
}

#[test]
fn the_content_digest_is_made_as_its_document_says() {
    let mut content = Vec::new();
    let word = |word: u64| word.to_le_bytes();
    for (job, values) in [("a", [1.0, 2.0, 3.0]), ("b", [0.0, 1.0, 2.0f64])] {
        content.push(0);
        content.extend(word(2));
        for string in ["__name__", "up", "job", job] {
            content.extend(word(string.len() as u64));
            content.extend(string.as_bytes());
        }
        for (i, value) in (0..).zip(values) {
            content.push(1);
            content.extend(word(1_700_000_000_000 + 15_000 * i));
            content.extend(word(0));
            content.extend(word(value.to_bits()));
        }
    }
    let digest: String = Sha256::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (_, json) = diff(&["blocks/tiny", "blocks/tiny"]);
    assert_eq!(json["sides"][0]["content_sha256"], digest);
    assert_eq!(json["equal"], "files");
}

/// Changes bits of the last chunk, its checksum being made right, until exactly one sample differs.
fn with_one_sample_changed() -> (Copy, Json) {
    let copy = Copy::of("blocks/tiny");
    let segment = copy.block.join("chunks/000001");
    let sound = fs::read(&segment).unwrap();
    // Length (one byte), encoding, data; then the checksum.
    let data = sound.len() - 4;
    for bit in 0..24 {
        let mut bytes = sound.clone();
        bytes[data - 1 - bit / 8] ^= 1 << (bit % 8);
        let start = 8 + 1 + 1 + usize::from(bytes[8]) + 4 + 1;
        let checksum = crc32c(&bytes[start..data]);
        bytes[data..].copy_from_slice(&checksum.to_be_bytes());
        fs::write(&segment, bytes).unwrap();
        let (_, json) = diff(&["blocks/tiny", text(copy.path())]);
        if json["complete"] == true && json["counts"]["samples_different"] == 1 {
            return (copy, json);
        }
    }
    panic!("no bit changes one sample only");
}

#[test]
fn one_changed_sample_is_found_and_named() {
    let (copy, json) = with_one_sample_changed();
    assert_eq!(json["equal"], "series");
    assert_eq!(json["counts"]["samples_equal"], 5);
    let [difference] = json["differences"].as_array().unwrap().as_slice() else {
        panic!("{json}")
    };
    assert_eq!(difference["series"], "up{job=\"b\"}");
    assert_eq!(difference["time"], 1_700_000_030_000i64);
    assert_eq!(difference["differs"], "value");
    assert_eq!(difference["a"], "2");
    let (ran, _) = diff(&["blocks/tiny", text(copy.path()), "--prove"]);
    assert_eq!(ran.code, 3);
    let (ran, _) = diff(&["blocks/tiny", text(copy.path()), "--prove=series"]);
    assert_eq!(ran.code, 0);
    let (ran, json) = diff(&[
        "blocks/tiny",
        text(copy.path()),
        "--prove",
        "-m",
        "{job=\"a\"}",
    ]);
    assert_eq!((ran.code, &json["equal"]), (0, &Json::from("samples")));
    let until = ["--prove", "--until", "1700000029"];
    let (ran, _) = diff(&[&["blocks/tiny", text(copy.path())], &until[..]].concat());
    assert_eq!(ran.code, 0, "the changed sample is later");
}

#[test]
fn damage_is_named_and_proves_nothing() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("chunks/000001", |bytes| *bytes.last_mut().unwrap() ^= 1);
    let (ran, json) = diff(&["blocks/tiny", text(copy.path())]);
    assert_eq!(ran.code, 3);
    assert_eq!(json["complete"], false);
    assert!(ran.err.contains("B: block"), "{}", ran.err);
    assert_eq!(json["counts"]["series_only_a"], 1);
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(json["sides"][1]["problems"], problems.len());
    for problem in problems {
        assert!(problem["place"].as_str().unwrap().starts_with("b: "));
    }
    assert_eq!(problems[0]["kind"], "part-damaged");
    assert_eq!(problems[0]["severity"], "problem");
    let (ran, json) = diff(&[text(copy.path()), text(copy.path()), "--prove"]);
    assert_eq!(ran.code, 3, "equal as far as it can be read is no proof");
    assert_eq!(json["equal"], "files");
}

#[test]
fn a_block_that_does_not_open_is_named() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("meta.json", Vec::clear);
    let (ran, json) = diff(&["blocks/tiny", text(copy.path())]);
    assert_eq!((ran.code, &json["equal"]), (3, &Json::from("none")));
    assert!(ran.err.contains("not dumped"), "{}", ran.err);
    assert_eq!(json["problems"][0]["kind"], "block-unread");
}

#[test]
fn what_exists_is_a_path_and_a_prefix_makes_an_archive() {
    let fixtures = fixture("");
    let repo = fixtures.join("repositories/v1/repository");
    let listed = narthex(&["archives", "--json", "--repo", text(&repo)]);
    let listed: Json = serde_json::from_str(&listed.out).unwrap();
    let id = listed["archives"][0]["id"].as_str().unwrap();
    // A directory of the archive's name wins; `archive:` does not look at directories.
    let dir = tempfile::tempdir().unwrap();
    let run = |a: &str| {
        fs::create_dir_all(dir.path().join(id)).unwrap();
        crate::reading::narthex_in(dir.path(), &["diff", a, id, "--repo", text(&repo)])
    };
    let ran = run(id);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("neither"), "{}", ran.err);
    let archive = format!("archive:{id}");
    let ran = narthex(&["diff", &archive, &archive, "--repo", text(&repo)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("0 blocks differ"), "{}", ran.out);
    let ran = narthex(&["diff", "no/such/directory", id, "--repo", text(&repo)]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no directory no/such/directory"));
}

#[test]
fn nothing_proves_nothing_and_part_of_a_file_is_no_file() {
    let tiny = "blocks/tiny";
    let nobody = ["--match", "{job=\"nobody\"}"];
    let (ran, _) = diff(&[&[tiny, tiny], &nobody[..]].concat());
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("nothing was compared"), "{}", ran.err);
    for level in ["--prove", "--prove=series"] {
        let (ran, _) = diff(&[&[tiny, tiny, level], &nobody[..]].concat());
        assert_eq!(ran.code, 3, "{level}");
    }
    let ran = narthex(&["diff", tiny, tiny, "--prove=files", "--match", "up"]);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(ran.err.contains("part of a file"), "{}", ran.err);
}

#[test]
fn a_block_that_is_there_twice_is_not_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = fixture("blocks/tiny");
    let block = fs::read_dir(&tiny).unwrap().next().unwrap().unwrap();
    for name in ["01M7ZTB71NJ67GWWE5SXTVHFTH", "01M7ZTB71NJ67GWWE5SXTVHFTJ"] {
        let copy = dir.path().join(name);
        fs::create_dir_all(copy.join("chunks")).unwrap();
        for file in ["meta.json", "index", "chunks/000001"] {
            fs::copy(block.path().join(file), copy.join(file)).unwrap();
        }
    }
    let (_, json) = diff(&["blocks/tiny", text(dir.path())]);
    assert_eq!(json["equal"], "samples", "{json}");
}

#[test]
fn a_restored_archive_is_proved_and_a_missing_series_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let backed = narthex(&["backup", "night-1", "--repo", text(&repo), "--no-cache"]);
    assert_eq!(backed.code, 0, "{}", backed.err);
    let restore = |name: &str, arguments: &[&str]| {
        let target = dir.path().join(name);
        let command = [
            "restore",
            "latest",
            "--repo",
            text(&repo),
            "--target",
            text(&target),
        ];
        let ran = narthex(&[&command[..], arguments].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        target
    };
    let whole = restore("whole", &[]);
    let prove = ["--repo", text(&repo), "--prove=files"];
    let (ran, json) = diff(&[&["latest", text(&whole)], &prove[..]].concat());
    assert_eq!(
        (ran.code, &json["equal"]),
        (0, &Json::from("files")),
        "{}",
        ran.err
    );
    let (_, json) = diff(&[&["night-1", text(&whole)], &prove[..]].concat());
    assert_eq!(json["equal"], "files");

    let part = restore(
        "part",
        &[
            "--exact",
            "--no-wal",
            "--match",
            "{__name__=~\".+\",__name__!=\"up\"}",
        ],
    );
    let of_blocks = [&prove[..], &["--no-head"]].concat();
    let (ran, json) = diff(&[&["archive:latest", text(&part)], &of_blocks[..]].concat());
    assert_eq!((ran.code, &json["equal"]), (3, &Json::from("none")));
    let only = json["only_in_a"].as_array().unwrap();
    assert!(!only.is_empty());
    assert_eq!(json["counts"]["series_only_a"], only.len());
    for series in only {
        assert!(series["series"].as_str().unwrap().starts_with("up{"));
    }
    assert_eq!(json["counts"]["series_different"], 0);
    assert_eq!(json["metrics"][0]["metric"], "up");
    assert_eq!(json["metrics"][0]["series_b"], 0);
}

/// Parents whose chunks a compaction copied are found by their bytes alone, each by itself.
#[test]
fn chunks_of_parents_stand_in_their_child() {
    let open = |dir: &Path| Block::open(dir, ReadMode::Map).unwrap();
    let child = fixtures::blocks_below(&fixture("blocks/child-of-three")).remove(0);
    let parents = fixtures::blocks_below(&fixture("blocks/parents-three"));
    let mut blocks: Vec<_> = parents.iter().map(|dir| open(dir)).collect();
    let other = fixtures::blocks_below(&fixture("blocks/tiny")).remove(0);
    blocks.push(open(&other));
    assert_eq!(
        chunks_stand_in(&blocks, &open(&child)),
        [true, true, true, false]
    );
    assert_eq!(chunks_stand_in(&[open(&child)], &blocks[0]), [false]);

    // Any byte of any chunk counts, on either side; only the parent that has the chunk is
    // concerned.
    let half = fs::metadata(child.join("chunks/000001")).unwrap().len() / 2;
    let flipped = Copy::of("blocks/child-of-three");
    flipped.edit("chunks/000001", |bytes| bytes[half as usize] ^= 1);
    let stand = chunks_stand_in(&blocks[..3], &open(&flipped.block));
    assert_eq!(
        stand.iter().filter(|stands| **stands).count(),
        2,
        "{stand:?}"
    );
}
