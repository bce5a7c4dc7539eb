//! Blocks spliced from packs: whatever compaction did, the block comes back byte for byte, and
//! nothing is stored twice.

use std::collections::BTreeMap;
use std::ops::Range;

use narthex::chunk::encode::{ChunkEncoder, EncodedChunk};
use narthex::chunk::{Encoding, Xor2Writer, put_record, segment_header};
use narthex::index::{Generation, IndexWriter, SymbolRef};
use narthex::model::{ChunkMeta, ChunkRef, FloatSample, Millis, Sample};
use narthex::pack::{
    BlockBytes, KnownPack, Pack, Splice, SplicePlan, Unpackable, plan, unpack, write_part,
};
use proptest::prelude::*;

use crate::harness::Segments;

/// Series by the value of their one label; each has chunks of samples: time and value.
type Series = BTreeMap<u32, Vec<Vec<(Millis, u64)>>>;

/// Index and segment of a block.
#[derive(Clone)]
struct Block {
    index: Vec<u8>,
    segment: Vec<u8>,
    range: (Millis, Millis),
}

/// A chunk of series `number`: every fourth series is written by the one writer of encoding 4,
/// every fourth by the other.
fn encode(number: u32, samples: &[(Millis, u64)]) -> EncodedChunk {
    let (encoding, writer) = match number % 4 {
        1 => (Encoding::Xor2, Xor2Writer::Before316),
        2 => (Encoding::Xor2, Xor2Writer::Since316),
        _ => (Encoding::Xor, Xor2Writer::default()),
    };
    let mut encoder = ChunkEncoder::of_writer(encoding, writer).unwrap();
    for (time, bits) in samples {
        let sample = FloatSample {
            time: *time,
            start: 0,
            bits: *bits,
        };
        encoder.push(&Sample::Float(sample)).unwrap();
    }
    encoder.finish()
}

impl Block {
    /// A block of `series`; `symbols` are values beyond those in use.
    fn of(series: &Series, symbols: &[u32], range: (Millis, Millis)) -> Self {
        Block::with(series, symbols, range, |_| ())
    }

    /// The same, whose index says of the chunks of a series what `change` makes of it.
    fn with(
        series: &Series,
        symbols: &[u32],
        range: (Millis, Millis),
        change: impl Fn(&mut Vec<ChunkMeta>),
    ) -> Self {
        let mut table: Vec<String> = series
            .keys()
            .chain(symbols)
            .map(|number| format!("value-{number:04}"))
            .chain(["name".to_owned()])
            .collect();
        table.sort();
        table.dedup();
        let place = |symbol: &str| {
            let place = table.binary_search_by(|known| known.as_str().cmp(symbol));
            SymbolRef(u32::try_from(place.unwrap()).unwrap())
        };
        let mut segment = segment_header().to_vec();
        let mut index = IndexWriter::new(Vec::new(), Generation::Plain, &table).unwrap();
        for (number, chunks) in series {
            let mut metas = Vec::new();
            for samples in chunks {
                let chunk = encode(*number, samples);
                let offset = u32::try_from(segment.len()).unwrap();
                put_record(&mut segment, chunk.encoding, &chunk.data);
                metas.push(ChunkMeta {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time,
                    reference: ChunkRef::new(0, offset),
                });
            }
            change(&mut metas);
            let labels = [(place("name"), place(&format!("value-{number:04}")))];
            index.add_series(&labels, &metas).unwrap();
        }
        Block {
            index: index.finish().unwrap(),
            segment,
            range,
        }
    }

    fn bytes(&self) -> BlockBytes<'_> {
        BlockBytes {
            index: &self.index,
            segments: vec![&self.segment],
        }
    }
}

/// A pack, and the digests of its series.
struct Packed {
    pack: Vec<u8>,
    digests: Vec<u8>,
    samples: u64,
}

impl Packed {
    fn whole(block: &Block) -> Self {
        Packed::of(block, None)
    }

    fn of(block: &Block, plan: Option<&SplicePlan>) -> Self {
        let selection = plan.and_then(|plan| plan.own.as_ref());
        let (mut pack, mut digests) = (Vec::new(), Vec::new());
        let packed = write_part(&block.bytes(), selection, &mut pack, &mut digests, &|_| ());
        let samples = packed.unwrap().unwrap().samples;
        Packed {
            pack,
            digests,
            samples,
        }
    }

    fn known(&self) -> KnownPack<'_, [u8]> {
        KnownPack::new(
            Pack::open(&self.pack[..]).unwrap(),
            Box::new(&self.digests[..]),
            true,
        )
    }
}

