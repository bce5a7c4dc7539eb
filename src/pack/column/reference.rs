//! Columns that help to predict others: a sum and its parts, the same gauge seen by another target
//! a moment before.

use std::rc::Rc;

use super::scale::Scale;
use crate::model::Millis;
use crate::pack::hash::NumberMap;

/// An earlier column of the group, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Its number among the columns kept.
    pub(super) column: usize,
    /// How.
    pub(super) way: Way,
}

/// How a column helps to predict another. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It moves as far. Between two of its samples the earlier one counts.
    Along = 0,
    /// It moves as far. Between two of its samples the line through them counts.
    Interpolated = 1,
    /// It moves as far the other way.
    Against = 2,
    /// It moves so many times as far as it lately did, see [`Fit`](super::fit::Fit). Between two of
    /// its samples the line through them counts.
    Fitted = 3,
}

impl Way {
    fn interpolates(self) -> bool {
        matches!(self, Way::Interpolated | Way::Fitted)
    }
}

/// A column that later ones may refer to.
#[derive(Debug)]
pub(super) struct KeptColumn {
    pub(super) values: Vec<i64>,
    pub(super) scale: Scale,
    /// Number of its times among those of the group.
    pub(super) times: usize,
}

/// Times that columns have.
#[derive(Debug)]
struct Times {
    times: Rc<[Millis]>,
    ascend: bool,
}

impl Times {
    /// The times as far as others may be placed among them. Those that jump about cannot be
    /// searched, and in a hostile pack a walk for each column of a few samples would take
    /// hours.
    fn searchable(&self) -> &[Millis] {
        if self.ascend { &self.times } else { &[] }
    }
}

/// All columns of a group so far, and the times they have.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) columns: Vec<KeptColumn>,
    times: Vec<Times>,
    alignments: NumberMap<(usize, usize), Rc<Alignment>>,
}

/// So many samples are looked at one by one before the rest is searched.
const STEPS: usize = 4;

/// For each sample of one column, where another column stands at that time.
#[derive(Debug)]
struct Alignment(Vec<Place>);

/// The last sample at or before some time (the first one if there is none), and how far it is to
/// the next one, in 65,536ths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at: u32,
    fraction: u16,
}

impl Kept {
    /// Makes times known, and returns their number.
    pub(super) fn add_times(&mut self, times: &[Millis]) -> usize {
        self.times.push(Times {
            times: times.into(),
            ascend: times.is_sorted(),
        });
        self.times.len() - 1
    }

    /// Has `combine` change each of `values`, which are at `times`, by how far `reference` says
    /// that they have moved since the first. Changes nothing when there is no such column.
    pub(super) fn combine(
        &mut self,
        reference: Reference,
        times: usize,
        values: &mut [i64],
        mut combine: impl FnMut(&mut i64, i64),
    ) {
        let Some(column) = self.columns.get(reference.column) else {
            return;
        };
        let moved = |expected: i64, first: i64| {
            if reference.way == Way::Against {
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
            let at = |place: &Place| column.at(*place, reference.way.interpolates());
            let first = alignment.0.first().map_or(0, at);
            for (value, place) in values.iter_mut().zip(&alignment.0) {
                combine(value, moved(at(place), first));
            }
        }
    }

    /// What column number `number` says of the steps from the samples `at` to those behind them, in
    /// two ways: of the same times, for and against; of others, without and with interpolation.
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
        let step = (i128::from(next.wrapping_sub(here)) * i128::from(place.fraction)) >> 16;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "less than a difference of 64 bits"
        )]
        let step = step as i64;
        here.wrapping_add(step)
    }
}

fn align(
    all: &[Times],
    known: &mut NumberMap<(usize, usize), Rc<Alignment>>,
    own: usize,
    other: usize,
) -> Rc<Alignment> {
    let entry = known.entry((own, other));
    let make = || {
        let own = all.get(own).map_or(&[][..], |own| &own.times);
        let other = all.get(other).map_or(&[][..], Times::searchable);
        Rc::new(Alignment::new(own, other))
    };
    Rc::clone(entry.or_insert_with(make))
}

impl Alignment {
    fn new(own: &[Millis], other: &[Millis]) -> Self {
        let mut at = 0usize;
        let place = |time: &Millis| {
            let later = other.get(at + 1..).unwrap_or_default();
            at += match later.get(..STEPS).unwrap_or(later) {
                near if near.last().is_some_and(|last| last <= time) => {
                    later.partition_point(|next| next <= time)
                }
                near => near.iter().take_while(|next| *next <= time).count(),
            };
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

    /// How far column 0 has moved since its first sample, seen at `times`.
    fn moved(kept: &mut Kept, times: usize, reference: Reference) -> Vec<i64> {
        let mut out = vec![0; 5];
        kept.combine(reference, times, &mut out, |value, moved| *value = moved);
        out
    }

    fn reference(column: usize, way: Way) -> Reference {
        Reference { column, way }
    }

    #[test]
    fn another_column_is_seen_at_ones_own_times() {
        let (mut kept, times) = kept();
        let mut seen = |way| moved(&mut kept, times, reference(0, way));
        assert_eq!(seen(Way::Along), [0, 0, 100, 300, 200]);
        assert_eq!(seen(Way::Interpolated), [0, 0, 200, 210, 200]);
        assert_eq!(seen(Way::Fitted), [0, 0, 200, 210, 200]);
        assert_eq!(seen(Way::Against), [0, 0, -100, -300, -200]);
        let mut steps = Vec::new();
        kept.steps(0, times, &[1, 3], &mut steps);
        assert_eq!(steps, [[100, 200], [-100, -10]]);
        kept.steps(0, 0, &[1, 2], &mut steps);
        assert_eq!(steps, [[200, -200], [-100, 100]]);
    }

    #[test]
    fn a_few_samples_among_very_many_are_placed_without_walking_past_all_of_them() {
        let mut kept = Kept::default();
        let many: Vec<Millis> = (0..1 << 20).map(|k| k * 3).collect();
        let all = kept.add_times(&many);
        kept.columns.push(KeptColumn {
            values: many.clone(),
            scale: Scale::Decimal(0),
            times: all,
        });
        // A walk of a million steps for each takes minutes.
        for k in 0..100_000 {
            let time = 3_000_000 - k;
            let few = kept.add_times(&[time, time + 1, time + 100]);
            let mut out = [0; 3];
            let reference = reference(0, Way::Interpolated);
            kept.combine(reference, few, &mut out, |value, moved| *value = moved);
            let off = |(found, ahead): (&i64, i64)| (found - ahead).abs();
            assert!(out.iter().zip([0, 1, 100]).map(off).all(|off| off <= 1));
        }
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
        moved(&mut kept, b, reference(0, Way::Fitted));
        assert_eq!(moved(&mut kept, b, reference(9, Way::Fitted)), [0; 5]);
    }
}
