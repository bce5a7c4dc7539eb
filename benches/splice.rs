//! A block from one pack, and the same block from many: what splicing costs.
//!
//! ```sh
//! NARTHEX_CORPUS=DIR cargo bench --bench splice
//! ```
//!
//! Each block is cut into `PARTS` (12) stretches of time, and these are packed as if they had been
//! blocks of their own. Times are seconds of processor time, medians of `RUNS` runs, with `THREADS`
//! threads. Everything is proved on the way: what comes back is compared with the source. Without
//! `NARTHEX_CORPUS` it runs on the fixtures.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench that prints, on blocks that open"
)]

#[path = "corpus/mod.rs"]
mod corpus;
#[path = "corpus/lab.rs"]
mod lab;

use lab::{Segments, timed};
use narthex::block::Block;
use narthex::chunk::{put_record, segment_header};
use narthex::index::{Generation, IndexWriter, Series};
use narthex::model::{ChunkMeta, ChunkRef};
use narthex::pack::{BlockBytes, KnownPack, Pack, Splice, plan, unpack, write_part};

/// Index and segments of a block.
struct Files {
    index: Vec<u8>,
    segments: Vec<Vec<u8>>,
}

impl Files {
    fn bytes(&self) -> BlockBytes<'_> {
        BlockBytes {
            index: &self.index,
            segments: self.segments.iter().map(Vec::as_slice).collect(),
        }
    }

    fn pack(&self) -> (Vec<u8>, Vec<u8>, Vec<u64>) {
        let (mut pack, mut digests) = (Vec::new(), Vec::new());
        let packed = write_part(&self.bytes(), None, &mut pack, &mut digests, &|_| ());
        (pack, digests, packed.unwrap().unwrap().segments)
    }
}

/// The chunks of `block` that begin within this part of its time.
fn part(block: &Block, files: &Files, number: i64, parts: i64) -> Files {
    let (since, until) = (block.meta().min_time, block.meta().max_time);
    let index = block.index().unwrap();
    let symbols: Vec<&[u8]> = index
        .symbols()
        .unwrap()
        .iter()
        .map(|(_, symbol)| symbol)
        .collect();
    let generation = Generation::of(&index.toc());
    let mut writer = IndexWriter::new(Vec::new(), generation, &symbols).unwrap();
    let mut segment = segment_header().to_vec();
    let mut series = Series::default();
    for entry in index.series() {
        entry.unwrap().decode(&mut series).unwrap();
        let mut metas = Vec::new();
        for meta in &series.chunks {
            if (meta.min_time - since) * parts / (until - since) != number {
                continue;
            }
            let source = narthex::chunk::Segment::new(&files.segments[meta.reference.segment()]);
            let record = source.record(meta.reference.offset()).unwrap();
            let offset = u32::try_from(segment.len()).unwrap();
            put_record(&mut segment, record.encoding, record.data);
            metas.push(ChunkMeta {
                reference: ChunkRef::new(0, offset),
                ..*meta
            });
        }
        if !metas.is_empty() {
            writer.add_series(&series.labels, &metas).unwrap();
        }
    }
    Files {
        index: writer.finish().unwrap(),
        segments: vec![segment],
    }
}

fn main() {
    let variable =
        |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::try_from(variable("THREADS", 1)).unwrap())
        .build_global()
        .unwrap();
    let runs = usize::try_from(variable("RUNS", 1)).unwrap();
    let parts = variable("PARTS", 12);
    println!(
        "{:26} {:>10} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9} {:>6}",
        "block", "bytes", "one pack", "parts", "pack s", "plan s", "ratio", "back s", "ratio"
    );
    for block in corpus::blocks() {
        let files = Files {
            index: block.index().unwrap().bytes().to_vec(),
            segments: (0..block.segments().len())
                .map(|at| std::fs::read(block.segment_path(at)).unwrap())
                .collect(),
        };
        let range = (block.meta().min_time, block.meta().max_time);
        let ((whole, _, chunks), pack_time) = timed(runs, || files.pack());
        let packed: Vec<_> = (0..parts)
            .map(|number| part(&block, &files, number, parts).pack())
            .collect();
        let (planned, plan_time) = timed(runs, || {
            let known = packed.iter().map(|(pack, digests, _)| {
                KnownPack::new(Pack::open(&pack[..]).unwrap(), Box::new(&digests[..]), true)
            });
            plan(&files.bytes(), range, &mut known.collect::<Vec<_>>()).unwrap()
        });
        let Ok(planned) = planned else {
            println!("{:26} is not spliced", block.meta().ulid);
            continue;
        };
        assert!(planned.own.is_none(), "all is known");
        let back = |packs: &[Pack<'_, [u8]>], splice: &Splice| {
            timed(runs, || {
                let (mut segments, mut index) = (Segments::default(), Vec::new());
                let out: &mut dyn std::io::Write = &mut index;
                unpack(
                    packs,
                    splice,
                    &chunks,
                    &mut segments,
                    Some((planned.index, out)),
                    &|_| (),
                )
                .unwrap();
                assert!(
                    segments.0 == files.segments && index == files.index,
                    "it differs"
                );
            })
            .1
        };
        let one = back(&[Pack::open(&whole[..]).unwrap()], &Splice::default());
        let packs: Vec<_> = packed
            .iter()
            .map(|(pack, ..)| Pack::open(&pack[..]).unwrap())
            .collect();
        let many = back(&packs, &planned.splice);
        println!(
            "{:26} {:10} {:9} {:9} {pack_time:9.3} {plan_time:9.3} {:6.2} {many:9.3} {:6.2}",
            block.meta().ulid,
            files.index.len() + files.segments.iter().map(Vec::len).sum::<usize>(),
            whole.len(),
            packed.iter().map(|(pack, ..)| pack.len()).sum::<usize>(),
            plan_time / pack_time,
            many / one,
        );
    }
}
