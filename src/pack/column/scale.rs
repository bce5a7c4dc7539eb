//! Floats as integers: most values are decimals, counts of nanoseconds, or fractions with a small
//! denominator.
//!
//! A [`Scale`] says how a float follows from an integer. It is exact where the float comes back bit
//! for bit; where it is only near (sums that have gathered rounding errors), a second column of
//! *corrections* holds the distance in units of the last place.

/// How a float follows from an integer `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// k / 10^e: whole numbers, and what was parsed from text.
    Decimal(u8),
    /// k × 10^−e, as C code converts ticks.
    Multiple(u8),
    /// Whole seconds plus k's rest / 10^9: Go's `Duration.Seconds` of k nanoseconds.
    Duration,
    /// k / 1,000 / 1,000: microseconds as exporters convert them.
    Micro,
    /// k / d: rates and means.
    Ratio(u32),
    /// The float's own bits, in the order of the numbers they stand for.
    Bits,
}

/// Largest exponent of ten in a scale.
pub(super) const MAX_EXPONENT: u8 = 18;

/// Decimals with more places are hardly meant as such: other scales are tried, too.
const PLAIN_EXPONENT: u8 = 9;

/// Powers of ten, exact as floats up to 10^22.
const POWERS: [f64; MAX_EXPONENT as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Their nearest inverses.
const INVERSES: [f64; MAX_EXPONENT as usize + 1] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14,
    1e-15, 1e-16, 1e-17, 1e-18,
];

/// Integers up to this size are exact as floats.
const EXACT: f64 = 9_007_199_254_740_992.0;
const EXACT_INTEGER: u64 = 1 << 53;

/// Adding and subtracting this rounds a float below 2^51 to the nearest integer, ties to even.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

impl Scale {
    /// The float for `k`, as IEEE-754 bits.
    #[inline]
    pub(super) fn float(self, k: i64) -> u64 {
        match self {
            Scale::Decimal(0) => (k as f64).to_bits(),
            Scale::Decimal(e) => (k as f64 / power(e)).to_bits(),
            Scale::Multiple(e) => (k as f64 * inverse(e)).to_bits(),
            Scale::Duration => {
                let (seconds, rest) = (k / 1_000_000_000, k % 1_000_000_000);
                (seconds as f64 + rest as f64 / 1e9).to_bits()
            }
            Scale::Micro => (k as f64 / 1000.0 / 1000.0).to_bits(),
            Scale::Ratio(d) => (k as f64 / f64::from(d.max(1))).to_bits(),
            Scale::Bits => ordered_to_bits(k),
        }
    }

    /// Appends the floats for `integers` to `out`.
    pub(super) fn floats(self, integers: &[i64], out: &mut Vec<u64>) {
        match self {
            // A loop of its own, as nearly all columns are such.
            Scale::Decimal(0) => out.extend(integers.iter().map(|k| (*k as f64).to_bits())),
            Scale::Decimal(_)
            | Scale::Multiple(_)
            | Scale::Duration
            | Scale::Micro
            | Scale::Ratio(_)
            | Scale::Bits => out.extend(integers.iter().map(|k| self.float(*k))),
        }
    }

    /// Integers for `floats`, if they all are whole numbers of moderate size; the first few decide
    /// for most that are not.
    pub(super) fn whole(floats: &[u64]) -> Option<Vec<i64>> {
        const BLOCK: usize = 32;
        let mut integers = Vec::with_capacity(floats.len());
        for block in floats.chunks(BLOCK) {
            let mut all_whole = true;
            integers.extend(block.iter().map(|bits| {
                #[expect(clippy::cast_possible_truncation, reason = "compared with the value")]
                let k = f64::from_bits(*bits) as i64;
                all_whole &= (k as f64).to_bits() == *bits && k.unsigned_abs() < EXACT_INTEGER;
                k
            }));
            if !all_whole {
                return None;
            }
        }
        Some(integers)
    }

    /// The integer whose float is `bits` or near it; `None` when there is none that is near.
    #[inline]
    pub(super) fn integer(self, bits: u64) -> Option<i64> {
        let value = f64::from_bits(bits);
        let scaled = match self {
            Scale::Decimal(e) | Scale::Multiple(e) => value * power(e),
            Scale::Duration => value * 1e9,
            Scale::Micro => value * 1e6,
            Scale::Ratio(d) => value * f64::from(d),
            Scale::Bits => return Some(bits_to_ordered(bits)),
        };
        // Also refuses what is not a number.
        if scaled.is_nan() || scaled.abs() >= EXACT * 256.0 {
            return None;
        }
        let rounded = if scaled.abs() < EXACT / 4.0 {
            (scaled + ROUNDER) - ROUNDER
        } else {
            scaled.round()
        };
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^61")]
        let k = rounded as i64;
        Some(k)
    }

