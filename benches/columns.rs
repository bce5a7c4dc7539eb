//! The column lab: what a pack of each block costs, part by part, and how fast it is made and taken
//! apart.
//!
//! ```sh
//! NARTHEX_CORPUS=DIR cargo bench --bench columns
//! ```
//!
//! Speeds are bytes of block per second of processor time, the median of `RUNS` runs, with
//! `THREADS` threads. Without `NARTHEX_CORPUS` it runs on the fixtures. Everything is proved on the
//! way: what comes back is compared with the source.

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

use std::collections::BTreeMap;

use lab::{Segments, timed};
use narthex::pack::{BlockBytes, Pack, write_pack};

fn main() {
    rayon::ThreadPoolBuilder::new()
        .num_threads(std::env::var("THREADS").map_or(1, |threads| threads.parse().unwrap()))
        .build_global()
        .unwrap();
    let runs = std::env::var("RUNS").map_or(1, |runs| runs.parse().unwrap());
    let mut total: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut raw_sum, mut packed_sum, mut samples_sum) = (0, 0, 0);
    let (mut pack_time, mut unpack_time) = (0.0, 0.0);
    println!(
        "{:26} {:>12} {:>11} {:>6} {:>9} {:>9} {:>9}",
        "block", "bytes", "packed", "ratio", "B/sample", "pack MB/s", "back MB/s"
    );
    for block in corpus::blocks() {
        let index = block.index().unwrap().bytes();
        let files: Vec<Vec<u8>> = (0..block.segments().len())
            .map(|at| std::fs::read(block.segment_path(at)).unwrap())
            .collect();
        let bytes = BlockBytes {
            index,
            segments: files.iter().map(Vec::as_slice).collect(),
        };
        let raw: u64 = index.len() as u64 + files.iter().map(|file| file.len() as u64).sum::<u64>();
        let ((pack, packed), seconds) = timed(runs, || {
            let mut pack = Vec::new();
            let packed = write_pack(&bytes, &mut pack, &|_| ()).unwrap();
            (pack, packed)
        });
        let packed = match packed {
            Ok(packed) => packed,
            Err(why) => {
                println!("{:26} cannot be packed: {why}", block.meta().ulid);
                continue;
            }
        };
        pack_time += seconds;
        let read = Pack::open(&pack[..]).unwrap();
        let generation = packed.index;
        let ((segments, index_back), back) = timed(runs, || {
            let (mut segments, mut index) = (Segments::default(), Vec::new());
            let out =
                generation.map(|generation| (generation, &mut index as &mut dyn std::io::Write));
            read.unpack(&packed.segments, &mut segments, out, &|_| ())
                .unwrap();
            (segments, index)
        });
        unpack_time += back;
        assert!(segments.0 == files, "segments differ");
        assert!(generation.is_none() || index_back == index, "index differs");
        let parts = read.parts().unwrap();
        let labels = parts[0].1;
        println!(
            "{:26} {raw:12} {:11} {:6.2} {:9.4} {:9.1} {:9.1}  {}{}labels {:.1} %",
            block.meta().ulid,
            pack.len(),
            raw as f64 / pack.len() as f64,
            (pack.len() as u64 - labels) as f64 / packed.samples.max(1) as f64,
            raw as f64 / seconds / 1e6,
            raw as f64 / back / 1e6,
            if generation.is_none() {
                "index verbatim, "
            } else {
                ""
            },
            if packed.verbatim > 0 {
                format!("{} chunks verbatim, ", packed.verbatim)
            } else {
                String::new()
            },
            labels as f64 * 100.0 / pack.len() as f64,
        );
        for (name, bytes) in parts {
            *total.entry(name).or_default() += bytes;
        }
        raw_sum += raw;
        packed_sum += pack.len() as u64;
        samples_sum += packed.samples;
    }
    println!(
        "\n{raw_sum} bytes, {packed_sum} packed: {:.2}; {:.4} B/sample; pack {:.1} MB/s, back {:.1} MB/s",
        raw_sum as f64 / packed_sum as f64,
        packed_sum as f64 / samples_sum as f64,
        raw_sum as f64 / pack_time / 1e6,
        raw_sum as f64 / unpack_time / 1e6
    );
    let mut total: Vec<_> = total.into_iter().collect();
    total.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (name, bytes) in total {
        println!(
            "{bytes:12} {:5.1} %  {name}",
            bytes as f64 * 100.0 / packed_sum as f64
        );
    }
}
