//! Columns that help to predict others: a sum and its parts, the same gauge seen by another target a moment before.

use std::rc::Rc;

use super::scale::Scale;
use crate::model::Millis;
use crate::pack::hash::NumberMap;

/// An earlier column of the group, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Its number among the columns kept.
    pub(super) column: usize,
    /// Its numbers count against, not for.
    pub(super) negative: bool,
    /// Between two of its samples: on the line through them; else the earlier one.
    pub(super) interpolate: bool,
}

/// A column that later ones may refer to.
#[derive(Debug)]
pub(super) struct KeptColumn {
    pub(super) values: Vec<i64>,
    pub(super) scale: Scale,
    /// Number of its times among those of the group.
    pub(super) times: usize,
}

/// All columns of a group so far, and the times they have.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) columns: Vec<KeptColumn>,
    times: Vec<Rc<[Millis]>>,
    alignments: NumberMap<(usize, usize), Rc<Alignment>>,
}

/// For each sample of one column, where another column stands at that time.
#[derive(Debug)]
struct Alignment(Vec<Place>);

/// The last sample at or before some time (the first one if there is none), and how far it is to the next one, in 65,536ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u32,
    fraction: u16,
}

impl Kept {
    /// Makes times known, and returns their number.
    pub(super) fn add_times(&mut self, times: &[Millis]) -> usize {
        self.times.push(times.into());
        self.times.len() - 1
    }

    /// Has `combine` change each of `values`, which are at `times`, by how far `reference` says that they have moved since the first.
    /// Changes nothing when there is no such column.
    pub(super) fn combine(
        &mut self,
        reference: Reference,
        times: usize,
        values: &mut [i64],
        combine: impl Fn(&mut i64, i64),
    ) {
        let Some(column) = self.columns.get(reference.column) else {
            return;
        };
        let moved = |expected: i64, first: i64| {
            if reference.negative {
                first.wrapping_sub(expected)
            } else {
                expected.wrapping_sub(first)
            }
        };
        if column.times == times {
            let first = column.values.first().copied().unwrap_or(0);
            for (value, expected) in values.iter_mut().zip(&column.values) {
                combine(value, moved(*expected, first));
            }
        } else {
            let alignment = align(&self.times, &mut self.alignments, times, column.times);
            let at = |place: &Place| column.at(*place, reference.interpolate);
            let first = alignment.0.first().map_or(0, at);
            for (value, place) in values.iter_mut().zip(&alignment.0) {
                combine(value, moved(at(place), first));
            }
        }
    }

    /// What column number `number` says of the steps from the samples `at` to those behind them, in two ways: of the same times, for
    /// and against; of others, without and with interpolation.
    pub(super) fn steps(
        &mut self,
        number: usize,
        times: usize,
        at: &[usize],
        out: &mut Vec<[i64; 2]>,
    ) {
        out.clear();
        let Some(column) = self.columns.get(number) else {
            return;
        };
        if column.times == times {
            let step = |at: &usize| match column.values.get(*at..at + 2) {
                Some([a, b]) => [b.wrapping_sub(*a), a.wrapping_sub(*b)],
                _ => [0; 2],
            };
            out.extend(at.iter().map(step));
        } else {
            let alignment = align(&self.times, &mut self.alignments, times, column.times);
            let step = |at: &usize| match alignment.0.get(*at..at + 2) {
                Some([a, b]) => [false, true].map(|interpolate| {
                    let (a, b) = (column.at(*a, interpolate), column.at(*b, interpolate));
                    b.wrapping_sub(a)
                }),
                _ => [0; 2],
            };
            out.extend(at.iter().map(step));
        }
    }
}

impl KeptColumn {
    #[inline]
    fn at(&self, place: Place, interpolate: bool) -> i64 {
        let at = place.at as usize;
        let here = self.values.get(at).copied().unwrap_or(0);
        if !interpolate || place.fraction == 0 {
            return here;
        }
        let next = self.values.get(at + 1).copied().unwrap_or(here);
        let step = i128::from(next.wrapping_sub(here)) * i128::from(place.fraction) >> 16;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "less than a difference of 64 bits"
        )]
        let step = step as i64;
        here.wrapping_add(step)
    }
}

