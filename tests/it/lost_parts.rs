//! What is said and taken of blocks that lost a part: deletions that are not applied, blocks that
//! hold some of the same samples and some others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use narthex::block::{Block, BlockOptions, write_block};
use narthex::chunk::Encoding;
use narthex::chunk::encode::{EncodedChunk, float_chunks};
use narthex::model::{FloatSample, Labels, Ulid};
use narthex::raw::{ReadMode, crc32c};
use narthex::repository::Repository;
use narthex::store::LocalStore;
use serde_json::{Value as Json, json};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::tree;
use crate::salvage::{START, dump, flip, labels, restore};

pub(crate) const STEP: i64 = 15_000;

pub(crate) fn noise(number: u32, k: u32) -> u64 {
    let seed = u64::from(number) << 32 | u64::from(k);
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) | 1
}

pub(crate) fn constant(number: u32, _: u32) -> u64 {
    f64::from(number).to_bits()
}

pub(crate) type Content = BTreeMap<Labels, Vec<EncodedChunk>>;

/// So many samples of each series `numbers`, from the `first` on.
pub(crate) fn content(
    numbers: impl IntoIterator<Item = u32>,
    first: u32,
    samples: u32,
    value: fn(u32, u32) -> u64,
) -> Content {
    let chunks = |number: u32| {
        let sample = |k: u32| FloatSample {
            time: START + STEP * i64::from(k),
            start: 0,
            bits: value(number, k),
        };
        let samples = (first..first + samples).map(sample);
        float_chunks(samples, Encoding::Xor).unwrap()
    };
    let numbers = numbers.into_iter();
    numbers
        .map(|number| (labels(number), chunks(number)))
        .collect()
}

/// Made after all samples.
pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid::from_parts(START + (1 << 33) + number as i64, u128::from(number))
}

/// Writes the block `ulid(number)` of these sources into `data`; they are its parents if it is not
/// one of them.
pub(crate) fn lay(data: &Path, number: u64, sources: &[u64], content: &Content) {
    fs::create_dir_all(data).unwrap();
    let dir = write_block(data, ulid(number), content, BlockOptions::default()).unwrap();
    if sources == [number] {
        return;
    }
    let path = dir.join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let ulids: Vec<_> = sources
        .iter()
        .map(|number| ulid(*number).to_string())
        .collect();
    let (min, max) = (meta["minTime"].clone(), meta["maxTime"].clone());
    let parents = ulids.iter();
    let parents = parents.map(|ulid| json!({"ulid": ulid, "minTime": min, "maxTime": max}));
    meta["compaction"]["parents"] = parents.collect();
    meta["compaction"]["sources"] = json!(ulids);
    meta["compaction"]["level"] = json!(2);
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

pub(crate) fn backup(dir: &Path, codec: &str) -> Ran {
    let args = [
        "backup", "data", "--repo", "repo", "--source", "s", "--codec", codec, "--force",
    ];
    narthex(dir, &args)
}

fn uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Deletes the samples from `first` to `last` of the series `number` of the block in `dir`.
pub(crate) fn delete(dir: &Path, number: u32, first: i64, last: i64) {
    let reference = {
        let block = Block::open(dir, ReadMode::Map).unwrap();
        let index = block.index().unwrap();
        let at = number as usize;
        let entry = index.series().nth(at).unwrap().unwrap();
        entry.reference.0
    };
    let mut records = Vec::new();
    uvarint(reference, &mut records);
    for time in [first, last] {
        uvarint((time << 1 ^ time >> 63) as u64, &mut records);
    }
    let crc = crc32c(&records).to_be_bytes();
    let file = [&[0x01, 0x30, 0xba, 0x30, 1], &records[..], &crc].concat();
    fs::write(dir.join("tombstones"), file).unwrap();
    let path = dir.join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["stats"]["numTombstones"] = json!(1);
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

pub(crate) fn only(number: u32) -> String {
    format!("m{{number=\"{number:04}\"}}")
}

/// The time of the `k`th sample on the command line.
pub(crate) fn time(k: u32) -> String {
    let millis = START + STEP * i64::from(k);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// So many series take two groups, of which the first has 525.
const SERIES: u32 = 700;
const SAMPLES: u32 = 2000;

#[test]
fn deleted_samples_come_back_from_a_damaged_pack_only_where_it_is_said() {
    for is_late in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let (dir, data) = (place.path(), place.path().join("data"));
        lay(&data, 1, &[1], &content(0..SERIES, 0, SAMPLES, constant));
        let block = data.join(ulid(1).to_string());
        if is_late {
            assert_eq!(backup(dir, "dense").code, 0);
        }
        // One of them is in the group that is lost.
        let sound = [1, 699];
        let (first, last) = (START, START + STEP * 999);
        delete(&block, 1, first, last);
        let ran = backup(dir, "dense");
        assert_eq!(ran.code, 0, "{}", ran.err);
        flip(dir, "packs", 60);
        let ran = restore(dir, &["--salvage"]);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains("tombstones"), "{is_late}: {}", ran.err);
        let came = dump(dir, "back");
        let has = |number: &u32| {
            let number = format!("\"{number:04}\"");
            came.iter().any(|line| line.contains(&number))
        };
        let sound = only(*sound.iter().find(|number| has(number)).unwrap());

        let ran = restore(dir, &["--exact", "--match", &sound]);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains("tombstones"), "{}", ran.err);
        let asked = ["--exact", "--match", &sound, "--since", &time(1000)];
        let ran = restore(dir, &asked);
        assert_eq!(ran.code, 0, "nothing is deleted there: {}", ran.err);
        assert_eq!(dump(dir, "back").len(), 1000);
        let dump = ["dump", "--archive", "latest", "--repo", "repo", "--match"];
        let ran = narthex(dir, &[&dump[..], &[&sound]].concat());
        assert_eq!(ran.code, 3, "{}", ran.err);
    }
}

