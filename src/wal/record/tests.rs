//! Golden payloads of Prometheus 3.14, and payloads of the record types for which there are none,
//! written by hand after the layout.

use super::super::compression::Compression;
use super::*;
use crate::model::{CounterReset, FloatSample, Span};
use crate::raw::varint::{write_uvarint, write_varint};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn decode(payload: &[u8]) -> LogRecord<'_> {
    let raw = RawRecord {
        offset: 77,
        end: 0,
        compression: Compression::None,
        payload,
        is_padded: false,
    };
    raw.decode().unwrap().unwrap()
}

fn all<'a, D: Decode<'a>>(entries: Entries<'a, D>) -> Vec<D::Entry> {
    entries.map(Result::unwrap).collect()
}

/// Fields of a hand-written payload.
#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    fn of(kind: RecordType) -> Self {
        Payload(vec![kind as u8])
    }

    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn uvarint(mut self, value: u64) -> Self {
        write_uvarint(&mut self.0, value);
        self
    }

    fn varint(mut self, value: i64) -> Self {
        write_varint(&mut self.0, value);
        self
    }

    fn string(self, value: &str) -> Self {
        let mut with_len = self.uvarint(value.len() as u64);
        with_len.0.extend(value.bytes());
        with_len
    }
}

fn float(series: u64, time: i64, value: f64, start: i64) -> SampleEntry {
    SampleEntry {
        series: HeadSeriesRef(series),
        sample: FloatSample {
            time,
            start,
            bits: value.to_bits(),
        },
    }
}

#[test]
fn golden_samples_decode_with_and_without_start_timestamps() {
    let v1 = bytes(
        "02000000000000000100000000000003e800003ff000000000000004004000000000000000060a40\
         0800000000000002014010000000000000",
    );
    let v2 = bytes(
        "0b02d00f003ff0000000000000040002880e4000000000000000020a014008000000000000030102\
         ec0e4010000000000000",
    );
    let LogRecord::Samples(entries) = decode(&v1) else {
        panic!("type 2");
    };
    let wanted = [
        (1, 1000, 1.0),
        (3, 1000, 2.0),
        (4, 1005, 3.0),
        (2, 999, 4.0),
    ];
    assert_eq!(all(entries), wanted.map(|(s, t, v)| float(s, t, v, 0)));
    let LogRecord::Samples(entries) = decode(&v2) else {
        panic!("type 11");
    };
    let starts = [0, 900, 900, 950];
    let wanted: Vec<_> = wanted
        .iter()
        .zip(starts)
        .map(|((s, t, v), start)| float(*s, *t, *v, start))
        .collect();
    assert_eq!(all(entries), wanted);
}