    /// The integer whose float is exactly `bits`.
    #[inline]
    fn exactly(self, bits: u64) -> Option<i64> {
        self.integer(bits).filter(|k| self.float(*k) == bits)
    }

    /// Integers for all of `floats`, if each comes back exactly.
    fn all_exactly(self, floats: &[u64]) -> Option<Vec<i64>> {
        floats.iter().map(|bits| self.exactly(*bits)).collect()
    }

    /// Integers near all of `floats`, and how far each float is from its integer's, in units of the
    /// last place.
    pub(super) fn nearly(self, floats: &[u64]) -> Option<(Vec<i64>, Vec<i64>)> {
        let near = |bits: &u64| {
            let k = self.integer(*bits)?;
            let distance = bits_to_ordered(*bits).wrapping_sub(bits_to_ordered(self.float(k)));
            Some((k, distance))
        };
        floats.iter().map(near).collect()
    }

    /// Undoes [`Scale::nearly`] for one value.
    #[inline]
    pub(super) fn corrected(self, k: i64, correction: i64) -> u64 {
        ordered_to_bits(bits_to_ordered(self.float(k)).wrapping_add(correction))
    }

    /// The exact scale that suits `floats`, with their integers; and whether it leaves nothing to
    /// wish for.
    pub(super) fn exact(floats: &[u64]) -> Option<(Self, Vec<i64>, bool)> {
        if let Some(integers) = Scale::whole(floats) {
            return Some((Scale::Decimal(0), integers, true));
        }
        let decimal = match decimal(floats) {
            Some((places, integers)) if places <= PLAIN_EXPONENT => {
                return Some((Scale::Decimal(places), integers, true));
            }
            other => other,
        };
        let probe = floats.get(..floats.len().min(16)).unwrap_or_default();
        let ticks = (1..=PLAIN_EXPONENT).map(Scale::Multiple);
        for scale in [Scale::Duration, Scale::Micro].into_iter().chain(ticks) {
            if scale.all_exactly(probe).is_some()
                && let Some(integers) = scale.all_exactly(floats)
            {
                return Some((scale, integers, true));
            }
        }
        decimal.map(|(places, integers)| (Scale::Decimal(places), integers, false))
    }

    /// Scales that may come near `floats`, none of which any exact scale suits well.
    pub(super) fn near(floats: &[u64]) -> impl Iterator<Item = Self> {
        let ratio = common_denominator(floats).map(Scale::Ratio);
        [Scale::Decimal(9), Scale::Decimal(6), Scale::Decimal(2)]
            .into_iter()
            .chain(ratio)
    }
}

fn power(e: u8) -> f64 {
    POWERS.get(usize::from(e)).copied().unwrap_or(1.0)
}

fn inverse(e: u8) -> f64 {
    INVERSES.get(usize::from(e)).copied().unwrap_or(1.0)
}

/// The number of places that all of `floats` need, and their integers.
fn decimal(floats: &[u64]) -> Option<(u8, Vec<i64>)> {
    let mut places = 0;
    loop {
        // One pass for the guess that so many places are enough, up to the first value that needs
        // more.
        let mut integers = Vec::with_capacity(floats.len());
        let small = |k: &i64| k.unsigned_abs() < EXACT_INTEGER;
        let exactly = |bits: &u64| Scale::Decimal(places).exactly(*bits).filter(small);
        integers.extend(floats.iter().map_while(exactly));
        let Some(needs_more) = floats.get(integers.len()) else {
            return Some((places, integers));
        };
        let enough = |places: &u8| {
            Scale::Decimal(*places)
                .exactly(*needs_more)
                .is_some_and(|k| small(&k))
        };
        places = (places + 1..=MAX_EXPONENT).find(enough)?;
    }
}

/// The least common denominator of most of `floats`, found by continued fractions.
fn common_denominator(floats: &[u64]) -> Option<u32> {
    const PROBES: usize = 24;
    const MAX: u64 = 10_000_000;
    let step = (floats.len() / PROBES).max(1);
    let mut found: Vec<u64> = floats
        .iter()
        .step_by(step)
        .filter_map(|bits| denominator(f64::from_bits(*bits).abs()))
        .collect();
    // The most frequent first: a few strays must not spoil the rest.
    found.sort_unstable();
    let mut groups: Vec<(usize, u64)> = found
        .chunk_by(|a, b| a == b)
        .filter_map(|group| group.first().map(|first| (group.len(), *first)))
        .collect();
    groups.sort_unstable_by_key(|(count, denominator)| (std::cmp::Reverse(*count), *denominator));
    let common = groups.iter().take(6).fold(1, |common, (_, denominator)| {
        let multiple = common / gcd(common, *denominator) * denominator;
        if multiple <= MAX { multiple } else { common }
    });
    u32::try_from(common).ok().filter(|common| *common > 1)
}

