//! Packs: every block comes back byte for byte, whatever its chunks hold; and no pack, damaged or
//! made to do harm, does more than fail.

use std::fs;

use narthex::chunk::encode::ChunkEncoder;
use narthex::chunk::{Encoding, Segment, Xor2Writer};
use narthex::error::{Error, ErrorKind};
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, STALE_NAN, Sample, Span,
};
use narthex::pack::{BlockBytes, Pack, Packed, Unpackable, write_pack};
use proptest::prelude::*;

use crate::harness::{
    AnyChunk, GroupParts, Segments, block_of, chunks_are_kept, pack, pack_of, uvarint,
    with_directory,
};
use crate::sick::{Loose, Sick};
use crate::{fixtures, harness};

/// Index and segments of a block.
struct Block {
    index: Vec<u8>,
    segments: Vec<Vec<u8>>,
}

impl Block {
    fn read(dir: &std::path::Path) -> Self {
        let mut names: Vec<_> = fs::read_dir(dir.join("chunks"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        Block {
            index: fs::read(dir.join("index")).unwrap(),
            segments: names.iter().map(|name| fs::read(name).unwrap()).collect(),
        }
    }

    fn of(sick: &Sick) -> Self {
        Block::read(&sick.dir)
    }

    fn pack(&self) -> Result<(Packed, Vec<u8>), Unpackable> {
        let bytes = BlockBytes {
            index: &self.index,
            segments: self.segments.iter().map(Vec::as_slice).collect(),
        };
        let mut pack = Vec::new();
        let packed = write_pack(&bytes, &mut pack, &|_| ()).unwrap()?;
        assert_eq!(packed.bytes, pack.len() as u64);
        Ok((packed, pack))
    }

    /// Whether `pack` holds this block.
    fn is_in(&self, packed: &Packed, pack: &[u8]) -> Result<bool, Error> {
        let (mut segments, mut index) = (Segments::default(), Vec::new());
        let out: &mut dyn std::io::Write = &mut index;
        let out = packed.index.map(|generation| (generation, out));
        let has_index = out.is_some();
        Pack::open(pack)?.unpack(&packed.segments, &mut segments, out, &|_| ())?;
        Ok(segments.0 == self.segments && (!has_index || index == self.index))
    }
}

#[test]
fn every_fixture_comes_back_byte_for_byte_and_its_index_is_rebuilt() {
    let mut encodings = [0u64; 256];
    for dir in fixtures::blocks() {
        let block = Block::read(&dir);
        let (packed, pack) = block.pack().unwrap();
        assert!(packed.index.is_some(), "{}", dir.display());
        let histograms = |encodings: &[u64; 256]| [2, 3, 5, 6].map(|id: usize| encodings[id]);
        let before = histograms(&encodings);
        assert_eq!(packed.verbatim, 0, "{}", dir.display());
        assert!(block.is_in(&packed, &pack).unwrap(), "{}", dir.display());
        assert!(
            pack.len() < block.index.len() + block.segments.iter().map(Vec::len).sum::<usize>()
        );
        assert_eq!(Pack::open(&pack[..]).unwrap().chunks(), packed.chunks);
        for segment in &block.segments {
            for (encoding, _) in chunks_in(segment) {
                encodings[usize::from(encoding)] += 1;
            }
        }
        // Histograms have rules of their own, which packing does not look at.
        let only_floats = histograms(&encodings) == before;
        assert_eq!(packed.is_sound, only_floats, "{}", dir.display());
    }
    assert!(
        encodings[1..=6].iter().all(|count| *count > 0),
        "all encodings"
    );
}

fn chunks_in(segment: &[u8]) -> Vec<AnyChunk> {
    let segment = Segment::new(segment);
    let mut chunks = Vec::new();
    let mut offset = 8;
    while let Ok(record) = segment.record(offset) {
        chunks.push((record.encoding.byte(), record.data.to_vec()));
        offset = record.end;
    }
    chunks
}

// ---- damage ----

/// Blocks whose packs are spoilt: floats and labels; histograms and start timestamps.
fn small_blocks() -> [Block; 3] {
    [
        Block::of(&Sick::copy_of("blocks/tiny")),
        Block::of(&Sick::copy_of("blocks/encodings-456")),
        Block::of(&Loose::healthy().write()),
    ]
}

fn assert_located(error: &Error) {
    let text = error.chain().clone();
    assert!(
        text.contains(" at offset ") || text.contains("expected a pack, found"),
        "{text}"
    );
}

#[test]
fn every_prefix_of_a_pack_is_found_and_named() {
    for block in small_blocks() {
        let (packed, pack) = block.pack().unwrap();
        for len in 0..pack.len() {
            assert_located(&block.is_in(&packed, &pack[..len]).unwrap_err());
        }
    }
}

#[test]
fn every_flipped_byte_of_a_pack_is_found_and_named() {
    for block in small_blocks() {
        let (packed, pack) = block.pack().unwrap();
        for at in 0..pack.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut spoilt = pack.clone();
                spoilt[at] ^= mask;
                let error = block.is_in(&packed, &spoilt);
                assert_located(&error.expect_err(&format!("byte {at} of {}", pack.len())));
            }
        }
    }
}

