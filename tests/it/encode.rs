//! Chunks that narthex encodes: they must be what Prometheus writes, bit for bit, and decode to
//! what went in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use narthex::block::Block;
use narthex::chunk::encode::{ChunkEncoder, EncodedChunk, float_chunks};
use narthex::chunk::{
    ChunkKind, ChunkRecord, Encoding, SEGMENT_HEADER, Segment, Tail, Xor2Writer, decode,
};
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, STALE_NAN, Sample, Span,
};
use narthex::raw::ReadMode;
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::fixtures;

#[test]
fn samples_encode_to_the_bytes_prometheus_wrote() {
    let since = Xor2Writer::Since316;
    for (file, count, writer) in [
        ("golden-vectors.jsonl", 17, Xor2Writer::Before316),
        ("random-vectors.jsonl", 60, Xor2Writer::Before316),
        ("xor2-3.16-vectors.jsonl", 32, since),
    ] {
        let vectors = fs::read_to_string(fixtures::fixture("chunks").join(file)).unwrap();
        assert_eq!(vectors.lines().count(), count);
        for line in vectors.lines() {
            let vector: Json = serde_json::from_str(line).unwrap();
            let chunk = encode_vector(&vector, writer);
            let (name, encoding) = (&vector["name"], chunk.encoding);
            assert_eq!(chunk.data, unhex(&vector["hex"]), "{name} in {encoding}");
            let shape = decode(encoding, &chunk.data, 0, |_| ()).unwrap();
            assert!(shape.canonical, "{name} in {encoding}");
            let other = encode_vector(
                &vector,
                if writer == since {
                    Xor2Writer::Before316
                } else {
                    since
                },
            );
            let alone = (other.data != chunk.data).then_some(writer);
            assert_eq!(shape.xor2_writer, alone, "{name} in {encoding}");
        }
    }
}

/// A Prometheus that was stopped with a snapshot of its head goes on with the chunks in it. If such
/// a chunk had one value so far, no window is open, and the encoder then writes changes as if one
/// of all bits were.
#[test]
fn chunks_that_go_on_after_a_snapshot_of_the_head_are_read() {
    let file = fixtures::fixture("chunks").join("resumed-vectors.jsonl");
    let vectors = fs::read_to_string(file).unwrap();
    let mut canonical = 0;
    for line in vectors.lines() {
        let vector: Json = serde_json::from_str(line).unwrap();
        let chunk = encode_vector(&vector, Xor2Writer::Before316);
        let mut own = ChunkEncoder::new(chunk.encoding).unwrap();
        let shape = decode(chunk.encoding, &unhex(&vector["hex"]), 0, |sample| {
            own.push(&sample).unwrap();
        });
        let shape = shape.unwrap();
        assert_eq!(shape.tail, Tail::Padding, "{}", vector["name"]);
        assert_eq!(own.finish(), chunk, "{}", vector["name"]);
        canonical += u32::from(shape.canonical);
    }
    assert_eq!((vectors.lines().count(), canonical), (6, 3));
}

fn unhex(hex: &Json) -> Vec<u8> {
    let (pairs, _) = hex.as_str().unwrap().as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}

fn encode_vector(vector: &Json, writer: Xor2Writer) -> EncodedChunk {
    let encoding = u8::try_from(vector["enc"].as_u64().unwrap()).unwrap();
    let encoding = Encoding::from_byte(encoding);
    let mut encoder = ChunkEncoder::of_writer(encoding, writer).unwrap();
    let counter_reset = match vector["crh"].as_u64() {
        None => CounterReset::Unknown,
        Some(3) => CounterReset::Gauge,
        other => panic!("{other:?}"),
    };
    let samples = vector["s"].as_array().unwrap();
    let layout = Golden(&samples[0]).layout();
    for sample in samples {
        Golden(sample).push_to(&mut encoder, counter_reset, &layout);
    }
    encoder.finish()
}

