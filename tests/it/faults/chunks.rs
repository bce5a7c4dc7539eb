//! Chunks: their bytes, their samples, and what a right checksum can hide.

use std::collections::BTreeSet;

use narthex::chunk::Encoding;
use narthex::chunk::encode::ChunkEncoder;
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, STALE_NAN, Sample, Span,
};
use narthex::verify::{Depth, Kind};

use super::{NEW, SEGMENT, assert_found, assert_noted, findings, is_problem};
use crate::sick::{Loose, LooseChunk, START, Sick, at, floats, seal_entry};

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

/// Changes the data of one chunk and makes its checksum anew. Data begins behind two bytes of
/// length and one of encoding.
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
    assert_found(&sick, &[("chunk-encoding", SEGMENT, Some(offset))]);

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
        .filter(|f| is_problem(f))
        .map(|f| f.kind.id())
        .collect();
    assert_eq!(kinds, ["chunk-malformed"].into(), "{found:#?}");

    let sick = loose.write();
    recode(&sick, offset, |chunk| chunk[3] = 0);
    assert_found(
        &sick,
        &[
            ("chunk-count", SEGMENT, Some(offset)),
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
