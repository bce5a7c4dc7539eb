//! Columns out.

use super::predict::Predictor;
use super::reference::{Kept, KeptColumn, Reference, Way};
use super::scale::Scale;
use super::search::add;
use super::streams::{Stream, StreamReaders, Streams};
use super::{
    BITS, DURATION, FLAT, GO_NAN, MAX_EXPONENT, MAX_REFERENCES, MICRO, MULTIPLE, NAN, OTHER,
    PREDICTOR, RATIO, REFERENCES_SHIFT, SCALE_CODE, SPARSE, STALE, WITH_CORRECTIONS, WITH_DIVISOR,
    WITH_SPECIALS,
};
use crate::model::{Millis, STALE_NAN};
use crate::pack::entropy::ResidualReader;
use crate::raw::{Malformed, Reader};

/// Reads the columns of a group in the order in which they were written.
///
/// Lengths of columns come from the caller, who has bounded them; a count in a stream never makes
/// this allocate.
#[derive(Debug)]
pub(in crate::pack) struct ColumnReader<'a> {
    streams: StreamReaders<'a>,
    residuals: ResidualReader<'a>,
    kept: Kept,
}

impl<'a> ColumnReader<'a> {
    /// Reads from `streams` and the section of residuals, which stands at `offset`.
    pub(in crate::pack) fn new(
        streams: &'a Streams,
        residuals: &'a [u8],
        offset: u64,
    ) -> Result<Self, Malformed> {
        Ok(ColumnReader {
            streams: streams.readers(),
            residuals: ResidualReader::new(residuals, offset)?,
            kept: Kept::default(),
        })
    }

    /// Makes times known that columns have, and returns their number.
    pub(in crate::pack) fn add_times(&mut self, times: &[Millis]) -> usize {
        self.kept.add_times(times)
    }

