//! Makes sick blocks: copies of healthy fixtures to be spoiled byte by byte, and blocks built from
//! parts by a writer that, unlike the real one, refuses nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use narthex::chunk::encode::{ChunkEncoder, EncodedChunk};
use narthex::chunk::{Encoding, Segment};
use narthex::index::{Index, Toc};
use narthex::model::{FloatSample, Sample};
use narthex::raw::crc32c;
use serde_json::{Value as Json, json};

use crate::fixtures;

/// Name of the blocks that are built from parts.
pub(crate) const ULID: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";

/// A block in a temporary directory that goes away with it.
pub(crate) struct Sick {
    root: tempfile::TempDir,
    /// The block.
    pub(crate) dir: PathBuf,
}

impl Sick {
    /// A copy of the only (or first) block of the fixture `name`.
    pub(crate) fn copy_of(name: &str) -> Self {
        let source = fixtures::blocks_below(&fixtures::fixture(name))
            .into_iter()
            .min()
            .unwrap();
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join(source.file_name().unwrap());
        copy(&source, &dir);
        Sick { root, dir }
    }

    /// The directory the block lies in.
    pub(crate) fn parent(&self) -> &Path {
        self.root.path()
    }

    /// Path of one of its files.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Content of one of its files.
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap()
    }

    /// Replaces one of its files.
    pub(crate) fn write(&self, file: &str, content: &[u8]) {
        fs::write(self.path(file), content).unwrap();
    }

    /// Changes one of its files.
    pub(crate) fn edit(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.read(file);
        change(&mut content);
        self.write(file, &content);
    }

    /// Inverts bits of one byte.
    pub(crate) fn flip(&self, file: &str, offset: u64) {
        self.edit(file, |bytes| bytes[at(offset)] ^= 0x20);
    }

    /// Changes `meta.json` as JSON.
    pub(crate) fn edit_meta(&self, change: impl FnOnce(&mut Json)) {
        self.edit("meta.json", |bytes| {
            let mut meta: Json = serde_json::from_slice(bytes).unwrap();
            change(&mut meta);
            *bytes = serde_json::to_vec(&meta).unwrap();
        });
    }

    /// Deletes what the first series has at the Unix epoch, which is nothing: a block with
    /// deletions is one that `clean_tombstones` rewrites.
    pub(crate) fn delete_nothing(&self) {
        let bytes = self.read("index");
        let first = Index::open(&bytes)
            .ok()
            .and_then(|index| Some(index.series().next()?.unwrap().offset));
        let mut reference = Vec::new();
        uvarint(&mut reference, first.unwrap_or(0) / 16);
        let mut content = [
            &[0x01, 0x30, 0xba, 0x30, 1][..],
            &reference,
            &[0, 2, 0, 0, 0, 0],
        ]
        .concat();
        let end = content.len() - 4;
        seal(&mut content, 5, end);
        self.write("tombstones", &content);
        self.edit_meta(|meta| meta["stats"]["numTombstones"] = json!(1));
    }

    /// Removes a file.
    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    /// The table of contents of the index.
    pub(crate) fn toc(&self) -> Toc {
        Index::open(&self.read("index")).unwrap().toc()
    }

    /// Offsets of the series entries.
    pub(crate) fn series(&self) -> Vec<u64> {
        let bytes = self.read("index");
        let index = Index::open(&bytes).unwrap();
        index.series().map(|entry| entry.unwrap().offset).collect()
    }

    /// Offset and end of the chunk records in a segment.
    pub(crate) fn chunks(&self, segment: &str) -> Vec<(u64, u64)> {
        let bytes = self.read(segment);
        let segment = Segment::new(&bytes);
        let mut chunks = Vec::new();
        let mut offset = 8;
        while let Ok(record) = segment.record(offset) {
            chunks.push((offset, record.end));
            offset = record.end;
        }
        chunks
    }
}

/// Copies a directory.
pub(crate) fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        let target = target.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// An offset as position in a vector.
pub(crate) fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Makes the checksum of the section at `offset` anew: 32 bits of length, content, checksum.
pub(crate) fn seal_section(bytes: &mut [u8], offset: u64) {
    let start = at(offset) + 4;
    let length = u32::from_be_bytes(bytes[at(offset)..start].try_into().unwrap());
    seal(bytes, start, start + at(length.into()));
}

