//! Hash maps with small numbers for keys, of which packing looks up millions.
//!
//! One multiplication for each number, under a seed that differs from run to run: keys come from
//! packs, and whoever makes one must not know which collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map whose keys are numbers, or few of them.
pub(super) type NumberMap<K, V> = HashMap<K, V, Seed>;

/// Makes hashers of one seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Seed(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Seed {
    type Hasher = Fold;

    #[inline]
    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

/// Folds each number into the state by one long multiplication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // The golden ratio's digits: odd, and without a pattern.
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let low = product as u64;
        let high = (product >> 64) as u64;
        self.0 = (low ^ high).rotate_left(23);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    #[inline]
    fn write_i64(&mut self, number: i64) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let number = rest
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
            self.write_u64(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbouring_keys_spread_over_all_bits() {
        let seed = Seed::default();
        let hashes: Vec<u64> = (0..4096u32)
            .map(|i| seed.hash_one((i / 64, i % 64)))
            .collect();
        for shift in [0, 20, 57] {
            let buckets: HashSet<u64> = hashes.iter().map(|hash| hash >> shift & 127).collect();
            assert_eq!(buckets.len(), 128, "bits from {shift} on");
        }
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 4096);
    }
}
