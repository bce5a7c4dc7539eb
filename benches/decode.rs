//! How fast are samples decoded? Per encoding, on the fixtures and, where `NARTHEX_CORPUS` names a
//! directory of blocks or data directories, on those.

#![allow(
    clippy::unwrap_used,
    reason = "a bench on blocks that do not open says nothing"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use narthex::chunk::{self, Encoding};
use narthex::index::Series;

fn main() {
    divan::main();
}

/// The data of every chunk of one encoding.
struct Chunks {
    encoding: Encoding,
    data: Vec<Vec<u8>>,
    samples: u64,
}

impl Chunks {
    fn of(encoding: Encoding) -> Self {
        let mut chunks = Chunks {
            encoding,
            data: Vec::new(),
            samples: 0,
        };
        for block in corpus::blocks() {
            let mut series = Series::default();
            for entry in block.index().unwrap().series() {
                entry.unwrap().decode(&mut series).unwrap();
                for chunk in &series.chunks {
                    let record = block.chunk(chunk.reference).unwrap();
                    if record.encoding == encoding {
                        chunks.data.push(record.data.to_vec());
                        let promised = chunk::promised_samples(encoding, record.data, 0).unwrap();
                        chunks.samples += u64::from(promised);
                    }
                }
            }
        }
        chunks
    }

    /// Decodes all chunks; the sum of the times keeps the work from being left out.
    fn decode(&self) -> i64 {
        let mut sum = 0i64;
        for data in &self.data {
            let visit = |sample: narthex::model::Sample<'_>| sum = sum.wrapping_add(sample.time());
            chunk::decode(self.encoding, data, 0, visit).unwrap();
        }
        sum
    }
}

#[divan::bench(args = Encoding::decodable())]
fn samples(bencher: Bencher<'_, '_>, encoding: Encoding) {
    let chunks = Chunks::of(encoding);
    let bytes: usize = chunks.data.iter().map(Vec::len).sum();
    bencher
        .counter(ItemsCount::new(chunks.samples))
        .counter(BytesCount::new(bytes))
        .bench(|| chunks.decode());
}