#[test]
fn every_encoding_is_in_some_fixture() {
    let mut seen = BTreeMap::new();
    for dir in fixtures::blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        for record in block.segments().flat_map(records) {
            let mut samples = 0;
            decode(record.encoding, record.data, 0, |_| samples += 1).unwrap();
            assert!(samples > 0, "{} {record:?}", dir.display());
            *seen.entry(record.encoding).or_insert(0) += 1;
        }
    }
    for encoding in Encoding::decodable() {
        let chunks = seen.get(&encoding).copied().unwrap_or(0);
        assert!(
            chunks > 10,
            "{encoding}: {chunks} chunks in fixtures/blocks"
        );
    }
}

#[test]
fn every_chunk_of_every_fixture_encodes_to_its_own_bytes() {
    let mut seen = BTreeSet::new();
    let mut extra_bytes = 0;
    for dir in fixtures::blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let encodable = |record: &ChunkRecord<'_>| !record.encoding.encoders().is_empty();
        for record in block.segments().flat_map(records).filter(encodable) {
            let (chunk, tail) = reencode(record.encoding, record.data);
            // What Prometheus before 3.0 sometimes left behind the last sample.
            let extra: &[u8] = match tail {
                Tail::ExtraZeroByte => &[0],
                _ => &[],
            };
            let data = [&chunk.data[..], extra].concat();
            assert!(data == record.data, "{} {record:?}", dir.display());
            seen.insert(record.encoding);
            extra_bytes += extra.len();
        }
    }
    assert!(seen.into_iter().eq(Encoding::encodable()));
    assert!(extra_bytes > 0, "a fixture shows the extra byte");
}

fn records(segment: Segment<'_>) -> impl Iterator<Item = ChunkRecord<'_>> {
    let mut offset = SEGMENT_HEADER;
    std::iter::from_fn(move || {
        let record = (offset < segment.len()).then(|| segment.record(offset).unwrap())?;
        offset = record.end;
        Some(record)
    })
}

fn reencode(encoding: Encoding, data: &[u8]) -> (EncodedChunk, Tail) {
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    let shape = decode(encoding, data, 0, |sample| encoder.push(&sample).unwrap()).unwrap();
    assert!(shape.canonical);
    (encoder.finish(), shape.tail)
}

/// One sample of a golden vector. Floats: start, time, value bits. Histograms: start, time, count,
/// zero count, sum bits, schema, zero threshold bits, spans, buckets, custom bounds.
struct Golden<'a>(&'a Json);