    /// A stream, for facts that are not about columns.
    #[inline]
    pub(in crate::pack) fn stream(&mut self, stream: Stream) -> &mut Reader<'a> {
        self.streams.get(stream)
    }

    /// Appends the next column, of `count` floats, to `out`. `times` is their number if the column
    /// has a place.
    pub(in crate::pack) fn floats(
        &mut self,
        count: usize,
        times: Option<usize>,
        out: &mut Vec<u64>,
    ) -> Result<(), Malformed> {
        let (scale, code) = self.scale()?;
        let mut integers = Vec::new();
        self.column(count, times, &mut integers)?;
        let start = out.len();
        if code & WITH_CORRECTIONS == 0 {
            scale.floats(&integers, out);
        } else {
            let mut corrections = Vec::new();
            self.column(count, None, &mut corrections)?;
            let pairs = integers.iter().zip(&corrections);
            out.extend(pairs.map(|(k, correction)| scale.corrected(*k, *correction)));
        }
        if code & WITH_SPECIALS != 0 {
            self.specials(out.get_mut(start..).unwrap_or_default())?;
        }
        if let Some(times) = times {
            self.kept.columns.push(KeptColumn {
                values: integers,
                scale,
                times,
            });
        }
        Ok(())
    }

    /// Appends the next column, of `count` integers, to `out`.
    pub(in crate::pack) fn integers(
        &mut self,
        count: usize,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        let mut column = Vec::new();
        self.column(count, None, &mut column)?;
        out.append(&mut column);
        Ok(())
    }

    /// Checks that everything was read.
    pub(in crate::pack) fn finish(self) -> Result<(), Malformed> {
        self.streams.finish()?;
        self.residuals.finish()
    }

    fn scale(&mut self) -> Result<(Scale, u8), Malformed> {
        let scales = self.streams.get(Stream::Scales);
        let at = *scales;
        let code = scales.u8()?;
        let scale = match code & SCALE_CODE {
            e if e <= MAX_EXPONENT => Scale::Decimal(e),
            e if (MULTIPLE..=MULTIPLE + MAX_EXPONENT).contains(&e) => Scale::Multiple(e - MULTIPLE),
            DURATION => Scale::Duration,
            MICRO => Scale::Micro,
            RATIO => {
                let denominator = scales.uvarint()?;
                let denominator = u32::try_from(denominator).ok().filter(|d| *d > 0);
                Scale::Ratio(
                    denominator
                        .ok_or_else(|| at.unexpected("denominator", "of 32 bits", "another"))?,
                )
            }
            BITS => Scale::Bits,
            other => {
                return Err(Malformed::unknown(
                    at.section(),
                    at.offset(),
                    "scale",
                    i64::from(other),
                ));
            }
        };
        Ok((scale, code))
    }

    /// Puts special values in their places.
    fn specials(&mut self, floats: &mut [u64]) -> Result<(), Malformed> {
        let specials = self.streams.get(Stream::Specials);
        let mut rest = floats;
        for _ in 0..specials.count(3)? {
            let at = *specials;
            let (gap, length) = (specials.uvarint()?, specials.uvarint()?);
            let bits = match specials.u8()? {
                STALE => STALE_NAN,
                NAN => GO_NAN,
                OTHER => specials.u64()?,
                other => {
                    return Err(Malformed::unknown(
                        at.section(),
                        at.offset(),
                        "special value",
                        i64::from(other),
                    ));
                }
            };
            let split = usize::try_from(gap)
                .ok()
                .zip(usize::try_from(length).ok())
                .and_then(|(gap, length)| {
                    let (_, behind) = rest.split_at_mut_checked(gap)?;
                    behind.split_at_mut_checked(length)
                });
            let Some((run, behind)) = split else {
                return Err(at.unexpected(
                    "special values",
                    "within their column",
                    format!("{length} after {gap}"),
                ));
            };
            run.fill(bits);
            rest = behind;
        }
        Ok(())
    }

    fn column(
        &mut self,
        count: usize,
        times: Option<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        if count == 0 {
            return Ok(());
        }
        let plans = self.streams.get(Stream::Plans);
        let at = *plans;
        let byte = plans.u8()?;
        let predictor = Predictor::from_number(byte & PREDICTOR).ok_or_else(|| {
            Malformed::unknown(at.section(), at.offset(), "plan", i64::from(byte))
        })?;
        let divisor = if byte & WITH_DIVISOR == 0 {
            1
        } else {
            self.divisor()?
        };
        let first = self.streams.get(Stream::Firsts).varint()?;
        let references = (byte >> REFERENCES_SHIFT) & MAX_REFERENCES;
        let references: Vec<Reference> = (0..references)
            .map(|_| self.reference(times))
            .collect::<Result<_, _>>()?;
        out.push(if divisor == 1 {
            first
        } else {
            first.wrapping_div(divisor)
        });
        match byte & (FLAT | SPARSE) {
            0 => self.residuals(count - 1, out)?,
            SPARSE => self.sparse_residuals(count, out)?,
            FLAT => out.resize(count, 0),
            _ => {
                return Err(Malformed::unknown(
                    at.section(),
                    at.offset(),
                    "plan",
                    i64::from(byte),
                ));
            }
        }
        predictor.restore(out);
        if let Some(times) = times {
            for reference in references.into_iter().rev() {
                add(&mut self.kept, times, divisor, reference, out);
            }
        }
        if divisor != 1 {
            let base = first.wrapping_rem(divisor);
            for k in out.iter_mut() {
                *k = k.wrapping_mul(divisor).wrapping_add(base);
            }
        }
        Ok(())
    }

    fn residuals(&mut self, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let hint = self.streams.get(Stream::Hints).u8()?;
        self.residuals.read(count, hint, out)
    }

    /// Fills `out` up to `count` with residuals most of which are zero.
    fn sparse_residuals(&mut self, count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
        let counts = self.streams.get(Stream::Counts);
        let at = *counts;
        let changes = counts.uvarint()?;
        let fits = usize::try_from(changes)
            .ok()
            .filter(|changes| *changes < count);
        let changes =
            fits.ok_or_else(|| at.unexpected("changes", format!("below {count}"), changes))?;
        let (mut gaps, mut residuals) = (Vec::new(), Vec::new());
        self.residuals(changes, &mut gaps)?;
        self.residuals(changes, &mut residuals)?;
        let mut place = out.len();
        out.resize(count, 0);
        for (gap, residual) in gaps.iter().zip(residuals) {
            let slot = usize::try_from(*gap)
                .ok()
                .and_then(|gap| place.checked_add(gap));
            let slot = slot.and_then(|at| Some((at, out.get_mut(at)?)));
            let Some((at_slot, slot)) = slot else {
                return Err(at.unexpected(
                    "changes",
                    "within their column",
                    format!("one after {gap}"),
                ));
            };
            *slot = residual;
            place = at_slot + 1;
        }
        Ok(())
    }

    fn divisor(&mut self) -> Result<i64, Malformed> {
        let divisors = self.streams.get(Stream::Divisors);
        let at = *divisors;
        let divisor = divisors.uvarint()?;
        i64::try_from(divisor)
            .ok()
            .filter(|divisor| *divisor > 1)
            .ok_or_else(|| at.unexpected("divisor", "from 2 on", divisor))
    }

    fn reference(&mut self, times: Option<usize>) -> Result<Reference, Malformed> {
        let references = self.streams.get(Stream::References);
        let at = *references;
        let number = references.uvarint()?;
        let back = usize::try_from(number >> 2).unwrap_or(usize::MAX);
        let way = match number & 3 {
            0 => Way::Along,
            1 => Way::Interpolated,
            2 => Way::Against,
            _ => Way::Fitted,
        };
        let column = self
            .kept
            .columns
            .len()
            .checked_sub(back)
            .filter(|_| back > 0 && times.is_some());
        Ok(Reference {
            column: column
                .ok_or_else(|| at.unexpected("reference", "to an earlier column", back))?,
            way,
        })
    }
}
