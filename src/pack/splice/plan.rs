//! Finding out how a block follows from packs that are known.

use std::cmp::Ordering;

use super::diff::{Difference, difference};
use super::known::KnownPack;
use super::program::{Candidate, Program, Step};
use super::tables::read_tables;
use super::union::{Merge, Union};
use super::{Splice, touches};
use crate::error::Result;
use crate::index::{Generation, SymbolRef};
use crate::model::{ChunkMeta, Millis};
use crate::pack::PackBytes;
use crate::pack::digests::SeriesDigest;
use crate::pack::group::SourceChunk;
use crate::pack::hash::NumberMap;
use crate::pack::index::IndexProof;
use crate::pack::labels::{LabelRefs, move_to};
use crate::pack::reader::malformed;
use crate::pack::selection::PackSelection;
use crate::pack::source::{BlockBytes, Source, Unpackable, WalkedSeries};
use crate::pack::symbols::SymbolTable;
use crate::pack::writer::Stop;

/// Most bytes of chunks that are made for a block's own pack: they stay in memory until it is
/// written. Series beyond that are stored as the block has them.
const MAX_MADE: usize = 64 << 20;

/// Most bytes that label sets and groups of the packs of a block take together, about, when it is
/// planned and when it is rebuilt. Packs beyond that are of no use.
const MAX_MEMORY: u64 = 1 << 30;

/// How a block follows from packs, proved: whoever has these packs, and the selection in one more,
/// has the block.
#[derive(Clone, Debug)]
pub struct SplicePlan {
    /// How it follows.
    pub splice: Splice,
    /// What none of the packs has; it goes into one more pack, which comes last. `None` when
    /// nothing is missing.
    pub own: Option<PackSelection>,
    /// Of each pack: how many of its chunks the block could have, and of how many it needs all or
    /// some samples.
    pub uses: Vec<Use>,
    /// Number of chunks in each segment.
    pub segments: Vec<u64>,
    /// Which sections its index has.
    pub index: Generation,
    /// Whether each chunk that comes from the packs was found sound when they were written.
    pub is_sound: bool,
}

/// What a block needs of a pack, in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Chunks in the block's range of time.
    pub offered: u64,
    /// Those of which it needs all or some samples.
    pub taken: u64,
}

