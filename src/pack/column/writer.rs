//! Columns in.

use super::predict::Predictor;
use super::reference::{Kept, KeptColumn, Reference};
use super::scale::{Scale, gcd};
use super::search::{Candidates, Found, Target};
use super::streams::{Stream, StreamsWriter};
use super::{
    FLAT, OTHER, REFERENCES_SHIFT, SPARSE, WITH_CORRECTIONS, WITH_DIVISOR, WITH_SPECIALS,
    is_special, scale_code, special_code,
};
use crate::model::Millis;
use crate::pack::entropy::{ResidualWriter, hint};
use crate::raw::varint::{write_uvarint, write_varint};

/// Where a column stands among the others of its group.
#[derive(Clone, Copy, Debug)]
pub(in crate::pack) struct Place {
    /// Number of its times.
    pub(in crate::pack) times: usize,
    /// What columns of the same metric share; only the writer needs it.
    pub(in crate::pack) metric: u32,
}

/// From so many residuals for each that is not zero on, a column is sparse.
const SAMPLES_PER_CHANGE: usize = 8;

/// Writes the columns of a group.
#[derive(Debug, Default)]
pub(in crate::pack) struct ColumnWriter {
    streams: StreamsWriter,
    residuals: ResidualWriter,
    kept: Kept,
    candidates: Candidates,
    scratch: Vec<i64>,
}

impl ColumnWriter {
    /// Makes times known that columns have, and returns their number.
    pub(in crate::pack) fn add_times(&mut self, times: &[Millis]) -> usize {
        self.kept.add_times(times)
    }

    /// A stream, for facts that are not about columns.
    #[inline]
    pub(in crate::pack) fn stream(&mut self, stream: Stream) -> &mut Vec<u8> {
        self.streams.get(stream)
    }

    /// Writes a column of floats as IEEE-754 bits. One that has a place may refer to those before
    /// it that have one, and may be referred to.
    pub(in crate::pack) fn floats(&mut self, floats: &[u64], place: Option<Place>) {
        // Whole numbers, the most frequent by far, are never special.
        let whole = Scale::whole(floats);
        let (with_specials, (scale, integers, corrections)) = if let Some(integers) = whole {
            (false, (Scale::Decimal(0), integers, None))
        } else {
            let (with_specials, cleaned) = self.specials(floats);
            let floats = cleaned.as_deref().unwrap_or(floats);
            (with_specials, to_integers(floats))
        };
        let mut code = scale_code(scale);
        if with_specials {
            code |= WITH_SPECIALS;
        }
        if corrections.is_some() {
            code |= WITH_CORRECTIONS;
        }
        let scales = self.streams.get(Stream::Scales);
        scales.push(code);
        if let Scale::Ratio(denominator) = scale {
            write_uvarint(scales, u64::from(denominator));
        }
        self.plan_and_write(&integers, place.map(|place| (place, scale)));
        if let Some(place) = place {
            self.kept.columns.push(KeptColumn {
                values: integers,
                scale,
                times: place.times,
            });
        }
        if let Some(corrections) = corrections {
            self.integers(&corrections);
        }
    }

    /// Writes a column of integers.
    pub(in crate::pack) fn integers(&mut self, integers: &[i64]) {
        self.plan_and_write(integers, None);
    }

    /// All streams, then the residuals.
    ///
    /// # Errors
    ///
    /// When the compressor fails, which it does for want of memory only.
    pub(in crate::pack) fn finish(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        self.streams.finish(out)?;
        out.extend_from_slice(&self.residuals.finish());
        Ok(())
    }

    /// Writes down which values are special, and returns the column with an ordinary value in the
    /// place of each.
    fn specials(&mut self, floats: &[u64]) -> (bool, Option<Vec<u64>>) {
        let Some(first) = floats.iter().position(|bits| is_special(*bits)) else {
            return (false, None);
        };
        let ordinary = floats.iter().copied().find(|bits| !is_special(*bits));
        let mut cleaned = floats.to_vec();
        let mut runs: Vec<(usize, usize, u64)> = Vec::new();
        let mut stand_in = first
            .checked_sub(1)
            .and_then(|before| floats.get(before))
            .copied()
            .or(ordinary)
            .unwrap_or(0);
        let mut end = 0;
        for (at, value) in cleaned.iter_mut().enumerate().skip(first) {
            if !is_special(*value) {
                stand_in = *value;
                continue;
            }
            match runs.last_mut() {
                Some(run) if end == at && run.2 == *value => run.1 += 1,
                _ => runs.push((at - end, 1, *value)),
            }
            end = at + 1;
            *value = stand_in;
        }
        let out = self.streams.get(Stream::Specials);
        write_uvarint(out, runs.len() as u64);
        for (gap, length, bits) in runs {
            write_uvarint(out, gap as u64);
            write_uvarint(out, length as u64);
            let code = special_code(bits);
            out.push(code);
            if code == OTHER {
                out.extend_from_slice(&bits.to_be_bytes());
            }
        }
        (true, Some(cleaned))
    }