fn align(
    all: &[Rc<[Millis]>],
    known: &mut NumberMap<(usize, usize), Rc<Alignment>>,
    own: usize,
    other: usize,
) -> Rc<Alignment> {
    let entry = known.entry((own, other));
    let times = |number: usize| all.get(number).map_or(&[][..], |times| &**times);
    Rc::clone(entry.or_insert_with(|| Rc::new(Alignment::new(times(own), times(other)))))
}

impl Alignment {
    fn new(own: &[Millis], other: &[Millis]) -> Self {
        let mut at = 0usize;
        let place = |time: &Millis| {
            while other.get(at + 1).is_some_and(|next| next <= time) {
                at += 1;
            }
            let fraction = match (other.get(at), other.get(at + 1)) {
                (Some(before), Some(after)) => part(*time, *before, *after),
                _ => 0,
            };
            Place {
                at: u32::try_from(at).unwrap_or(u32::MAX),
                fraction,
            }
        };
        Alignment(own.iter().map(place).collect())
    }
}

/// Where `time` lies between `before` and `after`, in 65,536ths.
fn part(time: Millis, before: Millis, after: Millis) -> u16 {
    let (way, whole) = (
        i128::from(time) - i128::from(before),
        i128::from(after) - i128::from(before),
    );
    if way <= 0 || whole <= 0 {
        return 0;
    }
    u16::try_from((way << 16) / whole).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> (Kept, usize) {
        let mut kept = Kept::default();
        let every_10 = kept.add_times(&[0, 10, 20, 30]);
        let offset = kept.add_times(&[-5, 0, 15, 29, 100]);
        kept.columns.push(KeptColumn {
            values: vec![100, 200, 400, 300],
            scale: Scale::Decimal(0),
            times: every_10,
        });
        (kept, offset)
    }

    #[test]
    fn another_column_is_seen_at_ones_own_times() {
        let (mut kept, times) = kept();
        let mut moved = |negative, interpolate| {
            let reference = Reference {
                column: 0,
                negative,
                interpolate,
            };
            moved(&mut kept, reference, times, 5)
        };
        assert_eq!(moved(false, false), [0, 0, 100, 300, 200]);
        assert_eq!(moved(false, true), [0, 0, 200, 210, 200]);
        assert_eq!(moved(true, false), [0, 0, -100, -300, -200]);
    }

    #[test]
    fn steps_are_those_of_the_whole_column() {
        let (mut kept, times) = kept();
        let mut steps = Vec::new();
        kept.steps(0, times, &[1, 2, 9], &mut steps);
        assert_eq!(steps, [[100, 200], [200, 10], [0, 0]]);
        kept.steps(0, 0, &[0, 2], &mut steps);
        assert_eq!(steps, [[100, -100], [-100, 100]]);
    }

    /// How far `count` samples at `times` have moved.
    fn moved(kept: &mut Kept, reference: Reference, times: usize, count: usize) -> Vec<i64> {
        let mut values = vec![0; count];
        kept.combine(reference, times, &mut values, |value, moved| *value = moved);
        values
    }

    #[test]
    fn times_that_jump_about_and_values_at_the_limits_lead_nowhere_bad() {
        let mut kept = Kept::default();
        let a = kept.add_times(&[i64::MAX, i64::MIN, 0]);
        let b = kept.add_times(&[5, i64::MIN, i64::MAX]);
        kept.columns.push(KeptColumn {
            values: vec![i64::MIN, i64::MAX, 1],
            scale: Scale::Bits,
            times: a,
        });
        let reference = |column| Reference {
            column,
            negative: true,
            interpolate: true,
        };
        // One sample more than there are times.
        assert_eq!(moved(&mut kept, reference(0), b, 4).len(), 4);
        assert_eq!(moved(&mut kept, reference(9), b, 3), [0; 3]);
    }
}
