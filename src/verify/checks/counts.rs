//! What is counted while chunks are checked.

#![deny(clippy::wildcard_enum_match_arm)]

use crate::chunk::{ChunkKind, Encoding, Encodings};

/// What has been counted in chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::verify) struct ChunkCounts {
    /// Chunks the index names.
    pub(in crate::verify) chunks: u64,
    /// Of those, chunks whose samples could not be counted.
    pub(in crate::verify) uncounted: u64,
    /// Float samples.
    pub(in crate::verify) floats: u64,
    /// Of those, samples in encoding XOR2.
    pub(in crate::verify) xor2: u64,
    /// Histogram samples.
    pub(in crate::verify) histograms: u64,
    /// Thanos aggregates.
    pub(in crate::verify) aggregates: u64,
    /// The encodings of the chunks that were read.
    pub(in crate::verify) encodings: Encodings,
    /// Bytes of the chunk records that were read.
    pub(in crate::verify) bytes: u64,
}

impl ChunkCounts {
    /// Counts the samples of a chunk.
    pub(super) fn count(&mut self, encoding: Encoding, samples: u32) {
        let samples = u64::from(samples);
        self.encodings.insert(encoding);
        match encoding.kind() {
            ChunkKind::Aggregates => self.aggregates += 1,
            ChunkKind::Floats => self.floats += samples,
            ChunkKind::Histograms | ChunkKind::FloatHistograms => self.histograms += samples,
            // Nobody can tell how many samples such a chunk has: it is not counted here.
            ChunkKind::Unknown(_) => {}
        }
        if encoding == Encoding::Xor2 {
            self.xor2 += samples;
        }
    }

    pub(in crate::verify) fn add(&mut self, other: ChunkCounts) {
        self.chunks += other.chunks;
        self.uncounted += other.uncounted;
        self.floats += other.floats;
        self.xor2 += other.xor2;
        self.histograms += other.histograms;
        self.aggregates += other.aggregates;
        self.encodings = self.encodings.and(other.encodings);
        self.bytes += other.bytes;
    }
}
