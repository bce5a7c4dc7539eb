//! Which time blocks cover.

use crate::block::Block;
use crate::model::{Millis, TimeRange};

/// A range of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its begin.
    pub min_time: Millis,
    /// Its end, exclusive.
    pub max_time: Millis,
}

/// The ranges within `asked` that blocks of `a` cover and no block of `b` does, in order.
pub fn not_covered(a: &[Block], b: &[Block], asked: TimeRange) -> Vec<Range> {
    let clipped = |blocks: &[Block]| {
        let ranges = blocks.iter().map(|block| Range {
            min_time: block.meta().min_time.max(asked.since),
            max_time: block.meta().max_time.min(asked.until),
        });
        merged(ranges.collect())
    };
    difference(&clipped(a), &clipped(b))
}

/// The ranges in order, those that overlap or touch made one.
fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.retain(|range| range.min_time < range.max_time);
    ranges.sort_by_key(|range| range.min_time);
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.min_time <= last.max_time => {
                last.max_time = last.max_time.max(range.max_time);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// What of `a` is not in `b`; both are in order, and none of their ranges touch.
fn difference(a: &[Range], b: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    for range in a {
        let mut begin = range.min_time;
        let first = b.partition_point(|other| other.max_time <= begin);
        let others = b.iter().skip(first);
        for other in others.take_while(|other| other.min_time < range.max_time) {
            if begin < other.min_time {
                left.push(Range {
                    min_time: begin,
                    max_time: other.min_time,
                });
            }
            begin = other.max_time;
        }
        if begin < range.max_time {
            left.push(Range {
                min_time: begin,
                max_time: range.max_time,
            });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(pairs: &[(Millis, Millis)]) -> Vec<Range> {
        let range = |&(min_time, max_time): &(Millis, Millis)| Range { min_time, max_time };
        merged(pairs.iter().map(range).collect())
    }

    #[test]
    fn differences_of_ranges_are_those_of_their_points() {
        let cases: [&[(Millis, Millis)]; 6] = [
            &[],
            &[(0, 10)],
            &[(3, 5)],
            &[(0, 2), (2, 4), (8, 12)],
            &[(1, 3), (2, 9), (11, 14)],
            &[(5, 5), (6, 7), (9, 10)],
        ];
        let points = |ranges: &[Range]| -> Vec<Millis> {
            let points = ranges
                .iter()
                .flat_map(|range| range.min_time..range.max_time);
            points.collect()
        };
        for a in cases.map(ranges) {
            for b in cases.map(ranges) {
                let mut expected = points(&a);
                expected.retain(|point| !points(&b).contains(point));
                assert_eq!(points(&difference(&a, &b)), expected, "{a:?} {b:?}");
            }
        }
    }
}