/// The sections of a pack: labels, groups with what the directory says of them.
fn take_apart(pack: &[u8]) -> (Vec<u8>, Vec<GroupParts>) {
    let directory = directory_of(pack);
    let mut rest = &directory[..];
    let section = |rest: &mut &[u8]| {
        let (offset, length) = (read_uvarint(rest), read_uvarint(rest));
        *rest = &rest[4..];
        pack[offset as usize..(offset + length) as usize].to_vec()
    };
    let labels = section(&mut rest);
    let groups = (0..read_uvarint(&mut rest))
        .map(|_| {
            let (timelines, group) = (section(&mut rest), section(&mut rest));
            let mut numbers = vec![read_uvarint(&mut rest), read_uvarint(&mut rest)];
            let needs = numbers[1];
            numbers.extend((0..needs + 6).map(|_| read_uvarint(&mut rest)));
            for _ in 0..2 {
                let length = read_uvarint(&mut rest);
                numbers.extend([0]);
                rest = &rest[length as usize..];
            }
            GroupParts {
                timelines,
                group,
                numbers,
            }
        })
        .collect();
    (labels, groups)
}

/// The content of a pack's directory.
pub(crate) fn directory_of(pack: &[u8]) -> Vec<u8> {
    let trailer = &pack[pack.len() - 24..];
    let offset = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
    read_part(&mut &pack[offset..pack.len() - 24])
}

fn read_part(rest: &mut &[u8]) -> Vec<u8> {
    let (length, stored) = (read_uvarint(rest) as usize, read_uvarint(rest) as usize);
    let (bytes, behind) = rest.split_at(stored);
    *rest = behind;
    if stored == length {
        bytes.to_vec()
    } else {
        zstd::decode_all(bytes).unwrap()
    }
}

