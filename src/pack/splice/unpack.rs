//! Rebuilding a block from its packs.

use std::io::Write;

use super::Splice;
use super::feed::Feed;
use super::program::{Candidate, sort};
use super::tables::{Table, read_tables};
use super::union::{Merge, Union};
use crate::error::{Error, Result};
use crate::index::{Generation, IndexWriter};
use crate::model::ChunkMeta;
use crate::pack::group::SourceChunk;
use crate::pack::labels::{LabelRefs, move_to};
use crate::pack::reader::malformed;
use crate::pack::segments::{SegmentFiles, SegmentSink};
use crate::pack::symbols::SymbolTable;
use crate::pack::{Pack, PackBytes};

/// Most bytes that label sets and groups of all packs take together, about. More than a planner
/// allows itself: another one may have been more generous.
pub(super) const MAX_MEMORY: u64 = 4 << 30;

/// The labels of `packs`, and what they have together, each once.
///
/// # Errors
///
/// When labels are damaged, or too large.
pub(super) fn read_labels<P: PackBytes + ?Sized>(
    packs: &[Pack<'_, P>],
) -> Result<(Vec<Table>, Union)> {
    let (tables, is_complete) = read_tables(packs.iter(), MAX_MEMORY)?;
    if !is_complete {
        return Err(Error::unsupported(format!(
            "expected packs whose labels and groups take up to {MAX_MEMORY} bytes together, found more"
        )));
    }
    let symbols = tables
        .iter()
        .map(|table| Box::new(table.symbols.iter()) as Box<_>);
    let union = Union::of(symbols.collect());
    let union =
        union.ok_or_else(|| Error::unsupported("expected symbols of up to 4 GiB, found more"))?;
    Ok((tables, union))
}

/// Rebuilds a block from `packs`: segments of so many chunks each, and the index, if it is to be
/// rebuilt.
///
/// Groups are unpacked in parallel, as many at a time as there are threads; `advance` hears of each
/// how many bytes of chunks are done.
///
/// # Errors
///
/// When a pack is damaged, the packs do not fit the splice, or something cannot be written.
pub fn unpack<P: PackBytes + ?Sized>(
    packs: &[Pack<'_, P>],
    splice: &Splice,
    segments: &[u64],
    sink: &mut dyn SegmentSink,
    index: Option<(Generation, &mut dyn Write)>,
    advance: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let (mut tables, mut union) = read_labels(packs)?;
    for table in &mut tables {
        table.symbols = SymbolTable::default();
    }
    // The series of one pack come back in whatever order they have.
    let is_sorted = packs.len() > 1;
    let places_of_packs = std::mem::take(&mut union.places);
    let mut merge = Merge::new(&tables, places_of_packs, is_sorted).map_err(malformed)?;
    let (symbols, places) = union.without(&splice.dropped);
    let mut block = Rebuilt {
        files: SegmentFiles::new(segments, sink),
        index: match index {
            Some((generation, out)) => Some(IndexWriter::new(out, generation, &symbols)?),
            None => None,
        },
        places,
        labels: LabelRefs::new(),
        metas: Vec::new(),
    };
    let mut feed = Feed::new(packs, advance);
    let mut exceptions = splice.exceptions.iter().peekable();
    let mut members = Vec::new();
    let mut number = 0;
    while let Some(labels) = merge.next(&mut members).map_err(malformed)? {
        for member in &members {
            feed.prepare(*member)?;
        }
        let exception = exceptions.next_if(|(series, _)| *series == number);
        let program = exception.and_then(|(_, program)| splice.programs.get(*program));
        let candidates = members
            .iter()
            .flat_map(|member| {
                feed.chunks(*member).map(|chunk| Candidate {
                    pack: *member,
                    chunk,
                })
            })
            .filter(|candidate| splice.admits(&candidate.chunk));
        if program.is_none() && members.len() == 1 {
            // The order of a pack is the block's: chunks may overlap, and come back as they were.
            candidates
                .map(|candidate| candidate.chunk)
                .try_for_each(|chunk| block.put(chunk))?;
        } else {
            let mut candidates: Vec<_> = candidates.collect();
            sort(&mut candidates);
            match program {
                Some(program) => program.run(&candidates, |chunk| block.put(chunk))?,
                None => candidates
                    .iter()
                    .try_for_each(|candidate| block.put(candidate.chunk))?,
            }
        }
        // A series of which nothing is left is none; where there is one pack, an empty series is
        // meant.
        block.end_series(labels, packs.len() == 1 && splice.is_plain())?;
        for member in &members {
            feed.advance(*member);
        }
        number += 1;
    }
    if exceptions.next().is_some() {
        return Err(Error::corrupt(
            "damaged splice: expected programs of series that packs have",
        ));
    }
    block.finish()
}

impl<P: PackBytes + ?Sized> Pack<'_, P> {
    /// Unpacks a block that has this pack and no other; see [`unpack`].
    ///
    /// # Errors
    ///
    /// As [`unpack`].
    pub fn unpack(
        &self,
        segments: &[u64],
        sink: &mut dyn SegmentSink,
        index: Option<(Generation, &mut dyn Write)>,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        let packs = std::slice::from_ref(self);
        unpack(packs, &Splice::default(), segments, sink, index, advance)
    }
}

/// A block that is being rebuilt.
struct Rebuilt<'b, W> {
    files: SegmentFiles<'b>,
    index: Option<IndexWriter<'b, W, &'b [u8]>>,
    /// For each symbol of the union its position in the index.
    places: Vec<u32>,
    labels: LabelRefs,
    /// The chunks of the series so far.
    metas: Vec<ChunkMeta>,
}

impl<W: Write> Rebuilt<'_, W> {
    fn put(&mut self, chunk: SourceChunk<'_>) -> Result<()> {
        let reference = self.files.put(chunk.encoding, chunk.data)?;
        self.metas.push(ChunkMeta {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            reference,
        });
        Ok(())
    }

    fn end_series(&mut self, labels: &LabelRefs, may_be_empty: bool) -> Result<()> {
        if let Some(index) = &mut self.index
            && (may_be_empty || !self.metas.is_empty())
        {
            self.labels.clone_from(labels);
            move_to(&mut self.labels, &self.places);
            index.add_series(&self.labels, &self.metas)?;
        }
        self.metas.clear();
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.files.finish()?;
        self.index
            .map_or(Ok(()), |index| index.finish().map(|_| ()))
    }
}
