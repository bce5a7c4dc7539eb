//! Logs and chunks of the head, made from parts as Prometheus makes them.

use std::fs;
use std::path::Path;

use narthex::raw::crc32c;

/// Bytes of a page of a log.
const PAGE: usize = 32_768;

/// One sample: number of its series, time, value.
pub(crate) type Sample = (u64, i64, f64);

/// A record that defines series by number and name.
pub(crate) fn series(all: &[(u64, &str)]) -> Vec<u8> {
    let mut record = vec![1];
    for (number, name) in all {
        record.extend(number.to_be_bytes());
        record.push(1);
        for text in ["__name__", name] {
            uvarint(&mut record, text.len() as u64);
            record.extend(text.as_bytes());
        }
    }
    record
}

/// A record of float samples.
pub(crate) fn samples(all: &[Sample]) -> Vec<u8> {
    let (number, time, _) = all[0];
    let mut record = vec![2];
    record.extend(number.to_be_bytes());
    record.extend(time.to_be_bytes());
    for (other, then, value) in all {
        varint(
            &mut record,
            i64::try_from(*other).unwrap() - i64::try_from(number).unwrap(),
        );
        varint(&mut record, then - time);
        record.extend(value.to_be_bytes());
    }
    record
}

/// A record of one integer histogram of schema 0 at this time: one span of this length, and these
/// bytes for buckets.
pub(crate) fn histogram(number: u64, time: i64, length: u64, buckets: &[u8]) -> Vec<u8> {
    let mut record = vec![7];
    record.extend(number.to_be_bytes());
    record.extend(time.to_be_bytes());
    record.extend([0; 4]);
    record.extend([0; 8]);
    record.extend([0, 5]);
    record.extend(7_f64.to_be_bytes());
    record.extend([1, 0]);
    uvarint(&mut record, length);
    record.push(0);
    uvarint(&mut record, buckets.len() as u64);
    record.extend(buckets);
    record.push(0);
    record
}

/// A record that says of a series that it is gone from the head.
pub(crate) fn gone(number: u64) -> Vec<u8> {
    let mut record = vec![3];
    record.extend(number.to_be_bytes());
    varint(&mut record, i64::MIN);
    varint(&mut record, i64::MAX);
    record
}

/// A record of the time before which all samples are in blocks.
pub(crate) fn min_valid_time(time: i64) -> Vec<u8> {
    [&[14][..], &time.to_be_bytes()].concat()
}

/// A record of a chunk snapshot: a series without an open chunk, or with one of this encoding and
/// no bytes.
pub(crate) fn snapshot_series(number: u64, name: &str, encoding: Option<u8>) -> Vec<u8> {
    let mut record = series(&[(number, name)]);
    record.extend(7_200_000_i64.to_be_bytes());
    record.push(u8::from(encoding.is_some()));
    if let Some(encoding) = encoding {
        record.extend([0; 16]);
        record.extend([encoding, 0]);
        record.extend([0; 64]);
    }
    record
}

/// A segment of these records, each of which must fit into a page.
pub(crate) fn segment(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        if PAGE - bytes.len() % PAGE < record.len() + 7 {
            bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        }
        bytes.push(1);
        bytes.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        bytes.extend(crc32c(record).to_be_bytes());
        bytes.extend(record);
    }
    bytes
}

/// A segment of this record in two fragments, the first of `first` bytes.
pub(crate) fn fragments(record: &[u8], first: usize) -> Vec<u8> {
    let (begin, end) = record.split_at(first);
    let mut bytes = Vec::new();
    for (kind, part) in [(2, begin), (4, end)] {
        bytes.push(kind);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(crc32c(part).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// A chunk of the head with the same value at each of these times, which lie equally far apart.
pub(crate) fn head_chunk(number: u64, times: &[i64], value: f64, is_late: bool) -> Vec<u8> {
    let mut data = u16::try_from(times.len()).unwrap().to_be_bytes().to_vec();
    varint(&mut data, times[0]);
    data.extend(value.to_be_bytes());
    if let [first, second, ..] = times {
        uvarint(&mut data, u64::try_from(second - first).unwrap());
        // One zero bit says that a value is the one before, another that the times go on as they
        // did.
        data.resize(data.len() + (2 * times.len() - 3).div_ceil(8), 0);
    }
    let mut chunk = number.to_be_bytes().to_vec();
    chunk.extend(times[0].to_be_bytes());
    chunk.extend(times[times.len() - 1].to_be_bytes());
    chunk.push(if is_late { 0x81 } else { 1 });
    uvarint(&mut chunk, data.len() as u64);
    chunk.extend(data);
    let checksum = crc32c(&chunk);
    chunk.extend(checksum.to_be_bytes());
    chunk
}

/// Writes a file of `chunks_head` with these chunks.
pub(crate) fn write_head_chunks(data: &Path, file: &str, chunks: &[Vec<u8>]) {
    let mut bytes = vec![0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];
    bytes.extend(chunks.concat());
    bytes.resize(bytes.len() + 64, 0);
    write(data, &format!("chunks_head/{file}"), &bytes);
}

/// Writes a segment.
pub(crate) fn write_segment(data: &Path, path: &str, records: &[Vec<u8>]) {
    write(data, path, &segment(records));
}

fn write(data: &Path, path: &str, bytes: &[u8]) {
    let path = data.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn uvarint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        bytes.push(u8::try_from(value & 127).unwrap() | 128);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}

fn varint(bytes: &mut Vec<u8>, value: i64) {
    uvarint(bytes, (value << 1 ^ value >> 63).cast_unsigned());
}