#[test]
fn golden_series_markers_and_metadata_decode() {
    let series = bytes("0100000000000000010101610162");
    let LogRecord::Series(entries) = decode(&series) else {
        panic!("type 1");
    };
    let entries = all(entries);
    assert_eq!(entries[0].series, HeadSeriesRef(1));
    assert_eq!(entries[0].labels.to_labels().to_string(), r#"{a="b"}"#);

    let markers = bytes("0500000000000000070000000100000008");
    let LogRecord::Markers(entries) = decode(&markers) else {
        panic!("type 5");
    };
    let [marker] = all(entries)[..] else {
        panic!("one marker");
    };
    assert_eq!(marker.series, HeadSeriesRef(7));
    assert_eq!((marker.chunk.file(), marker.chunk.offset()), (1, 8));
    assert_eq!(marker.chunk.to_string(), "000001:8");

    let metadata = bytes("06ac02010204554e495401730448454c500168");
    let LogRecord::Metadata(entries) = decode(&metadata) else {
        panic!("type 6");
    };
    let wanted = MetadataEntry {
        series: HeadSeriesRef(300),
        metric_type: 1,
        unit: b"s",
        help: b"h",
    };
    assert_eq!(all(entries), [wanted]);
}

#[test]
fn metadata_fields_of_later_versions_are_passed_over() {
    let payload = Payload::of(RecordType::Metadata)
        .uvarint(1)
        .u8(2)
        .uvarint(3)
        .string("COLOUR")
        .string("red")
        .string("HELP")
        .string("it helps")
        .string("UNIT")
        .string("")
        .uvarint(9)
        .u8(0)
        .uvarint(0);
    let LogRecord::Metadata(entries) = decode(&payload.0) else {
        panic!("type 6");
    };
    let entries = all(entries);
    assert_eq!(entries[0].help, b"it helps");
    assert_eq!(entries[1].series, HeadSeriesRef(9));
}

#[test]
fn tombstones_and_exemplars_decode() {
    let payload = Payload::of(RecordType::Tombstones)
        .u64(4)
        .varint(-5)
        .varint(i64::MAX)
        .u64(5)
        .varint(i64::MIN)
        .varint(0);
    let LogRecord::Tombstones(entries) = decode(&payload.0) else {
        panic!("type 3");
    };
    let times = |t: &TombstoneEntry| (t.series.0, t.min_time, t.max_time);
    let found: Vec<_> = all(entries).iter().map(times).collect();
    assert_eq!(found, [(4, -5, i64::MAX), (5, i64::MIN, 0)]);

    let payload = Payload::of(RecordType::Exemplars)
        .u64(10)
        .u64(1000)
        .varint(0)
        .varint(0)
        .u64(1)
        .uvarint(1)
        .string("trace_id")
        .string("abc")
        .varint(-3)
        .varint(7)
        .u64(2)
        .uvarint(0);
    let LogRecord::Exemplars(entries) = decode(&payload.0) else {
        panic!("type 4");
    };
    let entries = all(entries);
    assert_eq!(
        entries[0].labels.to_labels().to_string(),
        r#"{trace_id="abc"}"#
    );
    assert_eq!(
        (entries[1].series.0, entries[1].time, entries[1].bits),
        (7, 1007, 2)
    );
    assert_eq!(entries[1].labels.iter().count(), 0);
}

/// An integer histogram after its stamp: two spans, three buckets.
fn integer_histogram(payload: Payload, schema: i64) -> Payload {
    let buckets = payload
        .u8(1)
        .varint(schema)
        .u64(0x3800_0000_0000_0000)
        .uvarint(2)
        .uvarint(300)
        .u64(18.4f64.to_bits())
        .uvarint(2)
        .varint(-1)
        .uvarint(2)
        .varint(4)
        .uvarint(1)
        .uvarint(0)
        .uvarint(3)
        .varint(1)
        .varint(-1)
        .varint(70)
        .uvarint(0);
    if schema == -53 {
        buckets.uvarint(1).u64(0.5f64.to_bits())
    } else {
        buckets
    }
}

#[test]
fn integer_histograms_of_all_three_types_decode() {
    for kind in [
        RecordType::HistogramSamples,
        RecordType::CustomBucketsHistogramSamples,
    ] {
        let payload = Payload::of(kind).u64(3).u64(1000).varint(1).varint(-1);
        let payload = integer_histogram(payload, 3).varint(2).varint(0);
        let payload = integer_histogram(payload, -53);
        let LogRecord::Histograms(entries) = decode(&payload.0) else {
            panic!("{kind:?}");
        };
        let [first, second] = &all(entries)[..] else {
            panic!("two histograms");
        };
        assert_eq!((first.series.0, first.time, first.start), (4, 999, 0));
        assert_eq!(first.counter_reset, CounterReset::Reset);
        assert_eq!((first.zero_count, first.count), (2, 300));
        let spans = [(-1, 2), (4, 1)].map(|(offset, length)| Span { offset, length });
        assert_eq!(first.layout.positive, spans);
        assert_eq!(first.sample().positive, [1, -1, 70]);
        assert!(first.layout.custom_bounds.is_empty());
        assert_eq!((second.series.0, second.time), (5, 1000));
        assert_eq!(second.layout.custom_bounds, [0.5f64.to_bits()]);
    }
    let payload = Payload::of(RecordType::HistogramSamplesV2)
        .varint(9)
        .varint(1000)
        .varint(500);
    let payload = integer_histogram(payload, 3).varint(-2).varint(5).u8(1);
    let payload = integer_histogram(payload, -53)
        .varint(1)
        .varint(6)
        .u8(2)
        .varint(4);
    let payload = integer_histogram(payload, 0);
    let LogRecord::Histograms(entries) = decode(&payload.0) else {
        panic!("type 12");
    };
    let stamps: Vec<_> = all(entries)
        .iter()
        .map(|entry| (entry.series.0, entry.time, entry.start))
        .collect();
    assert_eq!(stamps, [(9, 1000, 500), (7, 1005, 500), (8, 1006, 504)]);
}

#[test]
fn float_histograms_of_all_three_types_decode() {
    let with_histogram = |payload: Payload| {
        payload
            .u8(3)
            .varint(-53)
            .u64(0)
            .u64(1.5f64.to_bits())
            .u64(2.5f64.to_bits())
            .u64(crate::model::STALE_NAN)
            .uvarint(0)
            .uvarint(1)
            .varint(0)
            .uvarint(1)
            .uvarint(0)
            .uvarint(1)
            .u64(7.5f64.to_bits())
            .uvarint(0)
    };
    for kind in [
        RecordType::FloatHistogramSamples,
        RecordType::CustomBucketsFloatHistogramSamples,
        RecordType::FloatHistogramSamplesV2,
    ] {
        let payload = Payload::of(kind);
        let payload = if kind == RecordType::FloatHistogramSamplesV2 {
            payload.varint(3).varint(1000).varint(0)
        } else {
            payload.u64(3).u64(1000).varint(0).varint(0)
        };
        let payload = with_histogram(payload);
        let LogRecord::FloatHistograms(entries) = decode(&payload.0) else {
            panic!("{kind:?}");
        };
        let [entry] = &all(entries)[..] else {
            panic!("one histogram");
        };
        assert_eq!((entry.series.0, entry.time), (3, 1000));
        assert_eq!(entry.counter_reset, CounterReset::Gauge);
        assert_eq!(entry.zero_count, 1.5f64.to_bits());
        assert_eq!(entry.sample().negative, [7.5f64.to_bits()]);
        assert!(entry.sample().is_stale());
        assert!(entry.has_known_schema());
    }
}

#[test]
fn a_record_of_its_type_byte_alone_is_an_empty_list() {
    for kind in RecordType::ALL {
        let payload = [kind as u8];
        let entries = match decode(&payload) {
            LogRecord::Series(list) => list.count(),
            LogRecord::Samples(list) => list.count(),
            LogRecord::Tombstones(list) => list.count(),
            LogRecord::Exemplars(list) => list.count(),
            LogRecord::Markers(list) => list.count(),
            LogRecord::Metadata(list) => list.count(),
            LogRecord::Histograms(list) => list.count(),
            LogRecord::FloatHistograms(list) => list.count(),
            // The only type that is no list.
            LogRecord::MinValidTime(time) => usize::from(time.is_some()),
        };
        assert_eq!(entries, 0, "{kind:?}");
        assert_eq!(RecordType::from_byte(kind as u8), Some(kind));
    }
    for unknown in [0, 15, 255] {
        assert_eq!(RecordType::from_byte(unknown), None);
    }
}

#[test]
fn a_minimum_valid_time_is_eight_bytes_big_endian_and_nothing_else() {
    // The first record of a checkpoint of Prometheus 3.16.
    let payload = bytes("0e000001a0c51ff100");
    let found = |payload: &[u8]| match decode(payload) {
        LogRecord::MinValidTime(time) => time,
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&payload), Some(1_790_013_600_000));
    assert_eq!(found(&payload[..8]), None);
    assert_eq!(found(&[&payload[..], &[0]].concat()), None);
}

#[test]
fn a_cut_entry_ends_the_list_with_one_error_at_the_start_of_the_record() {
    let payload = bytes("02000000000000000100000000000003e800003ff00000000000000400400000");
    let LogRecord::Samples(entries) = decode(&payload) else {
        panic!("type 2");
    };
    let found: Vec<_> = entries.collect();
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[1].as_ref().unwrap_err().to_string(),
        "samples record at offset 77: expected 8 more bytes, found 3"
    );
    let base_cut = RawRecord {
        offset: 5,
        end: 0,
        compression: Compression::None,
        payload: &payload[..9],
        is_padded: false,
    };
    assert_eq!(
        base_cut.decode().unwrap_err().to_string(),
        "samples record at offset 5: expected 8 more bytes, found 0"
    );
}

#[test]
fn a_count_beyond_the_record_reserves_nothing() {
    let payload = Payload::of(RecordType::Series).u64(1).uvarint(u64::MAX);
    let LogRecord::Series(mut entries) = decode(&payload.0) else {
        panic!("type 1");
    };
    assert!(entries.next().unwrap().is_err());
    assert!(entries.next().is_none());
}
