//! What can still be read of blocks that do not come back as they were: `restore --salvage`, and
//! single groups for `--exact` and `dump`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use narthex::block::{
    Block, BlockOptions, BlockStats, Compaction, META_VERSION, Meta, write_block,
};
use narthex::chunk::Encoding;
use narthex::chunk::encode::{EncodedChunk, float_chunks};
use narthex::cut::merge_blocks;
use narthex::model::{FloatSample, Label, Labels, Ulid};
use narthex::raw::ReadMode;
use narthex::select::Selection;
use serde_json::Value as Json;

use crate::backup_command::{Ran, narthex};
use crate::fixtures::{blocks_below, fixture, tree};

pub(crate) const ULID: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";
pub(crate) const START: i64 = 1_795_288_000_000;

pub(crate) fn labels(number: u32) -> Labels {
    let label = |name: &str, value: String| Label {
        name: name.as_bytes().into(),
        value: value.into_bytes().into(),
    };
    Labels(vec![
        label("__name__", "m".to_owned()),
        label("number", format!("{number:04}")),
    ])
}

/// A directory `data` with one block of so many series and samples of each, archived in `repo`.
fn bench(
    series: u32,
    samples: u32,
    value: impl Fn(u32, u32) -> u64,
    codec: &str,
) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let chunks = |number: u32| {
        let sample = |k: u32| FloatSample {
            time: START + 15_000 * i64::from(k),
            start: 0,
            bits: value(number, k),
        };
        float_chunks((0..samples).map(sample), Encoding::Xor).unwrap()
    };
    let all: BTreeMap<Labels, Vec<EncodedChunk>> = (0..series)
        .map(|number| (labels(number), chunks(number)))
        .collect();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    write_block(&data, ULID.parse().unwrap(), &all, BlockOptions::default()).unwrap();
    let backup = [
        "backup", "data", "--repo", "repo", "--source", "s", "--codec", codec,
    ];
    let ran = narthex(dir.path(), &backup);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir
}

/// Flips a bit of the one object below `room`, at so many percent of it.
pub(crate) fn flip(dir: &Path, room: &str, percent: usize) {
    let room = dir.join("repo").join(room);
    let mut names = tree(&room).into_iter();
    let (name, mut content) = names.next().unwrap();
    assert!(names.next().is_none());
    let at = content.len() * percent / 100;
    content[at] ^= 4;
    fs::write(room.join(name), content).unwrap();
}

pub(crate) fn restore(dir: &Path, more: &[&str]) -> Ran {
    let _ = fs::remove_dir_all(dir.join("back"));
    let restore = ["restore", "latest", "--repo", "repo", "--target", "back"];
    narthex(dir, &[&restore[..], more].concat())
}