#[test]
fn deletions_are_applied_to_what_is_sound_of_a_portable_object() {
    for is_late in [false, true] {
        let place = tempfile::tempdir().unwrap();
        let (dir, data) = (place.path(), place.path().join("data"));
        lay(&data, 1, &[1], &content(0..60, 0, 10_000, noise));
        let block = data.join(ulid(1).to_string());
        if is_late {
            assert_eq!(backup(dir, "portable").code, 0);
        }
        delete(&block, 50, START, START + STEP * 3_999);
        assert_eq!(backup(dir, "portable").code, 0);
        let room = dir.join("repo/blocks");
        let names: Vec<_> = tree(&room).into_keys().collect();
        let is_side = |name: &&_| format!("{name:?}").contains(".side.");
        let object = room.join(names.iter().find(|name| !is_side(name)).unwrap());
        let mut bytes = fs::read(&object).unwrap();
        let at = bytes.len() / 5;
        bytes[at] ^= 4;
        fs::write(&object, &bytes).unwrap();
        let ran = restore(dir, &["--exact", "--match", &only(50)]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(dump(dir, "back").len(), 6_000);
        // What was deleted is not lost.
        let ran = restore(dir, &["--salvage", "--json"]);
        assert_eq!(ran.code, 3, "{}", ran.err);
        let salvaged = ran.json()["salvaged"][0].clone();
        assert_eq!(salvaged["complete"], false);
        assert!(salvaged["lost_samples"].is_null(), "{salvaged}");
    }
}

#[test]
fn samples_of_other_blocks_do_not_count_as_those_that_are_lost() {
    let place = tempfile::tempdir().unwrap();
    let (dir, data) = (place.path(), place.path().join("data"));
    let old = content(0..SERIES, 0, SAMPLES, constant);
    let late = content(1000..1000 + SERIES, 0, SAMPLES, constant);
    lay(&data, 1, &[1], &old);
    lay(&data, 2, &[2], &late);
    let ran = backup(dir, "dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    fs::remove_dir_all(&data).unwrap();
    lay(&data, 3, &[1, 2], &old.into_iter().chain(late).collect());
    let ran = backup(dir, "dense");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let packs = format!("packs/{}", ulid(1));
    flip(dir, &packs, 60);
    let store = Arc::new(LocalStore::new(dir.join("repo")));
    let archives = Repository::open(store)
        .unwrap()
        .archives()
        .unwrap()
        .archives;
    let first = archives[0].id.to_string();
    let lines = |number: u32| {
        let block = ulid(1).to_string();
        let dump = [
            "dump",
            &block,
            "--archive",
            &first,
            "--repo",
            "repo",
            "--match",
            &only(number),
        ];
        let ran = narthex(dir, &dump);
        (ran.code, ran.out.lines().count())
    };
    let (a, b) = (lines(1), lines(699));
    let wanted = [(0, SAMPLES as usize), (3, 0)];
    assert!([a, b] == wanted || [b, a] == wanted, "{a:?} {b:?}");
}

#[test]
fn a_salvaged_block_takes_the_place_of_no_more_than_was_read_for_it() {
    const PARENTS: u64 = 10;
    let place = tempfile::tempdir().unwrap();
    let (dir, data) = (place.path(), place.path().join("data"));
    let all: Vec<u64> = (1..=PARENTS).collect();
    let part = |number: u64| content(0..30, number as u32 * 2000, 2000, noise);
    // The last parent was never archived: they do not hold everything.
    for number in &all[1..] {
        lay(&data, *number, &[*number], &part(*number));
    }
    assert_eq!(backup(dir, "portable").code, 0);
    let parents: BTreeSet<_> = dump(dir, "data");
    fs::remove_dir_all(&data).unwrap();
    let whole = content(0..30, 2000, 2000 * PARENTS as u32, noise);
    lay(&data, 40, &all, &whole);
    assert_eq!(backup(dir, "portable").code, 0);
    flip(dir, &format!("blocks/{}", ulid(40)), 30);
    let ran = restore(dir, &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(dump(dir, "back"), parents);
    let ran = restore(dir, &["--salvage"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let came = dump(dir, "back");
    assert!(came.is_superset(&parents) && came.len() > parents.len());
}

/// Sets a number in the `meta.json` of the block `ulid(1)`.
fn set_max_time(data: &Path, time: i64) {
    let path = data.join(ulid(1).to_string()).join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["maxTime"] = json!(time);
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

#[test]
fn metadata_of_another_archive_brings_a_block_back_and_that_is_said() {
    for codec in ["dense", "portable"] {
        let place = tempfile::tempdir().unwrap();
        let (dir, data) = (place.path(), place.path().join("data"));
        lay(&data, 1, &[1], &content(0..5, 0, 500, constant));
        assert_eq!(backup(dir, codec).code, 0);
        delete(&data.join(ulid(1).to_string()), 1, START, START + STEP * 99);
        assert_eq!(backup(dir, codec).code, 0);
        assert_eq!(dump(dir, "data").len(), 2400);
        let room = dir.join("repo/blocks");
        let names = tree(&room).into_keys();
        let mut sides = names.filter(|name| name.contains(".side."));
        let side = room.join(sides.next().unwrap());
        let mut bytes = fs::read(&side).unwrap();
        bytes[30..33].copy_from_slice(&[0, 1, 2]);
        fs::write(&side, bytes).unwrap();

        for more in [&["--json"][..], &["--json", "--since", "0"]] {
            let ran = restore(dir, more);
            assert_eq!(ran.code, 3, "{codec}: {}", ran.err);
            assert!(ran.err.contains("of another archive"), "{}", ran.err);
            assert_eq!(ran.json()["mixed"][0]["name"], ulid(1).to_string());
            assert_eq!(dump(dir, "back").len(), 2500);
        }
        let verify = ["verify", "--archive", "latest", "--repo", "repo"];
        assert_eq!(narthex(dir, &verify).code, 3);
    }
}

#[test]
fn the_newest_sample_is_one_and_not_the_end_of_a_range() {
    const LAST: i64 = START + STEP * 99;
    // Some hours behind its samples; centuries.
    for (end, code) in [(LAST + 7_200_000, 0), (9_700_013_600_000, 3)] {
        let place = tempfile::tempdir().unwrap();
        let (dir, data) = (place.path(), place.path().join("data"));
        lay(&data, 1, &[1], &content(0..5, 0, 100, constant));
        set_max_time(&data, end);
        backup(dir, "dense");
        let ran = restore(dir, &["--json"]);
        assert_eq!(ran.json()["newest_sample"], LAST, "{}", ran.out);
        assert_eq!(ran.code, code, "{}{}", ran.err, ran.out);
    }
}

#[test]
fn what_a_killed_restore_left_is_named_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    let (dir, data) = (place.path(), place.path().join("data"));
    lay(&data, 1, &[1], &content(0..5, 0, 100, constant));
    assert_eq!(backup(dir, "dense").code, 0);
    let left = "back/.narthex-restore-0123456789abcdef";
    fs::create_dir_all(dir.join(left)).unwrap();
    let common = ["restore", "latest", "--repo", "repo", "--target", "back"];
    for more in [&[][..], &["--add-missing"]] {
        let ran = narthex(dir, &[&common[..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.err.contains(left), "{}", ran.err);
        assert!(
            dir.join(left).is_dir(),
            "another restore may be at work in it"
        );
    }
}
