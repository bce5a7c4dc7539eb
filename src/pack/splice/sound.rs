//! What packs still hold of which some groups are damaged.
//!
//! Groups are independent of one another, except for timelines that they share; labels of all
//! series stand in a section of their own. So what a damaged group held is known by its labels and
//! its time, and the others come back without it.

use super::Splice;
use super::feed::{Feed, LostGroup};
use super::program::{Candidate, sort};
use super::tables::Table;
use super::union::{Merge, Union};
use super::unpack::read_labels;
use crate::chunk::encode::EncodedChunk;
use crate::error::Result;
use crate::index::SymbolRef;
use crate::pack::directory::GroupEntry;
use crate::pack::group::SourceChunk;
use crate::pack::reader::malformed;
use crate::pack::{Pack, PackBytes};

/// A series, as far as packs hold it.
#[derive(Debug)]
pub struct SoundSeries<'a> {
    /// Its labels, as positions among [`SoundPacks::symbols`].
    pub labels: &'a [(SymbolRef, SymbolRef)],
    /// Its chunks that can be read.
    pub chunks: &'a [EncodedChunk],
    /// Numbers of the lost groups that may hold more of it: positions in the answer of
    /// [`SoundPacks::walk`].
    pub lost: &'a [usize],
}

/// Packs whose directories and labels are sound.
#[derive(Debug)]
pub struct SoundPacks<'p, P: ?Sized> {
    packs: &'p [Pack<'p, P>],
    splice: &'p Splice,
    tables: Vec<Table>,
    union: Union,
}