/// Plans `block` over `packs`, writes what they lack, and proves that the block comes back. Gives
/// the plan, and how many samples had to be stored.
fn splice(block: &Block, packs: &[&Packed]) -> (SplicePlan, u64) {
    let mut known: Vec<_> = packs.iter().map(|packed| packed.known()).collect();
    let plan = plan(&block.bytes(), block.range, &mut known)
        .unwrap()
        .unwrap();
    let own = plan.own.as_ref().map(|_| Packed::of(block, Some(&plan)));
    let stored = own.as_ref().map_or(0, |own| own.samples);
    let all = packs.iter().copied().chain(&own);
    let all: Vec<_> = all
        .map(|packed| Pack::open(&packed.pack[..]).unwrap())
        .collect();
    let splice = Splice::read(&plan.splice.to_bytes()).unwrap();
    assert_eq!(splice, plan.splice);
    let (mut segments, mut index) = (Segments::default(), Vec::new());
    let out: &mut dyn std::io::Write = &mut index;
    unpack(
        &all,
        &splice,
        &plan.segments,
        &mut segments,
        Some((plan.index, out)),
        &|_| (),
    )
    .unwrap();
    assert!(segments.0 == std::slice::from_ref(&block.segment));
    assert!(index == block.index);
    (plan, stored)
}

/// Samples of `number` at `times`, ten apart.
fn samples(number: u32, times: Range<i64>) -> Vec<(Millis, u64)> {
    let value = |time: i64| ((time * i64::from(number + 3)) % 17) as f64;
    times
        .map(|time| (time * 10, value(time).to_bits()))
        .collect()
}

/// Forty series with samples from `range`, in chunks of `cut`.
fn block(range: Range<i64>, cut: usize) -> (Series, Block) {
    let series: Series = (0..40)
        .map(|number| {
            let samples = samples(number, range.clone());
            (number, samples.chunks(cut).map(<[_]>::to_vec).collect())
        })
        .collect();
    let block = Block::of(&series, &[], (range.start * 10, range.end * 10));
    (series, block)
}

/// What compaction makes of these, in order of time.
fn compacted(parts: &[&Series]) -> Series {
    let mut series = Series::new();
    for (number, chunks) in parts.iter().flat_map(|part| part.iter()) {
        series.entry(*number).or_default().extend(chunks.clone());
    }
    series
}

fn spanning(series: &Series) -> Block {
    let times = || series.values().flatten().flatten().map(|(time, _)| *time);
    Block::of(
        series,
        &[],
        (times().min().unwrap(), times().max().unwrap() + 1),
    )
}

#[test]
fn a_block_whose_sources_are_all_stored_takes_nothing_but_their_names() {
    let parts = [block(0..100, 30), block(100..200, 30), block(200..300, 30)];
    let packs: Vec<Packed> = parts
        .iter()
        .map(|(_, block)| Packed::whole(block))
        .collect();
    let child = spanning(&compacted(&[&parts[0].0, &parts[1].0, &parts[2].0]));
    let (plan, stored) = splice(&child, &packs.iter().collect::<Vec<_>>());
    assert!(plan.own.is_none() && plan.splice.is_plain() && plan.is_sound);
    assert_eq!(stored, 0);
}

#[test]
fn a_source_that_was_never_seen_is_all_that_is_stored() {
    let parts = [block(0..100, 30), block(100..200, 30), block(200..300, 30)];
    let packs = [Packed::whole(&parts[0].1), Packed::whole(&parts[2].1)];
    let child = spanning(&compacted(&[&parts[0].0, &parts[1].0, &parts[2].0]));
    let (plan, stored) = splice(&child, &[&packs[0], &packs[1]]);
    assert!(plan.splice.is_plain());
    assert_eq!(stored, 40 * 100);
}

#[test]
fn deletions_and_new_series_cost_what_they_change() {
    let parts = [block(0..100, 30), block(100..200, 30)];
    let packs: Vec<Packed> = parts
        .iter()
        .map(|(_, block)| Packed::whole(block))
        .collect();
    let mut child = compacted(&[&parts[0].0, &parts[1].0]);
    child.remove(&7);
    let cut = child.get_mut(&3).unwrap();
    cut.remove(0);
    cut[2].drain(5..8);
    child.insert(90, vec![samples(90, 40..60)]);
    let (plan, stored) = splice(&spanning(&child), &packs.iter().collect::<Vec<_>>());
    assert_eq!(plan.splice.exceptions(), 2, "series 3 and 7");
    assert_eq!(stored, 20);
}

