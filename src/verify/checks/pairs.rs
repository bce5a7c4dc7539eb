//! Sums that tell whether two sides hold the same label pairs of the same series, in constant
//! memory.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use crate::index::SymbolRef;
use crate::model::SeriesRef;

/// A label as symbols of its name and value.
pub(in crate::verify) type Pair = (SymbolRef, SymbolRef);

/// Stands for the list of all series. No symbol table has so many symbols.
pub(in crate::verify) const ALL_SERIES: Pair = (SymbolRef(u32::MAX), SymbolRef(u32::MAX));

/// Random keys, so that nobody can make up a file whose faults cancel out.
#[derive(Clone, Copy)]
pub(in crate::verify) struct Keys([u64; 4]);

impl Keys {
    /// New ones, from the randomness that the standard library seeds its hash tables with.
    pub(in crate::verify) fn random() -> Self {
        let state = RandomState::new();
        Keys([0u64, 1, 2, 3].map(|i| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(i);
            hasher.finish()
        }))
    }

    /// A keyed number for one entry of a postings list.
    #[inline]
    pub(in crate::verify) fn mix(&self, pair: Pair, series: SeriesRef) -> u64 {
        let [a, b, c, d] = self.0;
        let label = u64::from(pair.0.0) << 32 | u64::from(pair.1.0);
        let half = fold(label ^ a, b).wrapping_add(series.0);
        fold(half ^ c, d ^ label)
    }

    /// Which of `parts` parts a pair falls into.
    pub(in crate::verify) fn part(&self, pair: Pair, parts: u64) -> u64 {
        self.mix(pair, SeriesRef(0)) % parts
    }
}

/// The halves of a full product, folded together.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b | 1);
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    let low = product as u64;
    low ^ (product >> 64) as u64
}

/// The sum over one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::verify) struct PairSum {
    entries: u64,
    sum: u64,
}

impl PairSum {
    /// Counts an entry in.
    #[inline]
    pub(in crate::verify) fn add(&mut self, mixed: u64) {
        self.entries += 1;
        self.sum = self.sum.wrapping_add(mixed);
    }

    /// Adds what was counted elsewhere.
    pub(in crate::verify) fn append(&mut self, other: PairSum) {
        self.entries += other.entries;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(keys: &Keys, entries: &[(u32, u32, u64)]) -> PairSum {
        let mut sum = PairSum::default();
        for &(name, value, series) in entries {
            let pair = (SymbolRef(name), SymbolRef(value));
            sum.add(keys.mix(pair, SeriesRef(series)));
        }
        sum
    }

    #[test]
    fn sums_depend_on_what_is_counted_and_not_on_the_order() {
        let keys = Keys::random();
        let entries = [(1, 2, 3), (1, 2, 4), (5, 2, 3), (0, 0, 0)];
        let mut backwards = entries;
        backwards.reverse();
        assert_eq!(sum(&keys, &entries), sum(&keys, &backwards));
        // Two series that have changed places between two lists.
        let swapped = [(1, 2, 3), (5, 2, 4), (1, 2, 4), (5, 2, 3)];
        let crossed = [(1, 2, 4), (5, 2, 3), (1, 2, 4), (5, 2, 3)];
        assert_ne!(sum(&keys, &swapped), sum(&keys, &crossed));
        assert_ne!(sum(&keys, &entries), sum(&keys, &entries[1..]));
        assert_ne!(sum(&keys, &[(1, 2, 3)]), sum(&keys, &[(2, 1, 3)]));
    }
}
