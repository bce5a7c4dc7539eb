//! Hostile bytes: every prefix and every flipped byte of every file of a small block, and arbitrary
//! bytes in place of each. Nothing panics or hangs, and whatever was changed is found, except where
//! the format leaves bytes unchecked. Those are listed here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use narthex::chunk::{Encoding, Segment};
use narthex::progress::Silent;
use narthex::verify::{Depth, FindingSeverity, Findings, VerifyOptions, verify_block};
use proptest::prelude::*;

use crate::sick::{Loose, Sick};
use crate::{fixtures, harness};

const FILES: [&str; 4] = ["index", "chunks/000001", "tombstones", "meta.json"];

fn findings(dir: &Path, depth: Depth) -> Findings {
    let options = VerifyOptions {
        depth,
        ..VerifyOptions::default()
    };
    verify_block(dir, options, &Silent).unwrap().findings
}

/// Whether the block is called healthy.
fn passes(sick: &Sick) -> bool {
    let full = findings(&sick.dir, Depth::Full);
    // Quick verification must be as robust, but may find less.
    let quick = findings(&sick.dir, Depth::Quick);
    assert!(quick.worst() <= full.worst(), "{quick:#?} {full:#?}");
    full.worst()
        .is_none_or(|worst| worst == FindingSeverity::Note)
}

/// Blocks to spoil: with and without label indices, and with histograms.
fn blocks() -> [Sick; 3] {
    [
        Sick::copy_of("blocks/tiny"),
        Sick::copy_of("blocks/promtool-2.42"),
        Loose::healthy().write(),
    ]
}

#[test]
fn every_prefix_of_every_file_is_found() {
    for sick in blocks() {
        for file in FILES {
            let content = sick.read(file);
            let step = content.len() / 600 + 1;
            for len in (0..content.len()).step_by(step) {
                sick.write(file, &content[..len]);
                assert!(!passes(&sick), "{len} bytes of {file}");
            }
            sick.write(file, &content);
        }
        assert!(passes(&sick));
    }
}

#[test]
fn every_flipped_bit_is_found_where_anything_protects_it() {
    let mut unseen = Vec::new();
    for sick in blocks() {
        for file in FILES {
            let content = sick.read(file);
            let free = unprotected(file, &content);
            for offset in (0..content.len()).filter(|offset| !free.contains(offset)) {
                for mask in [0x01, 0x80] {
                    let mut spoilt = content.clone();
                    spoilt[offset] ^= mask;
                    sick.write(file, &spoilt);
                    if passes(&sick) {
                        unseen.push(format!("{file}: bit {mask:#04x} of byte {offset}"));
                    }
                }
            }
            sick.write(file, &content);
        }
    }
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// Positions of bytes that may change without anyone being able to know.
///
/// * `index`: the version; 2 and 3 mean the same.
/// * `meta.json`: white space; the block's range of time, which may be wider than its samples; and
///   the name of `numFloatSamples`, which older versions do not have. (Letter case of all keys,
///   too: Go does not mind it.)
/// * Segments and tombstones: none.
fn unprotected(file: &str, content: &[u8]) -> BTreeSet<usize> {
    match file {
        "index" => [4].into(),
        "meta.json" => {
            let text = std::str::from_utf8(content).unwrap();
            let space = |(i, c): (usize, char)| c.is_whitespace().then_some(i);
            let mut free: BTreeSet<_> = text.char_indices().filter_map(space).collect();
            for (key, end) in [("minTime", ','), ("maxTime", ','), ("numFloatSamples", '"')] {
                if let Some(start) = text.find(key) {
                    free.extend(start..start + text[start..].find(end).unwrap());
                }
            }
            free
        }
        _ => BTreeSet::new(),
    }
}

#[test]
fn files_that_are_not_files_do_not_stop_anything() {
    for file in FILES {
        let sick = Sick::copy_of("blocks/tiny");
        sick.remove(file);
        fs::create_dir(sick.path(file)).unwrap();
        assert!(!passes(&sick), "{file} is a directory");
    }
}

/// A named pipe would keep whoever opens it waiting for ever.
#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for() {
    for file in FILES {
        let sick = Sick::copy_of("blocks/tiny");
        sick.remove(file);
        let made = std::process::Command::new("mkfifo")
            .arg(sick.path(file))
            .status();
        assert!(made.unwrap().success());
        assert!(!passes(&sick), "{file}");
    }
}

