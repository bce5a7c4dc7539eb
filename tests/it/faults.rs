//! Every fault that occurs in the wild or that other tools overlook, made on purpose: each is found, with the right kind and
//! place, and nothing else is called a problem.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use narthex::chunk::Encoding;
use narthex::chunk::encode::ChunkEncoder;
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, STALE_NAN, Sample, Span,
};
use narthex::progress::Silent;
use narthex::verify::{Depth, Finding, Kind, Options, Severity, verify, verify_block};
use serde_json::json;

use crate::fixtures;
use crate::sick::{
    Loose, LooseChunk, START, Sick, at, copy, floats, seal, seal_entry, seal_section,
};

/// A block of Prometheus 3.14 with all kinds of chunks, and one of 2.42 with label indices.
const NEW: &str = "blocks/parents-three";
const OLD: &str = "blocks/promtool-2.42";
const SEGMENT: &str = "chunks/000001";

/// A kind that must be found, in which file, and where in it if that is asked.
type Expected<'a> = (&'a str, &'a str, Option<u64>);

fn findings(dir: &Path, depth: Depth) -> Vec<Finding> {
    let options = Options {
        depth,
        ..Options::default()
    };
    let verdict = verify_block(dir, options, &Silent).unwrap();
    verdict.findings.iter().cloned().collect()
}

fn is_problem(finding: &&Finding) -> bool {
    finding.kind.severity() > Severity::Note
}

