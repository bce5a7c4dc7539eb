//! Label sets that no longer differ when labels are dropped.
//!
//! Two series that become one are harmless if one begins after the other has ended, as those of a
//! pod and its successor. If both have samples at the same time, each scrape has two values for one
//! series: Prometheus keeps one, drops the other, and says so only in its log and in
//! `prometheus_target_scrapes_sample_duplicate_timestamp_total`.

use std::collections::{BTreeMap, BTreeSet};

use super::COLLISIONS_KEPT;
use super::layout::{Label, Piece};
use crate::model::Millis;

/// Values of a dropped label that are kept of a collision.
const VALUES_KEPT: usize = 5;

/// What collides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collisions {
    /// Label sets that several series would have, which have samples at the same time in some
    /// block.
    pub groups: u64,
    /// Series of these groups; one that is in several blocks counts in each.
    pub series: u64,
    /// Samples of these that would be dropped, about: all but those of one series at a time.
    pub lost_samples: u64,
    /// Label sets of which one series would only go on where another has ended.
    pub successions: u64,
    /// The first of the groups that collide, by their labels.
    pub first: Vec<Collision>,
}

/// Series that would have the same labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    /// The labels that they would have, as a selector.
    pub labels: String,
    /// Series of the group, in the block that has most of them.
    pub series: u64,
    /// What told them apart: labels that are dropped, each with its first values.
    pub differences: Vec<(String, Vec<String>)>,
}

/// The label sets of a block's series after labels are dropped. 24 bytes for each series.
#[derive(Default)]
pub(super) struct Identities(Vec<(u64, u64, u32)>);

impl Identities {
    /// Adds the series `number` (they are counted from 0), whose label set is `identity`.
    pub(super) fn add(&mut self, identity: u128, number: u32) {
        #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
        let (high, low) = ((identity >> 64) as u64, identity as u64);
        self.0.push((high, low, number));
    }

    /// The series that share their label set with others.
    pub(super) fn shared(mut self) -> Shared {
        self.0.sort_unstable();
        let mut members = Vec::new();
        let mut groups = Vec::new();
        for group in self.0.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if group.len() < 2 {
                continue;
            }
            let number = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            members.extend(group.iter().map(|(_, _, series)| (*series, number)));
            groups.extend(group.first().map(|(high, low, _)| {
                let identity = u128::from(*high) << 64 | u128::from(*low);
                (identity, group.len() as u64)
            }));
        }
        members.sort_unstable();
        Shared { members, groups }
    }
}

/// Series of a block that share their label set with others. 8 bytes for each, and 32 for each
/// group.
#[derive(Default)]
pub(super) struct Shared {
    /// Number of the series and of its group, by series.
    members: Vec<(u32, u32)>,
    /// Label set and series of each group.
    groups: Vec<(u128, u64)>,
}

impl Shared {
    /// The group of a series, if it shares its labels.
    pub(super) fn group(&self, series: u32) -> Option<u32> {
        let found = self
            .members
            .binary_search_by_key(&series, |(series, _)| *series);
        let (_, group) = self.members.get(found.ok()?)?;
        Some(*group)
    }

    /// The label set of a group, and how many series have it.
    pub(super) fn of(&self, group: u32) -> (u128, u64) {
        self.groups.get(group as usize).copied().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// A group of a block as its members come in.
#[derive(Default)]
pub(super) struct Gathered {
    /// The labels that all of them have.
    pub(super) labels: Vec<Label>,
    pieces: Vec<Piece>,
    pub(super) series: u64,
    /// Whether two of its series have samples at the same time.
    overlaps: bool,
    spans: Vec<(Millis, Millis)>,
    differences: BTreeMap<String, BTreeSet<String>>,
}

impl Gathered {
    pub(super) fn add<'a>(
        &mut self,
        pieces: &[Piece],
        lost: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.series += 1;
        self.pieces.extend_from_slice(pieces);
        let begin = pieces.iter().map(|piece| piece.min_time).min();
        let end = pieces.iter().map(|piece| piece.max_time).max();
        self.spans.extend(begin.zip(end));
        for (name, value) in lost {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let values = self.differences.entry(text(name)).or_default();
            if values.len() < VALUES_KEPT {
                values.insert(text(value));
            }
        }
    }

    /// The chunks of the one series that stays, in order, and the samples that do not.
    pub(super) fn merge(&mut self) -> (Vec<Piece>, u64) {
        self.spans.sort_unstable();
        let mut end = None;
        for (begin, last) in &self.spans {
            self.overlaps |= end.is_some_and(|end| *begin <= end);
            end = end.max(Some(*last));
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_by_key(|piece| (piece.min_time, piece.max_time));
        let (mut end, mut lost) = (None, 0u64);
        pieces.retain(|piece| {
            let stays = end.is_none_or(|end| piece.min_time > end);
            if stays {
                end = Some(piece.max_time);
            } else {
                lost = lost.saturating_add(piece.samples);
            }
            stays
        });
        (pieces, lost)
    }
}

/// The groups of all blocks. 16 bytes for each, and the first of them.
#[derive(Default)]
pub(super) struct Groups {
    colliding: BTreeSet<u128>,
    successions: BTreeSet<u128>,
    series: u64,
    lost_samples: u64,
    first: BTreeMap<String, Collision>,
}

impl Groups {
    /// Adds a group of one block, that was settled; `labels` are what it has in common, as a
    /// selector.
    pub(super) fn add(&mut self, identity: u128, group: Gathered, lost: u64, labels: String) {
        if !group.overlaps {
            self.successions.insert(identity);
            return;
        }
        self.colliding.insert(identity);
        self.series = self.series.saturating_add(group.series);
        self.lost_samples = self.lost_samples.saturating_add(lost);
        let differences = group.differences.into_iter();
        let differences = differences.map(|(name, values)| (name, values.into_iter().collect()));
        self.show(Collision {
            labels,
            series: group.series,
            differences: differences.collect(),
        });
    }

    pub(super) fn merge(&mut self, other: Groups) {
        self.colliding.extend(other.colliding);
        self.successions.extend(other.successions);
        self.series = self.series.saturating_add(other.series);
        self.lost_samples = self.lost_samples.saturating_add(other.lost_samples);
        other.first.into_values().for_each(|group| self.show(group));
    }

    fn show(&mut self, group: Collision) {
        match self.first.get_mut(&group.labels) {
            Some(known) if known.series >= group.series => {}
            Some(known) => *known = group,
            None => {
                self.first.insert(group.labels.clone(), group);
                if self.first.len() > COLLISIONS_KEPT {
                    self.first.pop_last();
                }
            }
        }
    }

    pub(super) fn finish(self) -> Collisions {
        Collisions {
            groups: self.colliding.len() as u64,
            series: self.series,
            lost_samples: self.lost_samples,
            successions: self.successions.difference(&self.colliding).count() as u64,
            first: self.first.into_values().collect(),
        }
    }
}