pub(crate) fn put_part(out: &mut Vec<u8>, content: &[u8]) {
    uvarint(out, content.len() as u64);
    uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// The first `parts` parts of a section without compression, so that each of their bytes can be
/// changed.
fn without_compression(section: &[u8], parts: usize) -> Vec<u8> {
    let (mut rest, mut out) = (section, Vec::new());
    if !section.is_empty() {
        (0..parts).for_each(|_| put_part(&mut out, &read_part(&mut rest)));
        out.extend_from_slice(rest);
    }
    out
}

fn read_uvarint(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// Positions in a section: all of a short one, some hundred of a long one.
fn places(section: &[u8]) -> impl Iterator<Item = usize> + use<> {
    (0..section.len()).step_by(section.len() / 500 + 1)
}

#[test]
fn whatever_is_changed_under_checksums_that_are_right_does_no_harm() {
    for block in small_blocks() {
        let (packed, pack) = block.pack().unwrap();
        let (labels, groups) = take_apart(&pack);
        let labels = without_compression(&labels, 6);
        let groups: Vec<GroupParts> = groups
            .into_iter()
            .map(|group| GroupParts {
                timelines: without_compression(&group.timelines, 15),
                group: without_compression(&group.group, 15),
                ..group
            })
            .collect();
        assert!(block.is_in(&packed, &pack_of(&labels, &groups)).unwrap());
        let try_it = |labels: &[u8], groups: &[GroupParts]| harness::pack(&pack_of(labels, groups));
        for mask in [0x01, 0xff] {
            for at in places(&labels) {
                let mut labels = labels.clone();
                labels[at] ^= mask;
                try_it(&labels, &groups);
            }
            for number in 0..groups.len() {
                for at in places(&groups[number].group) {
                    let mut groups = groups.clone();
                    groups[number].group[at] ^= mask;
                    try_it(&labels, &groups);
                }
                for at in places(&groups[number].timelines) {
                    let mut groups = groups.clone();
                    groups[number].timelines[at] ^= mask;
                    try_it(&labels, &groups);
                }
                for at in 0..groups[number].numbers.len() {
                    let mut groups = groups.clone();
                    groups[number].numbers[at] ^= u64::from(mask);
                    try_it(&labels, &groups);
                    groups[number].numbers[at] = u64::MAX;
                    try_it(&labels, &groups);
                }
            }
        }
        let content = directory_of(&pack);
        let end = u64::from_le_bytes(pack[pack.len() - 24..][..8].try_into().unwrap()) as usize;
        for at in 0..content.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut content = content.clone();
                content[at] ^= mask;
                harness::pack(&with_directory(pack[..end].to_vec(), &content));
            }
        }
    }
}

#[test]
fn a_pack_says_how_many_of_everything_it_holds_and_is_held_to_it() {
    let block = Block::of(&Sick::copy_of("blocks/encodings-456"));
    let (packed, pack) = block.pack().unwrap();
    let (labels, groups) = take_apart(&pack);
    assert!(block.is_in(&packed, &pack_of(&labels, &groups)).unwrap());
    // Timelines, series, chunks, bytes of chunks.
    let needs = groups[0].numbers[1] as usize;
    for at in [0, 2 + needs, 3 + needs, 5 + needs] {
        let mut groups = groups.clone();
        groups[0].numbers[at] += 1;
        assert!(block.is_in(&packed, &pack_of(&labels, &groups)).is_err());
    }
    let mut fewer = packed.clone();
    fewer.segments[0] -= 1;
    assert!(block.is_in(&fewer, &pack).is_err());
}

// ---- chunks of any kind ----

fn chunk_of(encoding: Encoding, samples: impl IntoIterator<Item = FloatSample>) -> AnyChunk {
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    for sample in samples {
        encoder.push(&Sample::Float(sample)).unwrap();
    }
    (encoding.byte(), encoder.finish().data)
}

fn sample(time: i64, start: i64, value: f64) -> FloatSample {
    FloatSample {
        time,
        start,
        bits: value.to_bits(),
    }
}

/// How many chunks of these series are kept as they are.
fn verbatim(series: &[Vec<AnyChunk>]) -> u64 {
    let (index, segment) = block_of(series);
    let block = Block {
        index,
        segments: vec![segment],
    };
    let (packed, pack) = block.pack().unwrap();
    assert!(block.is_in(&packed, &pack).unwrap());
    packed.verbatim
}

#[test]
fn start_timestamps_before_and_behind_chunks_without_any_come_back() {
    let without = |from: i64| chunk_of(Encoding::Xor, (0..5).map(|i| sample(from + i, 0, 1.5)));
    let with = |from: i64| {
        chunk_of(
            Encoding::Xor2,
            (0..5).map(|i| sample(from + i, 7, i as f64)),
        )
    };
    let mixed = vec![
        vec![without(0), with(10), without(20)],
        vec![with(0), without(10), without(20), with(30)],
        vec![with(0), (9, vec![1, 2]), without(10)],
        vec![(9, vec![]), with(0), with(10)],
    ];
    assert_eq!(verbatim(&mixed), 2);
}