/// Finds out how `block`, whose samples lie in the half-open `range`, follows from `known` packs.
///
/// What is known by digests is not read; the chunks of other series are.
///
/// # Errors
///
/// When a pack cannot be read. That a block does not follow is no error.
pub fn plan<P: PackBytes + ?Sized>(
    block: &BlockBytes<'_>,
    range: (Millis, Millis),
    known: &mut [KnownPack<'_, P>],
) -> Result<std::result::Result<SplicePlan, Unpackable>> {
    match Planner::plan(block, range, known) {
        Ok(plan) => Ok(Ok(plan)),
        Err(Stop::Unpackable(why)) => Ok(Err(why)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

struct Planner<'k, 'p, P: ?Sized> {
    known: &'k mut [KnownPack<'p, P>],
    splice: Splice,
    range: (Millis, Millis),
    /// Whether some chunk of a pack lies outside the range.
    is_cut: bool,
    programs: NumberMap<Program, usize>,
    own: PackSelection,
    /// Bytes of chunks that were made.
    made: usize,
    uses: Vec<Use>,
    /// Label sets of packs and block so far.
    union_series: u64,
    /// Series and chunks of the block so far.
    series: u64,
    chunks: usize,
}

impl<P: PackBytes + ?Sized> Planner<'_, '_, P> {
    fn plan(
        block: &BlockBytes<'_>,
        range: (Millis, Millis),
        known: &mut [KnownPack<'_, P>],
    ) -> Result<SplicePlan, Stop> {
        let source = Source::open(block)?;
        let generation = Generation::of(&source.index.toc());
        let symbols: Vec<&[u8]> = source.symbols.iter().map(|(_, symbol)| symbol).collect();
        let packs = known.iter().map(|known| &known.pack);
        let (mut tables, _) = read_tables(packs, MAX_MEMORY)?;
        let theirs = tables
            .iter()
            .map(|table| Box::new(table.symbols.iter()) as Box<_>);
        let own = Box::new(symbols.iter().copied()) as Box<_>;
        let Some(mut union) = Union::of(theirs.chain([own]).collect()) else {
            return Err(Unpackable::Unusual("there are more than 4 GiB of symbols").into());
        };
        // A pack may hold whatever symbols an index had that is kept whole; a union of those is not
        // the same with fewer of them.
        if !union.is_sorted {
            return Err(Unpackable::Unusual("symbols of a pack are not sorted").into());
        }
        for table in &mut tables {
            table.symbols = SymbolTable::default();
        }
        let mut places = std::mem::take(&mut union.places);
        let own_places = places.pop().unwrap_or_default();
        let mut planner = Planner {
            uses: vec![Use::default(); known.len()],
            known,
            splice: Splice::default(),
            range,
            is_cut: false,
            programs: NumberMap::default(),
            own: PackSelection::default(),
            made: 0,
            union_series: 0,
            series: 0,
            chunks: 0,
        };
        planner.compare_symbols(union.symbols.len(), &own_places, &places);
        let mut merge = Merge::new(&tables, places, true).map_err(malformed)?;
        let mut proof = IndexProof::new(block.index, generation, &symbols);
        let mut walk = source.walk();
        let mut members = Vec::new();
        let mut own_labels = LabelRefs::new();
        let mut theirs = merge.next(&mut members).map_err(malformed)?;
        while let Some(walked) = walk.next()? {
            own_labels.clone_from(&walked.labels);
            move_to(&mut own_labels, &own_places);
            planner.check(&walked)?;
            let chunks = walked.series.chunks.iter().zip(&walked.places);
            proof.add(
                &walked.labels,
                chunks.map(|(chunk, reference)| ChunkMeta {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time,
                    reference: *reference,
                }),
            );
            loop {
                match theirs.map_or(Ordering::Greater, |theirs| theirs.cmp(&own_labels)) {
                    Ordering::Less => planner.drop_series(&members)?,
                    Ordering::Equal => {
                        planner.join(&members, &walked)?;
                        theirs = merge.next(&mut members).map_err(malformed)?;
                        break;
                    }
                    Ordering::Greater => {
                        planner.take_all(&walked);
                        break;
                    }
                }
                theirs = merge.next(&mut members).map_err(malformed)?;
            }
        }
        while theirs.is_some() {
            planner.drop_series(&members)?;
            theirs = merge.next(&mut members).map_err(malformed)?;
        }
        let segments = walk.finish()?;
        // It also says that the series are in their order, on which everything here rests.
        if !proof.finish() {
            return Err(Unpackable::Unusual("its index does not follow from its series").into());
        }
        Ok(planner.finish(segments, generation))
    }

    /// Finds the symbols that only packs have, and those that only the block has.
    fn compare_symbols(&mut self, symbols: usize, own: &[u32], theirs: &[Vec<u32>]) {
        let mut is_known = vec![false; symbols];
        for place in theirs.iter().flatten() {
            if let Some(known) = is_known.get_mut(*place as usize) {
                *known = true;
            }
        }
        for (symbol, place) in (0..).zip(own) {
            match is_known.get_mut(*place as usize) {
                // What is left in the end is only theirs.
                Some(known) if *known => *known = false,
                _ => self.own.take_symbol(SymbolRef(symbol)),
            }
        }
        let left = (0..).zip(&is_known).filter(|(_, known)| **known);
        self.splice.dropped = left.map(|(place, _)| place).collect();
    }

    /// Checks that the chunks of a series are as a splice could have them.
    fn check(&self, walked: &WalkedSeries<'_>) -> Result<(), Unpackable> {
        let chunks = &walked.series.chunks;
        if chunks.is_empty() {
            return Err(Unpackable::Unusual("a series has no chunks"));
        }
        if !chunks.is_sorted_by(|a, b| a.min_time < b.min_time) {
            return Err(Unpackable::Unusual(
                "chunks of a series do not begin one after the other",
            ));
        }
        if chunks.iter().any(|chunk| !touches(self.range, chunk)) {
            return Err(Unpackable::Unusual(
                "a chunk is not in the time that meta.json says",
            ));
        }
        Ok(())
    }

    /// A series that no pack has.
    fn take_all(&mut self, walked: &WalkedSeries<'_>) {
        self.take_own(walked, 0..walked.series.chunks.len());
        self.pass(walked);
        self.union_series += 1;
    }

    fn pass(&mut self, walked: &WalkedSeries<'_>) {
        self.series += 1;
        self.chunks += walked.series.chunks.len();
    }

    /// Selects chunks of the series that comes next.
    fn take_own(&mut self, walked: &WalkedSeries<'_>, positions: impl IntoIterator<Item = usize>) {
        let mut any = false;
        for position in positions {
            self.own.take(self.chunks + position);
            any = true;
        }
        if any {
            self.take_symbols(walked);
        }
    }

    fn take_symbols(&mut self, walked: &WalkedSeries<'_>) {
        for symbol in walked.labels.iter().flat_map(|(name, value)| [name, value]) {
            self.own.take_symbol(*symbol);
        }
    }

    /// A series that packs have and the block does not.
    fn drop_series(&mut self, members: &[usize]) -> Result<()> {
        let mut offered = 0;
        // A series without chunks would come back as one, if there is but this pack.
        let mut is_empty = true;
        for member in members {
            if let Some(known) = self.known.get_mut(*member) {
                let digest = known.next();
                if let Some(digest) = digest.filter(|_| known.is_within(self.range)) {
                    is_empty &= digest.chunks == 0;
                    offered += u64::from(digest.chunks);
                    self.count(*member, u64::from(digest.chunks), 0);
                    continue;
                }
                let chunks = known.chunks()?;
                let inside = chunks.iter().filter(|chunk| touches(self.range, chunk));
                let inside = inside.count() as u64;
                is_empty &= chunks.is_empty();
                self.is_cut |= inside < chunks.len() as u64;
                offered += inside;
                self.count(*member, inside, 0);
            }
        }
        if offered > 0 {
            self.except(Program(vec![Step::Skip(offered)]));
        } else if is_empty {
            self.except(Program::default());
        }
        self.union_series += 1;
        Ok(())
    }

    fn count(&mut self, member: usize, offered: u64, taken: u64) {
        if let Some(uses) = self.uses.get_mut(member) {
            uses.offered += offered;
            uses.taken += taken;
        }
    }

    /// Gives the series at hand a program.
    fn except(&mut self, program: Program) {
        let next = self.programs.len();
        let number = *self.programs.entry(program).or_insert_with_key(|program| {
            self.splice.programs.push(program.clone());
            next
        });
        self.splice.exceptions.push((self.union_series, number));
    }

    /// A series that block and packs have.
    fn join(&mut self, members: &[usize], walked: &WalkedSeries<'_>) -> Result<()> {
        let chunks = &walked.series.chunks;
        let mut is_known = vec![false; chunks.len()];
        // Of each member the chunks of the block that are its own; `None` where something differs.
        let mut parts = Vec::with_capacity(members.len());
        for member in members {
            let digest = self.known.get_mut(*member).and_then(KnownPack::next);
            let part = digest.and_then(|digest| find(&digest, chunks, &is_known));
            if let Some(part) = &part {
                is_known
                    .get_mut(part.clone())
                    .unwrap_or_default()
                    .fill(true);
            }
            parts.push((*member, part));
        }
        if parts.iter().all(|(_, part)| part.is_some()) {
            for (member, part) in parts {
                let count = part.map_or(0, |part| part.len()) as u64;
                self.count(member, count, count);
            }
            let missing = is_known.iter().enumerate().filter(|(_, known)| !**known);
            let missing: Vec<usize> = missing.map(|(at, _)| at).collect();
            self.take_own(walked, missing);
        } else {
            self.reconcile(&parts, walked)?;
        }
        self.pass(walked);
        self.union_series += 1;
        Ok(())
    }

    /// A series for which chunks of some packs are not chunks of the block.
    fn reconcile(
        &mut self,
        parts: &[(usize, Option<std::ops::Range<usize>>)],
        walked: &WalkedSeries<'_>,
    ) -> Result<()> {
        let chunks = &walked.series.chunks;
        let own = self.known.len();
        let (since, until) = self.range;
        let mut candidates = Vec::new();
        let mut is_cut = false;
        let mut parts_left = parts.iter().peekable();
        for (number, known) in self.known.iter_mut().enumerate() {
            let Some((_, part)) = parts_left.next_if(|(member, _)| *member == number) else {
                continue;
            };
            let theirs = match part {
                Some(part) => chunks.get(part.clone()).unwrap_or_default().to_vec(),
                None => known.chunks()?,
            };
            for chunk in theirs {
                if touches(self.range, &chunk) {
                    candidates.push(Candidate {
                        pack: number,
                        chunk,
                    });
                } else {
                    is_cut = true;
                }
            }
        }
        // Chunks that are made must be candidates, too: so their samples may not lie outside the
        // range.
        let is_inside = |chunk: &SourceChunk<'_>| chunk.min_time >= since && chunk.max_time < until;
        let may_make = self.made < MAX_MADE && chunks.iter().all(is_inside);
        let mut offered: Vec<(usize, u64)> = Vec::with_capacity(parts.len());
        for (member, _) in parts {
            let of_member = candidates
                .iter()
                .filter(|candidate| candidate.pack == *member);
            offered.push((*member, of_member.count() as u64));
        }
        let Difference {
            program,
            own: missing,
            made,
        } = difference(candidates, chunks, own, may_make);
        self.is_cut |= is_cut;
        // How much of it each pack gave does not matter here, only whether there was any use in
        // them.
        let is_used = missing.len() < chunks.len();
        for (member, count) in offered {
            self.count(member, count, if is_used { count } else { 0 });
        }
        if !matches!(program.0.as_slice(), [Step::Take(_)]) {
            self.except(program);
        }
        self.take_own(walked, missing);
        if !made.is_empty() {
            self.made += made.iter().map(|chunk| chunk.data.len()).sum::<usize>();
            self.take_symbols(walked);
            self.own.add_made(self.series, made);
        }
        Ok(())
    }

    fn finish(mut self, segments: Vec<u64>, index: Generation) -> SplicePlan {
        self.splice.range = Some(self.range).filter(|_| self.is_cut);
        let mut used = self
            .known
            .iter()
            .zip(&self.uses)
            .filter(|(_, uses)| uses.taken > 0);
        SplicePlan {
            is_sound: used.all(|(known, _)| known.is_sound),
            splice: self.splice,
            own: Some(self.own).filter(|own| !own.is_empty()),
            uses: self.uses,
            segments,
            index,
        }
    }
}

/// The chunks that `digest` is of, among those of `chunks` that no other pack has.
fn find(
    digest: &SeriesDigest,
    chunks: &[SourceChunk<'_>],
    is_known: &[bool],
) -> Option<std::ops::Range<usize>> {
    let first = chunks.partition_point(|chunk| chunk.min_time < digest.min_time);
    let part = first..first.checked_add(digest.chunks as usize)?;
    let is_free = is_known.get(part.clone())?.iter().all(|known| !known);
    (is_free && SeriesDigest::of(chunks.get(part.clone())?) == *digest).then_some(part)
}
