//! `narthex inspect`: the numbers it gives, held against the bytes and against other ways to count.

use std::fs;

use narthex::block::Block;
use narthex::chunk::{self, Encoding};
use narthex::index::Series;
use narthex::inspect::inspect;
use narthex::raw::ReadMode;
use serde_json::Value as Json;

use crate::fixtures::{blocks, fixture, tree};
use crate::reading::{Copy, narthex};

#[test]
fn a_real_block_with_histograms_and_a_deletion_is_shown_whole() {
    let ran = narthex(&["inspect", "night-1/01M80FKE4V4C8GPJHYD9T1D87F"]);
    insta::assert_snapshot!(ran.out);
    assert_eq!((ran.code, &*ran.err), (0, ""));
}

#[test]
fn an_index_with_label_indices_is_shown_with_all_its_sections() {
    let ran = narthex(&["inspect", "blocks/promtool-2.42"]);
    insta::assert_snapshot!(ran.out);
}

#[test]
fn json_has_a_fixed_set_of_keys() {
    let ran = narthex(&["inspect", "--json", "blocks/child-of-three"]);
    let inspected: Json = serde_json::from_str(&ran.out).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&inspected["blocks"][0]).unwrap());
}

#[test]
fn damaged_tombstones_are_named_and_all_the_rest_is_shown() {
    let name = "night-1/01M80FKE4V4C8GPJHYD9T1D87F";
    let whole = narthex(&["inspect", name]).out;
    let copy = tempfile::tempdir().unwrap();
    let block = copy.path().join("01M80FKE4V4C8GPJHYD9T1D87F");
    for (file, content) in tree(&fixture(name)) {
        let path = block.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let path = block.join("tombstones");
    let mut content = fs::read(&path).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    fs::write(&path, content).unwrap();
    let dir = block.to_str().unwrap();
    let ran = narthex(&["inspect", dir]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("tombstones"), "{}", ran.err);
    // Deletions are read in spite of a wrong checksum.
    let without_dir = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("directory") && !line.starts_with("faults"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_dir(&ran.out), without_dir(&whole));
    fs::write(&path, b"no tombstones").unwrap();
    let ran = narthex(&["inspect", dir, "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["blocks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_directory_stands_for_its_blocks() {
    let ran = narthex(&["inspect", "--json", "blocks/parents-three", "blocks/tiny"]);
    let inspected: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(inspected["blocks"].as_array().unwrap().len(), 4);
}

#[test]
fn sections_and_counts_of_every_block_add_up() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let inspection = inspect(&block).unwrap();
        let place = dir.display();
        assert_eq!(
            inspection.faults.count, 0,
            "{place}: {:?}",
            inspection.faults.first
        );
        let sections = &inspection.sections;
        assert_eq!(
            sections.iter().map(|section| section.bytes).sum::<u64>(),
            block.index_bytes(),
            "{place}"
        );
        let mut counted = Counted::default();
        counted.read(&block);
        let stats = block.meta().stats;
        let series = &inspection.series;
        assert_eq!(
            (series.series, series.chunks(), series.samples()),
            (stats.num_series, stats.num_chunks, stats.num_samples),
            "{place}"
        );
        assert_eq!(series.float_samples.sum(), counted.floats, "{place}");
        assert_eq!(
            series.histogram_samples.sum(),
            counted.histograms,
            "{place}"
        );
        assert_eq!(series.chunks_per_series.sum(), stats.num_chunks, "{place}");
        assert_eq!(inspection.postings.entries, counted.labels, "{place}");
        let pairs: u64 = inspection.labels.iter().map(|label| label.values).sum();
        assert_eq!(pairs, inspection.postings.lists, "{place}");
        let entries: u64 = inspection.labels.iter().map(|label| label.series).sum();
        assert_eq!(entries, counted.labels, "{place}");
        let mut used: Vec<_> = counted.symbols;
        used.sort_unstable();
        used.dedup();
        assert_eq!(
            inspection.symbols.count - inspection.symbols.unused,
            used.len() as u64,
            "{place}"
        );
    }
}

/// The same counts by decoding every sample.
#[derive(Default)]
struct Counted {
    floats: u64,
    histograms: u64,
    labels: u64,
    symbols: Vec<u32>,
}

impl Counted {
    fn read(&mut self, block: &Block) {
        let index = block.index().unwrap();
        let mut series = Series::default();
        for entry in index.series() {
            entry.unwrap().decode(&mut series).unwrap();
            self.labels += series.labels.len() as u64;
            self.symbols.extend(
                series
                    .labels
                    .iter()
                    .flat_map(|(name, value)| [name.0, value.0]),
            );
            for chunk in &series.chunks {
                let record = block.chunk(chunk.reference).unwrap();
                let samples = if record.encoding.is_float() {
                    &mut self.floats
                } else {
                    &mut self.histograms
                };
                chunk::decode(record.encoding, record.data, 0, |_| *samples += 1).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_counted() {
    let copy = Copy::of("blocks/child-of-three");
    copy.edit("chunks/000001", |segment| segment[0x20] ^= 1);
    let ran = copy.narthex("inspect", &[]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("chunks/000001: chunk at offset 8: expected checksum"),
        "{}",
        ran.err
    );
    let chunks = |line: &str| line.split_whitespace().eq(["chunks", "416"]);
    assert!(ran.out.lines().any(chunks), "{}", ran.out);
    fs::remove_file(copy.block.join("index")).unwrap();
    let ran = copy.narthex("inspect", &[]);
    assert_eq!((ran.code, &*ran.out), (3, ""));
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

#[test]
fn encodings_nobody_knows_are_counted_by_their_number() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("chunks/000001", |segment| {
        segment[9] = 254;
        let crc = narthex::raw::crc32c(&segment[9..33]).to_be_bytes();
        segment[33..37].copy_from_slice(&crc);
    });
    let inspection = inspect(&Block::open(&copy.block, ReadMode::Map).unwrap()).unwrap();
    assert_eq!(
        inspection.series.encodings[&Encoding::Unknown(254)].chunks,
        1
    );
    assert_eq!(inspection.series.encodings[&Encoding::Xor].samples, 3);
    assert_eq!(inspection.faults.count, 1);
}

#[test]
fn every_cut_and_every_flip_of_a_small_index_ends_in_an_answer() {
    let copy = Copy::of("blocks/tiny");
    let index = fs::read(copy.block.join("index")).unwrap();
    for at in 0..index.len() {
        let mut flipped = index.clone();
        flipped[at] ^= 0x80;
        for content in [&flipped[..], &index[..at]] {
            fs::write(copy.block.join("index"), content).unwrap();
            if let Ok(block) = Block::open(&copy.block, ReadMode::Read) {
                let _ = inspect(&block);
            }
        }
    }
}