#[test]
fn splices_say_the_writer_of_new_chunks_where_one_of_encoding_4_needs_it() {
    let values = |number: u32| {
        let value =
            |time: i64| ((time * 7919) % 1013) as f64 / if time % 9 == 0 { 3.0 } else { 4.0 };
        let samples = (0..60)
            .map(|time| (time * 10, value(time).to_bits()))
            .collect();
        Series::from([(number, vec![samples])])
    };
    for (number, version) in [(0, 1), (1, 1), (2, 2)] {
        let mut series = values(number);
        let packed = Packed::whole(&spanning(&series));
        series.get_mut(&number).unwrap()[0].drain(20..25);
        let (plan, stored) = splice(&spanning(&series), &[&packed]);
        let bytes = plan.splice.to_bytes();
        assert_eq!((bytes[8], stored), (version, 0), "series {number}");
    }
}

#[test]
fn overlapping_blocks_that_are_merged_store_no_sample_again() {
    let (even, odd): (Vec<i64>, Vec<i64>) = (0..400).partition(|time| time % 2 == 0);
    let of = |times: &[i64], cut: usize| -> Series {
        (0..40)
            .map(|number| {
                let samples: Vec<_> = times
                    .iter()
                    .flat_map(|time| samples(number, *time..*time + 1))
                    .collect();
                (number, samples.chunks(cut).map(<[_]>::to_vec).collect())
            })
            .collect()
    };
    let packs =
        [of(&even, 120), of(&odd[..80], 50)].map(|series| Packed::whole(&spanning(&series)));
    let mut all = [&even[..], &odd[..80]].concat();
    all.sort_unstable();
    let child = spanning(&of(&all, 120));
    let (plan, stored) = splice(&child, &[&packs[0], &packs[1]]);
    assert_eq!(stored, 0);
    assert!(
        plan.splice.to_bytes().len() < 1000,
        "all series have one program"
    );
}

#[test]
fn a_snapshot_of_the_head_and_the_block_it_becomes_share_their_samples() {
    // The head at the time of the snapshot: its last chunk is not full yet, and it reaches into the
    // next block.
    let (_, head) = block(0..170, 40);
    let snapshot = Packed::whole(&head);
    let (first, first_block) = block(0..120, 40);
    let (plan, stored) = splice(&first_block, &[&snapshot]);
    assert_eq!((stored, plan.splice.exceptions()), (0, 0));
    assert!(!plan.splice.is_plain(), "it says where the block ends");
    let (second, second_block) = block(120..240, 40);
    let (_, stored) = splice(&second_block, &[&snapshot]);
    assert_eq!(stored, 40 * 70);
    let child = spanning(&compacted(&[&first, &second]));
    let (_, stored) = splice(&child, &[&snapshot]);
    assert_eq!(stored, 40 * 70);
}

#[test]
fn digests_that_lie_cost_time_only() {
    let parts = [block(0..100, 30), block(100..200, 30)];
    let mut packs: Vec<Packed> = parts
        .iter()
        .map(|(_, block)| Packed::whole(block))
        .collect();
    packs[0].digests.iter_mut().for_each(|byte| *byte = !*byte);
    packs[1].digests.truncate(100);
    let child = spanning(&compacted(&[&parts[0].0, &parts[1].0]));
    let (plan, stored) = splice(&child, &packs.iter().collect::<Vec<_>>());
    assert!(plan.splice.is_plain());
    assert_eq!(stored, 0);
}

#[test]
fn digests_made_anew_from_a_pack_are_those_made_with_it() {
    let packed = Packed::whole(&block(0..100, 30).1);
    let mut digests = Vec::new();
    Pack::open(&packed.pack[..])
        .unwrap()
        .digests(&mut digests)
        .unwrap();
    assert_eq!(digests, packed.digests);
}

#[test]
fn a_pack_of_other_samples_is_of_no_use_and_says_so() {
    let other = Packed::whole(&block(1000..1100, 30).1);
    let shifted: Series = block(0..100, 30)
        .0
        .into_iter()
        .map(|(number, chunks)| {
            let shift = |samples: Vec<(Millis, u64)>| {
                samples
                    .into_iter()
                    .map(|(time, bits)| (time + 3, bits))
                    .collect()
            };
            (number, chunks.into_iter().map(shift).collect())
        })
        .collect();
    let shifted = Packed::whole(&spanning(&shifted));
    let (_, block) = block(0..100, 30);
    let (plan, stored) = splice(&block, &[&other, &shifted]);
    assert_eq!(stored, 40 * 100);
    assert!(
        plan.uses.iter().all(|uses| uses.taken == 0),
        "{:?}",
        plan.uses
    );
    assert_eq!(plan.uses[0].offered, 0);
}

