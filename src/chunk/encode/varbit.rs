//! Variable bit-width integers (Prometheus `chunkenc/varbit.go`): a prefix of ones says how wide.

use crate::raw::BitWriter;

/// Prefix, its bits, and the bits of the payload behind it; the narrowest comes first.
const CLASSES: [(u64, u32, u32); 9] = [
    (0b0, 1, 0),
    (0b10, 2, 3),
    (0b110, 3, 6),
    (0b1110, 4, 9),
    (0b1_1110, 5, 12),
    (0b11_1110, 6, 18),
    (0b111_1110, 7, 25),
    (0b1111_1110, 8, 56),
    (0b1111_1111, 8, 64),
];

/// Writes a signed integer in the narrowest class that holds it.
#[inline]
pub(super) fn write_signed(out: &mut BitWriter, value: i64) {
    write(out, value as u64, |width| fits(value, width));
}

/// Writes an unsigned integer in the narrowest class that holds it.
#[inline]
pub(super) fn write_unsigned(out: &mut BitWriter, value: u64) {
    let fits = |width| value.checked_shr(width).unwrap_or(0) == 0;
    write(out, value, fits);
}

#[inline]
fn write(out: &mut BitWriter, payload: u64, fits: impl Fn(u32) -> bool) {
    for (prefix, prefix_width, width) in CLASSES {
        if fits(width) {
            out.bits(prefix, prefix_width);
            out.bits(payload, width);
            return;
        }
    }
}

/// Whether a signed code of `width` bits holds `value`. The pattern 100…0 is +2^(n−1), except at 64
/// bits, which hold everything.
#[inline]
pub(super) fn fits(value: i64, width: u32) -> bool {
    match width {
        0 => value == 0,
        64 => true,
        _ => {
            let half = 1i64 << (width - 1);
            -half < value && value <= half
        }
    }
}
