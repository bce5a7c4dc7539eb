//! Write-ahead logs: real ones read to their last byte, and whatever can happen to them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use narthex::raw::{FileBytes, ReadMode, crc32c};
use narthex::wal::{
    Compression, End, EntryType, Log, LogConsequence, LogEntry, LogListing, LogRecord,
    MAX_RECORD_BYTES, RawRecord, Records, SegmentFile, SegmentSummary, Summary, summarize,
    summarize_dir,
};
use proptest::prelude::*;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/wal")
        .join(path)
}

fn summary(path: &str) -> Summary {
    let log = if path.ends_with("wbl") {
        Log::Wbl
    } else {
        Log::Wal
    };
    summarize_dir(&fixture(path), log, ReadMode::Map).unwrap()
}

fn segment(bytes: &[u8]) -> SegmentSummary {
    SegmentSummary::of(&SegmentFile::new(0, "00000000"), bytes)
}

/// The whole records in the first `len` bytes of a segment.
fn head(path: &str, len: usize) -> Vec<u8> {
    let mut bytes = fs::read(fixture(path)).unwrap();
    bytes.truncate(len);
    let sound = segment(&bytes).sound_bytes;
    bytes.truncate(usize::try_from(sound).unwrap());
    bytes
}

/// One segment of each compression.
const SEGMENTS: [&str; 4] = [
    "wal-1/wal/00000000",
    "wal-3/wbl/00000000",
    "live-snappy/wal/00000009",
    "live-zstd/wal/00000009",
];

#[test]
fn real_logs_are_read_to_the_last_byte() {
    let mut text = String::new();
    for path in [
        "wal-1/wal",
        "wal-2/wal",
        "wal-3/wal",
        "wal-3/wbl",
        "out-of-order/wal",
        "out-of-order/wbl",
        "live-snappy/wal",
        "live-snappy/wbl",
        "live-zstd/wal",
        "live-zstd/wbl",
        "../night-1/wal",
        "../night-2/wal",
    ] {
        let summary = summary(path);
        assert_eq!(summary.problems, [], "{path}");
        assert_eq!(summary.outcome(), &LogConsequence::Nothing);
        for segment in summary.checkpoint.iter().chain(&summary.segments) {
            assert_eq!(segment.end, End::Clean, "{path}");
            assert_eq!(segment.sound_bytes, segment.bytes, "{path}");
        }
        let all = &summary.replayed;
        let records: u64 = all.records.values().sum();
        writeln!(
            text,
            "{path}: {} bytes, {} + {} segments, {records} records, {} series, {} floats, {} histograms, \
             {} tombstones, {} exemplars, {} markers, {:?}",
            summary.bytes(),
            summary.checkpoint.len(),
            summary.segments.len(),
            all.series,
            all.floats,
            all.histograms,
            all.tombstones,
            all.exemplars,
            all.markers,
            all.times,
        )
        .unwrap();
    }
    insta::assert_snapshot!(text, @"
    wal-1/wal: 196608 bytes, 0 + 1 segments, 721 records, 40 series, 7560 floats, 1920 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1699999200005, 1700002785009))
    wal-2/wal: 229376 bytes, 0 + 1 segments, 721 records, 40 series, 7560 floats, 1920 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1699999200005, 1700002785009))
    wal-3/wal: 557056 bytes, 0 + 1 segments, 4585 records, 40 series, 19360 floats, 4224 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1699988102549, 1700007105009))
    wal-3/wbl: 131072 bytes, 0 + 1 segments, 3092 records, 0 series, 2994 floats, 0 histograms, 0 tombstones, 0 exemplars, 98 markers, Some((1699988102549, 1700007091391))
    out-of-order/wal: 1769472 bytes, 0 + 2 segments, 9481 records, 40 series, 64720 floats, 16640 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1699999200005, 1700031585009))
    out-of-order/wbl: 0 bytes, 0 + 1 segments, 0 records, 0 series, 0 floats, 0 histograms, 0 tombstones, 0 exemplars, 0 markers, None
    live-snappy/wal: 341755 bytes, 1 + 3 segments, 340 records, 608 series, 39569 floats, 1137 histograms, 2 tombstones, 1340 exemplars, 0 markers, Some((1795313347937, 1795313509935))
    live-snappy/wbl: 32768 bytes, 0 + 1 segments, 36 records, 0 series, 114 floats, 0 histograms, 0 tombstones, 0 exemplars, 10 markers, Some((1795313401963, 1795313489935))
    live-zstd/wal: 252755 bytes, 1 + 3 segments, 340 records, 588 series, 38229 floats, 1137 histograms, 2 tombstones, 1340 exemplars, 0 markers, Some((1795313347937, 1795313509934))
    live-zstd/wbl: 32768 bytes, 0 + 1 segments, 35 records, 0 series, 110 floats, 0 histograms, 0 tombstones, 0 exemplars, 10 markers, Some((1795313402939, 1795313489934))
    ../night-1/wal: 594288 bytes, 1 + 4 segments, 679 records, 278 series, 59073 floats, 1800 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1795312605855, 1795312717886))
    ../night-2/wal: 466635 bytes, 1 + 3 segments, 496 records, 278 series, 44280 floats, 1312 histograms, 0 tombstones, 0 exemplars, 0 markers, Some((1795312786358, 1795312867886))
    ");
}

