//! Residuals in.

use super::context::Context;
use super::lanes;
use super::rans::{Encoder, LANES};
use super::table::{Counts, Tables};
use super::token;
use crate::raw::varint::write_uvarint;
use crate::raw::{BitSink, Work, run};

/// Gathers the residuals of columns, one column after the other.
#[derive(Debug, Default)]
pub(in crate::pack) struct ResidualWriter {
    /// Context and token of every residual.
    tokens: Vec<(u8, u8)>,
    counts: Counts,
    /// The bits below the leading one of every magnitude.
    low: Vec<u8>,
    /// Those behind the last whole byte, see [`BitSink::pending`].
    pending: (u64, u32),
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
        let (done, start) = (self.tokens.len(), self.low.len());
        self.tokens.resize(done + residuals.len(), (0, 0));
        self.low
            .resize(start + residuals.len() * 8 + BitSink::SLACK, 0);
        let low = self.low.get_mut(start..).unwrap_or_default();
        let mut pusher = Pusher {
            tokens: self.tokens.get_mut(done..).unwrap_or_default().iter_mut(),
            counts: &mut self.counts,
            low: BitSink::resume(low, self.pending),
        };
        let ([first, second, third, fourth], behind) = lanes::split(residuals);
        let [mut a, mut b, mut c, mut d] = [Context::new(hint); LANES];
        let rounds = first.iter().zip(second).zip(third).zip(fourth);
        for (((first, second), third), fourth) in rounds {
            pusher.push(*first, &mut a);
            pusher.push(*second, &mut b);
            pusher.push(*third, &mut c);
            pusher.push(*fourth, &mut d);
        }
        for residual in behind {
            pusher.push(*residual, &mut d);
        }
        let (whole, pending) = (pusher.low.whole(), pusher.low.pending());
        self.low.truncate(start + whole);
        self.pending = pending;
    }

    /// The section: tables, length of the low bits in bytes, the low bits, the tokens.
    pub(in crate::pack) fn finish(mut self) -> Vec<u8> {
        let tables = Tables::new(&self.counts);
        let mut encoder = Encoder::new(self.tokens.len());
        for (at, &(context, token)) in self.tokens.iter().enumerate().rev() {
            encoder.put(at, tables.share(usize::from(context), token));
        }
        let mut out = Vec::new();
        tables.write(&mut out);
        let (pending, held) = self.pending;
        if held > 0 {
            self.low.extend(pending.to_be_bytes().first());
        }
        write_uvarint(&mut out, self.low.len() as u64);
        out.extend_from_slice(&self.low);
        encoder.finish(&mut out);
        out
    }
}

/// What it takes to write one residual after the other.
struct Pusher<'a> {
    tokens: std::slice::IterMut<'a, (u8, u8)>,
    counts: &'a mut Counts,
    low: BitSink<'a>,
}

impl Pusher<'_> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost step")]
    fn push(&mut self, residual: i64, context: &mut Context) {
        let (token, low_bits) = token(residual);
        let number = context.number();
        self.counts.add(number, token);
        if let Some(place) = self.tokens.next() {
            #[expect(clippy::cast_possible_truncation, reason = "there are 256 contexts")]
            let number = number as u8;
            *place = (number, token);
        }
        let magnitude = residual.unsigned_abs();
        let low = magnitude & ((1 << low_bits) - 1);
        if low_bits <= 56 {
            self.low.bits(low, low_bits);
        } else {
            self.low.long_bits(low, low_bits);
        }
        context.update(magnitude);
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
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) {
        self.writer.push_all(self.residuals, self.hint);
    }
}
