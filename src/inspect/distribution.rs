//! How often each value occurs: exact, in bounded memory as long as values are small or few.

use std::collections::BTreeMap;

/// Values below this are counted in an array: chunks rarely have more samples or bytes.
const DENSE: usize = 2048;
/// Buckets that a distribution is shown in.
const MAX_BUCKETS: u64 = 12;

/// A multiset of whole numbers, of which minimum, mean, maximum and percentiles are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    dense: Vec<u64>,
    sparse: BTreeMap<u64, u64>,
    count: u64,
    sum: u64,
}

/// How many values lie between two borders, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Smallest value that counts here.
    pub from: u64,
    /// Largest value that counts here.
    pub to: u64,
    /// Number of values.
    pub count: u64,
}

impl Distribution {
    /// Adds one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.add(value, 1);
    }

    /// Adds everything in `other`.
    pub fn merge(&mut self, other: &Distribution) {
        for (value, count) in other.iter() {
            self.add(value, count);
        }
    }

    fn add(&mut self, value: u64, count: u64) {
        self.count = self.count.saturating_add(count);
        self.sum = self.sum.saturating_add(value.saturating_mul(count));
        if self.dense.is_empty() {
            self.dense = vec![0; DENSE];
        }
        let slot = usize::try_from(value)
            .ok()
            .and_then(|value| self.dense.get_mut(value));
        *slot.unwrap_or_else(|| self.sparse.entry(value).or_default()) += count;
    }

    /// Values that occur, rising, with how often they do.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let dense = (0u64..).zip(self.dense.iter().copied());
        let sparse = self.sparse.iter().map(|(value, count)| (*value, *count));
        dense.chain(sparse).filter(|(_, count)| *count > 0)
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest value.
    pub fn min(&self) -> Option<u64> {
        self.iter().next().map(|(value, _)| value)
    }

    /// The largest value.
    pub fn max(&self) -> Option<u64> {
        self.iter().last().map(|(value, _)| value)
    }

    /// The smallest value that at least `percent` of a hundred values do not exceed.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let wanted = (u128::from(self.count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0u128;
        self.iter()
            .find(|(_, count)| {
                seen += u128::from(*count);
                seen >= wanted
            })
            .map(|(value, _)| value)
    }

    /// Number of values that are `value` or more.
    pub fn at_least(&self, value: u64) -> u64 {
        let large = self.iter().filter(|(found, _)| *found >= value);
        large.map(|(_, count)| count).sum()
    }

    /// At most twelve buckets of the same round width, which end at multiples of it: 101 to 120,
    /// 121 to 140. Empty ones at both ends are left out, those between are not. Zero counts in
    /// the first.
    pub fn buckets(&self) -> Vec<Bucket> {
        let (Some(min), Some(max)) = (self.min(), self.max()) else {
            return Vec::new();
        };
        let few = |width: &u64| {
            max.saturating_sub(1) / width - min.saturating_sub(1) / width < MAX_BUCKETS
        };
        let width = round_widths().find(few).unwrap_or(u64::MAX);
        let position = |value: u64| value.saturating_sub(1) / width;
        let first = position(min);
        let mut buckets: Vec<Bucket> = (first..=position(max))
            .map(|position| Bucket {
                from: if min == 0 && position == 0 {
                    0
                } else {
                    position.saturating_mul(width).saturating_add(1)
                },
                to: position.saturating_add(1).saturating_mul(width),
                count: 0,
            })
            .collect();
        for (value, count) in self.iter() {
            let slot = usize::try_from(position(value) - first).ok();
            if let Some(bucket) = slot.and_then(|slot| buckets.get_mut(slot)) {
                bucket.count += count;
            }
        }
        buckets
    }
}

/// 1, 2, 5, 10, 20, 50 …
fn round_widths() -> impl Iterator<Item = u64> {
    let powers = (0..).map_while(|exponent| 10u64.checked_pow(exponent));
    powers.flat_map(|power| [1, 2, 5].map(|factor| power.saturating_mul(factor)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        for value in values {
            distribution.record(*value);
        }
        distribution
    }

    #[test]
    fn a_full_chunk_is_in_the_bucket_that_ends_with_it() {
        let distribution = of(&[1, 60, 119, 120, 120, 121, 240]);
        let with = |value: u64| {
            let buckets = distribution.buckets();
            *buckets
                .iter()
                .find(|bucket| (bucket.from..=bucket.to).contains(&value))
                .unwrap()
        };
        assert_eq!(
            with(120),
            Bucket {
                from: 101,
                to: 120,
                count: 3
            }
        );
        assert_eq!(
            with(121),
            Bucket {
                from: 121,
                to: 140,
                count: 1
            }
        );
    }

    #[test]
    fn nothing_has_no_extremes_and_zero_is_counted() {
        assert_eq!(of(&[]).buckets(), []);
        assert_eq!(
            (of(&[]).min(), of(&[]).max(), of(&[]).percentile(50)),
            (None, None, None)
        );
        assert_eq!(
            of(&[0, 0]).buckets(),
            [Bucket {
                from: 0,
                to: 1,
                count: 2
            }]
        );
    }

    proptest! {
        #[test]
        fn all_answers_are_those_of_the_sorted_values(
            mut values in prop::collection::vec(prop_oneof![0u64..3000, any::<u64>()], 1..50),
            percent in 0u8..=100,
        ) {
            let mut distribution = of(&values[..values.len() / 2]);
            distribution.merge(&of(&values[values.len() / 2..]));
            values.sort_unstable();
            prop_assert_eq!(distribution.min(), values.first().copied());
            prop_assert_eq!(distribution.max(), values.last().copied());
            let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
            prop_assert_eq!(distribution.percentile(percent), Some(values[rank - 1]));
            let middle = values[values.len() / 2];
            prop_assert_eq!(distribution.at_least(middle), values.iter().filter(|v| **v >= middle).count() as u64);
            let buckets = distribution.buckets();
            prop_assert!((1..=12).contains(&buckets.len()), "{}", buckets.len());
            for bucket in &buckets {
                let inside = values.iter().filter(|v| (bucket.from..=bucket.to).contains(v)).count();
                prop_assert_eq!(bucket.count, inside as u64);
            }
            let total: u64 = buckets.iter().map(|bucket| bucket.count).sum();
            prop_assert_eq!(total, values.len() as u64);
        }
    }
}