#[test]
fn every_number_of_bytes_that_reached_the_disk_is_a_legal_tail() {
    for path in SEGMENTS {
        let bytes = fs::read(fixture(path)).unwrap();
        let whole = segment(&bytes).contents;
        let near_page_end = 32_700..32_840;
        for cut in (0..3000)
            .chain(near_page_end)
            .chain((0..bytes.len()).step_by(977))
        {
            let cut_off = segment(&bytes[..cut]);
            match &cut_off.end {
                End::Clean => {}
                End::Torn(malformed) => assert!(malformed.offset <= cut as u64),
                other => panic!("{path} cut at {cut}: {other:?}"),
            }
            assert!(cut_off.contents.samples() <= whole.samples());
            assert!(cut_off.sound_bytes <= cut as u64);
        }
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    for path in SEGMENTS {
        let mut bytes = head(path, 5_000);
        let records = bytes.len();
        bytes.resize(32 * 1024, 0);
        assert_eq!(segment(&bytes).end, End::Clean);
        let (content, padding) = (0..records, (records..bytes.len()).step_by(41));
        for at in content.chain(padding).chain([records, records + 1]) {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                let flipped = segment(&bytes);
                assert!(
                    flipped.end != End::Clean || !flipped.oddities.is_empty(),
                    "{path}: bit {bit} of byte {at}"
                );
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn damage_anywhere_in_a_live_wal_is_placed_and_its_price_is_told() {
    let files: Vec<_> = [
        "checkpoint.00000008/00000000",
        "00000009",
        "00000010",
        "00000011",
    ]
    .iter()
    .map(|path| {
        (
            *path,
            fs::read(fixture("live-zstd/wal").join(path)).unwrap(),
        )
    })
    .collect();
    for (damaged, later) in [
        ("checkpoint.00000008/00000000", 3),
        ("00000009", 2),
        ("00000010", 1),
        ("00000011", 0),
    ] {
        let listing = LogListing::of(files.iter().map(|(path, _)| LogEntry::file(*path)));
        let summary = summarize(&listing, Log::Wal, |file| {
            let (_, bytes) = files.iter().find(|(path, _)| *path == file.path).unwrap();
            let mut bytes = bytes.clone();
            if file.path == damaged {
                bytes[2000] ^= 4;
            }
            Ok(bytes)
        });
        let problem = summary.first_damage().unwrap();
        assert_eq!(problem.path, damaged);
        assert!(problem.offset.unwrap() <= 2000);
        match summary.outcome() {
            LogConsequence::Repairs { deletes, .. } => assert_eq!(deletes.len(), later),
            LogConsequence::Destroys { deletes } => {
                assert_eq!(deletes.len(), 3);
                assert!(damaged.starts_with("checkpoint"));
            }
            other => panic!("{damaged}: {other:?}"),
        }
    }
}

#[test]
fn mapped_read_and_captured_files_give_the_same_summary() {
    let path = fixture("live-snappy/wal");
    let mapped = summarize_dir(&path, Log::Wal, ReadMode::Map).unwrap();
    let read = summarize_dir(&path, Log::Wal, ReadMode::Read).unwrap();
    assert_eq!(mapped.segments, read.segments);
    let names = [
        "checkpoint.00000008/00000000",
        "00000011",
        "00000010",
        "00000009",
    ];
    let open: Vec<_> = names
        .iter()
        .map(|name| (*name, fs::File::open(path.join(name)).unwrap()))
        .collect();
    let listing = LogListing::of(names.map(LogEntry::file));
    let captured = summarize(&listing, Log::Wal, |file| {
        let (name, file) = open.iter().find(|(name, _)| *name == file.path).unwrap();
        FileBytes::of(file, Path::new(name), ReadMode::Map)
    });
    assert_eq!(captured.checkpoint, mapped.checkpoint);
    assert_eq!(captured.segments, mapped.segments);
    assert_eq!(captured.replayed, mapped.replayed);
}

const KINDS: [EntryType; 5] = [
    EntryType::File,
    EntryType::EmptyDirectory,
    EntryType::Directory,
    EntryType::Pipe,
    EntryType::Other,
];

/// Reads everything there is in `bytes`, taken for a segment.
fn exhaust(bytes: &[u8]) {
    let mut records = Records::new(bytes);
    while let Ok(Some(record)) = records.next_record() {
        assert!(record.payload.len() <= bytes.len().max(MAX_RECORD_BYTES));
        assert!(record.offset < record.end && record.end <= bytes.len() as u64);
        decode(&record);
    }
    assert!(records.next_record().unwrap().is_none());
    assert!(segment(bytes).sound_bytes <= bytes.len() as u64);
}

fn decode(record: &RawRecord<'_>) {
    let most = record.payload.len();
    let entries = match record.decode() {
        Err(_) | Ok(None) => 0,
        Ok(Some(LogRecord::Series(list))) => list.count(),
        Ok(Some(LogRecord::Samples(list))) => list.count(),
        Ok(Some(LogRecord::Tombstones(list))) => list.count(),
        Ok(Some(LogRecord::Exemplars(list))) => list.count(),
        Ok(Some(LogRecord::Markers(list))) => list.count(),
        Ok(Some(LogRecord::Metadata(list))) => list.count(),
        Ok(Some(LogRecord::Histograms(list))) => list.count(),
        Ok(Some(LogRecord::FloatHistograms(list))) => list.count(),
        Ok(Some(LogRecord::MinValidTime(time))) => usize::from(time.is_some()),
    };
    assert!(entries <= most, "an entry takes at least one byte");
}

/// A fragment whose checksum is right.
fn fragment((kind, payload): (u8, Vec<u8>)) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let checksum = crc32c(&payload).to_be_bytes();
    [&[kind], &len[..], &checksum, &payload].concat()
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        exhaust(&bytes);
    }

    #[test]
    fn any_fragments_are_read_to_an_end(
        fragments in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(fragment),
            0..12,
        ),
    ) {
        exhaust(&fragments.concat());
    }

    #[test]
    fn any_content_of_any_record_type_is_decoded_to_an_end(
        kind in 0u8..16,
        content in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..200),
    ) {
        let payload = [&[kind][..], &content].concat();
        decode(&RawRecord { offset: 0, end: 0, compression: Compression::None, payload: &payload, is_padded: false });
    }

    #[test]
    fn any_names_are_sorted_and_judged(
        names in prop::collection::vec("(checkpoint\\.)?[-+0-9x]{0,20}(/[0-9a]{0,3})?(\\.tmp|\\.repair)?", 0..8),
        kinds in any::<u8>(),
    ) {
        let entries = names.iter().enumerate().map(|(i, name)| LogEntry {
            path: name.clone(),
            kind: KINDS[usize::from(kinds.wrapping_add(i as u8) % 5)],
        });
        let listing = LogListing::of(entries);
        for log in [Log::Wal, Log::Wbl] {
            let summary = summarize(&listing, log, |_| Ok(Vec::new()));
            prop_assert!(summary.segments.len() + summary.superseded.len() == listing.segments.len());
        }
    }
}