/// What `dump` prints of `data`.
pub(crate) fn dump(dir: &Path, data: &str) -> BTreeSet<String> {
    let ran = narthex(dir, &["dump", data, "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out.lines().map(str::to_owned).collect()
}

/// The salvaged block is sound, holds only samples of the original, and as many as are said to be
/// there.
fn assert_salvaged(dir: &Path, ran: &Ran, total: u64) -> Json {
    assert_eq!(ran.code, 3, "{}", ran.err);
    let salvaged = ran.json()["salvaged"][0].clone();
    assert_eq!(salvaged["original"], ULID);
    let number = |key: &str| salvaged[key].as_u64().unwrap();
    assert_eq!(
        number("samples") + number("lost_samples"),
        total,
        "{salvaged}"
    );
    assert!(
        number("samples") > 0 && number("lost_samples") > 0,
        "{salvaged}"
    );
    assert_eq!(narthex(dir, &["verify", "back"]).code, 0);
    let (back, data) = (dump(dir, "back"), dump(dir, "data"));
    assert_eq!(back.len() as u64, number("samples"));
    assert!(back.is_subset(&data));
    let loss = &salvaged["losses"][0];
    assert!(loss["min_time"].as_i64().unwrap() >= START, "{loss}");
    salvaged
}

/// 525 series fill a group.
#[test]
fn a_damaged_group_of_a_pack_costs_itself_and_nothing_that_does_not_ask_for_it() {
    const SERIES: u32 = 700;
    const SAMPLES: u32 = 2000;
    let total = u64::from(SERIES * SAMPLES);
    let bench = bench(
        SERIES,
        SAMPLES,
        |number, _| f64::from(number).to_bits(),
        "dense",
    );
    let dir = bench.path();
    flip(dir, "packs", 60);

    let ran = restore(dir, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--salvage brings back"), "{}", ran.err);
    let ran = restore(dir, &["--salvage", "--json"]);
    let salvaged = assert_salvaged(dir, &ran, total);
    let loss = &salvaged["losses"][0];
    assert_eq!(loss["samples"], salvaged["lost_samples"]);
    assert_eq!(loss["series"], salvaged["lost_series"]);
    let first = salvaged["block"].clone();
    let ran = restore(dir, &["--salvage", "--json"]);
    assert_eq!(
        ran.json()["salvaged"][0]["block"],
        first,
        "always the same name"
    );

    // Of two series one is in the damaged group.
    let came = dump(dir, "back");
    let has = |number: &str| {
        came.iter()
            .any(|line| line.contains(&format!("\"{number}\"")))
    };
    let (sound, lost) = if has("0001") {
        ("0001", "0699")
    } else {
        ("0699", "0001")
    };
    assert!(has(sound) && !has(lost));
    let only = |number: &str| format!("m{{number=\"{number}\"}}");
    let ran = restore(dir, &["--exact", "--match", &only(sound)]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("what is sound of its objects"),
        "{}",
        ran.err
    );
    assert_eq!(dump(dir, "back").len(), SAMPLES as usize);
    let ran = restore(dir, &["--exact", "--match", &only(lost)]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let both = ["--exact", "--match", &only(lost), "--match", &only(sound)];
    let ran = restore(dir, &both);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("a group at offset"), "{}", ran.err);
    assert_eq!(dump(dir, "back").len(), SAMPLES as usize);

    let dumped = |number: &str| {
        let dump = ["dump", "--archive", "latest", "--repo", "repo", "--match"];
        let ran = narthex(dir, &[&dump[..], &[&only(number)]].concat());
        (ran.code, ran.out.lines().count())
    };
    assert_eq!(dumped(sound), (0, SAMPLES as usize));
    assert_eq!(dumped(lost), (3, 0));
    let analyze = [
        "analyze",
        "--archive",
        "latest",
        "--repo",
        "repo",
        "--match",
    ];
    let code = |number: &str| narthex(dir, &[&analyze[..], &[&only(number)]].concat()).code;
    assert_eq!((code(sound), code(lost)), (0, 3));
}

#[test]
fn a_damaged_frame_of_a_portable_object_costs_the_chunks_in_it() {
    // Values without any pattern: more than one frame of them.
    let noise = |number: u32, k: u32| {
        let seed = u64::from(number) << 32 | u64::from(k);
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) | 1
    };
    let bench = bench(60, 10_000, noise, "portable");
    let dir = bench.path();
    flip(dir, "blocks", 20);
    let ran = restore(dir, &["--salvage", "--json"]);
    assert_salvaged(dir, &ran, 600_000);
}

#[test]
fn a_pack_of_which_nothing_can_be_read_leaves_nothing_and_says_so() {
    let bench = bench(5, 100, |number, _| f64::from(number).to_bits(), "dense");
    flip(bench.path(), "packs", 0);
    let ran = restore(bench.path(), &["--salvage"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("nothing could be restored"), "{}", ran.err);
}

fn open(dir: &Path) -> Block {
    Block::open(dir, ReadMode::Map).unwrap()
}

#[test]
fn blocks_that_overlap_are_merged_into_one_that_holds_the_samples_of_all() {
    for fixtures in [
        "blocks/overlap-a",
        "blocks/encodings-456",
        "blocks/parents-three",
    ] {
        let dirs = blocks_below(&fixture(fixtures));
        // Each twice: what is the same is there once.
        let blocks: Vec<Block> = dirs.iter().chain(&dirs).map(|dir| open(dir)).collect();
        let (min_time, max_time) = blocks
            .iter()
            .fold((i64::MAX, i64::MIN), |(min, max), block| {
                let meta = block.meta();
                (min.min(meta.min_time), max.max(meta.max_time))
            });
        let ulid = Ulid::generate();
        let meta = Meta {
            ulid,
            min_time,
            max_time,
            stats: BlockStats::default(),
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: META_VERSION,
            extra: serde_json::Map::new(),
        };
        let here = tempfile::tempdir().unwrap();
        let parent = here.path().join("merged");
        fs::create_dir(&parent).unwrap();
        let all = Selection::default();
        let merged = merge_blocks(&blocks, &all, &all, meta, &parent).unwrap();
        assert!(
            merged.unread.is_empty() && merged.dir.is_some(),
            "{fixtures}"
        );
        let whole = here.path().join("whole");
        for dir in &dirs {
            for (name, content) in tree(dir) {
                let path = whole.join(dir.file_name().unwrap()).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
        }
        let said =
            |line: &str| line.replace("\"counter_reset\":\"no\"", "\"counter_reset\":\"unknown\"");
        let of = |dir| {
            let lines = dump(here.path(), dir).into_iter();
            let lines = lines.map(|line| {
                said(&line).replace("\"counter_reset\":\"yes\"", "\"counter_reset\":\"unknown\"")
            });
            lines.collect::<BTreeSet<_>>()
        };
        let (merged, whole) = (of("merged"), of("whole"));
        assert!(
            merged == whole,
            "{fixtures}: {} and {}",
            merged.len(),
            whole.len()
        );
        assert_eq!(narthex(here.path(), &["verify", "merged"]).code, 0);
    }
}
