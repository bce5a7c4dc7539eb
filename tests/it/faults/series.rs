//! Series entries: their bytes, their order, their labels, and what they say of chunks.

use narthex::chunk::Encoding;
use narthex::verify::{Depth, Kind};

use super::{NEW, SEGMENT, assert_found, assert_noted, findings, is_problem};
use crate::sick::{Loose, LooseChunk, START, Sick, at, floats, seal_entry};

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
    let problems: Vec<_> = found.iter().filter(|f| is_problem(f)).collect();
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
    assert_found(&sick, &[("chunk-time-wide", SEGMENT, Some(offset))]);

    let mut loose = Loose::healthy();
    loose.series[2].chunks[1].min += 1;
    let sick = loose.write();
    assert_found(&sick, &[("chunk-time", SEGMENT, Some(offset))]);
    let found = findings(&sick.dir, Depth::Full);
    let time = found.iter().find(|f| f.kind == Kind::ChunkTime).unwrap();
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
    let wrong = found.iter().find(|f| is_problem(f)).unwrap();
    assert_eq!(wrong.series.as_ref().unwrap().to_string(), r#"up{job="b"}"#);
}