#[test]
fn every_file_of_the_fixtures_is_read_as_every_format() {
    for dir in fixtures::blocks_below(&fixtures::fixture("blocks")) {
        for file in FILES {
            read_as_everything(&fs::read(dir.join(file)).unwrap());
        }
    }
}

/// Rule files and dashboards.
const USAGE: [&str; 3] = [
    "rules/alerts.yaml",
    "rules/operator.yml",
    "dashboards/prometheus.json",
];

/// What means something in YAML, JSON, PromQL or dashboards.
const YAML: [&str; 30] = [
    "&a ",
    "*a",
    "<<: *a\n",
    "- ",
    ": ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    ">\n",
    "#",
    "!!str ",
    "%YAML 1.2\n",
    "---\n",
    "...\n",
    "\t",
    "\n",
    "\\",
    "${x}",
    "[[",
    "{{",
    "`",
    "=~",
    "(",
    "\u{feff}",
    "\0",
];

fn read_as_everything(bytes: &[u8]) {
    harness::index(bytes);
    harness::segment(bytes);
    harness::any_chunk(bytes);
    harness::tombstones(bytes);
    harness::meta(bytes);
    harness::wal(bytes);
    harness::usage(bytes);
    harness::statistics(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_in_place_of_a_file_are_survived(
        file in 0..FILES.len(),
        content in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let sick = Sick::copy_of("blocks/tiny");
        sick.write(FILES[file], &content);
        passes(&sick);
    }

    #[test]
    fn arbitrary_changes_are_survived(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let sick = Sick::copy_of("blocks/promtool-2.42");
        sick.edit(FILES[file], |bytes| {
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
        });
        passes(&sick);
    }

    #[test]
    fn arbitrary_bytes_are_read_as_every_format(
        content in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        read_as_everything(&content);
    }

    #[test]
    fn rule_files_and_dashboards_with_arbitrary_changes_are_survived(
        file in 0..USAGE.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..YAML.len()), 1..20),
    ) {
        let mut bytes = fs::read(fixtures::fixture("usage").join(USAGE[file])).unwrap();
        for (place, piece) in &changes {
            let place = place.index(bytes.len());
            bytes.splice(place..place, YAML[*piece].bytes());
        }
        harness::usage(&bytes);
    }

    #[test]
    fn chunks_with_arbitrary_changes_are_survived(
        chunk in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let chunks = chunks_of_every_encoding();
        let (encoding, data) = chunk.get(chunks);
        let mut data = data.clone();
        for (place, byte) in &changes {
            let place = place.index(data.len());
            data[place] = *byte;
        }
        harness::chunk(*encoding, &data);
    }
}

/// The chunks of a block that has all encodings, and of one with the first three.
pub(crate) fn chunks_of_every_encoding() -> &'static [(Encoding, Vec<u8>)] {
    static CHUNKS: LazyLock<Vec<(Encoding, Vec<u8>)>> = LazyLock::new(|| {
        let mut chunks = Vec::new();
        for fixture in ["blocks/encodings-456", "blocks/parents-three"] {
            let bytes = Sick::copy_of(fixture).read("chunks/000001");
            let segment = Segment::new(&bytes);
            let mut offset = 8;
            while let Ok(record) = segment.record(offset) {
                chunks.push((record.encoding, record.data.to_vec()));
                offset = record.end;
            }
        }
        chunks
    });
    &CHUNKS
}