/// Makes the checksum of the series entry or chunk data at `offset` anew: varint of length, `extra`
/// bytes and content, checksum.
pub(crate) fn seal_entry(bytes: &mut [u8], offset: u64, extra: usize) {
    let mut start = at(offset);
    let mut length = 0usize;
    for shift in (0..).step_by(7) {
        let byte = bytes[start];
        start += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    seal(bytes, start, start + length + extra);
}

/// Puts the checksum of `start..end` behind it.
pub(crate) fn seal(bytes: &mut [u8], start: usize, end: usize) {
    let crc = crc32c(&bytes[start..end]).to_be_bytes();
    bytes[end..end + 4].copy_from_slice(&crc);
}

/// A chunk of a block built from parts.
#[derive(Clone)]
pub(crate) struct LooseChunk {
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) encoding: u8,
    pub(crate) data: Vec<u8>,
    /// Whether the index refers to it.
    pub(crate) listed: bool,
    /// Take the place of the chunk before instead of having one.
    pub(crate) shared: bool,
}

impl LooseChunk {
    pub(crate) fn of(chunk: EncodedChunk) -> Self {
        LooseChunk {
            min: chunk.min_time,
            max: chunk.max_time,
            encoding: chunk.encoding.byte(),
            data: chunk.data,
            listed: true,
            shared: false,
        }
    }
}

/// A float chunk with one sample for each of `times`.
pub(crate) fn floats(encoding: Encoding, times: impl IntoIterator<Item = i64>) -> LooseChunk {
    let times = times.into_iter().enumerate();
    floats_of(encoding, times.map(|(k, time)| (time, k as f64 * 1.5)))
}

/// A float chunk of these times and values.
pub(crate) fn floats_of(
    encoding: Encoding,
    samples: impl IntoIterator<Item = (i64, f64)>,
) -> LooseChunk {
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    let mut times = Vec::new();
    for (time, value) in samples {
        let sample = FloatSample {
            time,
            start: 0,
            bits: value.to_bits(),
        };
        encoder.push(&Sample::Float(sample)).unwrap();
        times.push(time);
    }
    let mut chunk = LooseChunk::of(encoder.finish());
    times.sort_unstable();
    (chunk.min, chunk.max) = (times[0], times[times.len() - 1]);
    chunk
}

/// A series of a block built from parts.
#[derive(Clone)]
pub(crate) struct LooseSeries {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) chunks: Vec<LooseChunk>,
}

/// A postings list: its label pair and its references.
pub(crate) type List = ((String, String), Vec<u32>);

/// A block built from parts, each of which can be spoiled before it is written.
pub(crate) struct Loose {
    pub(crate) series: Vec<LooseSeries>,
    pub(crate) symbols: fn(&mut Vec<String>),
    pub(crate) lists: fn(&mut Vec<List>),
    pub(crate) toc: fn(&mut [u64; 6]),
    pub(crate) version: u8,
    /// Range of time in the metadata instead of that of the chunks.
    pub(crate) range: Option<(i64, i64)>,
}

/// Time of the first sample.
pub(crate) const START: i64 = 1_700_000_000_000;

impl Loose {
    /// Four healthy series with two chunks of five samples each.
    pub(crate) fn healthy() -> Self {
        let series = |job: &str| {
            let chunk =
                |k: i64| floats(Encoding::Xor, (0..5).map(|i| START + (5 * k + i) * 15_000));
            LooseSeries {
                labels: [("__name__", "up"), ("job", job)]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                chunks: vec![chunk(0), chunk(1)],
            }
        };
        Loose {
            series: ["a", "b", "c", "d"].map(series).into(),
            symbols: |_| {},
            lists: |_| {},
            toc: |_| {},
            version: 2,
            range: None,
        }
    }

