//! `narthex dump`: what comes out of sound blocks, what is said about damaged ones.

use std::collections::BTreeSet;
use std::fs;

use narthex::block::Block;
use narthex::dump::{DumpFormat, dump};
use narthex::index::Series;
use narthex::progress::Silent;
use narthex::raw::{ReadMode, crc32c};
use narthex::select::Selection;
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::fixtures::blocks;
use crate::reading::{Copy, Ran, narthex};

/// The first lines and some from every part of a long dump.
fn excerpt(text: &str) -> String {
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let step = (lines.len() / 12).max(1);
    lines.into_iter().step_by(step).collect()
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn samples_are_written_as_promtool_writes_them() {
    let ran = narthex(&["dump", "blocks/tiny"]);
    assert_eq!(
        ran.out,
        "{__name__=\"up\", job=\"a\"} 1 1700000000000\n\
         {__name__=\"up\", job=\"a\"} 2 1700000015000\n\
         {__name__=\"up\", job=\"a\"} 3 1700000030000\n\
         {__name__=\"up\", job=\"b\"} 0 1700000000000\n\
         {__name__=\"up\", job=\"b\"} 1 1700000015000\n\
         {__name__=\"up\", job=\"b\"} 2 1700000030000\n"
    );
    assert_eq!(
        ran.err,
        "narthex: dumped 6 samples of 2 series from 1 block\n"
    );
    assert_eq!(ran.code, 0);
}

#[test]
fn histograms_are_written_as_promtool_3_writes_them() {
    insta::assert_snapshot!(excerpt(&narthex(&["dump", "blocks/child-of-three"]).out));
}

#[test]
fn openmetrics_leaves_histograms_out_and_says_so() {
    let ran = narthex(&["dump", "blocks/child-of-three", "--format", "openmetrics"]);
    insta::assert_snapshot!(format!("{}\n{}", excerpt(&ran.out), ran.err));
    assert!(ran.out.ends_with("\n# EOF\n"));
    assert_eq!(ran.code, 3);
}

#[test]
fn json_says_everything() {
    let ran = narthex(&["dump", "blocks/encodings-456", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(excerpt(&ran.out));
    let starts = ran.out.lines().filter(|line| {
        let sample: Json = serde_json::from_str(line).unwrap();
        sample["start"].as_i64().is_some()
    });
    assert_eq!(starts.count(), lines(&ran.out));
}

#[test]
fn stale_markers_are_told_from_nan_in_json_only() {
    let json = narthex(&["dump", "night-1", "--format", "json"]);
    let stale = json.out.matches("\"stale\"").count();
    assert!(stale > 0);
    let text = narthex(&["dump", "night-1"]);
    assert!(
        text.err
            .contains(&format!("{stale} stale markers written as NaN")),
        "{}",
        text.err
    );
    assert_eq!(lines(&text.out), lines(&json.out));
}

#[test]
fn three_blocks_dump_as_the_block_compacted_from_them() {
    let parents = narthex(&["dump", "blocks/parents-three"]).out;
    assert_eq!(parents, narthex(&["dump", "blocks/child-of-three"]).out);
    let both = Copy::of("blocks/parents-three").with("blocks/child-of-three");
    let ran = both.narthex("dump", &[]);
    assert_eq!(
        ran.out, parents,
        "parents that are still there change nothing"
    );
    assert!(
        ran.err
            .contains("53,800 samples left out because another block has the same time"),
        "{}",
        ran.err
    );
}

#[test]
fn every_time_comes_once_and_rising_where_blocks_overlap() {
    let copy = Copy::of("blocks/overlap-a").with("blocks/overlap-xor2");
    let ran = copy.narthex("dump", &[]);
    let mut last = ("", 0i64);
    let single: BTreeSet<String> = ["blocks/overlap-a", "blocks/overlap-xor2"]
        .iter()
        .flat_map(|name| {
            narthex(&["dump", name])
                .out
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    for line in ran.out.lines() {
        assert!(single.contains(line), "{line} is in neither");
        let (series, time) = line.rsplit_once(' ').unwrap();
        let (series, _) = series.rsplit_once(' ').unwrap();
        let time = time.parse().unwrap();
        assert!(series > last.0 || time > last.1, "{line}");
        last = (series, time);
    }
    let times: BTreeSet<_> = single
        .iter()
        .map(|line| {
            let mut words: Vec<_> = line.rsplitn(3, ' ').collect();
            words.remove(1);
            words.concat()
        })
        .collect();
    assert_eq!(lines(&ran.out), times.len());
}

#[test]
fn deleted_ranges_are_left_out() {
    let ran = narthex(&["dump", "blocks/encodings-456"]);
    assert!(
        ran.err
            .contains("3,866 samples left out because they were deleted"),
        "{}",
        ran.err
    );
    let copy = Copy::of("blocks/encodings-456");
    for entry in fs::read_dir(copy.path()).unwrap() {
        fs::remove_file(entry.unwrap().path().join("tombstones")).unwrap();
    }
    let all = copy.narthex("dump", &[]);
    assert_eq!(lines(&all.out), lines(&ran.out) + 3866);
}

#[test]
fn selectors_and_times_choose_what_is_dumped() {
    let all = narthex(&["dump", "blocks/child-of-three"]).out;
    let chosen = |arguments: &[&str], keep: &dyn Fn(&str) -> bool| {
        let arguments = [&["dump", "blocks/child-of-three"], arguments].concat();
        let expected: String = all
            .split_inclusive('\n')
            .filter(|line| keep(line.trim_end()))
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(narthex(&arguments).out, expected, "{arguments:?}");
    };
    chosen(&["--match", r#"{job="a"}"#], &|line| {
        line.contains(r#"job="a""#)
    });
    chosen(&["--match", "metric_01"], &|line| {
        line.contains("metric_01")
    });
    chosen(&["--match", r#"metric_01{job!="a"}"#], &|line| {
        line.contains("metric_01") && !line.contains(r#"job="a""#)
    });
    chosen(&["-m", r#"{job="b"}"#, "-m", r#"{job=~"a|x"}"#], &|line| {
        !line.contains(r#"job="ü""#)
    });
    chosen(&["-m", r#"{__name__=~".+_0[13]"}"#], &|line| {
        line.contains("_01") || line.contains("_03")
    });
    let time = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap();
    chosen(
        &["--since", "1700002095.009", "--until", "1700003550.009"],
        &|line| (1_700_002_095_009..1_700_003_550_009).contains(&time(line)),
    );
    let nothing = narthex(&["dump", "blocks/child-of-three", "--match", "no_such_metric"]);
    assert_eq!((nothing.code, &*nothing.out), (0, ""));
}

#[test]
fn a_bad_selector_is_wrong_usage_and_says_where() {
    let ran = narthex(&["dump", "blocks/tiny", "--match", "up{job=a}"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("expected a quoted string, found 'a' at column 8"),
        "{}",
        ran.err
    );
}

/// Damages the first chunk of a block; `0x20` is in the middle of its data.
fn damage_first_chunk(copy: &Copy) {
    copy.edit("chunks/000001", |segment| segment[0x20] ^= 1);
}

/// The problem lines on standard error.
fn problems(ran: &Ran) -> Vec<String> {
    let lines = ran
        .err
        .lines()
        .filter(|line| line.starts_with("narthex: block "));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_damaged_chunk_is_named_skipped_and_counted() {
    let copy = Copy::of("blocks/child-of-three");
    damage_first_chunk(&copy);
    let ran = copy.narthex("dump", &[]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.err);
    assert_eq!(lines(&ran.out), 53800 - 120);
}

#[test]
fn a_chunk_that_is_damaged_under_a_right_checksum_is_kept_as_far_as_it_decodes() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("chunks/000001", |segment| {
        // The first record: one byte of length at 8, then encoding and 23 bytes of data. Its header
        // promises four samples now, but there are three.
        segment[11] = 4;
        let crc = crc32c(&segment[9..33]).to_be_bytes();
        segment[33..37].copy_from_slice(&crc);
    });
    let ran = copy.narthex("dump", &[]);
    assert_eq!((ran.code, lines(&ran.out)), (3, 6), "{}", ran.err);
    assert!(
        problems(&ran)[0].ends_with("; 1 sample skipped"),
        "{}",
        ran.err
    );
}

#[test]
fn a_chunk_whose_times_differ_from_the_index_is_dumped_and_named() {
    let copy = Copy::of("blocks/tiny");
    copy.edit("chunks/000001", |segment| {
        // Two samples instead of three: nothing in the chunk says that one is missing.
        segment[11] = 2;
        let crc = crc32c(&segment[9..33]).to_be_bytes();
        segment[33..37].copy_from_slice(&crc);
    });
    let ran = copy.narthex("dump", &[]);
    assert_eq!((ran.code, lines(&ran.out)), (3, 5));
    let problems = problems(&ran);
    assert!(
        problems[0]
            .contains("expected samples from 1700000000000 to 1700000030000, as in the index"),
        "{}",
        ran.err
    );
    assert!(
        problems[1].contains("meta.json: expected 6 samples, found 5"),
        "{}",
        ran.err
    );
}

#[test]
fn a_damaged_series_entry_costs_that_series_only() {
    let copy = Copy::of("blocks/child-of-three");
    let index = fs::read(copy.block.join("index")).unwrap();
    let toc = narthex::index::Index::open(&index).unwrap().toc();
    let first = usize::try_from(toc.series.next_multiple_of(16)).unwrap();
    copy.edit("index", |index| index[first + 4] ^= 1);
    let ran = copy.narthex("dump", &[]);
    assert_eq!(ran.code, 3);
    let sound = narthex(&["dump", "blocks/child-of-three"]).out;
    let (lost, kept): (Vec<_>, Vec<_>) = sound
        .lines()
        .partition(|line| line.contains("metric_00\", instance=\"host-000\""));
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), kept);
    assert!(!lost.is_empty());
    assert!(
        problems(&ran)[0].contains("series at offset"),
        "{}",
        ran.err
    );
    // An entry whose length is damaged takes the way to its neighbour with it.
    copy.edit("index", |index| index[first..first + 3].fill(0xff));
    let ran = copy.narthex("dump", &[]);
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), kept);
    assert!(
        problems(&ran)[0].ends_with("an unknown number of series skipped"),
        "{}",
        ran.err
    );
}

#[test]
fn damaged_postings_hide_no_series() {
    let copy = Copy::of("blocks/child-of-three");
    let index = fs::read(copy.block.join("index")).unwrap();
    let toc = narthex::index::Index::open(&index).unwrap().toc();
    let selector = ["--match", r#"{job="a"}"#];
    let sound = copy.narthex("dump", &selector).out;
    for damaged in [
        toc.postings..toc.postings_table,
        toc.postings_table + 8..toc.postings_table + 40,
    ] {
        copy.edit("index", |index| {
            for at in damaged {
                index[usize::try_from(at).unwrap()] ^= 0x40;
            }
        });
        assert_eq!(copy.narthex("dump", &selector).out, sound);
        copy.edit("index", |content| *content = index.clone());
    }
}

#[test]
fn a_block_that_does_not_open_is_left_out_unless_its_child_is_there() {
    let copy = Copy::of("blocks/parents-three").with("blocks/child-of-three");
    let parent = copy.path().join("01M7ZSW06MPETEKCNDX7B1881S");
    fs::remove_file(parent.join("index")).unwrap();
    let ran = copy.narthex("dump", &[]);
    assert_eq!((ran.code, lines(&ran.out)), (0, 53800), "{}", ran.err);
    assert!(
        ran.err
            .contains("nor needed: 01M7ZSW0E54S2QBYR3D192CSMG was compacted from it"),
        "{}",
        ran.err
    );
    fs::remove_dir_all(copy.path().join("01M7ZSW0E54S2QBYR3D192CSMG")).unwrap();
    let ran = copy.narthex("dump", &[]);
    assert_eq!(
        (ran.code, lines(&ran.out)),
        (3, 53800 - 18760),
        "{}",
        ran.err
    );
}

#[test]
fn every_block_dumps_as_many_samples_as_its_metadata_promises() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let mut out = Vec::new();
        let everything = Selection::default();
        let meta = block.meta().clone();
        let blocks = [block];
        let tally = dump(
            &blocks,
            &everything,
            DumpFormat::Json,
            &mut out,
            &Silent,
            &mut |problem| panic!("{problem:?}"),
        )
        .unwrap()
        .read;
        assert_eq!(
            tally.samples + tally.deleted,
            meta.stats.num_samples,
            "{}",
            dir.display()
        );
        let text = String::from_utf8(out).unwrap();
        for line in text.lines().step_by(97) {
            serde_json::from_str::<Json>(line).unwrap();
        }
        assert_eq!(lines(&text) as u64, tally.samples);
        let mut chunks = 0;
        let mut series = Series::default();
        for entry in blocks[0].index().unwrap().series() {
            entry.unwrap().decode(&mut series).unwrap();
            chunks += series.chunks.len() as u64;
        }
        assert_eq!(tally.blocks[0].chunks, chunks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any damage to index or chunks: the dump ends, and whatever it writes it counts.
    #[test]
    fn any_damage_is_survived(
        in_index in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let copy = Copy::of("blocks/tiny");
        copy.edit(if in_index { "index" } else { "chunks/000001" }, |content| {
            for (at, byte) in flips {
                let at = at.index(content.len());
                content[at] = byte;
            }
        });
        if let Ok(block) = Block::open(&copy.block, ReadMode::Map) {
            let mut out = Vec::new();
            let mut problems = 0;
            let everything = Selection::default();
            let mut count = |_| problems += 1;
            let tally = dump(&[block], &everything, DumpFormat::Text, &mut out, &Silent, &mut count).unwrap().read;
            let written = lines(std::str::from_utf8(&out).unwrap()) as u64;
            prop_assert_eq!((tally.samples, tally.problems), (written, problems));
        }
    }
}

#[test]
fn half_a_segment_costs_the_chunks_behind_the_cut_and_no_others() {
    let copy = Copy::of("blocks/parents-three");
    let last = copy.path().join("01M7ZSW09PMERPPDTFHD6PEVGT/chunks/000001");
    let segment = fs::read(&last).unwrap();
    fs::write(&last, &segment[..segment.len() / 2]).unwrap();
    let ran = copy.narthex("dump", &[]);
    assert_eq!(ran.code, 3);
    let counted: usize = problems(&ran).len();
    assert!(
        counted > 1,
        "each chunk beyond the end is named: {}",
        ran.err
    );
    assert!(lines(&ran.out) > 36_720 && lines(&ran.out) < 53_800);
}
