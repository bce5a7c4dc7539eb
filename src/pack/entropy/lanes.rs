//! The order in which the residuals of a column are coded.
//!
//! A residual's context is known only once the one before it is: whoever decodes a column from end
//! to end waits for each of them. So long columns are coded at [`LANES`] places at a time, each
//! with a context of its own.

use super::rans::LANES;

/// Shorter columns are coded from end to end: every lane has to find out anew how large residuals
/// are.
const WORTH_LANES: usize = 64;

/// Length of each lane in a column of `count` residuals. What remains is coded behind the lanes, in
/// the context of the last one.
pub(super) fn lane_len(count: usize) -> usize {
    if count < WORTH_LANES {
        0
    } else {
        count / LANES
    }
}

/// The lanes of a column, and what is behind them.
pub(super) fn split(column: &[i64]) -> ([&[i64]; LANES], &[i64]) {
    let length = lane_len(column.len());
    let (first, rest) = column.split_at_checked(length).unwrap_or_default();
    let (second, rest) = rest.split_at_checked(length).unwrap_or_default();
    let (third, rest) = rest.split_at_checked(length).unwrap_or_default();
    let (fourth, rest) = rest.split_at_checked(length).unwrap_or_default();
    ([first, second, third, fourth], rest)
}

/// As [`split`], of a column that is being read.
pub(super) fn split_mut(column: &mut [i64]) -> ([&mut [i64]; LANES], &mut [i64]) {
    let length = lane_len(column.len());
    let (first, rest) = column.split_at_mut_checked(length).unwrap_or_default();
    let (second, rest) = rest.split_at_mut_checked(length).unwrap_or_default();
    let (third, rest) = rest.split_at_mut_checked(length).unwrap_or_default();
    let (fourth, rest) = rest.split_at_mut_checked(length).unwrap_or_default();
    ([first, second, third, fourth], rest)
}
