//! Sets of series references that stay small.

use std::collections::HashMap;

/// References per page.
const PAGE: u64 = 256;

/// The references that share all but their last eight bits, one bit each.
type Page = [u64; 4];

/// A set of references. A head counts them up from 1, so that most of them lie close together: a
/// page of 256 takes some 50 bytes. It never has more than a given number of pages, whatever a log
/// says.
#[derive(Clone, Debug)]
pub(super) struct RefSet {
    pages: HashMap<u64, Page>,
    max_pages: usize,
    /// The page that was asked for last, and what it holds: the next question is mostly about the
    /// same.
    recent: (u64, Page),
    len: u64,
    full: bool,
}

impl RefSet {
    /// An empty set of at most `max_pages` pages.
    pub(super) fn new(max_pages: usize) -> Self {
        RefSet {
            pages: HashMap::new(),
            max_pages,
            recent: (0, Page::default()),
            len: 0,
            full: false,
        }
    }

    /// How many references are in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether a reference did not find room.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether `reference` is in it.
    pub(super) fn contains(&mut self, reference: u64) -> bool {
        let page = reference / PAGE;
        if self.recent.0 != page {
            let found = self.pages.get(&page).copied().unwrap_or_default();
            self.recent = (page, found);
        }
        let (word, bit) = place(reference);
        self.recent.1.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Takes `reference` in.
    pub(super) fn insert(&mut self, reference: u64) {
        self.change(reference, true);
    }

    /// Takes `reference` out.
    pub(super) fn remove(&mut self, reference: u64) {
        self.change(reference, false);
    }

    fn change(&mut self, reference: u64, present: bool) {
        if self.contains(reference) == present {
            return;
        }
        let page = reference / PAGE;
        if present && self.pages.len() >= self.max_pages && !self.pages.contains_key(&page) {
            self.full = true;
            return;
        }
        let (word, bit) = place(reference);
        if let Some(word) = self.recent.1.get_mut(word) {
            *word ^= bit;
        }
        self.pages.insert(page, self.recent.1);
        self.len = if present {
            self.len.saturating_add(1)
        } else {
            self.len.saturating_sub(1)
        };
    }
}

/// Where a reference stands in its page: the word, and the bit in it.
fn place(reference: u64) -> (usize, u64) {
    let in_page = reference % PAGE;
    (usize::from((in_page / 64) as u8), 1 << (in_page % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_it_until_it_is_taken_out() {
        let mut set = RefSet::new(100);
        let references = [0, 1, 63, 64, 255, 256, 1 << 40, u64::MAX];
        for reference in references {
            assert!(!set.contains(reference));
            set.insert(reference);
            set.insert(reference);
            assert!(set.contains(reference));
        }
        assert_eq!(set.len(), 8);
        assert!(!set.contains(2) && !set.contains(257) && !set.contains(u64::MAX - 1));
        set.remove(64);
        set.remove(65);
        assert!(!set.contains(64) && set.contains(63) && set.contains(255));
        assert_eq!(set.len(), 7);
        assert!(!set.is_full());
    }

    #[test]
    fn scattered_references_fill_it_and_close_ones_do_not() {
        let mut set = RefSet::new(4);
        (0..1024).for_each(|reference| set.insert(reference));
        assert!(!set.is_full());
        set.insert(1024);
        assert!(set.is_full() && !set.contains(1024));
        assert_eq!(set.len(), 1024);
    }
}