    fn plan_and_write(&mut self, integers: &[i64], place: Option<(Place, Scale)>) {
        let Some(&first) = integers.first() else {
            return;
        };
        let divisor = common_divisor(integers);
        let divided: Vec<i64>;
        let values = if divisor == 1 {
            integers
        } else {
            // Differences are divided, not the numbers themselves: only those are sure to be
            // multiples.
            let start = first.wrapping_div(divisor);
            let steps = integers
                .iter()
                .map(|k| k.wrapping_sub(first).wrapping_div(divisor));
            divided = steps.map(|steps| start.wrapping_add(steps)).collect();
            &divided
        };
        let alone = Predictor::best(values);
        let mut plan = Found {
            references: Vec::new(),
            rest: Vec::new(),
            predictor: alone.0,
            cost: alone.1,
        };
        if let Some((place, scale)) = place {
            let target = Target {
                values,
                divisor,
                scale,
                times: place.times,
                metric: place.metric,
            };
            if let Some(found) = self.candidates.search(&mut self.kept, &target, alone) {
                plan = found;
            }
            self.candidates
                .add(self.kept.columns.len(), &target, plan.cost);
        }
        let rest = if plan.references.is_empty() {
            values
        } else {
            &plan.rest
        };
        plan.predictor.residuals(rest, &mut self.scratch);
        self.write(first, divisor, &plan);
    }

    /// Writes a column whose residuals are in `scratch`.
    fn write(&mut self, first: i64, divisor: i64, plan: &Found) {
        let changes = self
            .scratch
            .iter()
            .filter(|residual| **residual != 0)
            .count();
        let flat = changes == 0;
        let sparse = !flat && changes <= self.scratch.len() / SAMPLES_PER_CHANGE;
        #[expect(clippy::cast_possible_truncation, reason = "at most two references")]
        let mut byte = plan.predictor as u8 | (plan.references.len() as u8) << REFERENCES_SHIFT;
        if divisor != 1 {
            byte |= WITH_DIVISOR;
            write_uvarint(self.streams.get(Stream::Divisors), divisor as u64);
        }
        if flat {
            byte |= FLAT;
        }
        if sparse {
            byte |= SPARSE;
        }
        self.streams.get(Stream::Plans).push(byte);
        write_varint(self.streams.get(Stream::Firsts), first);
        for reference in &plan.references {
            let back = self.kept.columns.len() - reference.column;
            write_reference(self.streams.get(Stream::References), back, *reference);
        }
        if sparse {
            let (gaps, residuals) = split_sparse(&self.scratch);
            write_uvarint(self.streams.get(Stream::Counts), gaps.len() as u64);
            self.push_residuals(&gaps);
            self.push_residuals(&residuals);
        } else if !flat {
            let residuals = std::mem::take(&mut self.scratch);
            self.push_residuals(&residuals);
            self.scratch = residuals;
        }
    }

    fn push_residuals(&mut self, residuals: &[i64]) {
        let hint = hint(residuals);
        self.streams.get(Stream::Hints).push(hint);
        self.residuals.push(residuals, hint);
    }
}

/// How many zeros stand before each residual that is none, and those residuals.
fn split_sparse(residuals: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let (mut gaps, mut values) = (Vec::new(), Vec::new());
    let mut gap = 0;
    for &residual in residuals {
        if residual == 0 {
            gap += 1;
        } else {
            gaps.push(gap);
            values.push(residual);
            gap = 0;
        }
    }
    (gaps, values)
}

fn write_reference(out: &mut Vec<u8>, back: usize, reference: Reference) {
    write_uvarint(out, (back as u64) << 2 | reference.way as u64);
}

/// The greatest common divisor of the differences in a column.
fn common_divisor(integers: &[i64]) -> i64 {
    let Some((first, rest)) = integers.split_first() else {
        return 1;
    };
    let mut common = 0;
    let mut last = *first;
    for &k in rest {
        if k != last {
            common = gcd(k.wrapping_sub(*first).unsigned_abs(), common);
            if common == 1 {
                return 1;
            }
            last = k;
        }
    }
    i64::try_from(common)
        .ok()
        .filter(|common| *common > 1)
        .unwrap_or(1)
}

/// The scale that suits `floats` best, their integers, and corrections where those are only near.
fn to_integers(floats: &[u64]) -> (Scale, Vec<i64>, Option<Vec<i64>>) {
    let exact = Scale::exact(floats);
    if let Some((scale, integers, true)) = exact {
        return (scale, integers, None);
    }
    let cost = |column: &[i64]| Predictor::best(column).1;
    let as_bits = Scale::Bits
        .nearly(floats)
        .map(|(integers, _)| (Scale::Bits, integers, None));
    let exact = exact.map(|(scale, integers, _)| (scale, integers, None));
    let near = Scale::near(floats).filter_map(|scale| {
        let (integers, corrections) = scale.nearly(floats)?;
        Some((scale, integers, Some(corrections)))
    });
    let weighed = as_bits.into_iter().chain(exact).chain(near).map(|column| {
        let corrections = column.2.as_deref().map_or(0, cost);
        (cost(&column.1) + corrections, column)
    });
    weighed
        .min_by_key(|(cost, _)| *cost)
        .map_or_else(|| (Scale::Bits, Vec::new(), None), |(_, column)| column)
}
