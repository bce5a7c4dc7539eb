//! Variable bit-width integers (Prometheus `chunkenc/varbit.go`): a prefix of ones says how wide.

use crate::raw::BitReader;

/// Payload bits after 0, 1, 2 … leading ones; eight ones end the table.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
const MAX_ONES: u32 = 8;

/// Reads varbit integers and remembers whether each had the shortest code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Varbit {
    pub(super) canonical: bool,
}

impl Varbit {
    pub(super) fn new() -> Self {
        Varbit { canonical: true }
    }

    /// A signed integer; the pattern 100…0 is +2^(n−1), except at 64 bits.
    #[inline]
    pub(super) fn signed(&mut self, bits: &mut BitReader<'_>) -> Option<i64> {
        let (class, raw) = Self::read(bits)?;
        let width = *WIDTHS.get(class)?;
        if width == 0 {
            return Some(0);
        }
        let value = match width {
            64 => raw as i64,
            width if raw > 1 << (width - 1) => (raw as i64).wrapping_sub(1 << width),
            _ => raw as i64,
        };
        let shorter = WIDTHS
            .get(class - 1)
            .is_some_and(|&below| fits(value, below));
        self.canonical &= !shorter;
        Some(value)
    }

    /// An unsigned integer.
    #[inline]
    pub(super) fn unsigned(&mut self, bits: &mut BitReader<'_>) -> Option<u64> {
        let (class, value) = Self::read(bits)?;
        if class > 0 {
            let shorter = WIDTHS
                .get(class - 1)
                .is_some_and(|&below| value >> below == 0);
            self.canonical &= !shorter;
        }
        Some(value)
    }

    #[inline]
    fn read(bits: &mut BitReader<'_>) -> Option<(usize, u64)> {
        let class = bits.ones(MAX_ONES)? as usize;
        let width = *WIDTHS.get(class)?;
        Some((class, bits.bits(width)?))
    }
}

/// Whether `value` has a place in the signed code of `width` bits.
fn fits(value: i64, width: u32) -> bool {
    if width == 0 {
        return value == 0;
    }
    let half = 1i64 << (width - 1);
    (-(half - 1)..=half).contains(&value)
}