#[test]
fn chunks_that_no_encoder_writes_are_kept_as_they_are() {
    let good = chunk_of(
        Encoding::Xor,
        (0..5).map(|i| sample(i * 15, 0, i as f64 * 0.1)),
    );
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut chunk = good.clone();
        change(&mut chunk.1);
        chunk
    };
    let kept = [
        (255, good.1.clone()),
        (0, good.1.clone()),
        (1, Vec::new()),
        (1, vec![0]),
        (1, vec![0, 0]),
        (1, vec![0, 0, 0]),
        with(&|data| data[1] = 200),
        with(&|data| data.truncate(12)),
        with(&|data| data.extend([0, 0])),
        with(&|data| data.push(1)),
        with(&|data| *data.last_mut().unwrap() |= 1),
        // The first time in more bytes than it needs.
        with(&|data| drop(data.splice(2..3, [0x80, 0]))),
    ];
    for chunk in &kept {
        assert_eq!(verbatim(&[vec![chunk.clone()]]), 1, "{chunk:?}");
        let among = vec![good.clone(), chunk.clone(), good.clone()];
        assert_eq!(verbatim(&[among.clone(), vec![], among]), 2, "{chunk:?}");
    }
    // As Prometheus before 3.0 sometimes wrote: known, and rebuilt.
    let old = with(&|data| data.push(0));
    assert_eq!(verbatim(&[vec![good.clone(), old, good]]), 0);
}

/// A chunk of encoding 4 as `writer` writes it: values of few digits, whose changes waste much of a
/// wide window.
fn written_by(writer: Xor2Writer, from: i64) -> AnyChunk {
    let mut encoder = ChunkEncoder::of_writer(Encoding::Xor2, writer).unwrap();
    for k in from..from + 30 {
        let value = ((k * 7919) % 1013) as f64 / if k % 9 == 0 { 3.0 } else { 4.0 };
        encoder
            .push(&Sample::Float(sample(k * 1000, 0, value)))
            .unwrap();
    }
    (Encoding::Xor2.byte(), encoder.finish().data)
}

/// Version of the pack of these series, and how many chunks are kept as they are.
fn version(series: &[Vec<AnyChunk>]) -> (u8, u64) {
    let (index, segment) = block_of(series);
    let block = Block {
        index,
        segments: vec![segment],
    };
    let (packed, pack) = block.pack().unwrap();
    assert!(block.is_in(&packed, &pack).unwrap());
    (pack[8], packed.verbatim)
}

#[test]
fn chunks_of_either_writer_of_encoding_4_come_back_and_the_version_says_which_there_are() {
    let before = |from| written_by(Xor2Writer::Before316, from);
    let since = |from| written_by(Xor2Writer::Since316, from);
    assert_ne!(before(0), since(0));
    let constant = |from: i64| {
        let samples = (from..from + 9).map(|k| sample(k * 1000, 0, 1.0));
        chunk_of(Encoding::Xor2, samples)
    };
    let with_zero = |(encoding, mut data): AnyChunk| {
        data.push(0);
        (encoding, data)
    };
    let both = vec![vec![constant(0)], vec![constant(9), before(20)]];
    assert_eq!(version(&both), (2, 0));
    let mut newer = both.clone();
    newer.push(vec![since(0), constant(30), before(50), since(80)]);
    assert_eq!(version(&newer), (3, 0));
    let odd = vec![vec![with_zero(before(0)), since(30), with_zero(since(60))]];
    assert_eq!(version(&odd), (3, 0));
    // What nobody writes is kept as it is.
    let (encoding, mut data) = since(0);
    *data.last_mut().unwrap() |= 1;
    let neither = vec![(encoding, data), since(40)];
    assert_eq!(version(&[neither]), (3, 1));
}

