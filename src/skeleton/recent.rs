//! Labels of exemplars: those of one request come with several series, and again with every scrape
//! until others take their place.

use std::collections::{HashMap, VecDeque};

use crate::raw::varint;

/// How many lists are remembered.
const MAX_LISTS: usize = 1 << 14;

/// Longest list that is remembered, in bytes.
const MAX_LIST_BYTES: usize = 512;

/// The last lists of labels that were new, and the value that came with each last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    lists: VecDeque<(Vec<u8>, u64)>,
    /// How many were new.
    pushed: u64,
    /// Place of the list behind the one that was said last: lists come again in the same order.
    next: u64,
}

impl Recent {
    /// Remembers a list, as a record has it; one that is too long as an empty one.
    pub(super) fn push(&mut self, labels: &[u8], value: u64) {
        if self.lists.len() == MAX_LISTS {
            self.lists.pop_front();
        }
        let labels = if is_remembered(labels) { labels } else { &[] };
        self.lists.push_back((labels.to_vec(), value));
        self.pushed += 1;
        self.next = self.pushed;
    }

    /// The list so many places behind the one that is expected, and its value.
    pub(super) fn get(&mut self, step: i64) -> Option<&mut (Vec<u8>, u64)> {
        let place = self.next.wrapping_add_signed(step);
        let at = self.index(place)?;
        self.next = place.wrapping_add(1);
        self.lists.get_mut(at)
    }

    /// Where the list is that so many were new before.
    fn index(&self, place: u64) -> Option<usize> {
        let ago = usize::try_from(self.pushed.checked_sub(place)?).ok()?;
        self.lists.len().checked_sub(ago)
    }
}

/// The same for who writes: where a list is.
#[derive(Debug, Default)]
pub(super) struct Finder {
    recent: Recent,
    /// Of each list how many were new before it.
    places: HashMap<Vec<u8>, u64>,
}

/// What is said of the labels and the value of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Both are new.
    New,
    /// The labels are those of a list that was new before, so many places behind the list that
    /// follows the one before, and the value is the one that came with them last.
    Same(i64),
    /// The labels alone are.
    OtherValue(i64),
}

impl Repeat {
    /// As the number that is stored: 0, or 1 and twice the zig-zag distance, or 2 and that.
    pub(super) fn number(self) -> u64 {
        match self {
            Repeat::New => 0,
            Repeat::Same(step) => 1 + (varint::zigzag(step) << 1),
            Repeat::OtherValue(step) => 2 + (varint::zigzag(step) << 1),
        }
    }

    /// What that number says.
    pub(super) fn of(number: u64) -> Self {
        let Some(rest) = number.checked_sub(1) else {
            return Repeat::New;
        };
        let step = varint::unzigzag(rest >> 1);
        if rest & 1 == 0 {
            Repeat::Same(step)
        } else {
            Repeat::OtherValue(step)
        }
    }
}

impl Finder {
    /// What to say of an exemplar, which is remembered.
    pub(super) fn find(&mut self, labels: &[u8], value: u64) -> Repeat {
        if is_remembered(labels)
            && let Some(place) = self.places.get(labels)
        {
            let step = (*place as i64).wrapping_sub(self.recent.next as i64);
            if let Some((_, before)) = self.recent.get(step) {
                let is_same = *before == value;
                *before = value;
                return if is_same {
                    Repeat::Same(step)
                } else {
                    Repeat::OtherValue(step)
                };
            }
        }
        if self.recent.lists.len() == MAX_LISTS
            && let Some((forgotten, _)) = self.recent.lists.front()
        {
            self.places.remove(forgotten);
        }
        if is_remembered(labels) {
            self.places.insert(labels.to_vec(), self.recent.pushed);
        }
        self.recent.push(labels, value);
        Repeat::New
    }
}

fn is_remembered(labels: &[u8]) -> bool {
    !labels.is_empty() && labels.len() <= MAX_LIST_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_what_the_other_side_has() {
        let (mut finder, mut reader) = (Finder::default(), Recent::default());
        let (mut repeats, mut others) = (0, 0);
        for at in 0..60_000_u64 {
            // Some come again soon, some when they are forgotten, some are too long.
            let id = if at % 3 == 0 {
                at * 7919 % 20_011
            } else {
                at / 4
            };
            let labels = vec![b'x'; if at % 50 == 0 { 600 } else { 3 }];
            let labels = [&labels, &id.to_be_bytes()[..]].concat();
            let value = id % 5 + at % 11 / 10;
            let found = finder.find(&labels, value);
            assert_eq!(Repeat::of(found.number()), found);
            match found {
                Repeat::New => reader.push(&labels, value),
                Repeat::Same(step) => {
                    assert_eq!(reader.get(step), Some(&mut (labels, value)));
                    repeats += 1;
                }
                Repeat::OtherValue(step) => {
                    let (known, before) = reader.get(step).unwrap();
                    assert_eq!(*known, labels);
                    assert_ne!(std::mem::replace(before, value), value);
                    others += 1;
                }
            }
        }
        assert!(repeats > 10_000 && others > 1000, "{repeats}, {others}");
        assert!(finder.places.len() <= MAX_LISTS);
        assert_eq!(reader.lists.len(), MAX_LISTS);
        let oldest = reader.pushed - MAX_LISTS as u64;
        for (place, is_known) in [
            (reader.pushed, false),
            (reader.pushed - 1, true),
            (oldest, true),
            (oldest - 1, false),
            (u64::MAX, false),
        ] {
            let step = place.wrapping_sub(reader.next) as i64;
            assert_eq!(reader.get(step).is_some(), is_known, "{place}");
        }
    }
}
