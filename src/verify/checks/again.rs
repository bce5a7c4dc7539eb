//! Chunks that several references lead to.

use std::collections::HashMap;
use std::sync::Mutex;

use super::budget::Budget;
use crate::chunk::Encoding;
use crate::model::{ChunkRef, Millis};

/// A place in the segments: position of the segment, offset in it.
pub(in crate::verify) type Place = (usize, u64);

/// What is remembered of a chunk in which nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct Known {
    pub(in crate::verify) end: u64,
    pub(in crate::verify) encoding: Encoding,
    pub(in crate::verify) samples: u32,
    /// Times of the first and the last sample, if it was decoded.
    pub(in crate::verify) times: Option<(Millis, Millis)>,
}

/// Most chunks that are remembered.
const MOST_KNOWN: usize = 1 << 19;

/// What all threads know of chunks that were read a second time. Prometheus writes references in
/// ascending order, so that nothing comes here.
#[derive(Debug)]
pub(in crate::verify) struct Again {
    pub(in crate::verify) budget: Budget,
    known: Mutex<HashMap<ChunkRef, Known>>,
}

impl Again {
    /// For segments of `bytes` together.
    pub(in crate::verify) fn of(bytes: u64) -> Self {
        Again {
            budget: Budget::of(bytes),
            known: Mutex::default(),
        }
    }

    /// What is remembered of a chunk.
    pub(in crate::verify) fn find(&self, reference: ChunkRef) -> Option<Known> {
        self.known.lock().ok()?.get(&reference).copied()
    }

    /// Remembers a chunk, if there is room.
    pub(in crate::verify) fn remember(&self, reference: ChunkRef, chunk: Known) {
        if let Ok(mut known) = self.known.lock()
            && known.len() < MOST_KNOWN
        {
            known.insert(reference, chunk);
        }
    }
}