    /// Writes the block.
    pub(crate) fn write(&self) -> Sick {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join(ULID);
        fs::create_dir_all(dir.join("chunks")).unwrap();
        let sick = Sick { root, dir };
        let (segment, references) = self.segment();
        sick.write("chunks/000001", &segment);
        sick.write("index", &self.index(&references));
        sick.write("tombstones", &[0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        sick.write("meta.json", &serde_json::to_vec(&self.meta()).unwrap());
        sick
    }

    fn meta(&self) -> Json {
        let listed = || {
            self.series
                .iter()
                .flat_map(|s| &s.chunks)
                .filter(|c| c.listed)
        };
        let range = || {
            let min = listed().map(|chunk| chunk.min).min().unwrap();
            (min, listed().map(|chunk| chunk.max).max().unwrap() + 1)
        };
        let (min, max) = self.range.unwrap_or_else(range);
        let samples = |chunk: &LooseChunk| u16::from_be_bytes([chunk.data[0], chunk.data[1]]);
        json!({
            "ulid": ULID, "minTime": min, "maxTime": max,
            "stats": {
                "numSamples": listed().map(|chunk| u64::from(samples(chunk))).sum::<u64>(),
                "numSeries": self.series.len(),
                "numChunks": listed().count(),
            },
            "compaction": { "level": 1, "sources": [ULID] },
            "version": 1,
        })
    }

    /// The segment, and the reference of every chunk.
    fn segment(&self) -> (Vec<u8>, Vec<Vec<u64>>) {
        let mut bytes = vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
        let mut references = Vec::new();
        let mut last = 8;
        for series in &self.series {
            let mut of_series = Vec::new();
            for chunk in &series.chunks {
                if !chunk.shared {
                    last = bytes.len() as u64;
                    uvarint(&mut bytes, chunk.data.len() as u64);
                    let start = bytes.len();
                    bytes.push(chunk.encoding);
                    bytes.extend(&chunk.data);
                    let end = bytes.len();
                    bytes.extend([0; 4]);
                    seal(&mut bytes, start, end);
                }
                of_series.push(last);
            }
            references.push(of_series);
        }
        (bytes, references)
    }

    fn index(&self, references: &[Vec<u64>]) -> Vec<u8> {
        let mut symbols: Vec<String> = vec![String::new()];
        for (name, value) in self.series.iter().flat_map(|series| &series.labels) {
            symbols.extend([name.clone(), value.clone()]);
        }
        symbols.sort();
        symbols.dedup();
        (self.symbols)(&mut symbols);

        let mut out = vec![0xba, 0xaa, 0xd7, 0x00, self.version];
        let mut toc = [0u64; 6];
        toc[0] = out.len() as u64;
        let mut content = u32::try_from(symbols.len()).unwrap().to_be_bytes().to_vec();
        let mut offsets = BTreeMap::new();
        for (ordinal, symbol) in symbols.iter().enumerate() {
            let offset = out.len() + 4 + content.len();
            let reference = if self.version == 1 { offset } else { ordinal };
            offsets.entry(symbol.clone()).or_insert(reference as u64);
            string(&mut content, symbol);
        }
        section(&mut out, &content);

        toc[1] = out.len() as u64;
        let mut lists: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
        for (series, references) in self.series.iter().zip(references) {
            let aligned = if self.version == 1 { 1 } else { 16 };
            out.resize(out.len().next_multiple_of(aligned), 0);
            let reference = u32::try_from(out.len() / aligned).unwrap();
            let body = series_body(series, references, &offsets);
            uvarint(&mut out, body.len() as u64);
            out.extend(&body);
            out.extend(crc32c(&body).to_be_bytes());
            lists.entry(Default::default()).or_default().push(reference);
            for pair in &series.labels {
                lists.entry(pair.clone()).or_default().push(reference);
            }
        }
        toc[2] = out.len() as u64;
        toc[4] = toc[2];
        out.resize(out.len().next_multiple_of(4), 0);
        let mut lists: Vec<List> = lists.into_iter().collect();
        (self.lists)(&mut lists);
        let mut table = u32::try_from(lists.len()).unwrap().to_be_bytes().to_vec();
        for ((name, value), references) in &lists {
            table.push(2);
            string(&mut table, name);
            string(&mut table, value);
            uvarint(&mut table, out.len() as u64);
            let mut content = u32::try_from(references.len())
                .unwrap()
                .to_be_bytes()
                .to_vec();
            content.extend(
                references
                    .iter()
                    .flat_map(|reference| reference.to_be_bytes()),
            );
            section(&mut out, &content);
        }
        toc[5] = out.len() as u64;
        toc[3] = toc[5];
        section(&mut out, &table);
        (self.toc)(&mut toc);
        let start = out.len();
        out.extend(toc.iter().flat_map(|offset| offset.to_be_bytes()));
        let end = out.len();
        out.extend([0; 4]);
        seal(&mut out, start, end);
        out
    }
}

fn series_body(
    series: &LooseSeries,
    references: &[u64],
    symbols: &BTreeMap<String, u64>,
) -> Vec<u8> {
    let mut body = Vec::new();
    uvarint(&mut body, series.labels.len() as u64);
    for (name, value) in &series.labels {
        uvarint(&mut body, symbols[name]);
        uvarint(&mut body, symbols[value]);
    }
    let listed: Vec<_> = series
        .chunks
        .iter()
        .zip(references)
        .filter(|(chunk, _)| chunk.listed)
        .collect();
    uvarint(&mut body, listed.len() as u64);
    let mut before: Option<(i64, u64)> = None;
    for (chunk, &reference) in listed {
        match before {
            None => varint(&mut body, chunk.min),
            Some((max, _)) => uvarint(&mut body, chunk.min.wrapping_sub(max) as u64),
        }
        uvarint(&mut body, chunk.max.wrapping_sub(chunk.min) as u64);
        match before {
            None => uvarint(&mut body, reference),
            Some((_, before)) => varint(&mut body, reference.wrapping_sub(before) as i64),
        }
        before = Some((chunk.max, reference));
    }
    body
}

fn section(out: &mut Vec<u8>, content: &[u8]) {
    out.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    out.extend(content);
    out.extend(crc32c(content).to_be_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    uvarint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn varint(out: &mut Vec<u8>, value: i64) {
    uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}
