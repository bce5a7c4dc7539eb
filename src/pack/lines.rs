//! The timelines of a pack that have been read so far.

use std::sync::Arc;

use super::directory::GroupEntry;
use super::timeline::MAX_TIMES;
use crate::model::Millis;

/// Timelines by their number in the pack; those of some groups may not have been read.
#[derive(Debug)]
pub(super) struct Lines {
    /// Number of the first timeline of each group.
    first: Vec<u64>,
    of_group: Vec<Option<Vec<Arc<[Millis]>>>>,
    /// Times that may still be read.
    room: usize,
}

impl Lines {
    /// None yet, of a pack of these groups.
    pub(super) fn new(groups: &[GroupEntry]) -> Self {
        let mut next = 0u64;
        let first = groups.iter().map(|group| {
            let first = next;
            next = next.saturating_add(group.timeline_count);
            first
        });
        Lines {
            first: first.collect(),
            of_group: vec![None; groups.len()],
            room: MAX_TIMES,
        }
    }

    /// Whether the timelines of `group` have been read.
    pub(super) fn has(&self, group: usize) -> bool {
        self.of_group.get(group).is_some_and(Option::is_some)
    }

    /// How many times may still be read.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Takes in the timelines of `group`.
    pub(super) fn put(&mut self, group: usize, lines: Vec<Arc<[Millis]>>) {
        let times: usize = lines.iter().map(|line| line.len()).sum();
        self.room = self.room.saturating_sub(times);
        if let Some(place) = self.of_group.get_mut(group) {
            *place = Some(lines);
        }
    }

    /// The timeline of this number, if it was read.
    pub(super) fn get(&self, number: usize) -> Option<&[Millis]> {
        let wanted = number as u64;
        // Groups without timelines of their own begin where the next one does: the last of them has
        // it.
        let group = self
            .first
            .partition_point(|first| *first <= wanted)
            .checked_sub(1)?;
        let at = usize::try_from(wanted - self.first.get(group)?).ok()?;
        self.of_group
            .get(group)?
            .as_ref()?
            .get(at)
            .map(|line| &**line)
    }
}