impl Golden<'_> {
    fn text(&self, field: usize) -> &str {
        self.0[field].as_str().unwrap()
    }

    fn int(&self, field: usize) -> i64 {
        self.text(field).parse().unwrap()
    }

    fn bits(&self, field: usize) -> u64 {
        u64::from_str_radix(self.text(field), 16).unwrap()
    }

    /// The words of a list such as `[1 2 -3]` or `[{0 2} {1 2}]`.
    fn list(&self, field: usize) -> Vec<&str> {
        let separators = |c: char| "[]{} ".contains(c);
        self.text(field)
            .split(separators)
            .filter(|word| !word.is_empty())
            .collect()
    }

    fn spans(&self, field: usize) -> Vec<Span> {
        let words = self.list(field);
        let span = |pair: &[&str]| Span {
            offset: pair[0].parse().unwrap(),
            length: pair[1].parse().unwrap(),
        };
        words.chunks(2).map(span).collect()
    }

    fn layout(&self) -> HistogramLayout {
        if self.0.as_array().unwrap().len() == 3 {
            return HistogramLayout::default();
        }
        HistogramLayout {
            schema: self.int(5),
            zero_threshold: self.bits(6),
            positive: self.spans(7),
            negative: self.spans(8),
            custom_bounds: self
                .list(11)
                .iter()
                .map(|bound| bound.parse::<f64>().unwrap().to_bits())
                .collect(),
        }
    }

    fn push_to(
        &self,
        encoder: &mut ChunkEncoder,
        counter_reset: CounterReset,
        layout: &HistogramLayout,
    ) {
        let (start, time) = (self.int(0), self.int(1));
        match encoder.encoding().kind() {
            ChunkKind::Floats => {
                let bits = self.bits(2);
                encoder
                    .push(&Sample::Float(FloatSample { time, start, bits }))
                    .unwrap();
            }
            ChunkKind::Histograms => {
                let buckets = |field| -> Vec<i64> {
                    self.list(field)
                        .iter()
                        .map(|word| word.parse().unwrap())
                        .collect()
                };
                let sample = HistogramSample {
                    time,
                    start,
                    counter_reset,
                    layout,
                    sum: self.bits(4),
                    count: self.text(2).parse().unwrap(),
                    zero_count: self.text(3).parse().unwrap(),
                    positive: &buckets(9),
                    negative: &buckets(10),
                };
                encoder.push(&Sample::Histogram(sample)).unwrap();
            }
            ChunkKind::FloatHistograms => {
                let buckets = |field| -> Vec<u64> {
                    let word = |word: &&str| u64::from_str_radix(word, 16).unwrap();
                    self.list(field).iter().map(word).collect()
                };
                let sample = HistogramSample {
                    time,
                    start,
                    counter_reset,
                    layout,
                    sum: self.bits(4),
                    count: self.bits(2),
                    zero_count: self.bits(3),
                    positive: &buckets(9),
                    negative: &buckets(10),
                };
                encoder.push(&Sample::FloatHistogram(sample)).unwrap();
            }
            ChunkKind::Aggregates | ChunkKind::Unknown(_) => panic!("no encoder of samples"),
        }
    }
}

/// Times and values as they occur, and others.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => (0..200i64).prop_map(|k| 1_700_000_000_000 + 15_000 * k),
        1 => -1_000_000..1_000_000i64,
        1 => any::<i64>(),
    ]
}

fn any_bits() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![
        2 => (0..50u32).prop_map(|v| f64::from(v).to_bits()),
        1 => Just(STALE_NAN),
        1 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
    ]
}

/// Sums are stale markers more seldom, as only stale markers may follow one.
fn any_sum() -> impl Strategy<Value = u64> {
    prop_oneof![60 => any::<f64>().prop_map(f64::to_bits), 1 => Just(STALE_NAN)]
}

/// Minus zero is kept by no code for thresholds and bounds.
fn any_threshold() -> impl Strategy<Value = u64> {
    any_bits().prop_map(|bits| if bits << 1 == 0 { 0 } else { bits })
}

fn any_start() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 2 => any_time(), 1 => Just(1_700_000_000_000)]
}

fn any_float() -> impl Strategy<Value = FloatSample> {
    (any_time(), any_start(), any_bits()).prop_map(|(time, start, bits)| FloatSample {
        time,
        start,
        bits,
    })
}

/// A histogram without its layout, one for integer and one for float counts.
type Counts<B> = (i64, i64, u64, u64, u64, Vec<B>, Vec<B>);

fn any_counts<B: std::fmt::Debug>(
    buckets: usize,
    bucket: impl Strategy<Value = B> + Clone,
) -> impl Strategy<Value = Counts<B>> {
    (
        any_time(),
        any_start(),
        any_sum(),
        any_bits(),
        any_bits(),
        prop::collection::vec(bucket.clone(), buckets),
        prop::collection::vec(bucket, buckets),
    )
}

