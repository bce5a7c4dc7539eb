//! The layout at the start of a histogram chunk (Prometheus `chunkenc/histogram_meta.go`).

use super::varbit::{write_signed, write_unsigned};
use crate::model::{HistogramLayout, Span};
use crate::raw::BitWriter;

/// The schema whose buckets have bounds of their own.
const CUSTOM_BOUNDS: i64 = -53;

/// Largest bound, in thousandths, that has a short code.
const MAX_SHORT_BOUND: f64 = 33_554_430.0;

pub(super) fn write_layout(out: &mut BitWriter, layout: &HistogramLayout) {
    write_zero_threshold(out, layout.zero_threshold);
    write_signed(out, layout.schema);
    write_spans(out, &layout.positive);
    write_spans(out, &layout.negative);
    if layout.schema == CUSTOM_BOUNDS {
        write_unsigned(out, layout.custom_bounds.len() as u64);
        for bound in &layout.custom_bounds {
            write_bound(out, *bound);
        }
    }
}

/// Number of buckets that `spans` describe; nothing when it overflows.
pub(super) fn bucket_count(spans: &[Span]) -> Option<u64> {
    spans
        .iter()
        .try_fold(0u64, |sum, span| sum.checked_add(span.length))
}

fn write_spans(out: &mut BitWriter, spans: &[Span]) {
    write_unsigned(out, spans.len() as u64);
    for span in spans {
        write_unsigned(out, span.length);
        write_signed(out, span.offset);
    }
}

/// Zero and the powers of two from 2^−243 to 2^10 take one byte, everything else nine.
fn write_zero_threshold(out: &mut BitWriter, threshold: u64) {
    const MANTISSA: u64 = (1 << 52) - 1;
    // 2^−243 has the biased exponent 780 and the code 1.
    const BEFORE_CODES: u64 = 779;
    let exponent = threshold >> 52;
    if threshold << 1 == 0 {
        out.bits(0, 8);
    } else if threshold & MANTISSA == 0 && (1..=254).contains(&exponent.wrapping_sub(BEFORE_CODES))
    {
        out.bits(exponent - BEFORE_CODES, 8);
    } else {
        out.bits(255, 8);
        out.bits(threshold, 64);
    }
}

/// Multiples of 0.001 up to 33,554.43 are written as integers, everything else as it is.
fn write_bound(out: &mut BitWriter, bits: u64) {
    if let Some(thousandths) = thousandths(f64::from_bits(bits)) {
        write_unsigned(out, thousandths + 1);
    } else {
        out.bit(false);
        out.bits(bits, 64);
    }
}

/// `bound` in thousandths, when that is an integer from which the bound can be had back.
fn thousandths(bound: f64) -> Option<u64> {
    let exact = bound * 1000.0;
    if !(0.0..=MAX_SHORT_BOUND).contains(&exact) {
        return None;
    }
    let whole = exact.round();
    #[expect(
        clippy::float_cmp,
        reason = "Prometheus asks whether not a bit is lost"
    )]
    let lossless = whole / 1000.0 == bound;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an integer within the range above"
    )]
    lossless.then_some(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut BitWriter)) -> Vec<u8> {
        let mut out = BitWriter::default();
        write(&mut out);
        out.finish()
    }

    #[test]
    fn powers_of_two_in_range_take_one_byte_as_zero_threshold() {
        let code = |threshold: f64| written(|out| write_zero_threshold(out, threshold.to_bits()));
        assert_eq!(code(0.0), [0]);
        assert_eq!(code(-0.0), [0]);
        assert_eq!(code(2f64.powi(-243)), [1]);
        assert_eq!(code(2f64.powi(-128)), [116]);
        assert_eq!(code(1024.0), [254]);
        for long in [2f64.powi(-244), 2048.0, 3.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(code(long)[0], 255, "{long}");
            assert_eq!(code(long)[1..], long.to_be_bytes(), "{long}");
        }
    }

    #[test]
    fn bounds_of_whole_thousandths_are_integers() {
        assert_eq!(thousandths(0.0), Some(0));
        assert_eq!(thousandths(-0.0), Some(0));
        assert_eq!(thousandths(0.005), Some(5));
        assert_eq!(thousandths(33_554.43), Some(33_554_430));
        for raw in [
            33_554.431,
            -1.0,
            0.0001,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
        ] {
            assert_eq!(thousandths(raw), None, "{raw}");
        }
    }
}
