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

/// Times that columns have.
#[derive(Debug)]
struct Times {
    times: Rc<[Millis]>,
    ascend: bool,
}

impl Times {
    /// The times as far as others may be placed among them. Those that jump about cannot be searched, and in a hostile pack a walk for
    /// each column of a few samples would take hours.
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

/// The last sample at or before some time (the first one if there is none), and how far it is to the next one, in 65,536ths.
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

    /// What `reference` says of the samples at `times`; empty when there is no such column.
    pub(super) fn expected(&mut self, reference: Reference, times: usize, out: &mut Vec<i64>) {
        out.clear();
        let Some(column) = self.columns.get(reference.column) else {
            return;
        };
        if column.times == times {
            out.extend_from_slice(&column.values);
        } else {
            let alignment = align(&self.times, &mut self.alignments, times, column.times);
            let at = |place: &Place| column.at(*place, reference.interpolate);
            out.extend(alignment.0.iter().map(at));
        }
        if reference.negative {
            out.iter_mut()
                .for_each(|value| *value = value.wrapping_neg());
        }
    }

    /// Like [`Kept::expected`], of the samples `at` only.
    pub(super) fn expected_at(
        &mut self,
        reference: Reference,
        times: usize,
        at: &[usize],
        out: &mut Vec<i64>,
    ) {
        out.clear();
        let Some(column) = self.columns.get(reference.column) else {
            return;
        };
        if column.times == times {
            out.extend(at.iter().filter_map(|at| column.values.get(*at)));
        } else {
            let alignment = align(&self.times, &mut self.alignments, times, column.times);
            let places = at.iter().filter_map(|at| alignment.0.get(*at));
            out.extend(places.map(|place| column.at(*place, reference.interpolate)));
        }
        if reference.negative {
            out.iter_mut()
                .for_each(|value| *value = value.wrapping_neg());
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

    #[test]
    fn another_column_is_seen_at_ones_own_times() {
        let (mut kept, times) = kept();
        let mut expected = |negative, interpolate| {
            let mut out = Vec::new();
            let reference = Reference {
                column: 0,
                negative,
                interpolate,
            };
            kept.expected(reference, times, &mut out);
            let mut some = Vec::new();
            kept.expected_at(reference, times, &[1, 3], &mut some);
            assert_eq!(some, [out[1], out[3]]);
            out
        };
        assert_eq!(expected(false, false), [100, 100, 200, 400, 300]);
        assert_eq!(expected(false, true), [100, 100, 300, 310, 300]);
        assert_eq!(expected(true, false), [-100, -100, -200, -400, -300]);
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
        let reference = Reference {
            column: 0,
            negative: false,
            interpolate: true,
        };
        let mut out = Vec::new();
        // A walk of a million steps for each takes minutes.
        for k in 0..100_000 {
            let time = 3_000_000 - k;
            let few = kept.add_times(&[time, time + 1, time + 100]);
            kept.expected(reference, few, &mut out);
            let off = |(found, ahead): (&i64, i64)| (found - time - ahead).abs();
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
        let mut out = Vec::new();
        kept.expected(
            Reference {
                column: 0,
                negative: true,
                interpolate: true,
            },
            b,
            &mut out,
        );
        assert_eq!(out.len(), 3);
        kept.expected(
            Reference {
                column: 9,
                negative: true,
                interpolate: true,
            },
            b,
            &mut out,
        );
        assert!(out.is_empty());
    }
}