fn any_layout(buckets: usize) -> impl Strategy<Value = HistogramLayout> {
    let bounds =
        prop::collection::vec(prop_oneof![any_threshold(), Just(0.005f64.to_bits())], 0..5);
    let schema = prop_oneof![-4..=8i64, Just(-53)];
    let zero_threshold = prop_oneof![Just(2f64.powi(-128).to_bits()), any_threshold()];
    (schema, zero_threshold, any::<i32>(), 0..=buckets, bounds).prop_map(
        move |(schema, zero_threshold, offset, split, bounds)| {
            let span = |offset, length| Span {
                offset,
                length: length as u64,
            };
            let spans = vec![span(i64::from(offset), split), span(2, buckets - split)];
            HistogramLayout {
                schema,
                zero_threshold,
                positive: spans.clone(),
                negative: spans,
                custom_bounds: if schema == -53 { bounds } else { Vec::new() },
            }
        },
    )
}

fn any_histograms<B: std::fmt::Debug>(
    bucket: impl Strategy<Value = B> + Clone,
) -> impl Strategy<Value = (HistogramLayout, Vec<Counts<B>>)> {
    (0..6usize).prop_flat_map(move |buckets| {
        let counts = any_counts(buckets, bucket.clone());
        (any_layout(buckets), prop::collection::vec(counts, 1..150))
    })
}

fn lend<'a, B>(layout: &'a HistogramLayout, counts: &'a Counts<B>) -> HistogramSample<'a, B> {
    let (time, start, sum, count, zero_count, positive, negative) = counts;
    HistogramSample {
        time: *time,
        start: *start,
        counter_reset: CounterReset::NotReset,
        layout,
        sum: *sum,
        count: *count,
        zero_count: *zero_count,
        positive,
        negative,
    }
}

/// A sample as text, to compare lent ones after the loan. What a stale marker drops is left out.
fn written(sample: &Sample<'_>) -> String {
    match sample {
        Sample::Histogram(h) if h.is_stale() => format!("stale {} {}", h.time, h.start),
        Sample::FloatHistogram(h) if h.is_stale() => format!("stale {} {}", h.time, h.start),
        sample => format!("{sample:?}"),
    }
}

/// Pushes what the encoding takes, decodes the chunk, and expects exactly that back.
fn comes_back<'a>(
    encoding: Encoding,
    samples: impl Iterator<Item = Sample<'a>>,
) -> Result<(), TestCaseError> {
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    let mut taken = Vec::new();
    for sample in samples {
        if encoder.push(&sample).is_ok() {
            taken.push(written(&sample));
        }
    }
    prop_assert_eq!(usize::from(encoder.samples()), taken.len());
    let chunk = encoder.finish();
    let mut decoded = Vec::new();
    let shape = decode(encoding, &chunk.data, 0, |sample| {
        decoded.push(written(&sample));
    })
    .unwrap();
    prop_assert_eq!(decoded, taken);
    prop_assert!(shape.canonical);
    prop_assert_eq!(shape.tail, Tail::Padding);
    Ok(())
}

proptest! {
    #[test]
    fn any_floats_come_back(samples in prop::collection::vec(any_float(), 1..300)) {
        let without_start = samples.iter().map(|sample| Sample::Float(FloatSample { start: 0, ..*sample }));
        comes_back(Encoding::Xor, without_start)?;
        comes_back(Encoding::Xor2, samples.iter().map(|sample| Sample::Float(*sample)))?;
    }

    #[test]
    fn any_integer_histograms_come_back((layout, samples) in any_histograms(any::<i64>())) {
        for encoding in [Encoding::Histogram, Encoding::HistogramSt] {
            comes_back(encoding, samples.iter().map(|counts| Sample::Histogram(lend(&layout, counts))))?;
        }
    }

    #[test]
    fn any_float_histograms_come_back((layout, samples) in any_histograms(any_bits())) {
        for encoding in [Encoding::FloatHistogram, Encoding::FloatHistogramSt] {
            comes_back(encoding, samples.iter().map(|counts| Sample::FloatHistogram(lend(&layout, counts))))?;
        }
    }

    #[test]
    fn floats_cut_into_chunks_lose_nothing(samples in prop::collection::vec(any_float(), 0..500)) {
        for preferred in [Encoding::Xor, Encoding::Xor2] {
            let mut decoded = Vec::new();
            for chunk in float_chunks(samples.iter().copied(), preferred).unwrap() {
                let before = decoded.len();
                decode(chunk.encoding, &chunk.data, 0, |sample| decoded.push(written(&sample))).unwrap();
                prop_assert!((1..=120).contains(&(decoded.len() - before)));
            }
            let expected: Vec<_> = samples.iter().map(|sample| written(&Sample::Float(*sample))).collect();
            prop_assert_eq!(decoded, expected);
        }
    }
}