#[test]
fn exceptions_of_the_earlier_writer_are_unknown_to_packs_of_version_2() {
    let series = vec![vec![
        written_by(Xor2Writer::Before316, 0),
        written_by(Xor2Writer::Since316, 30),
    ]];
    let (index, segment) = block_of(&series);
    let block = Block {
        index,
        segments: vec![segment],
    };
    let (packed, mut pack) = block.pack().unwrap();
    assert_eq!(pack[8..12], [3, 0, 0, 3]);
    for bit in 0..12 * 8 {
        pack[bit / 8] ^= 1 << (bit % 8);
        assert!(Pack::open(&pack[..]).is_err(), "bit {bit}");
        pack[bit / 8] ^= 1 << (bit % 8);
    }
    pack[8] = 2;
    assert_eq!(
        Pack::open(&pack[..]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    pack[11] = 0;
    let error = block.is_in(&packed, &pack).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.chain());
    pack[8] = 4;
    let error = Pack::open(&pack[..]).unwrap_err();
    assert!(
        error.chain().contains("pack version 4"),
        "{}",
        error.chain()
    );
}

#[test]
fn a_block_without_series_and_series_without_chunks_come_back() {
    chunks_are_kept(&[]);
    chunks_are_kept(&vec![vec![]; 5]);
}

fn histograms(buckets: usize, samples: i64, from: i64) -> AnyChunk {
    let layout = HistogramLayout {
        schema: 0,
        zero_threshold: 0,
        positive: vec![Span {
            offset: 0,
            length: buckets as u64,
        }],
        negative: Vec::new(),
        custom_bounds: Vec::new(),
    };
    let counts: Vec<i64> = (0..buckets as i64).map(|k| k % 7 - 3).collect();
    let mut encoder = ChunkEncoder::new(Encoding::Histogram).unwrap();
    for k in 0..samples {
        let stale = k == samples - 1;
        let sample = HistogramSample {
            time: from + k,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout: &layout,
            sum: if stale { STALE_NAN } else { 1f64.to_bits() },
            count: 100,
            zero_count: 1,
            positive: &counts,
            negative: &[],
        };
        encoder.push(&Sample::Histogram(sample)).unwrap();
    }
    (Encoding::Histogram.byte(), encoder.finish().data)
}

/// Each bucket that does not change takes one bit of a chunk, and eight bytes once it is unpacked.
#[test]
fn histograms_of_very_many_buckets_are_cut_into_groups_and_come_back() {
    let chunks = |from: i64| {
        (0..8)
            .map(|k| histograms(1000, 120, from + k * 1000))
            .collect()
    };
    let series: Vec<Vec<AnyChunk>> = (0..8).map(|k| chunks(k * 50_000)).collect();
    assert_eq!(verbatim(&series), 0, "7.6 million counts in all");
    // One series cannot be cut.
    let long: Vec<AnyChunk> = (0..8).flat_map(|k| chunks(k * 50_000)).collect();
    let kept = verbatim(&[long]);
    assert!(
        (20..40).contains(&kept),
        "{kept} of 64 chunks kept as they are"
    );
}

#[test]
fn an_index_that_lies_is_left_to_the_caller_and_the_chunks_come_back() {
    let mut loose = Loose::healthy();
    loose.series[1].chunks[0].max += 1;
    let block = Block::of(&loose.write());
    let (packed, pack) = block.pack().unwrap();
    assert_eq!((packed.index, packed.is_sound), (None, false));
    assert!(block.is_in(&packed, &pack).unwrap());

    // Series in another order than Prometheus sorts them.
    let mut loose = Loose::healthy();
    loose.series.swap(0, 2);
    let block = Block::of(&loose.write());
    let (packed, pack) = block.pack().unwrap();
    assert_eq!((packed.index, packed.is_sound), (None, true));
    assert!(block.is_in(&packed, &pack).unwrap());
}

#[test]
fn blocks_that_are_laid_out_in_another_way_are_refused_with_a_reason() {
    let reason = |block: &Block| block.pack().unwrap_err().to_string();
    let unlike = |change: &dyn Fn(&mut Loose)| {
        let mut loose = Loose::healthy();
        change(&mut loose);
        reason(&Block::of(&loose.write()))
    };
    assert_eq!(
        unlike(&|loose| loose.version = 1),
        "its index is of version 1"
    );
    let unlisted = unlike(&|loose| loose.series[1].chunks[1].listed = false);
    assert_eq!(unlisted, "its chunks are not in the order of its series");
    let unlisted = unlike(&|loose| loose.series[3].chunks[1].listed = false);
    assert_eq!(
        unlisted,
        "a segment holds more than the chunks of its series"
    );
    let shared = unlike(&|loose| loose.series[1].chunks[1].shared = true);
    assert_eq!(shared, "its chunks are not in the order of its series");

    let healthy = || Block::of(&Loose::healthy().write());
    let mut block = healthy();
    block.segments[0].push(0);
    assert_eq!(
        reason(&block),
        "a segment holds more than the chunks of its series"
    );
    let mut block = healthy();
    block.segments.push(block.segments[0].clone());
    assert_eq!(
        reason(&block),
        "a segment holds more than the chunks of its series"
    );
    let mut block = healthy();
    block.segments.clear();
    assert_eq!(
        reason(&block),
        "a chunk reference names a segment that does not exist"
    );
    let mut block = healthy();
    block.segments[0][7] = 1;
    assert_eq!(
        reason(&block),
        "a segment's header ends in other bytes than zeros"
    );
    let mut block = healthy();
    block.segments[0][20] ^= 1;
    assert!(reason(&block).starts_with("chunk"), "{}", reason(&block));
    let mut block = healthy();
    block.index.truncate(50);
    assert!(reason(&block).contains(" at offset "), "{}", reason(&block));
}

fn any_chunk() -> impl Strategy<Value = AnyChunk> {
    let fixture = (0..6usize, any::<prop::sample::Index>()).prop_map(|(_, at)| {
        let chunks = fixture_chunks();
        chunks[at.index(chunks.len())].clone()
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let changed = (fixture.clone(), changes).prop_map(|((encoding, mut data), changes)| {
        for (place, byte) in changes {
            let place = place.index(data.len());
            data[place] = byte;
        }
        (encoding, data)
    });
    let cut = (fixture, any::<prop::sample::Index>()).prop_map(|((encoding, mut data), len)| {
        data.truncate(len.index(data.len()));
        (encoding, data)
    });
    let with_zero = changed.clone().prop_map(|(encoding, mut data)| {
        data.push(0);
        (encoding, data)
    });
    let arbitrary =
        (0u8..9, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(encoding, mut data)| {
            // Few samples, so that some chunks have as many.
            if let Some(high) = data.first_mut() {
                *high = 0;
            }
            if let Some(low) = data.get_mut(1) {
                *low %= 8;
            }
            (encoding, data)
        });
    let times = prop_oneof![0i64..100, any::<i64>()];
    let values = prop_oneof![Just(0), Just(STALE_NAN), any::<u64>()];
    let encoded = (
        (any::<bool>(), any::<bool>()),
        prop::collection::vec((times, 0i64..2, values), 1..20),
    )
        .prop_map(|((starts, newer), samples)| {
            let encoding = if starts {
                Encoding::Xor2
            } else {
                Encoding::Xor
            };
            let sample = |(time, start, bits)| FloatSample {
                time,
                start: if starts { start } else { 0 },
                bits,
            };
            let writer = Xor2Writer::ALL[usize::from(newer)];
            let mut encoder = ChunkEncoder::of_writer(encoding, writer).unwrap();
            for sample in samples.into_iter().map(sample) {
                encoder.push(&Sample::Float(sample)).unwrap();
            }
            (encoding.byte(), encoder.finish().data)
        });
    prop_oneof![changed, cut, with_zero, arbitrary, encoded]
}

/// Chunks of every encoding.
fn fixture_chunks() -> &'static [AnyChunk] {
    static CHUNKS: std::sync::LazyLock<Vec<AnyChunk>> = std::sync::LazyLock::new(|| {
        let names = ["blocks/encodings-456", "blocks/parents-three"];
        let blocks = names.map(|name| Block::of(&Sick::copy_of(name)));
        blocks
            .iter()
            .flat_map(|block| &block.segments)
            .flat_map(|segment| chunks_in(segment))
            .collect()
    });
    &CHUNKS
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_chunks_come_back(series in prop::collection::vec(prop::collection::vec(any_chunk(), 0..5), 0..5)) {
        chunks_are_kept(&series);
    }

    #[test]
    fn arbitrary_bytes_are_read_as_a_pack_and_as_sections_of_one(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        pack(&bytes);
        harness::sections_of_a_pack(&bytes);
        harness::described_chunks(&bytes);
        harness::cut(&bytes);
    }
}