fn check(found: &[Finding], base: &Path, expected: &[Expected<'_>]) {
    let kinds: BTreeSet<_> = found
        .iter()
        .filter(is_problem)
        .map(|f| f.kind.id())
        .collect();
    let wanted: BTreeSet<_> = expected.iter().map(|(kind, _, _)| *kind).collect();
    assert_eq!(kinds, wanted, "{found:#?}");
    for (kind, file, offset) in expected {
        let fits = |f: &&Finding| {
            f.kind.id() == *kind
                && f.path == base.join(file)
                && offset.is_none_or(|offset| f.offset == Some(offset))
        };
        assert!(
            found.iter().any(|f| fits(&f)),
            "{kind} in {file} at {offset:?}: {found:#?}"
        );
    }
}

/// The block has these problems and no others; what quick verification finds is among them.
fn assert_found(sick: &Sick, expected: &[Expected<'_>]) {
    check(&findings(&sick.dir, Depth::Full), &sick.dir, expected);
    for finding in findings(&sick.dir, Depth::Quick).iter().filter(is_problem) {
        let id = finding.kind.id();
        assert!(
            expected.iter().any(|(kind, _, _)| *kind == id),
            "quick: {finding:#?}"
        );
    }
}

fn assert_noted(sick: &Sick, kind: &str) {
    let found = findings(&sick.dir, Depth::Full);
    assert!(!found.iter().any(|f| is_problem(&f)), "{found:#?}");
    assert!(found.iter().any(|f| f.kind.id() == kind), "{found:#?}");
}

#[test]
fn healthy_blocks_have_no_problems() {
    for dir in fixtures::blocks() {
        for depth in [Depth::Full, Depth::Quick] {
            let found = findings(&dir, depth);
            assert!(
                !found.iter().any(|f| is_problem(&f)),
                "{}: {found:#?}",
                dir.display()
            );
        }
    }
    assert_found(&Loose::healthy().write(), &[]);
}

#[test]
fn counts_are_those_of_the_metadata() {
    for dir in fixtures::blocks() {
        for depth in [Depth::Full, Depth::Quick] {
            let options = Options {
                depth,
                ..Options::default()
            };
            let verdict = verify_block(&dir, options, &Silent).unwrap();
            let stats = verdict.meta.unwrap().stats;
            let found = (
                verdict.stats.series,
                verdict.stats.chunks,
                verdict.stats.samples,
            );
            assert_eq!(
                found,
                (stats.num_series, stats.num_chunks, stats.num_samples)
            );
        }
    }
}

#[test]
fn headers_of_the_index() {
    for (offset, kind) in [
        (0, "index-header"),
        (3, "index-header"),
        (4, "index-version"),
    ] {
        let sick = Sick::copy_of(NEW);
        sick.flip("index", offset);
        let place = if offset == 4 { 4 } else { 0 };
        assert_found(&sick, &[(kind, "index", Some(place))]);
    }
    let sick = Sick::copy_of(NEW);
    sick.remove("index");
    assert_found(&sick, &[("index-missing", "index", None)]);
}

#[test]
fn an_index_that_is_cut_off_zeroed_or_empty() {
    let sick = Sick::copy_of(NEW);
    let len = sick.read("index").len() as u64;
    sick.flip("index", len - 30);
    assert_found(&sick, &[("index-toc", "index", Some(len - 4))]);

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.truncate(bytes.len() - 1));
    assert_found(&sick, &[("index-toc", "index", None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.truncate(bytes.len() / 2));
    let found = findings(&sick.dir, Depth::Full);
    assert!(found.iter().any(|f| f.kind == Kind::IndexToc));
    assert!(
        found
            .iter()
            .all(|f| f.path == sick.path("index") || f.kind == Kind::ChunkOrphaned)
    );

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.fill(0));
    assert_found(
        &sick,
        &[
            ("index-header", "index", Some(0)),
            ("index-toc", "index", None),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write("index", b"");
    assert_found(
        &sick,
        &[
            ("index-header", "index", Some(0)),
            ("index-toc", "index", Some(0)),
        ],
    );
}

#[test]
fn symbols_that_are_damaged() {
    let sick = Sick::copy_of(NEW);
    sick.flip("index", sick.toc().series - 10);
    let end = sick.toc().series - 4;
    assert_found(&sick, &[("symbols-checksum", "index", Some(end))]);

    let sick = Sick::copy_of(NEW);
    sick.flip("index", 7);
    assert_found(&sick, &[("symbols-malformed", "index", Some(5))]);
}

#[test]
fn symbols_in_the_wrong_order() {
    let swapped = Loose {
        symbols: |symbols| symbols.swap(2, 3),
        ..Loose::healthy()
    };
    let sick = swapped.write();
    let found = findings(&sick.dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind == Kind::SymbolUnsorted),
        "{found:#?}"
    );
    let found = found
        .iter()
        .filter(is_problem)
        .all(|f| f.kind == Kind::SymbolUnsorted);
    assert!(found, "the series are still in order");

    let twice = Loose {
        symbols: |symbols| symbols.insert(2, symbols[1].clone()),
        ..Loose::healthy()
    };
    assert_found(&twice.write(), &[("symbol-duplicate", "index", None)]);

    let unused = Loose {
        symbols: |symbols| symbols.insert(1, "A".to_owned()),
        ..Loose::healthy()
    };
    assert_noted(&unused.write(), "symbol-unused");
}

#[test]
fn a_damaged_series_entry_costs_only_that_series() {
    let sick = Sick::copy_of(NEW);
    let offset = sick.series()[7];
    sick.flip("index", offset + 9);
    assert_found(&sick, &[("series-checksum", "index", Some(offset))]);
    let found = findings(&sick.dir, Depth::Full);
    let damaged = found
        .iter()
        .find(|f| f.kind == Kind::SeriesChecksum)
        .unwrap();
    assert_eq!(damaged.section, Some("series"));
    assert!(
        found.iter().any(|f| f.kind == Kind::ChunkOrphaned),
        "{found:#?}"
    );

    // The length before the entry is not covered by its checksum.
    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes[at(offset)] = 0x7f);
    let found = findings(&sick.dir, Depth::Full);
    let problems: Vec<_> = found.iter().filter(is_problem).collect();
    assert!(
        matches!(problems[..], [f] if f.offset == Some(offset)),
        "{problems:#?}"
    );
}

#[test]
fn series_that_are_zeroed_are_passed_over() {
    let sick = Sick::copy_of(NEW);
    let (from, to) = (sick.series()[5], sick.series()[9]);
    sick.edit("index", |bytes| bytes[at(from)..at(to)].fill(0));
    assert_found(&sick, &[("series-malformed", "index", Some(from))]);
}

#[test]
fn sections_that_nobody_else_reads() {
    let sick = Sick::copy_of(OLD);
    let toc = sick.toc();
    sick.flip("index", toc.label_indices_table - 3);
    assert_found(&sick, &[("postings-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.flip("index", toc.postings - 6);
    assert_found(&sick, &[("label-index-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.flip("index", toc.label_indices_table + 12);
    assert_found(&sick, &[("label-index-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.edit("index", |bytes| {
        let first = toc.label_indices.next_multiple_of(4);
        bytes[at(first) + 15] ^= 1;
        seal_section(bytes, first);
    });
    assert_found(&sick, &[("label-index-content", "index", None)]);
}

#[test]
fn padding_and_bytes_that_belong_to_nothing() {
    let sick = Sick::copy_of(NEW);
    let padding = sick.toc().series;
    assert!(padding % 16 != 0);
    sick.edit("index", |bytes| bytes[at(padding)] = 1);
    assert_found(&sick, &[("index-padding", "index", Some(padding))]);
}

#[test]
fn postings_that_are_damaged() {
    let sick = Sick::copy_of(NEW);
    let first = sick.toc().postings.next_multiple_of(4);
    sick.flip("index", first + 9);
    assert_found(&sick, &[("postings-checksum", "index", None)]);

    let sick = Sick::copy_of(NEW);
    let table = sick.toc().postings_table;
    sick.flip("index", table + 20);
    assert_found(&sick, &[("postings-table-checksum", "index", None)]);
}

/// The reference of a series: its offset in units of 16 bytes.
fn reference_of(sick: &Sick, series: usize) -> u32 {
    u32::try_from(sick.series()[series] / 16).unwrap()
}

#[test]
fn postings_that_do_not_say_what_the_series_say() {
    let spoilt = |lists: fn(&mut Vec<crate::sick::List>)| {
        Loose {
            lists,
            ..Loose::healthy()
        }
        .write()
    };
    // Lists: all series, __name__="up", job="a" … job="d".
    let sick = spoilt(|lists| lists[1].1.swap(0, 1));
    assert_found(&sick, &[("postings-unsorted", "index", None)]);

    let sick = spoilt(|lists| drop(lists[1].1.remove(2)));
    assert_found(&sick, &[("postings-missing", "index", None)]);
    let found = findings(&sick.dir, Depth::Full);
    let missing = found.iter().find(is_problem).unwrap();
    assert_eq!(
        missing.series.as_ref().unwrap().to_string(),
        r#"up{job="c"}"#
    );
    assert!(
        missing
            .detail
            .contains(&format!("reference {}", reference_of(&sick, 2)))
    );

    let sick = spoilt(|lists| lists[1].1.push(9999));
    assert_found(&sick, &[("postings-dangling", "index", None)]);

    let sick = spoilt(|lists| {
        let other = lists[3].1[0];
        lists[2].1.push(other);
    });
    assert_found(&sick, &[("postings-extra", "index", None)]);

    let sick = spoilt(|lists| drop(lists[0].1.pop()));
    assert_found(&sick, &[("postings-missing", "index", None)]);

    let sick = spoilt(|lists| drop(lists.remove(3)));
    assert_found(&sick, &[("postings-missing", "index", None)]);

    // The same series are listed, but under each other's labels.
    let sick = spoilt(|lists| {
        let (a, b) = (lists[2].1.clone(), lists[3].1.clone());
        (lists[2].1, lists[3].1) = (b, a);
    });
    assert_found(
        &sick,
        &[
            ("postings-extra", "index", None),
            ("postings-missing", "index", None),
        ],
    );

    let sick = spoilt(|lists| lists.swap(2, 3));
    assert_found(&sick, &[("postings-table-unsorted", "index", None)]);
}

#[test]
fn a_table_of_contents_that_lies() {
    let swapped = Loose {
        toc: |toc| toc.swap(1, 5),
        ..Loose::healthy()
    };
    assert_found(&swapped.write(), &[("index-layout", "index", None)]);
    let shifted = Loose {
        toc: |toc| toc[1] += 16,
        ..Loose::healthy()
    };
    assert_found(&shifted.write(), &[("index-layout", "index", Some(5))]);
}

#[test]
fn series_in_the_wrong_order_or_twice() {
    let mut loose = Loose::healthy();
    loose.series.swap(1, 2);
    let sick = loose.write();
    assert_found(
        &sick,
        &[("series-unsorted", "index", Some(sick.series()[2]))],
    );

    let mut loose = Loose::healthy();
    loose.series[2].labels = loose.series[1].labels.clone();
    let sick = loose.write();
    assert_found(
        &sick,
        &[("series-duplicate", "index", Some(sick.series()[2]))],
    );

    let mut loose = Loose::healthy();
    loose.series[0].labels.clear();
    let sick = loose.write();
    assert_found(
        &sick,
        &[("series-no-labels", "index", Some(sick.series()[0]))],
    );

    let mut loose = Loose::healthy();
    loose.series[1].chunks.clear();
    let sick = loose.write();
    assert_found(
        &sick,
        &[("series-no-chunks", "index", Some(sick.series()[1]))],
    );
}

#[test]
fn labels_in_the_wrong_order_twice_or_empty() {
    let mut loose = Loose::healthy();
    loose.series[1].labels.reverse();
    let sick = loose.write();
    assert_found(
        &sick,
        &[("label-unsorted", "index", Some(sick.series()[1]))],
    );

    let mut loose = Loose::healthy();
    loose.series[3]
        .labels
        .push(("job".to_owned(), "x".to_owned()));
    let sick = loose.write();
    assert_found(
        &sick,
        &[("label-duplicate", "index", Some(sick.series()[3]))],
    );

    let mut loose = Loose::healthy();
    loose.series[3]
        .labels
        .push(("zone".to_owned(), String::new()));
    assert_noted(&loose.write(), "label-empty");
}

#[test]
fn chunks_that_overlap_repeat_or_leave_the_block() {
    let mut loose = Loose::healthy();
    loose.series[1].chunks[1] = floats(Encoding::Xor, (3..8).map(|i| START + i * 15_000));
    let sick = loose.write();
    assert_found(&sick, &[("chunk-overlap", "index", Some(sick.series()[1]))]);

    let mut loose = Loose::healthy();
    loose.series[1].chunks[1] = loose.series[1].chunks[0].clone();
    let sick = loose.write();
    assert_found(
        &sick,
        &[("chunk-duplicate", "index", Some(sick.series()[1]))],
    );

    let mut loose = Loose::healthy();
    loose.series[1].chunks[1] = LooseChunk {
        shared: true,
        ..loose.series[1].chunks[0].clone()
    };
    let sick = loose.write();
    let shared = sick.chunks(SEGMENT)[2].0;
    assert_found(
        &sick,
        &[
            ("chunk-duplicate", "index", None),
            ("chunk-shared", SEGMENT, Some(shared)),
        ],
    );

    // The last chunks end, or lie, behind the block's end.
    for end in [START + 7 * 15_000, START + 5 * 15_000] {
        let loose = Loose {
            range: Some((START, end)),
            ..Loose::healthy()
        };
        let sick = loose.write();
        assert_found(
            &sick,
            &[("chunk-outside-block", "index", Some(sick.series()[0]))],
        );
    }
}

#[test]
fn a_chunk_that_ends_before_it_begins() {
    let mut loose = Loose::healthy();
    let chunk = &mut loose.series[2].chunks[1];
    std::mem::swap(&mut chunk.min, &mut chunk.max);
    let sick = loose.write();
    assert_found(
        &sick,
        &[
            ("chunk-range", "index", Some(sick.series()[2])),
            ("chunk-time", SEGMENT, None),
        ],
    );
}

#[test]
fn times_in_the_index_that_are_not_those_of_the_chunk() {
    let mut loose = Loose::healthy();
    loose.series[2].chunks[1].min -= 1;
    let sick = loose.write();
    let (offset, _) = sick.chunks(SEGMENT)[5];
    assert_found(&sick, &[("chunk-time", SEGMENT, None)]);
    let found = findings(&sick.dir, Depth::Full);
    let time = found.iter().find(|f| f.kind == Kind::ChunkTime).unwrap();
    assert!(time.offset.is_some_and(|at| at > offset));
    assert_eq!(time.series.as_ref().unwrap().to_string(), r#"up{job="c"}"#);
    assert_eq!(time.loss.unwrap().samples, Some(5));
}

/// Makes the first chunk reference of a series lead elsewhere, under a right checksum.
#[test]
fn a_reference_that_is_off_by_one() {
    let sick = Loose::healthy().write();
    let offset = sick.series()[1];
    let (second, _) = sick.chunks(SEGMENT)[2];
    sick.edit("index", |bytes| {
        let entry = at(offset);
        let continues = if second < 128 { 0 } else { 0x80 };
        let reference = u8::try_from(second & 0x7f | continues).unwrap();
        let place = (entry..entry + 40)
            .rev()
            .find(|&i| bytes[i] == reference)
            .unwrap();
        bytes[place] += 1;
        seal_entry(bytes, offset, 0);
    });
    assert_found(&sick, &[("chunk-reference", SEGMENT, Some(second + 1))]);
    let found = findings(&sick.dir, Depth::Full);
    let wrong = found.iter().find(is_problem).unwrap();
    assert_eq!(wrong.series.as_ref().unwrap().to_string(), r#"up{job="b"}"#);
}

#[test]
fn headers_of_segments() {
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 1);
    assert_found(&sick, &[("segment-header", SEGMENT, Some(0))]);
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 4);
    assert_found(&sick, &[("segment-header", SEGMENT, Some(4))]);
    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, 6);
    assert_found(&sick, &[("segment-padding", SEGMENT, Some(5))]);
}

#[test]
fn a_damaged_chunk_is_named_with_its_series_and_what_is_lost() {
    let sick = Sick::copy_of(NEW);
    let (offset, end) = sick.chunks(SEGMENT)[20];
    sick.flip(SEGMENT, offset + 30);
    assert_found(&sick, &[("chunk-checksum", SEGMENT, Some(offset))]);
    let found = findings(&sick.dir, Depth::Full);
    let damaged = found
        .iter()
        .find(|f| f.kind == Kind::ChunkChecksum)
        .unwrap();
    assert!(damaged.series.is_some() && damaged.block.is_some());
    assert_eq!(damaged.loss.unwrap().samples, Some(120));

    let sick = Sick::copy_of(NEW);
    sick.flip(SEGMENT, end - 1);
    assert_found(&sick, &[("chunk-checksum", SEGMENT, Some(offset))]);

    let sick = Sick::copy_of(NEW);
    sick.edit(SEGMENT, |bytes| bytes[at(offset)] ^= 1);
    assert_found(&sick, &[("chunk-checksum", SEGMENT, Some(offset))]);
}

/// Changes the data of one chunk and makes its checksum anew. Data begins behind two bytes of length and one of encoding.
fn recode(sick: &Sick, offset: u64, change: impl FnOnce(&mut [u8])) {
    sick.edit(SEGMENT, |bytes| {
        change(&mut bytes[at(offset)..]);
        seal_entry(bytes, offset, 1);
    });
}

#[test]
fn a_chunk_that_is_wrong_under_a_right_checksum() {
    let loose = Loose::healthy();
    let (offset, _) = loose.write().chunks(SEGMENT)[3];

    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[1] = 9);
    assert_found(&sick, &[("chunk-encoding", SEGMENT, Some(offset + 2))]);

    // One length byte, the encoding, two bytes of count.
    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[3] = 3);
    assert_found(
        &sick,
        &[
            ("chunk-count", SEGMENT, None),
            ("meta-stats", "meta.json", None),
        ],
    );

    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[3] = 200);
    let found = findings(&sick.dir, Depth::Full);
    let kinds: BTreeSet<_> = found
        .iter()
        .filter(is_problem)
        .map(|f| f.kind.id())
        .collect();
    assert_eq!(kinds, ["chunk-malformed"].into(), "{found:#?}");

    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[3] = 0);
    assert_found(
        &sick,
        &[
            ("chunk-empty", SEGMENT, None),
            ("meta-stats", "meta.json", None),
        ],
    );

    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[6] ^= 4);
    assert_found(&sick, &[("chunk-time", SEGMENT, None)]);
}

#[test]
fn samples_that_are_not_in_order() {
    let mut loose = Loose::healthy();
    let times = [0, 15_000, 45_000, 30_000, 60_000].map(|time| START + time);
    loose.series[1].chunks[0] = floats(Encoding::Xor, times);
    let sick = loose.write();
    assert_found(&sick, &[("chunk-order", SEGMENT, None)]);
    let found = findings(&sick.dir, Depth::Full);
    let order = found.iter().find(|f| f.kind == Kind::ChunkOrder).unwrap();
    assert!(
        order.detail.contains(&(START + 30_000).to_string()),
        "{}",
        order.detail
    );
}

fn histograms(layout: &HistogramLayout, samples: &[(u64, &[i64])]) -> LooseChunk {
    let mut encoder = ChunkEncoder::new(Encoding::Histogram).unwrap();
    for (k, &(count, buckets)) in samples.iter().enumerate() {
        let sample = HistogramSample {
            time: START + 15_000 * k as i64,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout,
            sum: 4.5f64.to_bits(),
            count,
            zero_count: 0,
            positive: buckets,
            negative: &[],
        };
        encoder.push(&Sample::Histogram(sample)).unwrap();
    }
    LooseChunk::of(encoder.finish())
}

fn layout(spans: &[(i64, u64)]) -> HistogramLayout {
    let span = |&(offset, length): &(i64, u64)| Span { offset, length };
    HistogramLayout {
        positive: spans.iter().map(span).collect(),
        ..HistogramLayout::default()
    }
}

#[test]
fn histograms_that_cannot_be() {
    let with = |layout: HistogramLayout, samples: &[(u64, &[i64])]| {
        let mut loose = Loose::healthy();
        loose.series[0].chunks = vec![histograms(&layout, samples)];
        loose.write()
    };
    let fine = layout(&[(0, 2), (1, 1)]);
    assert_found(
        &with(fine.clone(), &[(6, &[1, 1, 1]), (9, &[2, 1, 0])]),
        &[],
    );
    assert_noted(
        &with(fine.clone(), &[(7, &[1, 1, 1])]),
        "histogram-shortfall",
    );
    let counts = &[("histogram-counts", SEGMENT, None)];
    assert_found(&with(fine.clone(), &[(6, &[1, -2, 1])]), counts);
    assert_found(&with(fine.clone(), &[(5, &[1, 1, 1])]), counts);
    assert_found(&with(fine, &[(6, &[1, 1, 1]), (6, &[2, 0, 0])]), counts);
    let backwards = layout(&[(0, 2), (-1, 1)]);
    let spans = &[("histogram-layout", SEGMENT, None)];
    assert_found(&with(backwards, &[(6, &[1, 1, 1])]), spans);
}

#[test]
fn a_series_of_nothing_but_stale_markers_is_legal() {
    let mut encoder = ChunkEncoder::new(Encoding::Xor).unwrap();
    for k in 0..3 {
        let sample = FloatSample {
            time: START + k * 15_000,
            start: 0,
            bits: STALE_NAN,
        };
        encoder.push(&Sample::Float(sample)).unwrap();
    }
    let mut loose = Loose::healthy();
    loose.series[0].chunks = vec![LooseChunk::of(encoder.finish())];
    assert_found(&loose.write(), &[]);
}

#[test]
fn segments_that_are_cut_off_empty_or_zeroed() {
    let sick = Sick::copy_of(NEW);
    let chunks = sick.chunks(SEGMENT);
    let cut = chunks[60].0;
    sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut)));
    assert_found(&sick, &[("segment-truncated", SEGMENT, Some(cut))]);
    let found = findings(&sick.dir, Depth::Full);
    let lost = found.iter().find(is_problem).unwrap().loss.unwrap();
    assert_eq!(lost.chunks, chunks.len() as u64 - 60);

    let sick = Sick::copy_of(NEW);
    sick.edit(SEGMENT, |bytes| bytes.truncate(at(cut) - 3));
    assert_found(
        &sick,
        &[
            ("chunk-malformed", SEGMENT, Some(chunks[59].0)),
            ("segment-truncated", SEGMENT, Some(cut)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write(SEGMENT, b"");
    assert_found(
        &sick,
        &[
            ("segment-empty", SEGMENT, None),
            ("segment-truncated", SEGMENT, Some(8)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.edit(SEGMENT, |bytes| bytes[at(cut)..].fill(0));
    assert_found(&sick, &[("chunk-checksum", SEGMENT, Some(cut))]);
}

#[test]
fn segments_that_are_missing_renamed_or_strange() {
    let sick = Sick::copy_of(NEW);
    sick.remove(SEGMENT);
    assert_found(&sick, &[("segment-missing", SEGMENT, Some(8))]);
    fs::remove_dir(sick.path("chunks")).unwrap();
    assert_found(
        &sick,
        &[
            ("chunks-missing", "chunks", None),
            ("segment-missing", SEGMENT, Some(8)),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write("chunks/notes.txt", b"");
    assert_noted(&sick, "foreign-entry");

    let sick = Sick::copy_of(NEW);
    fs::rename(sick.path(SEGMENT), sick.path("chunks/000002")).unwrap();
    assert_found(&sick, &[("segment-names", "chunks/000002", None)]);

    for lost in ["chunks/000001", "chunks/000007"] {
        let sick = Sick::copy_of("blocks/segments-of-3000");
        sick.remove(lost);
        let next = if lost.ends_with('1') {
            "chunks/000002"
        } else {
            "chunks/000008"
        };
        assert_found(
            &sick,
            &[
                ("segment-missing", lost, Some(8)),
                ("segment-names", next, None),
            ],
        );
    }
    let sick = Sick::copy_of("blocks/segments-of-3000");
    sick.remove("chunks/000022");
    assert_found(&sick, &[("segment-missing", "chunks/000022", Some(8))]);
}

#[test]
fn bytes_in_segments_that_belong_to_no_chunk() {
    for garbage in [&[0u8; 4096][..], b"not a chunk"] {
        let sick = Sick::copy_of(NEW);
        let end = sick.read(SEGMENT).len() as u64;
        sick.edit(SEGMENT, |bytes| bytes.extend(garbage));
        assert_found(&sick, &[("segment-garbage", SEGMENT, Some(end))]);
    }
    let sick = Sick::copy_of("blocks/tiny");
    let end = sick.read(SEGMENT).len() as u64;
    let file = fs::File::options()
        .write(true)
        .open(sick.path(SEGMENT))
        .unwrap();
    file.set_len(513 << 20).unwrap();
    assert_found(&sick, &[("segment-garbage", SEGMENT, Some(end))]);
    let found = findings(&sick.dir, Depth::Quick);
    assert!(found.iter().any(|f| f.kind == Kind::SegmentOversize));

    let mut loose = Loose::healthy();
    loose.series[1].chunks[0].listed = false;
    let sick = loose.write();
    assert_found(
        &sick,
        &[(
            "chunk-unreferenced",
            SEGMENT,
            Some(sick.chunks(SEGMENT)[2].0),
        )],
    );
    let found = findings(&sick.dir, Depth::Full);
    let loss = found.iter().find(is_problem).unwrap().loss.unwrap();
    assert_eq!((loss.min_time, loss.samples), (START, Some(5)));
}

#[test]
fn index_and_chunks_of_different_blocks() {
    let (sick, other) = (Sick::copy_of(NEW), Sick::copy_of("blocks/overlap-a"));
    sick.write(SEGMENT, &other.read(SEGMENT));
    let found = findings(&sick.dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind == Kind::ChunksForeign),
        "{found:#?}"
    );
}

#[test]
fn metadata_that_cannot_be_read() {
    for (content, kind) in [
        (&b""[..], "meta-malformed"),
        (b"{\"ulid\": \"01M7", "meta-malformed"),
        (&[0; 300], "meta-malformed"),
        (
            br#"{"ulid":"01M7ZTB71NJ67GWWE5SXTVHFTH","version":7}"#,
            "meta-version",
        ),
    ] {
        let sick = Sick::copy_of("blocks/tiny");
        sick.write("meta.json", content);
        let found = findings(&sick.dir, Depth::Full);
        assert!(
            found
                .iter()
                .any(|f| f.kind.id() == kind && f.path == sick.path("meta.json"))
        );
    }
    let sick = Sick::copy_of("blocks/tiny");
    sick.remove("meta.json");
    assert_found(&sick, &[("meta-missing", "meta.json", None)]);
}

#[test]
fn metadata_that_is_not_true() {
    let meta = "meta.json";
    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["stats"]["numSamples"] = json!(7));
    assert_found(&sick, &[("meta-stats", meta, None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["maxTime"] = json!(meta["maxTime"].as_i64().unwrap() - 120_000));
    assert_found(&sick, &[("chunk-outside-block", "index", None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| meta["minTime"] = json!(meta["maxTime"].as_i64().unwrap() + 1));
    assert_found(&sick, &[("meta-range", meta, None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit_meta(|meta| {
        meta["ulid"] = json!(crate::sick::ULID);
        meta["compaction"]["sources"] = json!([crate::sick::ULID]);
    });
    assert_found(&sick, &[("meta-ulid", meta, None)]);

    let (sick, other) = (Sick::copy_of("blocks/tiny"), Sick::copy_of(NEW));
    sick.write(meta, &other.read(meta));
    let found = findings(&sick.dir, Depth::Full);
    let kinds: BTreeSet<_> = found
        .iter()
        .filter(is_problem)
        .map(|f| f.kind.id())
        .collect();
    assert!(
        kinds.contains("meta-ulid") && kinds.contains("meta-stats"),
        "{kinds:?}"
    );

    for change in [
        |compaction: &mut serde_json::Value| compaction["level"] = json!(0),
        |compaction: &mut serde_json::Value| compaction["sources"] = json!([]),
        |compaction: &mut serde_json::Value| compaction["sources"] = json!([crate::sick::ULID]),
    ] {
        let sick = Sick::copy_of(NEW);
        sick.edit_meta(|meta| change(&mut meta["compaction"]));
        assert_found(&sick, &[("meta-lineage", meta, None)]);
    }
}

#[test]
fn states_that_are_legal_are_noted_only() {
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["deletable"] = json!(true));
    assert_noted(&sick, "block-deletable");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["hints"] = json!(["from-the-future"]));
    assert_noted(&sick, "meta-hint");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["version"] = json!(2));
    assert_noted(&sick, "meta-version-2");
    let sick = Sick::copy_of("blocks/tiny");
    sick.remove("tombstones");
    assert_noted(&sick, "tombstones-missing");
    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| meta["compaction"]["failed"] = json!(true));
    assert_found(&sick, &[("block-failed", "meta.json", None)]);
}

#[test]
fn blocks_of_thanos() {
    let mut loose = Loose::healthy();
    for chunk in loose
        .series
        .iter_mut()
        .flat_map(|series| &mut series.chunks)
    {
        chunk.encoding = 255;
    }
    let sick = loose.write();
    sick.edit_meta(|meta| meta["thanos"] = json!({"downsample": {"resolution": 300_000}}));
    assert_noted(&sick, "block-downsampled");

    let sick = Sick::copy_of("blocks/tiny");
    sick.edit_meta(|meta| {
        meta["thanos"] = json!({"files": [
            {"rel_path": "index", "size_bytes": 276},
            {"rel_path": "chunks/000001", "size_bytes": 68},
            {"rel_path": "../../etc/passwd", "size_bytes": 1},
            {"rel_path": "meta.json"},
        ]});
    });
    assert_found(&sick, &[("declared-size", SEGMENT, None)]);
}

#[test]
fn an_index_of_version_1_is_read() {
    let loose = Loose {
        version: 1,
        ..Loose::healthy()
    };
    assert_found(&loose.write(), &[]);
}

#[test]
fn tombstones_that_are_damaged_or_senseless() {
    for content in [
        &b""[..],
        &[0x01, 0x30, 0xba, 0x30],
        &[0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0],
    ] {
        let sick = Sick::copy_of("blocks/tiny");
        sick.write("tombstones", content);
        assert_found(&sick, &[("tombstones-malformed", "tombstones", None)]);
    }
    let with = |records: &[u8]| {
        let sick = Sick::copy_of("blocks/tiny");
        sick.edit_meta(|meta| meta["stats"]["numTombstones"] = json!(1));
        let mut content = [&[0x01, 0x30, 0xba, 0x30, 1][..], records, &[0; 4]].concat();
        let end = content.len() - 4;
        seal(&mut content, 5, end);
        sick.write("tombstones", &content);
        sick
    };
    assert_found(&with(&[3, 2, 4]), &[]);
    assert_found(
        &with(&[4, 2, 4]),
        &[("tombstone-series", "tombstones", None)],
    );
    assert_found(
        &with(&[3, 4, 2]),
        &[("tombstone-range", "tombstones", None)],
    );
    let sick = with(&[3, 2, 4]);
    sick.flip("tombstones", 6);
    assert_found(&sick, &[("tombstones-checksum", "tombstones", None)]);
}

fn kinds_in(dir: &Path) -> Vec<(&'static str, String)> {
    let verdict = verify(dir, Options::default(), &Silent).unwrap();
    let name = |f: &Finding| f.path.file_name().unwrap().display().to_string();
    verdict
        .findings
        .iter()
        .map(|f| (f.kind.id(), name(f)))
        .collect()
}

#[test]
fn blocks_that_are_there_twice() {
    let sick = Sick::copy_of("blocks/tiny");
    let second = "01M7ZTB71NJ67GWWE5SXTVHFTJ";
    copy(&sick.dir, &sick.parent().join(second));
    let found = kinds_in(sick.parent());
    assert_eq!(found, [("ulid-duplicate", second.to_owned())]);

    // Another ULID, but the same sources.
    let meta = sick.parent().join(second).join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.replacen("HFTH", "HFTJ", 1)).unwrap();
    let found = kinds_in(sick.parent());
    assert!(
        found.contains(&("sources-duplicate", second.to_owned())),
        "{found:?}"
    );
    assert!(
        found.contains(&("blocks-overlap", second.to_owned())),
        "{found:?}"
    );
}

#[test]
fn parents_beside_their_child() {
    let root = tempfile::tempdir().unwrap();
    let mut parents = Vec::new();
    for fixture in ["blocks/parents-three", "blocks/child-of-three"] {
        for dir in fixtures::blocks_below(&fixtures::fixture(fixture)) {
            let name = dir.file_name().unwrap().to_owned();
            copy(&dir, &root.path().join(&name));
            if fixture.contains("parents") {
                parents.push(("parent-present", name.into_string().unwrap()));
            }
        }
    }
    parents.sort();
    let found = kinds_in(root.path());
    let present: Vec<_> = found
        .iter()
        .filter(|(kind, _)| kind.starts_with("parent"))
        .cloned()
        .collect();
    assert_eq!(present, parents);

    // A child that lacks one of their sources.
    let child = fixtures::blocks_below(&fixtures::fixture("blocks/child-of-three")).remove(0);
    let meta = root
        .path()
        .join(child.file_name().unwrap())
        .join("meta.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    json["compaction"]["sources"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    fs::write(&meta, json.to_string()).unwrap();
    let found = kinds_in(root.path());
    assert!(
        found.contains(&("parent-uncovered", parents[0].1.clone())),
        "{found:?}"
    );
}

#[test]
fn a_data_directory_as_it_really_looks() {
    for night in ["night-1", "night-2", "wal/out-of-order"] {
        let dir = fixtures::fixture(night);
        let verdict = verify(&dir, Options::default(), &Silent).unwrap();
        let all: Vec<_> = verdict.all_findings().filter(is_problem).collect();
        assert!(all.is_empty(), "{night}: {all:#?}");
    }
    let root = tempfile::tempdir().unwrap();
    copy(&fixtures::fixture("night-1"), root.path());
    fs::create_dir(root.path().join("lost+found")).unwrap();
    fs::create_dir(
        root.path()
            .join("01M80FKE4V4C8GPJHYD9T1D87F.tmp-for-deletion"),
    )
    .unwrap();
    fs::create_dir(root.path().join("tmp_dbro_sandbox7")).unwrap();
    let found = kinds_in(root.path());
    for kind in ["foreign-entry", "leftover-directory", "sandbox"] {
        assert!(found.iter().any(|(id, _)| *id == kind), "{kind}: {found:?}");
    }
    let wal = root.path().join("wal");
    let mut segments: Vec<_> = fs::read_dir(&wal)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    segments.sort();
    let first = segments.iter().find(|path| path.is_file()).unwrap();
    let mut bytes = fs::read(first).unwrap();
    bytes[100] ^= 1;
    fs::write(first, bytes).unwrap();
    let found = kinds_in(root.path());
    assert!(
        found.iter().any(|(id, _)| id.starts_with("wal-")),
        "{found:?}"
    );
}

#[cfg(unix)]
#[test]
fn odd_names_and_links_of_blocks() {
    let sick = Sick::copy_of("blocks/tiny");
    let lower = sick.parent().join(crate::sick::ULID.to_lowercase());
    fs::rename(&sick.dir, &lower).unwrap();
    let found = kinds_in(sick.parent());
    assert_eq!(
        found,
        [("block-misspelled", crate::sick::ULID.to_lowercase())]
    );

    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&lower, elsewhere.path().join("block")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("block"), sick.dir.clone()).unwrap();
    let found = kinds_in(sick.parent());
    assert!(
        found.contains(&("block-symlink", crate::sick::ULID.to_owned())),
        "{found:?}"
    );
}