/// The denominator of the simplest fraction that is `value` but for rounding errors; `None` for
/// whole numbers and for what is no simple fraction.
fn denominator(value: f64) -> Option<u64> {
    const MAX: u64 = 1_000_000;
    let target = value.fract();
    let tolerance = 1e-11 * value.max(1e-3);
    let mut rest = target;
    let (mut numerators, mut denominators) = ((1u64, 0u64), (0u64, 1u64));
    for _ in 0..12 {
        if rest < 1e-12 {
            return None;
        }
        rest = 1.0 / rest;
        let whole = rest.floor();
        rest -= whole;
        if whole > MAX as f64 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
        let whole = whole as u64;
        numerators = (numerators.1, whole * numerators.1 + numerators.0);
        denominators = (denominators.1, whole * denominators.1 + denominators.0);
        if denominators.1 > MAX {
            return None;
        }
        if (numerators.1 as f64 / denominators.1 as f64 - target).abs() < tolerance {
            return Some(denominators.1);
        }
    }
    None
}

pub(super) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Bits of a float as an integer in the order of the numbers they stand for.
#[inline]
fn bits_to_ordered(bits: u64) -> i64 {
    let bits = bits as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Undoes [`bits_to_ordered`].
#[inline]
fn ordered_to_bits(ordered: i64) -> u64 {
    (ordered ^ ((ordered >> 63) as u64 >> 1) as i64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn floats(values: impl IntoIterator<Item = f64>) -> Vec<u64> {
        values.into_iter().map(f64::to_bits).collect()
    }

    fn scale(values: &[u64]) -> Option<Scale> {
        Scale::exact(values).map(|(scale, ..)| scale)
    }

    #[test]
    fn each_kind_of_value_finds_its_scale() {
        let ks = || 1_000_003..1_000_300i64;
        assert_eq!(
            scale(&floats([1.0, 2.0, 0.0, -7.0])),
            Some(Scale::Decimal(0))
        );
        assert_eq!(scale(&floats([0.5, 0.25, 100.0])), Some(Scale::Decimal(2)));
        assert_eq!(
            scale(&floats(ks().map(|k| k as f64 * 0.001))),
            Some(Scale::Multiple(3))
        );
        assert_eq!(
            scale(&floats(ks().map(|k| k as f64 / 1000.0 / 1000.0))),
            Some(Scale::Micro)
        );
        let seconds = |k: i64| (k % 7) as f64 + (k * 104_729 % 1_000_000_000) as f64 / 1e9;
        assert_eq!(scale(&floats(ks().map(seconds))), Some(Scale::Duration));
    }

    #[test]
    fn rates_have_a_common_denominator() {
        let rates = floats((1..200).map(|k| f64::from(k) / 2900.0));
        assert!(Scale::near(&rates).any(|scale| scale == Scale::Ratio(2900)));
        let (integers, corrections) = Scale::Ratio(2900).nearly(&rates).unwrap();
        assert!(integers.into_iter().eq(1..200));
        assert!(corrections.iter().all(|c| *c == 0));
    }

    #[test]
    fn sums_with_rounding_errors_are_near_decimals() {
        let mut sum = 0.0;
        let sums = floats((1..300).map(|k| {
            sum += f64::from(k) * 0.1;
            sum
        }));
        let (integers, corrections) = Scale::Decimal(6).nearly(&sums).unwrap();
        assert!(corrections.iter().all(|c| c.abs() < 100));
        for ((k, correction), bits) in integers.iter().zip(&corrections).zip(&sums) {
            assert_eq!(Scale::Decimal(6).corrected(*k, *correction), *bits);
        }
    }

    proptest! {
        #[test]
        fn what_a_scale_takes_comes_back(bits: u64, e in 0..=MAX_EXPONENT, d in 1u32..) {
            for scale in [Scale::Decimal(e), Scale::Multiple(e), Scale::Duration, Scale::Micro, Scale::Ratio(d), Scale::Bits] {
                if let Some((integers, corrections)) = scale.nearly(&[bits]) {
                    prop_assert_eq!(scale.corrected(integers[0], corrections[0]), bits);
                }
                if let Some(k) = scale.exactly(bits) {
                    prop_assert_eq!(scale.float(k), bits);
                }
            }
            prop_assert_eq!(ordered_to_bits(bits_to_ordered(bits)), bits);
        }

        #[test]
        fn numbers_keep_their_order_as_integers(a: f64, b: f64) {
            prop_assert_eq!(a < b, bits_to_ordered(a.to_bits()) < bits_to_ordered(b.to_bits()) && a != b);
        }
    }
}