impl<'p, P: PackBytes + ?Sized> SoundPacks<'p, P> {
    /// Reads the labels of `packs`, from which a block follows by `splice`.
    ///
    /// # Errors
    ///
    /// When labels are damaged, or too large.
    pub fn open(packs: &'p [Pack<'p, P>], splice: &'p Splice) -> Result<Self> {
        let (tables, union) = read_labels(packs)?;
        Ok(SoundPacks {
            packs,
            splice,
            tables,
            union,
        })
    }

    /// The symbols of all series, each once.
    pub fn symbols(&self) -> Vec<&[u8]> {
        self.union.symbols.iter().collect()
    }

    /// Lends each series of the block to `visit`. Where all of a series can be read, its chunks are
    /// those of the block; else all that can be read, deleted samples among them. Returns the
    /// groups that cannot be read.
    ///
    /// # Errors
    ///
    /// When a pack is damaged beyond its groups; whatever `visit` says.
    pub fn walk(
        &self,
        visit: &mut dyn FnMut(SoundSeries<'_>) -> Result<()>,
    ) -> Result<Vec<LostGroup>> {
        let feed = Feed::of_sound(self.packs, &|_| ());
        self.walk_feed(feed, None, visit)
    }

    /// Lends those series of the block to `visit` that `choose` picks by their labels, with all
    /// their chunks. Only the groups that hold chunks of them are read. Labels are positions
    /// among [`SoundPacks::symbols`].
    ///
    /// # Errors
    ///
    /// When what is read is damaged; whatever `visit` says.
    pub fn walk_chosen(
        &self,
        mut choose: impl FnMut(&[(SymbolRef, SymbolRef)]) -> bool,
        visit: &mut dyn FnMut(SoundSeries<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut merge = self.merge()?;
        let mut places: Vec<_> = self.packs.iter().map(GroupsPassed::of).collect();
        let (mut chosen, mut members, mut number) = (Vec::new(), Vec::new(), 0u64);
        while let Some(labels) = merge.next(&mut members).map_err(malformed)? {
            let is_chosen = choose(labels);
            for member in &members {
                if let Some(place) = places.get_mut(*member) {
                    place.pass(is_chosen);
                }
            }
            if is_chosen {
                chosen.push(number);
            }
            number += 1;
        }
        let wanted = places.into_iter().map(|place| place.wanted).collect();
        let feed = Feed::of_wanted(self.packs, wanted, &|_| ());
        self.walk_feed(feed, Some(&chosen), visit).map(|_| ())
    }

    fn merge(&self) -> Result<Merge<'_>> {
        let is_sorted = self.packs.len() > 1;
        let places = self.union.places.clone();
        Merge::new(&self.tables, places, is_sorted).map_err(malformed)
    }

    /// Lends the series whose numbers are `chosen`, or all, with the chunks that `feed` has of
    /// them.
    fn walk_feed(
        &self,
        mut feed: Feed<'_, P>,
        chosen: Option<&[u64]>,
        visit: &mut dyn FnMut(SoundSeries<'_>) -> Result<()>,
    ) -> Result<Vec<LostGroup>> {
        let mut merge = self.merge()?;
        let mut chosen = chosen.map(|chosen| chosen.iter().peekable());
        let mut exceptions = self.splice.exceptions.iter().peekable();
        let mut members = Vec::new();
        let mut number = 0;
        while let Some(labels) = merge.next(&mut members).map_err(malformed)? {
            for member in &members {
                feed.prepare(*member)?;
            }
            let exception = exceptions.next_if(|(series, _)| *series == number);
            let is_chosen = match &mut chosen {
                Some(chosen) => chosen.next_if(|chosen| **chosen == number).is_some(),
                None => true,
            };
            number += 1;
            if !is_chosen {
                for member in &members {
                    feed.advance(*member);
                }
                continue;
            }
            let mut lost: Vec<_> = members
                .iter()
                .filter_map(|member| feed.lost_group(*member))
                .collect();
            lost.sort_unstable();
            lost.dedup();
            let program = exception.and_then(|(_, program)| self.splice.programs.get(*program));
            let candidates = members.iter().flat_map(|member| {
                feed.chunks(*member).map(|chunk| Candidate {
                    pack: *member,
                    chunk,
                })
            });
            let mut candidates: Vec<_> = candidates
                .filter(|candidate| self.splice.admits(&candidate.chunk))
                .collect();
            if program.is_some() || members.len() > 1 {
                sort(&mut candidates);
            }
            let mut chunks = Vec::new();
            let run = program.filter(|_| lost.is_empty()).map(|program| {
                program.run(&candidates, |chunk| {
                    chunks.push(own(chunk));
                    Ok(())
                })
            });
            // A program is about all candidates: where some are lost it cannot be told which of the
            // others it means.
            let is_made = match run {
                Some(Err(error)) if !feed.passes_over() => return Err(error),
                run => matches!(run, Some(Ok(()))),
            };
            if !is_made {
                chunks = candidates
                    .iter()
                    .map(|candidate| own(candidate.chunk))
                    .collect();
            }
            visit(SoundSeries {
                labels,
                chunks: &chunks,
                lost: &lost,
            })?;
            for member in &members {
                feed.advance(*member);
            }
        }
        Ok(feed.into_lost())
    }
}

/// How many series of a pack's groups have been passed, and in which groups some were chosen.
struct GroupsPassed<'p> {
    groups: std::slice::Iter<'p, GroupEntry>,
    /// Series still to come in the group.
    left: u64,
    wanted: Vec<bool>,
}

impl<'p> GroupsPassed<'p> {
    fn of<P: PackBytes + ?Sized>(pack: &'p Pack<'_, P>) -> Self {
        GroupsPassed {
            groups: pack.groups().iter(),
            left: 0,
            wanted: Vec::new(),
        }
    }

    /// Passes a series. Packs have as many as their labels: that has been compared.
    fn pass(&mut self, is_chosen: bool) {
        while self.left == 0
            && let Some(group) = self.groups.next()
        {
            self.left = group.series;
            self.wanted.push(false);
        }
        self.left = self.left.saturating_sub(1);
        if let Some(wanted) = self.wanted.last_mut() {
            *wanted |= is_chosen;
        }
    }
}

fn own(chunk: SourceChunk<'_>) -> EncodedChunk {
    EncodedChunk {
        encoding: chunk.encoding,
        min_time: chunk.min_time,
        max_time: chunk.max_time,
        data: chunk.data.to_vec(),
    }
}
