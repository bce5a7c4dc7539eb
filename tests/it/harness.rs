//! Reads bytes as each of the file formats, as far as that goes. Nothing here may panic or hang,
//! whatever the bytes: property tests and the fuzz targets in `tests/fuzz` call these functions.

use std::path::Path;
use std::sync::OnceLock;

use narthex::block::{Block, Meta, Tombstones};
use narthex::chunk::encode::ChunkEncoder;
use narthex::chunk::{Encoding, Segment, decode, promised_samples, put_record, segment_header};
use narthex::cut::cut_block;
use narthex::error::Result;
use narthex::index::{
    Generation, Index, IndexFormat, IndexWriter, LabelIndex, Postings, Series, SeriesEntries,
    SymbolRef, Toc,
};
use narthex::model::{
    ChunkMeta, ChunkRef, CounterReset, FloatSample, HistogramLayout, HistogramSample, Sample,
    SeriesRef, Span, Ulid,
};
use narthex::pack::{
    BlockBytes, KnownPack, Pack, SegmentSink, Splice, plan, unpack, write_pack, write_part,
};
use narthex::raw::ReadMode;
use narthex::select::Selection;
use narthex::statistics::Statistics;
use narthex::usage::Usage;
use narthex::wal::Records;

/// A rule file and a dashboard.
pub(crate) fn usage(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let usage = Usage::of_text(Path::new("text"), &text);
    let _ = usage.of("up");
    assert!(usage.files <= 2);
}

