//! Which blocks a Prometheus took, and which are missed.
//!
//! What is looked up for every block is put in order once: nothing that manifests or metadata say
//! makes this much longer than they are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Before, Log, Now, Present, deletions, series_in};
use crate::block::Meta;
use crate::model::{Held, Kin, Millis, Stream, Succession, Ulid, inherit_atoms};
use crate::repository::lineage::{atoms, is_damaged, kin, stream};
use crate::repository::{Fingerprint, StoredBlock};

/// Tells the blocks that are missed from those that a Prometheus took.
pub(super) struct Judge<'j, 'a> {
    before: &'j Before<'j, 'a>,
    now: &'j Now<'j>,
    /// Blocks of the newest archive.
    known: BTreeMap<Ulid, &'a StoredBlock>,
    present: BTreeSet<Ulid>,
    fingerprints: BTreeSet<&'j Fingerprint>,
    /// What there is, by what it says it holds.
    held: Held,
    succession: Succession,
    /// Of each stream, what its blocks were made of, and what that was made of, as far as it is
    /// known.
    ancestors: BTreeMap<Stream, BTreeSet<Ulid>>,
    /// Of each stream, blocks that were made of ones that no archive has seen.
    rewritten: BTreeMap<Stream, Rewritten<'j>>,
    /// Of each stream the end of the oldest block of the newest archive that retention has left,
    /// as it is or in one that was made of it.
    oldest: BTreeMap<Stream, Millis>,
    /// The end of the newest block in order of the newest archive, if that is of a Prometheus
    /// snapshot.
    head_end: Option<Millis>,
}

impl<'j, 'a> Judge<'j, 'a> {
    pub(super) fn new(before: &'j Before<'j, 'a>, now: &'j Now<'j>) -> Self {
        let blocks = before.newest.blocks.iter();
        let known: BTreeMap<Ulid, &StoredBlock> = blocks.map(|b| (b.ulid, b)).collect();
        let present: BTreeSet<Ulid> = now.blocks.iter().map(Present::ulid).collect();
        let mut kins: Vec<Kin> = now.blocks.iter().map(|here| here.kin.clone()).collect();
        let succession = Succession::of(kins.iter().cloned());
        inherit_atoms(&mut kins);
        let mut ancestors: BTreeMap<Stream, BTreeSet<Ulid>> = BTreeMap::new();
        let mut rewritten: BTreeMap<Stream, Rewritten<'_>> = BTreeMap::new();
        let mut left: BTreeMap<&Stream, BTreeSet<Ulid>> = BTreeMap::new();
        for here in &now.blocks {
            let found = ancestors.entry(here.kin.stream.clone()).or_default();
            let mut pending: Vec<Ulid> = here.parents().collect();
            while let Some(parent) = pending.pop() {
                if found.insert(parent)
                    && let Some(known) = known.get(&parent)
                {
                    pending.extend(known.parents.iter().filter(|ulid| **ulid != Ulid::ZERO));
                }
            }
            if here.is_served {
                let left = left.entry(&here.kin.stream).or_default();
                left.extend(here.parents().chain([here.ulid()]));
                left.extend(&here.kin.atoms);
            }
            if !known.contains_key(&here.ulid()) {
                let is_unseen =
                    |ulid: &Ulid| !present.contains(ulid) && (before.holding)(*ulid).is_none();
                let unseen = here.made_of().filter(|(parent, _)| is_unseen(parent));
                let rewritten = rewritten.entry(here.kin.stream.clone()).or_default();
                rewritten.0.extend(unseen.map(|(_, range)| (range, here)));
            }
        }
        for rewritten in rewritten.values_mut() {
            rewritten.sort();
        }
        let mut oldest: BTreeMap<Stream, Millis> = BTreeMap::new();
        for known in known.values() {
            let stream = stream(known);
            let is_left = left
                .get(&stream)
                .is_some_and(|left| left.contains(&known.ulid) || atoms(known).is_subset(left));
            if is_left {
                let oldest = oldest.entry(stream).or_insert(known.max_time);
                *oldest = known.max_time.min(*oldest);
            }
        }
        let newest = before.newest;
        // Snapshots have no log.
        let has_log = newest.wal.is_some() || newest.left_out.iter().any(|l| l.name == "wal");
        // Blocks of late samples may end behind the head.
        let in_order = newest.blocks.iter().filter(|known| is_in_order(known));
        let end = in_order.map(|known| known.max_time).max();
        Judge {
            head_end: end.filter(|_| !has_log),
            before,
            now,
            known,
            present,
            fingerprints: now.blocks.iter().map(|here| &here.fingerprint).collect(),
            held: Held::by(&kins),
            succession,
            ancestors,
            rewritten,
            oldest,
        }
    }

