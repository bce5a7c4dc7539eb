//! What is expected of a residual, from those before it in the same column.

/// Number of contexts: 128 magnitudes, each after a zero and after something else.
pub(super) const CONTEXTS: usize = 256;

/// Fraction bits of the average.
const FRACTION: u32 = 8;
/// Weight of the newest magnitude in the average: 1 / 2^this.
const DECAY: u32 = 2;
/// Larger magnitudes count as this one: the average must not overflow.
const MAX_MAGNITUDE: u64 = 1 << 52;

/// A running average of the magnitudes of one column's residuals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    average: u64,
    after_zero: bool,
}

impl Context {
    /// At the start of a column whose residuals are about as large as `hint` says.
    pub(super) fn new(hint: u8) -> Self {
        let magnitude = match hint {
            0 => 0,
            1..=64 => 1 << (hint - 1),
            _ => MAX_MAGNITUDE,
        };
        Context {
            average: magnitude.min(MAX_MAGNITUDE) << FRACTION,
            after_zero: false,
        }
    }

    /// The number of this context: twice the logarithm of the average, rounded down, and whether
    /// the last residual was zero.
    #[inline]
    pub(super) fn number(self) -> usize {
        // Two bits more, so that there always is a bit below the leading one.
        let scaled = self.average << 2 | 3;
        let length = 64 - scaled.leading_zeros();
        let half = scaled >> (length - 2) & 1;
        let magnitude = 2 * length as usize + half as usize;
        magnitude << 1 | usize::from(self.after_zero)
    }

    /// Goes on behind a residual of this magnitude.
    #[inline]
    pub(super) fn update(&mut self, magnitude: u64) {
        let newest = magnitude.min(MAX_MAGNITUDE) << (FRACTION - DECAY);
        self.average = self.average - (self.average >> DECAY) + newest;
        self.after_zero = magnitude == 0;
    }
}

/// Bits of the mean magnitude of `residuals`: where the context of a column had best start.
pub(in crate::pack) fn hint(residuals: &[i64]) -> u8 {
    let sum = residuals.iter().fold(0u64, |sum, residual| {
        sum.saturating_add(residual.unsigned_abs().min(MAX_MAGNITUDE))
    });
    let mean = sum / (residuals.len() as u64).max(1);
    #[expect(clippy::cast_possible_truncation, reason = "at most 64")]
    let bits = (64 - mean.leading_zeros()) as u8;
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_magnitude_leads_outside_the_table() {
        for hint in 0..=u8::MAX {
            let mut context = Context::new(hint);
            for magnitude in [u64::MAX, 0, 1, u64::MAX, u64::MAX, u64::MAX, u64::MAX] {
                assert!(context.number() < CONTEXTS);
                context.update(magnitude);
            }
        }
    }

    #[test]
    fn contexts_grow_with_the_magnitude() {
        let number = |magnitude| {
            let mut context = Context::new(0);
            (0..40).for_each(|_| context.update(magnitude));
            context.number()
        };
        let numbers: Vec<_> = (0..60).map(|bit| number(1 << bit)).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
