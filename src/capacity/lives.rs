//! When each series lived.

use std::collections::BTreeMap;

use super::costs::{Costs, PairId};
use super::walk::SeriesView;
use super::window::Window;
use crate::model::Millis;

/// When a series lived, in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// First and last sample; from a later to an earlier time where no chunk could be read.
    pub(super) first: Millis,
    pub(super) last: Millis,
    pub(super) job: Option<PairId>,
    pub(super) samples: u32,
}

/// The series of all blocks, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    several: bool,
    /// Sorted by their ids, if there are several blocks.
    pub(super) all: Vec<(u128, Lived)>,
    pub(super) jobs: Vec<Vec<u8>>,
    known_jobs: BTreeMap<Vec<u8>, u32>,
    pub(super) range: Option<(Millis, Millis)>,
    slack: Millis,
}

/// When a series lived: from a later to an earlier time where no chunk could be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lived {
    first: Millis,
    last: Millis,
    pub(super) job: u32,
    pub(super) samples: u32,
}

/// The range of all blocks so far, the one that is read included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era {
    min: Millis,
    max: Millis,
    slack: Millis,
    /// Whether it ends later than without that block: whoever lived until then is not at the end
    /// any more.
    pub(super) grows: bool,
}

/// What an entry of a series adds to what is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// It has samples, and is in no block before.
    pub(super) fresh: bool,
    /// And begins after the start of the era.
    pub(super) born: bool,
    /// It is there at the end of the era, and no block before said so.
    pub(super) ends: bool,
}

impl Era {
    /// What `view` adds, given the time in which the blocks before saw the series.
    pub(super) fn of(self, view: &SeriesView<'_, '_>, known: Option<(Millis, Millis)>) -> Change {
        let Some((first, last)) = view.min_time().zip(view.max_time()) else {
            return Change::default();
        };
        let counted = known.is_some_and(|(_, last)| self.is_to_end(last)) && !self.grows;
        Change {
            fresh: known.is_none(),
            born: known.is_none() && !self.is_from_start(first),
            ends: self.is_to_end(last) && !counted,
        }
    }

    pub(super) fn is_from_start(self, first: Millis) -> bool {
        first.saturating_sub(self.min) <= self.slack
    }

    pub(super) fn is_to_end(self, last: Millis) -> bool {
        self.max.saturating_sub(last) <= self.slack
    }
}

impl Lives {
    pub(super) fn new(several: bool) -> Self {
        Lives {
            several,
            ..Lives::default()
        }
    }

    /// Adds the series of a block, and their `ids` if they were asked for.
    pub(super) fn add(
        &mut self,
        costs: &Costs<'_>,
        lives: Vec<Life>,
        ids: Vec<u128>,
        window: Window,
    ) {
        let era = self.era(window);
        self.range = Some((era.min, era.max));
        self.slack = era.slack;
        let mut numbers = BTreeMap::new();
        let mut more: Vec<(u128, Lived)> = Vec::with_capacity(lives.len());
        let mut ids = ids.into_iter();
        for life in lives {
            let job = *numbers
                .entry(life.job)
                .or_insert_with(|| self.job(costs, &life));
            let id = ids.next().unwrap_or_default();
            let lived = Lived {
                first: life.first,
                last: life.last,
                job,
                samples: life.samples,
            };
            more.push((id, lived));
        }
        if !self.several {
            self.all.append(&mut more);
            return;
        }
        more.sort_unstable_by_key(|(id, _)| *id);
        self.join(more);
    }

    /// The range with another block.
    pub(super) fn era(&self, window: Window) -> Era {
        let (min, max) = self.range.unwrap_or((window.min, window.max));
        let slack = self.slack.max(window.slack);
        Era {
            min: min.min(window.min),
            max: max.max(window.max),
            slack,
            grows: window.max.saturating_sub(max) > slack,
        }
    }

    /// The range of all blocks, now that none follows.
    pub(super) fn whole_era(&self) -> Option<Era> {
        let (min, max) = self.range?;
        Some(Era {
            min,
            max,
            slack: self.slack,
            grows: false,
        })
    }

    /// The time in which the blocks so far saw a series.
    pub(super) fn span(&self, id: u128) -> Option<(Millis, Millis)> {
        // Ids are spread evenly: nearly all are close to where they are expected.
        let count = self.all.len();
        let guess = (id >> 64).saturating_mul(count as u128) >> 64;
        let guess = usize::try_from(guess).unwrap_or(0);
        let margin = 4 * count.isqrt() + 16;
        let end = guess.saturating_add(margin).min(count);
        let near = self.all.get(guess.saturating_sub(margin)..end);
        let near = near.filter(|near| {
            let ends = near.first().zip(near.last());
            ends.is_some_and(|(first, last)| first.0 <= id && id <= last.0)
        });
        let near = near.unwrap_or(&self.all);
        let at = near.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        near.get(at)?.1.span()
    }

    fn job(&mut self, costs: &Costs<'_>, life: &Life) -> u32 {
        let pair = life.job.and_then(|pair| costs.pairs().get(pair as usize));
        let name = pair.and_then(|pair| costs.symbols().at(pair.value as usize));
        let name = name.unwrap_or_default().to_vec();
        let next = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        *self.known_jobs.entry(name.clone()).or_insert_with(|| {
            self.jobs.push(name);
            next
        })
    }

    /// Adds the series of another block; both are sorted.
    fn join(&mut self, more: Vec<(u128, Lived)>) {
        let known = std::mem::take(&mut self.all);
        if known.is_empty() {
            self.all = more;
            return;
        }
        let mut all = Vec::with_capacity(known.len().max(more.len()));
        let (mut a, mut b) = (known.into_iter().peekable(), more.into_iter().peekable());
        loop {
            let mine = match (a.peek(), b.peek()) {
                (Some((a, _)), Some((b, _))) => a <= b,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let next = if mine { a.next() } else { b.next() };
            let Some((id, lived)) = next else { break };
            match all.last_mut() {
                Some((last, known)) if *last == id => Lived::join(known, lived),
                _ => all.push((id, lived)),
            }
        }
        self.all = all;
    }
}

impl Lived {
    pub(super) fn span(&self) -> Option<(Millis, Millis)> {
        (self.first <= self.last).then_some((self.first, self.last))
    }

    fn join(known: &mut Lived, other: Lived) {
        known.first = known.first.min(other.first);
        known.last = known.last.max(other.last);
        known.samples = known.samples.saturating_add(other.samples);
    }
}