#[test]
fn blocks_that_are_not_laid_out_like_a_splice_are_refused() {
    let (series, whole) = block(0..100, 30);
    let packed = Packed::whole(&whole);
    let refused = |block: &Block| {
        let planned = plan(&block.bytes(), block.range, &mut [packed.known()]).unwrap();
        matches!(planned, Err(Unpackable::Unusual(_)))
    };
    assert!(!refused(&whole));
    let mut empty = series.clone();
    empty.insert(50, Vec::new());
    assert!(refused(&Block::of(&empty, &[], whole.range)));
    let mut outside = whole.clone();
    outside.range = (0, 500);
    assert!(refused(&outside));
    let mut other_index = whole;
    let at = other_index.index.len() - 60;
    other_index.index[at] ^= 1;
    assert!(refused(&other_index));
}

/// What may become of a series in a compaction, or in something stranger.
#[derive(Clone, Debug)]
enum Change {
    Keep,
    Drop,
    /// A time is deleted, out of so many.
    Delete(u8),
    /// All samples are cut anew.
    Recut(u8),
    /// Values are others from some time on.
    Alter(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Keep),
        1 => Just(Change::Drop),
        1 => any::<u8>().prop_map(Change::Delete),
        1 => any::<u8>().prop_map(Change::Recut),
        1 => any::<u8>().prop_map(Change::Alter),
    ]
}