    /// Whether what is here holds what the block did, but for what was deleted.
    pub(super) fn is_explained(&self, block: &StoredBlock) -> bool {
        let kin = kin(block);
        let mut families = self.ancestors.iter();
        let mut parents = block.parents.iter().peekable();
        self.held.covers(&kin.atoms, &kin.stream)
            || families.any(|(stream, found)| {
                takes_in(stream, &kin.stream) && found.contains(&block.ulid)
            })
            || !self.succession.heirs(block.ulid, Some(&kin)).is_empty()
            || self.fingerprints.contains(&block.fingerprint)
            // A snapshot that is older than the archive has what the block was made of, and so has
            // a server that gave up cleaning.
            || parents.peek().is_some() && parents.all(|parent| self.present.contains(parent))
            || self.rewritten_into(block).is_some()
    }

    /// The block that was made, since the newest archive, of one that is in no archive and covered
    /// the time of `block`: a rewritten block keeps its range, and a compacted one has that of
    /// all it was made of. One with less than half the samples is no such block, unless it was
    /// rewritten from one block of the same time: something else of that time was compacted.
    fn rewritten_into(&self, block: &StoredBlock) -> Option<&'j Present> {
        let stream = stream(block);
        let mut families = self.rewritten.iter();
        families.find_map(|(into, rewritten)| {
            let range = (block.min_time, block.max_time);
            let found = rewritten.over(range)?;
            let mut made_of = found.made_of();
            let is_cleaned =
                made_of.next().is_some_and(|(_, told)| told == range) && made_of.next().is_none();
            let is_held = found.kin.content.samples.saturating_mul(2) >= block.samples;
            ((is_cleaned || is_held) && takes_in(into, &stream)).then_some(found)
        })
    }

    /// Whether the block should be here: retention has left one that it would have taken before,
    /// and it is no head of a Prometheus snapshot.
    pub(super) fn is_due(&self, block: &StoredBlock) -> bool {
        if self.was_head(block) {
            return false;
        }
        if self.now.is_snapshot {
            // It may be older than the archive, and its newest block is the head as it was then.
            let newest = self.now.blocks.iter().max_by_key(|here| here.kin.range.1);
            if newest.is_some_and(|head| head.kin.range.0 < block.max_time) {
                return false;
            }
        }
        let oldest = self.oldest.get(&stream(block));
        self.now.blocks.is_empty() || oldest.is_some_and(|oldest| *oldest < block.max_time)
    }

    /// Whether the block is the head of a Prometheus snapshot, as far as can be told, which every
    /// snapshot writes anew.
    fn was_head(&self, block: &StoredBlock) -> bool {
        self.head_end == Some(block.max_time)
            && is_in_order(block)
            && block.parents.is_empty()
            && atoms(block) == BTreeSet::from([block.ulid])
    }

    /// Whether nothing is left of all blocks that were there, although the newest of them is not as
    /// old, and what is here not as much, as what was kept then: retention as it was has not
    /// taken them.
    pub(super) fn are_all_lost(&self) -> bool {
        let sound = || self.known.values().filter(|block| !is_damaged(block));
        let newest = sound().max_by_key(|block| block.max_time);
        let oldest = sound().map(|block| block.max_time).min();
        let end = self.now.blocks.iter().map(|here| here.kin.range.1).max();
        let (Some(newest), Some(oldest), Some(end)) = (newest, oldest, end) else {
            return false;
        };
        let is_here = |block: &StoredBlock| {
            self.present.contains(&block.ulid)
                || self.now.accounts_for(block.ulid)
                || self.is_explained(block)
        };
        if self.now.is_snapshot || self.head_end.is_some() || sound().any(|block| is_here(block)) {
            return false;
        }
        let age = end.saturating_sub(newest.max_time);
        let kept_until = newest.max_time.saturating_sub(oldest);
        let here = self.now.blocks.iter().map(|here| here.bytes);
        let here = here.fold(newest.bytes(), u64::saturating_add);
        let before = sound().map(|block| block.bytes());
        let before = before.fold(0, u64::saturating_add);
        // Half: retention by size counts the head as well, which may have grown.
        age <= kept_until && here <= before / 2
    }

    /// Whether a deletion that reached into what lies beside `block` in time, or over it, may have
    /// taken all of it: samples of that were deleted since the newest archive, and where it
    /// touches `block`, most series that `block` had have none.
    pub(super) fn is_beside_deletions(&self, block: &StoredBlock) -> bool {
        let stream = stream(block);
        let pause = pause(block);
        let begins = |here: &&Present| here.kin.range.0;
        let ends = |here: &&Present| here.kin.range.1;
        let same = || {
            self.now
                .blocks
                .iter()
                .filter(|here| here.kin.stream == stream)
        };
        let earlier = same().filter(|here| ends(here) <= block.min_time);
        let earlier = earlier.max_by_key(ends);
        let later = same().filter(|here| begins(here) >= block.max_time);
        let later = later.min_by_key(begins);
        let over =
            same().filter(|here| begins(here) < block.max_time && block.min_time < ends(here));
        let is_bare = |here: &Present, range| self.is_bare(here, range, block.series);
        let mut over = over.filter(|here| self.lost_by_deletion(here));
        let touched = (
            block.min_time.saturating_sub(pause),
            block.max_time.saturating_add(pause),
        );
        if over.any(|here| is_bare(here, touched)) {
            return true;
        }
        if let Some(here) = earlier.filter(|here| self.lost_by_deletion(here)) {
            let since = ends(&here).saturating_sub(pause);
            if is_bare(here, (since, Millis::MAX)) {
                return true;
            }
        }
        let is_of_head = |here: &&Present| {
            !self.known.contains_key(&here.ulid()) && here.parents().next().is_none()
        };
        match later {
            Some(here) if !is_of_head(&here) => {
                let until = begins(&here).saturating_add(pause);
                self.lost_by_deletion(here) && is_bare(here, (Millis::MIN, until))
            }
            later => {
                let until = self.head_begin(&stream).saturating_add(pause);
                self.head_lost_until(until, block.series)
                    && later.is_none_or(|here| is_bare(here, (Millis::MIN, until)))
            }
        }
    }

    /// Where the head began when the newest archive was made: at the end of its newest block that
    /// was not the head itself, as snapshots write it.
    fn head_begin(&self, of: &Stream) -> Millis {
        let known = self.before.newest.blocks.iter();
        let cut = known.filter(|known| stream(known) == *of && !self.was_head(known));
        cut.map(|known| known.max_time).max().unwrap_or(Millis::MIN)
    }

    /// Whether `here` has few series of so many in `range`: less than half, and less than half of
    /// those that it has at other times, for where series come and go no time has all of them.
    fn is_bare(&self, here: &Present, range: (Millis, Millis), series: u64) -> bool {
        let (begin, end) = here.kin.range;
        let (since, until) = (range.0.max(begin), range.1.min(end));
        let read = |range| series_in(&here.dir, range, self.before.read_mode);
        let Some(left) = read((since, until)) else {
            return true;
        };
        let width = until.saturating_sub(since).max(1);
        let others = [1, 2, 3].map(|quarter| {
            let middle = begin.saturating_add(end.saturating_sub(begin) / 4 * quarter);
            let from = middle.saturating_sub(width / 2);
            read((from, from.saturating_add(width))).unwrap_or(0)
        });
        let usual = others.into_iter().max().unwrap_or(0);
        left.saturating_mul(2) < series.min(usual)
    }

    /// Whether samples of as many `series` of the head were deleted, or the log does not have those
    /// before `until` any more, which it, or the head, had when the newest archive was made,
    /// and yet goes on.
    fn head_lost_until(&self, until: Millis, series: u64) -> bool {
        let newest = self.before.newest;
        let head = newest.blocks.iter().filter(|known| self.was_head(known));
        let heads = head.map(|known| (known.min_time, known.max_time));
        let log = newest
            .wal
            .iter()
            .filter_map(|wal| wal.min_time.zip(wal.max_time));
        let mut had = heads.chain(log);
        let Log {
            begin,
            deletions,
            goes_on,
        } = self.now.log;
        let is_cut = begin.is_none_or(|begin| begin > until);
        let had_them = had.any(|(begin, end)| begin <= until && until < end);
        deletions > 0 && deletions >= series || goes_on && is_cut && had_them
    }

    /// Whether samples of the block were deleted since the newest archive, or it was made of blocks
    /// of which some were.
    fn lost_by_deletion(&self, here: &Present) -> bool {
        if let Some(known) = self.known.get(&here.ulid()) {
            return here.deletions.is_some() && here.deletions != deletions(&known.files);
        }
        let parents = here.parents();
        let made_of = parents.map(|parent| self.known.get(&parent).copied());
        let made_of: Option<Vec<_>> = made_of.collect();
        let is_cleaned =
            here.parents().next().is_some() && here.kin.atoms == BTreeSet::from([here.ulid()]);
        is_cleaned
            || here.deletions.is_some()
            || made_of.is_some_and(|made_of| has_fewer(here, &made_of))
            || self.was_cleaned(here)
    }

    /// Whether the block was compacted from ones that were cleaned of what was deleted: they are
    /// not among its sources.
    fn was_cleaned(&self, here: &Present) -> bool {
        let gone = self.known.values();
        let mut gone = gone.filter(|known| !self.present.contains(&known.ulid));
        gone.any(|known| {
            let into = self.rewritten_into(known);
            into.is_some_and(|into| into.ulid() == here.ulid())
                && !atoms(known).is_subset(&here.kin.atoms)
        })
    }
}

