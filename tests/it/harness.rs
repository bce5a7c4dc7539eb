//! Reads bytes as each of the file formats, as far as that goes. Nothing here may panic or hang, whatever the bytes: property tests
//! and the fuzz targets in `tests/fuzz` call these functions.

use narthex::block::{Meta, Tombstones};
use narthex::chunk::{Encoding, Segment, decode, promised_samples};
use narthex::index::{Format, Index, LabelIndex, Postings, Series, SeriesEntries, Toc};
use narthex::model::SeriesRef;
use narthex::wal::Records;

/// An index: as its own table of contents says, and as one that is made up.
pub(crate) fn index(bytes: &[u8]) {
    if let Ok(index) = Index::open(bytes) {
        sections(index);
    }
    let len = bytes.len() as u64;
    let toc = Toc {
        symbols: 5,
        series: len / 4,
        label_indices: len / 2,
        label_indices_table: len / 2 + len / 8,
        postings: len / 2 + len / 4,
        postings_table: len - len / 8,
    };
    for format in [Format::V1, Format::V2] {
        sections(Index::assume(bytes, format, toc));
    }
}

fn sections(index: Index<'_>) {
    let symbols = index.symbols();
    let mut entries = index.series();
    series(index, &mut entries);
    while entries.resync(entries.position()) {
        series(index, &mut entries);
    }
    if let Ok(symbols) = &symbols {
        for (reference, string) in symbols.iter() {
            assert_eq!(symbols.get(reference, 0).ok(), Some(string));
            let _ = symbols.find(string);
        }
    }
    if let Ok(table) = index.postings_table() {
        for entry in table.iter().map_while(Result::ok) {
            let list = index.postings_section(entry.list);
            if let Ok(list) = list.and_then(|section| Postings::read(&section)) {
                for reference in list.iter() {
                    let _ = index.series_at(reference);
                }
            }
        }
    }
    if let Some(indices) = index.label_indices()
        && let Ok(table) = indices.table_section()
        && let Ok(entries) = indices.entries(&table)
    {
        for entry in entries.map_while(Result::ok) {
            let values = indices.section(entry.index);
            if let Ok(values) = values.and_then(|section| LabelIndex::read(&section)) {
                values.iter().for_each(drop);
            }
        }
    }
    let _ = index.series_at(SeriesRef(u64::MAX));
}

fn series(index: Index<'_>, entries: &mut SeriesEntries<'_>) {
    let mut series = Series::default();
    for entry in entries.by_ref().map_while(Result::ok) {
        if entry.decode(&mut series).is_ok()
            && let Ok(symbols) = index.symbols()
        {
            let _ = index.labels(&symbols, &series, entry.offset);
        }
    }
}

/// A segment of chunks.
pub(crate) fn segment(bytes: &[u8]) {
    let segment = Segment::new(bytes);
    let _ = segment.check_header();
    let mut offset = 8;
    while let Ok(record) = segment.record(offset) {
        let _ = record.check();
        chunk(record.encoding, record.data);
        assert!(record.end > offset);
        offset = record.end;
    }
}

/// A chunk, of every encoding.
pub(crate) fn any_chunk(bytes: &[u8]) {
    for encoding in Encoding::KNOWN {
        chunk(encoding, bytes);
    }
}

/// A chunk of one encoding.
pub(crate) fn chunk(encoding: Encoding, data: &[u8]) {
    let mut samples = 0;
    let shape = decode(encoding, data, 0, |_| samples += 1);
    if let Ok(shape) = shape {
        assert_eq!(shape.samples, samples);
        assert_eq!(promised_samples(encoding, data, 0).ok(), Some(samples));
    }
}

/// A tombstones file.
pub(crate) fn tombstones(bytes: &[u8]) {
    let read = Tombstones::read(bytes);
    assert!(read.records.len() * 3 <= bytes.len());
}

/// Block metadata.
pub(crate) fn meta(bytes: &[u8]) {
    if let Ok(meta) = Meta::parse(bytes) {
        let _ = (meta.duration(), meta.downsampled(), meta.to_json());
    }
}

/// A segment of a write-ahead log.
pub(crate) fn wal(bytes: &[u8]) {
    let mut records = Records::new(bytes);
    while let Ok(Some(record)) = records.next_record() {
        let _ = record.decode();
    }
}