#[test]
fn floats_are_cut_at_120_and_where_start_timestamps_begin() {
    let sample = |k: i64, start| FloatSample {
        time: 15_000 * k,
        start,
        bits: 0,
    };
    let samples = (0..250).map(|k| sample(k, i64::from(k >= 130)));
    let chunks = float_chunks(samples, Encoding::Xor).unwrap();
    let ranges: Vec<_> = chunks
        .iter()
        .map(|chunk| {
            (
                chunk.encoding,
                chunk.min_time / 15_000,
                chunk.max_time / 15_000,
            )
        })
        .collect();
    assert_eq!(
        ranges,
        [
            (Encoding::Xor, 0, 119),
            (Encoding::Xor, 120, 129),
            (Encoding::Xor2, 130, 249)
        ]
    );
}

#[test]
fn a_sample_that_belongs_into_another_chunk_is_refused_and_leaves_no_trace() {
    let layout = HistogramLayout {
        positive: vec![Span {
            offset: 0,
            length: 1,
        }],
        ..HistogramLayout::default()
    };
    let other = HistogramLayout {
        schema: 3,
        ..layout.clone()
    };
    let good = HistogramSample {
        time: 1,
        start: 0,
        counter_reset: CounterReset::Unknown,
        layout: &layout,
        sum: 0,
        count: 1,
        zero_count: 0,
        positive: &[1i64],
        negative: &[],
    };
    let stale = HistogramSample {
        sum: STALE_NAN,
        ..good
    };
    let bad = [
        HistogramSample {
            layout: &other,
            ..good
        },
        HistogramSample {
            counter_reset: CounterReset::Gauge,
            ..good
        },
        HistogramSample { start: 7, ..good },
        HistogramSample {
            positive: &[],
            ..good
        },
        HistogramSample {
            negative: &[1],
            ..good
        },
    ];
    let mut encoder = ChunkEncoder::new(Encoding::Histogram).unwrap();
    encoder.push(&Sample::Histogram(good)).unwrap();
    for sample in bad {
        encoder.push(&Sample::Histogram(sample)).unwrap_err();
    }
    let float = FloatSample::default();
    encoder.push(&Sample::Float(float)).unwrap_err();
    encoder.push(&Sample::Histogram(stale)).unwrap();
    encoder.push(&Sample::Histogram(good)).unwrap_err();
    encoder.push(&Sample::Histogram(stale)).unwrap();
    assert_eq!(encoder.samples(), 3);

    let mut clean = ChunkEncoder::new(Encoding::Histogram).unwrap();
    for sample in [good, stale, stale] {
        clean.push(&Sample::Histogram(sample)).unwrap();
    }
    assert_eq!(encoder.finish(), clean.finish());
}

#[test]
fn a_full_chunk_takes_no_more() {
    let layout = HistogramLayout::default();
    for (encoding, max) in [(Encoding::Xor, 65_535), (Encoding::HistogramSt, 16_383)] {
        let mut encoder = ChunkEncoder::new(encoding).unwrap();
        for time in 0..=max {
            let empty = (time, 0, 0, 0, 0, vec![], vec![]);
            let sample = match encoding {
                Encoding::Xor => Sample::Float(FloatSample {
                    time,
                    start: 0,
                    bits: 0,
                }),
                _ => Sample::Histogram(lend(&layout, &empty)),
            };
            assert_eq!(
                encoder.push(&sample).is_ok(),
                time < max,
                "{encoding} {time}"
            );
        }
    }
}