fn changed(chunks: &[Vec<(Millis, u64)>], change: &Change) -> Vec<Vec<(Millis, u64)>> {
    let all = || chunks.iter().flatten().copied();
    match change {
        Change::Keep => chunks.to_vec(),
        Change::Drop => Vec::new(),
        Change::Delete(every) => {
            let every = i64::from(every % 20) + 2;
            let kept = chunks.iter().map(|chunk| {
                let kept = chunk.iter().filter(|(time, _)| time / 10 % every != 0);
                kept.copied().collect::<Vec<_>>()
            });
            kept.filter(|chunk| !chunk.is_empty()).collect()
        }
        Change::Recut(size) => {
            let all: Vec<_> = all().collect();
            let cut = usize::from(size % 60) + 1;
            all.chunks(cut).map(<[_]>::to_vec).collect()
        }
        Change::Alter(from) => {
            let from = i64::from(*from) * 10;
            let alter = |(time, bits): &(Millis, u64)| {
                (*time, if *time >= from { bits + 1 } else { *bits })
            };
            chunks
                .iter()
                .map(|chunk| chunk.iter().map(alter).collect())
                .collect()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_done_to_known_samples_the_block_comes_back(
        cuts in prop::collection::vec(1usize..50, 3),
        known in prop::collection::vec(any::<bool>(), 3),
        changes in prop::collection::vec(change(), 40),
        extra in prop::collection::vec(100u32..200, 0..4),
        overlap in 0i64..60,
    ) {
        let ranges = [0..100, 100 - overlap..200, 200..300];
        let parts: Vec<_> = ranges.into_iter().zip(&cuts).map(|(range, cut)| block(range, *cut)).collect();
        let packs: Vec<_> = parts.iter().zip(&known).filter(|(_, known)| **known).map(|((_, block), _)| Packed::whole(block)).collect();
        // Samples of all, each time once, in the chunks of the first part and cut anew behind it.
        let mut child = Series::new();
        for (number, chunks) in parts.iter().flat_map(|(series, _)| series) {
            let child = child.entry(*number).or_default();
            let last = child.iter().flatten().map(|(time, _): &(Millis, u64)| *time).max().unwrap_or(-1);
            let behind = chunks.iter().map(|chunk| chunk.iter().filter(|(time, _)| *time > last).copied().collect::<Vec<_>>());
            child.extend(behind.filter(|chunk| !chunk.is_empty()));
        }
        let mut child: Series = child.into_iter().zip(&changes).map(|((number, chunks), change)| (number, changed(&chunks, change))).collect();
        child.retain(|_, chunks| !chunks.is_empty());
        for number in extra {
            child.insert(number, vec![samples(number, 5..25)]);
        }
        prop_assume!(!child.is_empty());
        splice(&spanning(&child), &packs.iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_a_splice_or_none(version in 1u8..4, bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut splice = b"narthexS".to_vec();
        splice.push(version);
        splice.extend(bytes);
        if let Ok(splice) = Splice::read(&splice) {
            let packed = Packed::whole(&block(0..50, 20).1);
            let packs = [Pack::open(&packed.pack[..]).unwrap()];
            let mut index = Vec::new();
            let out: &mut dyn std::io::Write = &mut index;
            let _ = unpack(&packs, &splice, &[100], &mut Segments::default(), Some((Generation::Plain, out)), &|_| ());
        }
    }
}

#[test]
fn a_series_without_chunks_that_only_a_pack_has_does_not_come_back() {
    let (mut parent, _) = block(0..100, 30);
    let child = parent.clone();
    parent.insert(90, Vec::new());
    let range = (0, 1000);
    let packed = Packed::whole(&Block::of(&parent, &[], range));
    let (plan, stored) = splice(&Block::of(&child, &[90], range), &[&packed]);
    assert_eq!((plan.splice.exceptions(), stored), (1, 0));
}

#[test]
fn samples_beyond_the_time_that_a_block_claims_come_back_too() {
    let parent = Series::from([(0, vec![samples(0, 0..100), samples(0, 200..210)])]);
    let packed = Packed::whole(&spanning(&parent));
    // The last chunk begins within the range and ends behind it; what is new of it is all behind.
    let child = Series::from([(0, vec![samples(0, 0..102)])]);
    splice(&Block::of(&child, &[], (0, 995)), &[&packed]);
}

#[test]
fn a_pack_whose_symbols_are_not_sorted_is_not_spliced() {
    let mut labels = Vec::new();
    for part in [&[0, 1, 0, 1], &b"ba"[..], &[0, 0, 0], &[], &[], &[]] {
        crate::pack::put_part(&mut labels, part);
    }
    let pack = crate::harness::pack_of(&labels, &[]);
    let known = KnownPack::new(
        Pack::open(&pack[..]).unwrap(),
        Box::new(std::io::empty()),
        true,
    );
    let (_, block) = block(0..10, 5);
    let found = plan(&block.bytes(), block.range, &mut [known]).unwrap();
    let found = found.unwrap_err().to_string();
    assert_eq!(found, "symbols of a pack are not sorted");
}

#[test]
fn splices_that_do_nothing_at_length_or_expand_without_end_are_refused() {
    let found = |content: &[u8]| {
        let bytes = [&b"narthexS\x01\0"[..], content].concat();
        Splice::read(&bytes)
            .map_err(|error| error.chain())
            .unwrap_err()
    };
    let assert_says = |found: String, wanted: &str| {
        assert!(found.contains(wanted), "expected {wanted}, found {found}");
    };
    // Nothing dropped, one program of one step.
    assert_says(found(&[0, 1, 1, 0, 0, 0]), "step of one chunk at least");
    assert_says(found(&[0, 1, 1, 1, 0, 0]), "step of one chunk at least");
    assert_says(
        found(&[0, 1, 1, 2, 0, 0, 0, 0]),
        "step of one chunk at least",
    );
    assert_says(
        found(&[0, 1, 1, 2, 1, 2, 1, 1, 0, 0, 0, 0]),
        "run of samples, found one of none",
    );
    let mut dropped = Vec::new();
    crate::harness::uvarint(&mut dropped, 140 << 20);
    dropped.resize(dropped.len() + (140 << 20), 0);
    assert_says(found(&dropped), "splice of up to 512 MiB");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn splices_of_any_content_are_refused_or_run(
        dropped in proptest::collection::vec(0u8..4, 0..3),
        programs in proptest::collection::vec(proptest::collection::vec(0u8..12, 0..16), 0..3),
        exceptions in proptest::collection::vec((0u8..6, 0u8..3), 0..6),
    ) {
        let mut content = vec![0, u8::try_from(dropped.len()).unwrap()];
        content.extend(&dropped);
        content.push(u8::try_from(programs.len()).unwrap());
        content.extend(programs.concat());
        content.push(u8::try_from(exceptions.len()).unwrap());
        content.extend(exceptions.iter().flat_map(|(series, program)| [*series, *program]));
        crate::harness::splice(&content);
    }
}

#[test]
fn times_that_an_index_makes_up_are_neither_known_nor_packed_in_part() {
    let lie = |chunks: &mut Vec<ChunkMeta>| chunks[0].max_time += 1;
    let (series, _) = block(0..100, 30);
    let lying = Block::with(&series, &[], (0, 1000), lie);
    let packed = Packed::whole(&lying);
    // The same block again: its chunks are known, but not with these times.
    let plan = plan(&lying.bytes(), lying.range, &mut [packed.known()])
        .unwrap()
        .unwrap();
    let own = plan.own.as_ref().unwrap();
    assert_eq!(own.chunks(), 40);
    let (mut pack, mut digests) = (Vec::new(), Vec::new());
    let written = write_part(&lying.bytes(), Some(own), &mut pack, &mut digests, &|_| ());
    assert!(written.unwrap().is_err(), "to be packed as a whole");
}
