//! Label sets as numbers, so that those of several blocks, or of one before and after a change, can
//! be told apart without their text.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::index::Symbols;

/// A hash of 128 bits for each symbol of an index, by its ordinal, from which the identities of
/// label sets are made.
#[derive(Debug)]
pub(crate) struct SymbolHashes(Vec<u128>);

impl SymbolHashes {
    pub(crate) fn of(symbols: &Symbols<'_>) -> Self {
        SymbolHashes(symbols.iter().map(|(_, string)| hash(string)).collect())
    }

    /// The same number for the same labels in the same order, in whatever block; names and values
    /// are ordinals of symbols. Two of a thousand million different label sets share one with a
    /// probability below 10⁻²⁰.
    pub(crate) fn identity(
        &self,
        labels: impl Iterator<Item = (Option<usize>, Option<usize>)>,
    ) -> u128 {
        /// An odd number without a pattern: digits of π.
        const FACTOR: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7345;
        let hash_of = |ordinal: Option<usize>| {
            let hash = ordinal.and_then(|ordinal| self.0.get(ordinal));
            hash.copied().unwrap_or(0)
        };
        let mix = |number: u128| {
            let number = (number ^ number >> 64).wrapping_mul(FACTOR);
            (number ^ number >> 59).wrapping_mul(FACTOR)
        };
        labels.fold(FACTOR, |id, (name, value)| {
            mix(id.rotate_left(31) ^ mix(hash_of(name)).wrapping_add(hash_of(value)))
        })
    }
}

/// 128 bits of a text.
pub(super) fn hash(string: &[u8]) -> u128 {
    let half = |seed: u64| {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        string.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_label_set_has_an_identity_of_its_own() {
        let texts: Vec<String> = (0..8).map(|i| i.to_string()).collect();
        let hashes = SymbolHashes(texts.iter().map(|text| hash(text.as_bytes())).collect());
        let of = |labels: &[(usize, usize)]| {
            let labels = labels
                .iter()
                .map(|(name, value)| (Some(*name), Some(*value)));
            hashes.identity(labels)
        };
        let mut found = BTreeSet::from([of(&[])]);
        let mut sets = 1;
        let pairs = (0..8).flat_map(|name| (0..8).map(move |value| (name, value)));
        for one in pairs.clone() {
            sets += usize::from(found.insert(of(&[one])));
            for other in pairs.clone() {
                sets += usize::from(found.insert(of(&[one, other])));
            }
        }
        assert_eq!(sets, 1 + 64 + 64 * 64);
        assert_eq!(of(&[(1, 2), (3, 4)]), of(&[(1, 2), (3, 4)]));
    }
}
