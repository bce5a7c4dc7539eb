//! Shares of bytes: fractions that are cheap to add, and whole bytes that add up.

/// Binary digits behind the point. An index is shorter than 64 GiB, 2³⁶ bytes: what one block
/// shares out fits 64 bits.
pub(super) const FRACTION: u32 = 27;
/// No index is longer (`index::output`).
const MAX_BYTES: u64 = 1 << 36;

/// A number of bytes with a fraction, in units of 2⁻²⁷ bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FixedBytes(pub(super) u64);

impl FixedBytes {
    /// Whole bytes; more than an index can have count as that many.
    pub(super) fn bytes(bytes: u64) -> Self {
        FixedBytes(bytes.min(MAX_BYTES - 1) << FRACTION)
    }

    /// The share of one among `sharers`, rounded down; nothing where nobody shares.
    pub(super) fn of(bytes: u64, sharers: u64) -> Self {
        FixedBytes(
            Self::bytes(bytes)
                .0
                .checked_div(sharers)
                .unwrap_or_default(),
        )
    }

    /// The shares of so many.
    #[must_use]
    pub(super) fn times(self, sharers: u64) -> Self {
        FixedBytes(self.0.saturating_mul(sharers))
    }

    /// Both together.
    #[inline]
    #[must_use]
    pub(super) fn plus(self, other: FixedBytes) -> Self {
        FixedBytes(self.0.saturating_add(other.0))
    }

    /// What is left without `other`.
    #[must_use]
    pub(super) fn minus(self, other: FixedBytes) -> Self {
        FixedBytes(self.0.saturating_sub(other.0))
    }

    /// In whole bytes, to the nearest.
    pub fn rounded(self) -> u64 {
        (self.0.saturating_add(1 << (FRACTION - 1))) >> FRACTION
    }
}

/// Whole bytes for each of `parts` that add up to `total` exactly: each is rounded down, and what
/// is missing goes, a byte each, to those that lost most (method of the largest remainder; among
/// equals the earlier one). Parts that promise more than there is are cut down in proportion.
pub(super) fn apportion(parts: &[u128], total: u64) -> Vec<u64> {
    let sum = parts
        .iter()
        .fold(0u128, |sum, part| sum.saturating_add(*part));
    let wanted = u128::from(total) << FRACTION;
    // The fractions lose less than a byte; what asks for more contradicts itself.
    let scale = sum > wanted.saturating_add(1 << FRACTION);
    let mut whole = Vec::with_capacity(parts.len());
    let mut remainders = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        let part = if scale {
            proportion(*part, wanted, sum)
        } else {
            *part
        };
        whole.push(u64::try_from(part >> FRACTION).unwrap_or(u64::MAX));
        remainders.push((std::cmp::Reverse(part & ((1 << FRACTION) - 1)), i));
    }
    let given = whole
        .iter()
        .fold(0u64, |sum, part| sum.saturating_add(*part));
    let mut missing = total.saturating_sub(given);
    if missing > 0 {
        remainders.sort_unstable();
        for (_, i) in remainders {
            let Some(part) = whole.get_mut(i).filter(|_| missing > 0) else {
                break;
            };
            *part += 1;
            missing -= 1;
        }
    }
    // One part can be rounded up across `total`.
    let mut surplus = given.saturating_sub(total);
    for part in &mut whole {
        let taken = surplus.min(*part);
        *part -= taken;
        surplus -= taken;
    }
    if let Some(first) = whole.first_mut() {
        *first += missing;
    }
    whole
}

/// `part × wanted / sum`, where the product may not fit.
fn proportion(part: u128, wanted: u128, sum: u128) -> u128 {
    match part.checked_mul(wanted) {
        Some(product) => product / sum,
        None => (part >> 40).saturating_mul(wanted >> 20) / (sum >> 60).max(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_go_to_those_that_lost_most() {
        let third = |n: u64| u128::from(FixedBytes::of(10, 3).times(n).0);
        assert_eq!(apportion(&[third(1), third(1), third(1)], 10), [4, 3, 3]);
        assert_eq!(apportion(&[third(2), third(1)], 10), [7, 3]);
        assert_eq!(apportion(&[], 0), [0u64; 0]);
    }

    proptest! {
        #[test]
        fn parts_always_add_up(parts in prop::collection::vec(any::<u64>(), 1..20), total in 0u64..1 << 40) {
            let parts: Vec<_> = parts.into_iter().map(u128::from).collect();
            let whole = apportion(&parts, total);
            prop_assert_eq!(whole.iter().sum::<u64>(), total);
        }

        #[test]
        fn shared_bytes_add_up_for_any_grouping(
            costs in prop::collection::vec((1u64..5000, 1u64..400), 1..50),
            groups in 1usize..9,
        ) {
            let mut sums = vec![0u128; groups];
            for (bytes, sharers) in &costs {
                for i in 0..*sharers {
                    sums[usize::try_from(i).unwrap() % groups] += u128::from(FixedBytes::of(*bytes, *sharers).0);
                }
            }
            let total: u64 = costs.iter().map(|(bytes, _)| bytes).sum();
            let whole = apportion(&sums, total);
            prop_assert_eq!(whole.iter().sum::<u64>(), total);
            for (whole, exact) in whole.iter().zip(&sums) {
                prop_assert!(u128::from(*whole).abs_diff(exact >> FRACTION) <= 1);
            }
        }
    }
}
