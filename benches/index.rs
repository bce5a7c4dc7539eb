//! How fast is an index read? Series entries, labels, postings, and the whole of `inspect`; on the
//! fixtures or on the blocks below `NARTHEX_CORPUS`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench on blocks that do not open says nothing"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use narthex::block::Block;
use narthex::index::{Postings, Series};

fn main() {
    divan::main();
}

fn index_bytes(blocks: &[Block]) -> BytesCount {
    BytesCount::new(blocks.iter().map(Block::index_bytes).sum::<u64>())
}

fn series_count(blocks: &[Block]) -> ItemsCount {
    let series = blocks.iter().map(|block| block.meta().stats.num_series);
    ItemsCount::new(series.sum::<u64>())
}

/// Frames, checks and decodes every series entry.
#[divan::bench]
fn series_entries(bencher: Bencher<'_, '_>) {
    let blocks = corpus::blocks();
    bencher.counter(series_count(&blocks)).bench(|| {
        let mut series = Series::default();
        let mut chunks = 0;
        for block in &blocks {
            for entry in block.index().unwrap().series() {
                let entry = entry.unwrap();
                entry.check().unwrap();
                entry.decode(&mut series).unwrap();
                chunks += series.chunks.len();
            }
        }
        chunks
    });
}

/// The same, and looks up the strings of all labels.
#[divan::bench]
fn series_labels(bencher: Bencher<'_, '_>) {
    let blocks = corpus::blocks();
    bencher.counter(series_count(&blocks)).bench(|| {
        let mut series = Series::default();
        let mut bytes = 0;
        for block in &blocks {
            let index = block.index().unwrap();
            let symbols = index.symbols().unwrap();
            for entry in index.series() {
                entry.unwrap().decode(&mut series).unwrap();
                for (name, value) in &series.labels {
                    bytes += symbols.get(*name, 0).unwrap().len()
                        + symbols.get(*value, 0).unwrap().len();
                }
            }
        }
        bytes
    });
}

/// Checks and reads every postings list.
#[divan::bench]
fn postings(bencher: Bencher<'_, '_>) {
    let blocks = corpus::blocks();
    bencher.counter(index_bytes(&blocks)).bench(|| {
        let mut sum = 0u64;
        for block in &blocks {
            let index = block.index().unwrap();
            for entry in index.postings_table().unwrap().iter() {
                let section = index.postings_section(entry.unwrap().list).unwrap();
                section.checksum.clone().unwrap();
                for reference in Postings::read(&section).unwrap().iter() {
                    sum = sum.wrapping_add(reference.0);
                }
            }
        }
        sum
    });
}

/// Everything `narthex inspect` computes, on all cores.
#[divan::bench]
fn inspect(bencher: Bencher<'_, '_>) {
    let blocks = corpus::blocks();
    let bytes = blocks
        .iter()
        .map(|block| block.index_bytes() + block.chunk_bytes());
    bencher
        .counter(BytesCount::new(bytes.sum::<u64>()))
        .bench(|| {
            let inspected = blocks
                .iter()
                .map(|block| narthex::inspect::inspect(block).unwrap());
            inspected
                .map(|inspection| inspection.series.chunks())
                .sum::<u64>()
        });
}