/// Statistics of a stored block.
pub(crate) fn statistics(bytes: &[u8]) {
    if let Ok(found) = Statistics::from_bytes(bytes) {
        let _ = found.totals();
    }
}

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
    for format in [IndexFormat::V1, IndexFormat::V2] {
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
    for encoding in Encoding::decodable() {
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

/// Keeps the segments that are unpacked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments(pub(crate) Vec<Vec<u8>>);

impl SegmentSink for Segments {
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        self.0.resize(position + 1, Vec::new());
        self.0[position].extend_from_slice(bytes);
        Ok(())
    }
}

/// A pack.
pub(crate) fn pack(bytes: &[u8]) {
    let Ok(pack) = Pack::open(bytes) else {
        return;
    };
    let _ = (pack.parts(), pack.samples(), pack.chunks());
    let (mut segments, mut index) = (Segments::default(), Vec::new());
    let rebuilt: Option<(Generation, &mut dyn std::io::Write)> =
        Some((Generation::Plain, &mut index));
    if pack
        .unpack(&[pack.chunks()], &mut segments, rebuilt, &|_| ())
        .is_err()
    {
        let _ = pack.unpack(&[pack.chunks()], &mut Segments::default(), None, &|_| ());
    }
}

/// A splice of this content, over packs that share series and times.
pub(crate) fn splice(content: &[u8]) {
    static PACKS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let packs = PACKS.get_or_init(|| SMALL_PACKS.map(|(step, since)| small_pack(step, since).0));
    let Ok(splice) = Splice::read(&[&b"narthexS\x01"[..], content].concat()) else {
        return;
    };
    assert_eq!(
        Splice::read(&splice.to_bytes()).ok().as_ref(),
        Some(&splice)
    );
    let packs: Vec<_> = packs
        .iter()
        .map(|pack| Pack::open(&pack[..]).unwrap())
        .collect();
    for packs in [&packs[..], &packs[..1]] {
        let (mut segments, mut index) = (Segments::default(), Vec::new());
        let rebuilt: Option<(Generation, &mut dyn std::io::Write)> =
            Some((Generation::Plain, &mut index));
        let _ = unpack(packs, &splice, &[u64::MAX], &mut segments, rebuilt, &|_| ());
    }
}

/// The packs of [`splice`]: steps and first times.
const SMALL_PACKS: [(usize, i64); 2] = [(2, 0), (3, 150)];

/// How the block of these series and times follows from the packs of [`splice`].
pub(crate) fn splice_of_small_packs(step: usize, since: i64) -> Splice {
    let packs = SMALL_PACKS.map(|(step, since)| small_pack(step, since));
    let known = packs.iter().map(|(pack, digests)| {
        KnownPack::new(Pack::open(&pack[..]).unwrap(), Box::new(&digests[..]), true)
    });
    let (index, segment) = small_block(step, since);
    let block = BlockBytes {
        index: &index,
        segments: vec![&segment],
    };
    let mut known: Vec<_> = known.collect();
    let found = plan(&block, (since, since + 400), &mut known).unwrap();
    found.unwrap().splice
}

/// A pack of a [`small_block`], and the digests of its series.
fn small_pack(step: usize, since: i64) -> (Vec<u8>, Vec<u8>) {
    let (index, segment) = small_block(step, since);
    let block = BlockBytes {
        index: &index,
        segments: vec![&segment],
    };
    let (mut pack, mut digests) = (Vec::new(), Vec::new());
    write_part(&block, None, &mut pack, &mut digests, &|_| ())
        .unwrap()
        .unwrap();
    (pack, digests)
}

/// Index and segment of every `step`-th of 12 series, each of four chunks of ten samples from the
/// time `since` on; the last is of histograms.
fn small_block(step: usize, since: i64) -> (Vec<u8>, Vec<u8>) {
    let symbols: Vec<String> = (0..12)
        .map(|number| format!("{number:02}"))
        .chain(["name".into()])
        .collect();
    let layout = HistogramLayout {
        positive: vec![Span {
            offset: 0,
            length: 2,
        }],
        ..HistogramLayout::default()
    };
    let mut segment = segment_header().to_vec();
    let mut index = IndexWriter::new(Vec::new(), Generation::Plain, &symbols).unwrap();
    for number in (0..11u32).step_by(step).chain([11]) {
        let mut metas = Vec::new();
        for chunk in 0..4 {
            let encoding = if number == 11 {
                Encoding::Histogram
            } else {
                Encoding::Xor
            };
            let mut encoder = ChunkEncoder::new(encoding).unwrap();
            for at in 0..10 {
                let time = since + 100 * chunk + 10 * at;
                let sample = if number == 11 {
                    Sample::Histogram(HistogramSample {
                        time,
                        start: 0,
                        counter_reset: CounterReset::Gauge,
                        layout: &layout,
                        sum: 0,
                        count: 2 * time.unsigned_abs(),
                        zero_count: 0,
                        positive: &[time, 0],
                        negative: &[],
                    })
                } else {
                    Sample::Float(FloatSample {
                        time,
                        start: 0,
                        bits: f64::from(number).to_bits(),
                    })
                };
                encoder.push(&sample).unwrap();
            }
            let chunk = encoder.finish();
            let offset = u32::try_from(segment.len()).unwrap();
            put_record(&mut segment, chunk.encoding, &chunk.data);
            metas.push(ChunkMeta {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                reference: ChunkRef::new(0, offset),
            });
        }
        index
            .add_series(&[(SymbolRef(12), SymbolRef(number))], &metas)
            .unwrap();
    }
    (index.finish().unwrap(), segment)
}

/// A pack whose checksums are right, of sections that `bytes` hold: labels, timelines and one
/// group, the first two after their length in two bytes; behind these lengths, what the directory
/// says of the group.
pub(crate) fn sections_of_a_pack(bytes: &[u8]) {
    let Some((numbers, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    let number = |at: usize| u16::from_be_bytes([numbers[at], numbers[at + 1]]);
    let take = |bytes: &[u8], len: u16| {
        let (taken, rest) = bytes.split_at(bytes.len().min(usize::from(len)));
        (taken.to_vec(), rest.to_vec())
    };
    let (labels, rest) = take(rest, number(0));
    let (timelines, group) = take(&rest, number(2));
    let timeline_count = u64::from(number(4));
    let chunks = u64::from(number(6));
    let entry = GroupParts {
        timelines,
        group,
        numbers: vec![timeline_count, 0, 1, chunks, chunks, 0, 0, 0, 0, 0],
    };
    pack(&pack_of(&labels, &[entry]));
}

/// A group as a pack holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupParts {
    pub(crate) timelines: Vec<u8>,
    pub(crate) group: Vec<u8>,
    /// What the directory says behind the places of the sections, as varints.
    pub(crate) numbers: Vec<u64>,
}

/// A pack of these sections, with checksums that are right.
pub(crate) fn pack_of(labels: &[u8], groups: &[GroupParts]) -> Vec<u8> {
    let mut pack = b"narthexP\x01\0\0\0".to_vec();
    let mut directory = Vec::new();
    let section = |pack: &mut Vec<u8>, directory: &mut Vec<u8>, bytes: &[u8]| {
        uvarint(directory, pack.len() as u64);
        uvarint(directory, bytes.len() as u64);
        directory.extend(crc32fast::hash(bytes).to_be_bytes());
        pack.extend_from_slice(bytes);
    };
    section(&mut pack, &mut directory, labels);
    uvarint(&mut directory, groups.len() as u64);
    for group in groups {
        section(&mut pack, &mut directory, &group.timelines);
        section(&mut pack, &mut directory, &group.group);
        for number in &group.numbers {
            uvarint(&mut directory, *number);
        }
    }
    with_directory(pack, &directory)
}

/// Puts a directory of this content behind the sections of a pack, and the trailer.
pub(crate) fn with_directory(mut pack: Vec<u8>, content: &[u8]) -> Vec<u8> {
    let offset = pack.len() as u64;
    let mut part = Vec::new();
    uvarint(&mut part, content.len() as u64);
    uvarint(&mut part, content.len() as u64);
    part.extend_from_slice(content);
    pack.extend_from_slice(&part);
    pack.extend(offset.to_le_bytes());
    pack.extend((part.len() as u32).to_le_bytes());
    pack.extend(crc32fast::hash(&part).to_le_bytes());
    pack.extend(b"narthexP");
    pack
}

pub(crate) fn uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A chunk that a series may have: its encoding and its data.
pub(crate) type AnyChunk = (u8, Vec<u8>);

/// Packs a block of series with these chunks and unpacks it again: every segment comes back as it
/// was.
pub(crate) fn chunks_are_kept(series: &[Vec<AnyChunk>]) {
    let (index, segment) = block_of(series);
    let block = BlockBytes {
        index: &index,
        segments: vec![&segment],
    };
    let mut bytes = Vec::new();
    let packed = write_pack(&block, &mut bytes, &|_| ()).unwrap().unwrap();
    assert_eq!(packed.bytes, bytes.len() as u64);
    let pack = Pack::open(&bytes[..]).unwrap();
    let (mut segments, mut rebuilt) = (Segments::default(), Vec::new());
    let generation = packed.index;
    let out: &mut dyn std::io::Write = &mut rebuilt;
    let out = generation.map(|generation| (generation, out));
    pack.unpack(&packed.segments, &mut segments, out, &|_| ())
        .unwrap();
    assert_eq!(segments.0, [segment]);
    assert!(generation.is_none() || rebuilt == index);
}

/// A block of chunks that `bytes` describe, as for [`described_chunks`], cut down to a time that
/// its first two bytes say: whatever the chunks are, that ends in an error, in nothing, or in a
/// block that can be opened. Says whether there is one.
pub(crate) fn cut(bytes: &[u8]) -> bool {
    let Some((&[since, length], described)) = bytes.split_first_chunk::<2>() else {
        return false;
    };
    let (index, segment) = block_of(&series_of(described));
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join(CUT);
    std::fs::create_dir_all(block.join("chunks")).unwrap();
    std::fs::write(block.join("index"), index).unwrap();
    std::fs::write(block.join("chunks/000001"), segment).unwrap();
    let meta = format!(
        r#"{{"ulid":"{CUT}","minTime":0,"maxTime":100000,"stats":{{}},"compaction":{{"level":1,"sources":["{CUT}"]}},"version":1}}"#
    );
    std::fs::write(block.join("meta.json"), meta).unwrap();
    let block = Block::open(&block, ReadMode::Map).unwrap();
    let (since, length) = (i64::from(since), i64::from(length));
    let part = Selection::new(since, since + length, Vec::new());
    let made = Ulid::from_parts(0, 1);
    let Ok(Some(made)) = cut_block(&block, &part, dir.path(), made) else {
        return false;
    };
    let made = Block::open(&made, ReadMode::Map).unwrap();
    made.meta().stats.num_series > 0 || panic!("a block of no series")
}

/// Name of the block that is cut.
const CUT: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";

/// Index and segment of a block of series with these chunks. What the index says of the times of
/// chunks is made up.
pub(crate) fn block_of(series: &[Vec<AnyChunk>]) -> (Vec<u8>, Vec<u8>) {
    let mut symbols = vec!["n".to_owned()];
    symbols.extend((0..series.len()).map(|number| format!("v{number:06}")));
    let mut segment = segment_header().to_vec();
    let mut writer = IndexWriter::new(Vec::new(), Generation::Plain, &symbols).unwrap();
    for (number, chunks) in (1..).zip(series) {
        let mut metas = Vec::new();
        for (at, (encoding, data)) in (0..).zip(chunks) {
            let offset = u32::try_from(segment.len()).unwrap();
            put_record(&mut segment, Encoding::from_byte(*encoding), data);
            metas.push(ChunkMeta {
                min_time: at * 10,
                max_time: at * 10 + 5,
                reference: ChunkRef::new(0, offset),
            });
        }
        let labels = [(SymbolRef(0), SymbolRef(number))];
        writer.add_series(&labels, &metas).unwrap();
    }
    (writer.finish().unwrap(), segment)
}

/// Chunks that `bytes` describe: for each a byte that says whether it begins a series and how it is
/// encoded, its length, its data.
pub(crate) fn described_chunks(bytes: &[u8]) {
    chunks_are_kept(&series_of(bytes));
}

/// The series that `bytes` describe.
fn series_of(bytes: &[u8]) -> Vec<Vec<AnyChunk>> {
    let mut series: Vec<Vec<AnyChunk>> = Vec::new();
    let mut rest = bytes;
    while let Some((&[what, high, low], behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (data, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        if series.is_empty() || what & 0x80 != 0 {
            series.push(Vec::new());
        }
        if let Some(last) = series.last_mut() {
            last.push((what & 7, data.to_vec()));
        }
    }
    series
}