/// Whether the block holds what came in order of time: see [`Meta::is_in_order`].
fn is_in_order(block: &StoredBlock) -> bool {
    let is_known = |hint: &String| Meta::KNOWN_HINTS.contains(&hint.as_str());
    !block.hints.iter().any(is_known)
}

/// Whether a block of `stream` holds what was compacted into it of a block of `other`.
fn takes_in(stream: &Stream, other: &Stream) -> bool {
    // Of selected series as well, where both are of the same.
    stream == other || stream.covers(other)
}

/// Times of blocks that no archive has seen, with the block that was made of each.
#[derive(Default)]
struct Rewritten<'j>(Vec<((Millis, Millis), &'j Present)>);

impl<'j> Rewritten<'j> {
    /// Puts each in the place of all earlier ones that end before it: of those that begin by a time
    /// the last one then reaches furthest.
    fn sort(&mut self) {
        self.0.sort_by_key(|(range, here)| (*range, here.ulid()));
        let mut furthest: Option<(Millis, &Present)> = None;
        for ((_, until), here) in &mut self.0 {
            match furthest {
                Some((end, by)) if end >= *until => (*until, *here) = (end, by),
                _ => furthest = Some((*until, here)),
            }
        }
    }

    /// A block that was made of one that covered all of this time.
    fn over(&self, (since, until): (Millis, Millis)) -> Option<&'j Present> {
        let earlier = self.0.partition_point(|((begin, _), _)| *begin <= since);
        let ((_, end), here) = self.0.get(earlier.checked_sub(1)?)?;
        (*end >= until).then_some(*here)
    }
}

/// Twice the time from one sample to the next, on average over all series.
fn pause(block: &StoredBlock) -> Millis {
    let length = i128::from(block.max_time.saturating_sub(block.min_time).max(0));
    let all = length
        .saturating_mul(i128::from(block.series))
        .saturating_mul(2);
    let pause = all / i128::from(block.samples.max(1));
    Millis::try_from(pause.min(length)).unwrap_or(0)
}

/// Whether a block has fewer samples than all that it was made of, where these do not overlap, so
/// that none of them was there twice.
fn has_fewer(here: &Present, made_of: &[&StoredBlock]) -> bool {
    let ranges = made_of.iter().map(|known| (known.min_time, known.max_time));
    let mut ranges: Vec<(Millis, Millis)> = ranges.collect();
    ranges.sort_unstable();
    let overlap = ranges
        .iter()
        .zip(ranges.iter().skip(1))
        .any(|((_, end), (begin, _))| begin < end);
    let samples = made_of.iter().map(|known| known.samples);
    let samples = samples.fold(0, u64::saturating_add);
    !overlap && here.kin.content.samples < samples
}
