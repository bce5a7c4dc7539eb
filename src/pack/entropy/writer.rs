//! Residuals in.

use super::context::Context;
use super::lanes;
use super::rans::{Encoder, LANES};
use super::table::{Counts, Tables};
use super::token;
use crate::raw::varint::write_uvarint;
use crate::raw::{BitWriter, Work, run};

/// Gathers the residuals of columns, one column after the other.
#[derive(Debug, Default)]
pub(in crate::pack) struct ResidualWriter {
    /// Context and token of every residual.
    tokens: Vec<(u8, u8)>,
    counts: Counts,
    /// The bits below the leading one of every magnitude.
    low: BitWriter,
}

impl ResidualWriter {
    /// Appends a column. The reader must be given the same `hint`.
    pub(in crate::pack) fn push(&mut self, residuals: &[i64], hint: u8) {
        run(Push {
            writer: self,
            residuals,
            hint,
        });
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn push_all(&mut self, residuals: &[i64], hint: u8) {
        self.tokens.reserve(residuals.len());
        let ([first, second, third, fourth], behind) = lanes::split(residuals);
        let [mut a, mut b, mut c, mut d] = [Context::new(hint); LANES];
        let rounds = first.iter().zip(second).zip(third).zip(fourth);
        for (((first, second), third), fourth) in rounds {
            self.push_one(*first, &mut a);
            self.push_one(*second, &mut b);
            self.push_one(*third, &mut c);
            self.push_one(*fourth, &mut d);
        }
        for residual in behind {
            self.push_one(*residual, &mut d);
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost step")]
    fn push_one(&mut self, residual: i64, context: &mut Context) {
        let (token, low_bits) = token(residual);
        let number = context.number();
        self.counts.add(number, token);
        #[expect(clippy::cast_possible_truncation, reason = "there are 256 contexts")]
        self.tokens.push((number as u8, token));
        let magnitude = residual.unsigned_abs();
        if low_bits > 0 {
            self.low.bits(magnitude & ((1 << low_bits) - 1), low_bits);
        }
        context.update(magnitude);
    }

    /// The section: tables, length of the low bits in bytes, the low bits, the tokens.
    pub(in crate::pack) fn finish(self) -> Vec<u8> {
        let tables = Tables::new(&self.counts);
        let mut encoder = Encoder::new();
        for (at, &(context, token)) in self.tokens.iter().enumerate().rev() {
            encoder.put(at, tables.share(usize::from(context), token));
        }
        let mut out = Vec::new();
        tables.write(&mut out);
        let low = self.low.finish();
        write_uvarint(&mut out, low.len() as u64);
        out.extend_from_slice(&low);
        out.extend_from_slice(&encoder.finish());
        out
    }
}

/// See [`ResidualWriter::push`].
struct Push<'a> {
    writer: &'a mut ResidualWriter,
    residuals: &'a [i64],
    hint: u8,
}

impl Work for Push<'_> {
    type Done = ();

    #[inline(always)]
    fn work(self) {
        self.writer.push_all(self.residuals, self.hint);
    }
}
