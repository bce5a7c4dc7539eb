//! A block out of packs of another one: of the child that it was compacted into, for example.
//!
//! Compaction copies chunks as they are where blocks do not overlap. So a block whose own packs are
//! gone can be told from its range of time, the sizes of its segments, and its symbols. Nothing
//! here proves that it is the same block: digests of its files do.

use std::collections::BTreeSet;

use super::feed::Feed;
use super::program::{Candidate, sort};
use super::tables::read_tables;
use super::union::{Merge, Union};
use super::{MAX_MEMORY, Splice};
use crate::chunk::{SEGMENT_HEADER, promised_samples, record_len};
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::pack::reader::malformed;
use crate::pack::symbols::SymbolTable;
use crate::pack::{Pack, PackBytes};

/// Most bytes that label sets and groups of all packs take together, about.
const MAX_TABLES: u64 = 1 << 30;

/// How a block may follow from packs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extract {
    /// How it follows, by each guess of which symbols it has: those that its series use, and those
    /// that were given.
    pub splices: Vec<Splice>,
    /// Number of chunks in each segment.
    pub segments: Vec<u64>,
    /// Samples of floats, and of histograms, as the chunks promise.
    pub samples: [u64; 2],
}

/// Finds out how the block of the half-open `range` whose segment files have these `sizes` may
/// follow from `packs`: as all their chunks of that time in order of time. `symbols`, if they are
/// known, are all that it has. `None` if it cannot follow like that.
///
/// # Errors
///
/// When a pack cannot be read.
pub fn extract<P: PackBytes + ?Sized>(
    packs: &[Pack<'_, P>],
    range: Option<(Millis, Millis)>,
    sizes: &[u64],
    symbols: Option<&BTreeSet<Vec<u8>>>,
) -> Result<Option<Extract>> {
    let (mut tables, is_complete) = read_tables(packs.iter(), MAX_TABLES)?;
    if !is_complete {
        return Ok(None);
    }
    let theirs = tables
        .iter()
        .map(|table| Box::new(table.symbols.iter()) as Box<_>);
    let Some(mut union) = Union::of(theirs.collect()) else {
        return Ok(None);
    };
    for table in &mut tables {
        table.symbols = SymbolTable::default();
    }
    let mut used = vec![false; union.symbols.len()];
    let places = std::mem::take(&mut union.places);
    let mut merge = Merge::new(&tables, places, packs.len() > 1).map_err(malformed)?;
    let splice = range.map_or_else(Splice::default, Splice::of_range);
    let mut feed = Feed::new(packs, &|_| ());
    let mut cut = Cut::new(sizes);
    let mut members = Vec::new();
    let mut samples = [0u64; 2];
    while let Some(labels) = merge.next(&mut members).map_err(malformed)? {
        for member in &members {
            feed.prepare(*member)?;
        }
        let candidates = members.iter().flat_map(|member| {
            feed.chunks(*member).map(|chunk| Candidate {
                pack: *member,
                chunk,
            })
        });
        let mut candidates: Vec<_> = candidates
            .filter(|candidate| splice.admits(&candidate.chunk))
            .collect();
        if members.len() > 1 {
            sort(&mut candidates);
        }
        if !candidates.is_empty() {
            for symbol in labels.iter().flat_map(|(name, value)| [name.0, value.0]) {
                if let Some(used) = used.get_mut(symbol as usize) {
                    *used = true;
                }
            }
        }
        for candidate in &candidates {
            let chunk = &candidate.chunk;
            let kind = usize::from(!chunk.encoding.is_float());
            if let Some(sum) = samples.get_mut(kind) {
                *sum = sum.saturating_add(u64::from(
                    promised_samples(chunk.encoding, chunk.data, 0).unwrap_or(0),
                ));
            }
            if !cut.put(candidate.chunk.data.len() as u64) {
                return Ok(None);
            }
        }
        for member in &members {
            feed.advance(*member);
        }
    }
    let Some(segments) = cut.finish() else {
        return Ok(None);
    };
    let without = |keeps: &dyn Fn(usize, &[u8]) -> bool| {
        let all = union.symbols.iter().enumerate();
        let dropped = all.filter(|(at, symbol)| !keeps(*at, symbol));
        let dropped = dropped.filter_map(|(at, _)| u32::try_from(at).ok());
        Splice {
            dropped: dropped.collect(),
            ..splice.clone()
        }
    };
    let is_used = |at: usize| used.get(at).copied().unwrap_or(false);
    let mut splices = Vec::new();
    if let Some(symbols) = symbols {
        splices.push(without(&|_, symbol| symbols.contains(symbol)));
    }
    for guess in [without(&|at, _| is_used(at)), splice.clone()] {
        if !splices.contains(&guess) {
            splices.push(guess);
        }
    }
    Ok(Some(Extract {
        splices,
        segments,
        samples,
    }))
}

/// Where segments of known sizes end.
struct Cut<'s> {
    sizes: std::slice::Iter<'s, u64>,
    /// Bytes that the open segment still has room for.
    left: u64,
    counts: Vec<u64>,
}

impl<'s> Cut<'s> {
    fn new(sizes: &'s [u64]) -> Self {
        Cut {
            sizes: sizes.iter(),
            left: 0,
            counts: Vec::new(),
        }
    }

    fn begin(&mut self) -> bool {
        let content = self
            .sizes
            .next()
            .and_then(|size| size.checked_sub(SEGMENT_HEADER));
        self.left = content.unwrap_or(0);
        self.counts.push(0);
        content.is_some()
    }

    /// Puts a chunk with so many bytes of data; `false` if it cannot stand where it would.
    fn put(&mut self, data: u64) -> bool {
        while self.left == 0 {
            if !self.begin() {
                return false;
            }
        }
        let Some(left) = self.left.checked_sub(record_len(data)) else {
            return false;
        };
        self.left = left;
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
        true
    }

    /// The number of chunks in each segment, if all are full.
    fn finish(mut self) -> Option<Vec<u64>> {
        while self.left == 0 && !self.sizes.as_slice().is_empty() {
            if !self.begin() {
                return None;
            }
        }
        (self.left == 0).then_some(self.counts)
    }
}

/// The symbols of the block that follows from `packs` by `splice`. Only directories and labels are
/// read.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn symbols<P: PackBytes + ?Sized>(
    packs: &[Pack<'_, P>],
    splice: &Splice,
) -> Result<BTreeSet<Vec<u8>>> {
    let (tables, is_complete) = read_tables(packs.iter(), MAX_MEMORY as u64)?;
    if !is_complete {
        return Err(Error::unsupported("expected fewer label sets"));
    }
    let theirs = tables
        .iter()
        .map(|table| Box::new(table.symbols.iter()) as Box<_>);
    let union = Union::of(theirs.collect())
        .ok_or_else(|| Error::unsupported("expected symbols of up to 4 GiB, found more"))?;
    let (kept, _) = union.without(&splice.dropped);
    Ok(kept.into_iter().map(<[u8]>::to_vec).collect())
}
