//! Residuals as bits: what is left of a column once it has been predicted, in as few bits as its
//! noise allows.
//!
//! A residual becomes a *token* (its sign and the length of its magnitude in bits) and the bits
//! below the leading one. Those bits are noise and go out as they are. Tokens are coded with rANS,
//! under frequencies that depend on a *context*: how large the residuals just before were. Contexts
//! are shared by all columns of a group, so a column of a few hundred samples pays for no table of
//! its own.
//!
//! Layout in `docs/pack-format.md`, section 4.1.

mod context;
mod lanes;
mod rans;
mod reader;
mod table;
mod writer;

pub(super) use context::hint;
pub(super) use reader::ResidualReader;
pub(super) use writer::ResidualWriter;

/// Number of tokens: one for zero, two (by sign) for each length from 1 to 64 bits.
const TOKENS: usize = 129;

/// The section that errors name.
const SECTION: &str = "residuals";

/// The token of `residual`, and how many bits of its magnitude follow.
#[inline]
fn token(residual: i64) -> (u8, u32) {
    let length = 64 - residual.unsigned_abs().leading_zeros();
    #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
    let token = (2 * length + u32::from(residual < 0)).saturating_sub(1) as u8;
    (token, length.saturating_sub(1))
}

/// How many bits of the magnitude follow a token, and its sign.
#[inline]
fn expand(token: u8) -> (u32, bool) {
    let half = u32::from(token.saturating_sub(1));
    (half / 2, half % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(columns: &[Vec<i64>]) -> usize {
        let mut writer = ResidualWriter::default();
        for column in columns {
            writer.push(column, hint(column));
        }
        let bytes = writer.finish();
        let mut reader = ResidualReader::new(&bytes, 0).unwrap();
        let mut found = Vec::new();
        for column in columns {
            found.clear();
            reader.read(column.len(), hint(column), &mut found).unwrap();
            assert_eq!(&found, column);
        }
        reader.finish().unwrap();
        bytes.len()
    }

    #[test]
    fn the_extremes_come_back() {
        let mut all = vec![0, i64::MIN, i64::MAX, i64::MIN + 1];
        all.extend((0..64).flat_map(|bit| [1i64 << bit, (1i64 << bit).wrapping_neg()]));
        round_trip(&[all, vec![], vec![0; 1000], vec![i64::MIN; 3]]);
        round_trip(&[]);
    }

    #[test]
    fn zeros_cost_next_to_nothing() {
        let bytes = round_trip(&vec![vec![0; 480]; 1000]);
        assert!(bytes < 100, "{bytes} bytes for 480,000 zeros");
    }

    #[test]
    fn noise_costs_its_entropy() {
        // Uniform over 1,024 values: 10 bits each.
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 54) as i64 - 512
        };
        let columns: Vec<Vec<i64>> = (0..100)
            .map(|_| (0..480).map(|_| next()).collect())
            .collect();
        let bits = round_trip(&columns) as f64 * 8.0 / 48_000.0;
        assert!((10.0..10.15).contains(&bits), "{bits} bits for each");
    }

    proptest! {
        #[test]
        fn any_columns_come_back(columns in prop::collection::vec(prop::collection::vec(any::<i64>().prop_flat_map(|wide| (0u32..64).prop_map(move |shift| wide >> shift)), 0..300), 0..8)) {
            round_trip(&columns);
        }

        #[test]
        fn damage_is_an_error_or_other_numbers_never_a_panic(at in 0usize..400, flip in 1u8..=255, cut in 0usize..400) {
            let columns: Vec<Vec<i64>> = (0..5).map(|i| (0..60).map(|k| (k * k * 7 + i) % 91 - 30).collect()).collect();
            let mut writer = ResidualWriter::default();
            for column in &columns {
                writer.push(column, hint(column));
            }
            let mut bytes = writer.finish();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= flip;
            }
            for bytes in [&bytes[..], &bytes[..cut.min(bytes.len())]] {
                let Ok(mut reader) = ResidualReader::new(bytes, 0) else { continue };
                let mut found = Vec::new();
                for column in &columns {
                    if reader.read(column.len(), 3, &mut found).is_err() {
                        break;
                    }
                }
            }
        }
    }
}
