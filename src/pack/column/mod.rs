//! Columns of numbers: floats become integers, integers are predicted, what the prediction leaves
//! goes to [`entropy`](super::entropy).
//!
//! [`ColumnWriter`] chooses for each column how it is predicted and writes that down;
//! [`ColumnReader`] only follows. So the writer may become cleverer without a new format. Both are
//! used in lockstep: columns come back in the order in which they went in, and the caller knows how
//! long each is.

mod fit;
mod predict;
mod reader;
mod reference;
mod scale;
mod search;
mod sketch;
mod streams;
mod writer;

pub(super) use reader::ColumnReader;
pub(super) use streams::{Stream, Streams};
pub(super) use writer::{ColumnWriter, Place};

use crate::model::STALE_NAN;
use scale::{MAX_EXPONENT, Scale};

/// What Go calls NaN.
const GO_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Bits of a scale's byte that say which it is.
const SCALE_CODE: u8 = 0x3f;
/// Flag in a scale's byte: some values are special.
const WITH_SPECIALS: u8 = 0x40;
/// Flag in a scale's byte: a column of corrections follows.
const WITH_CORRECTIONS: u8 = 0x80;

/// Codes of the scales that have no exponent; a multiple has 20 plus its exponent, a decimal just
/// its exponent.
const MULTIPLE: u8 = 20;
const DURATION: u8 = 40;
const MICRO: u8 = 41;
const RATIO: u8 = 42;
const BITS: u8 = 43;

/// Bits of a plan's byte: the predictor, the number of references, and two flags.
const PREDICTOR: u8 = 0x07;
const REFERENCES_SHIFT: u8 = 3;
const MAX_REFERENCES: u8 = 3;
/// All numbers share a divisor.
const WITH_DIVISOR: u8 = 0x20;
/// The prediction is always right: there are no residuals.
const FLAT: u8 = 0x40;
/// Residuals other than zero are rare: their distances, then they themselves.
const SPARSE: u8 = 0x80;

/// Codes of special values.
const STALE: u8 = 0;
const NAN: u8 = 1;
const OTHER: u8 = 2;

/// Whether a value is none that a scale takes: not finite, or negative zero.
#[inline]
fn is_special(bits: u64) -> bool {
    const EXPONENT: u64 = 0x7ff << 52;
    bits & EXPONENT == EXPONENT || bits == 1 << 63
}

fn scale_code(scale: Scale) -> u8 {
    match scale {
        Scale::Decimal(e) => e,
        Scale::Multiple(e) => MULTIPLE + e,
        Scale::Duration => DURATION,
        Scale::Micro => MICRO,
        Scale::Ratio(_) => RATIO,
        Scale::Bits => BITS,
    }
}

fn special_code(bits: u64) -> u8 {
    match bits {
        STALE_NAN => STALE,
        GO_NAN => NAN,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::raw::Reader;
    use proptest::prelude::*;

    /// Writes columns of floats of given times, reads them back, and says how many bytes they took.
    fn round_trip(times: &[Vec<Millis>], columns: &[(usize, Vec<u64>)]) -> usize {
        let mut writer = ColumnWriter::default();
        for times in times {
            writer.add_times(times);
        }
        for (times, column) in columns {
            writer.floats(
                column,
                Some(Place {
                    times: *times,
                    metric: 0,
                }),
            );
        }
        let mut bytes = Vec::new();
        writer.finish(&mut bytes).unwrap();
        let mut reader = Reader::new(&bytes, 0, "group");
        let streams = Streams::read(&mut reader).unwrap();
        let mut reader = ColumnReader::new(&streams, reader.rest(), 0).unwrap();
        for times in times {
            reader.add_times(times);
        }
        for (times, column) in columns {
            let mut found = Vec::new();
            reader
                .floats(column.len(), Some(*times), &mut found)
                .unwrap();
            assert_eq!(&found, column);
        }
        reader.finish().unwrap();
        bytes.len()
    }

    fn grid(start: Millis, step: Millis) -> Vec<Millis> {
        (0..480).map(|i| start + i * step).collect()
    }

    fn noise(i: u64) -> u64 {
        i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
    }

    #[test]
    fn a_sum_costs_nothing_beside_its_parts() {
        let ints = |f: &dyn Fn(u64) -> u64| {
            (0..480)
                .map(|i| (f(i) as f64).to_bits())
                .collect::<Vec<u64>>()
        };
        let (a, b) = (ints(&|i| noise(i)), ints(&|i| noise(i + 1000)));
        let sum = ints(&|i| noise(i) + noise(i + 1000));
        let parts = round_trip(&[grid(0, 1000)], &[(0, a.clone()), (0, b.clone())]);
        let all = round_trip(&[grid(0, 1000)], &[(0, a), (0, b), (0, sum)]);
        assert!(
            all - parts < 30,
            "{all} bytes with the sum, {parts} without"
        );
    }

    #[test]
    fn the_same_gauge_seen_by_another_target_costs_little() {
        let walk = |time: Millis| {
            let steps = (0..time / 100).map(|i| noise(i as u64) as i64 % 4096 - 2048);
            (5_000_000 + steps.sum::<i64>()) as f64
        };
        let seen = |times: &[Millis]| times.iter().map(|t| walk(*t).to_bits()).collect::<Vec<_>>();
        let times = [grid(0, 1000), grid(50, 1000)];
        let one = round_trip(&times, &[(0, seen(&times[0]))]);
        let both = round_trip(&times, &[(0, seen(&times[0])), (1, seen(&times[1]))]);
        assert!(both - one < one / 4, "{both} bytes for both, {one} for one");
    }

    #[test]
    fn pages_of_memory_cost_their_number() {
        let pages = |unit: u64| {
            (0..480)
                .map(|i| ((noise(i) % 64 * unit) as f64).to_bits())
                .collect::<Vec<_>>()
        };
        let one = round_trip(&[grid(0, 1000)], &[(0, pages(1))]);
        let many = round_trip(&[grid(0, 1000)], &[(0, pages(4096))]);
        assert!(
            many < one + 16,
            "{many} bytes for pages, {one} for their number"
        );
    }

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            Just(STALE_NAN),
            Just(GO_NAN),
            Just(0x8000_0000_0000_0000),
            any::<i32>().prop_map(|v| f64::from(v).to_bits()),
            any::<i32>().prop_map(|v| (f64::from(v) / 1000.0).to_bits()),
            any::<i16>().prop_map(|v| (f64::from(v) * 0.01).to_bits()),
            any::<f64>().prop_map(f64::to_bits),
        ]
    }

    proptest! {
        #[test]
        fn any_columns_come_back(columns in prop::collection::vec((0usize..3, prop::collection::vec(value(), 60)), 1..6)) {
            let times = [grid(0, 7)[..60].to_vec(), grid(100, 9)[..60].to_vec(), vec![5; 60]];
            round_trip(&times, &columns);
        }

        #[test]
        fn short_columns_come_back(column in prop::collection::vec(value(), 1..4)) {
            let times = grid(0, 7)[..column.len()].to_vec();
            round_trip(&[times], &[(0, column.clone()), (0, column)]);
        }
    }
}
