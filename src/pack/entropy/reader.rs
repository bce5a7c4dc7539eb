//! Residuals out.

use super::context::Context;
use super::rans::Decoder;
use super::table::{Lookup, Tables};
use super::{SECTION, expand};
use crate::raw::{BitReader, FastBits, Malformed, Reader};

/// Reads what a [`ResidualWriter`](super::ResidualWriter) wrote, column by column.
#[derive(Debug)]
pub(in crate::pack) struct ResidualReader<'a> {
    lookup: Lookup,
    tokens: Decoder<'a>,
    low: BitReader<'a>,
    offset: u64,
}

impl<'a> ResidualReader<'a> {
    /// Reads the tables of the section `bytes`, which stands at `offset`.
    ///
    /// # Errors
    ///
    /// When it is cut off or a table is none.
    pub(in crate::pack) fn new(bytes: &'a [u8], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, offset, SECTION);
        let tables = Tables::read(&mut reader)?;
        let low = reader.count(1)?;
        let low = BitReader::new(reader.take(low)?);
        let tokens = Decoder::new(reader.rest())
            .ok_or_else(|| reader.unexpected("states", "of a decoder", "something else"))?;
        Ok(ResidualReader {
            lookup: tables.lookup(),
            tokens,
            low,
            offset,
        })
    }

    /// Appends the next column, of `count` residuals, to `out`.
    ///
    /// # Errors
    ///
    /// When there are no more. A damaged section can hold any number of residuals in no bytes at all: the caller bounds `count`.
    pub(in crate::pack) fn read(
        &mut self,
        count: usize,
        hint: u8,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        let read = match FastBits::find() {
            Some(fast) => fast.run(|| self.read_all(count, hint, out)),
            None => self.read_all(count, hint, out),
        };
        read.ok_or_else(|| self.exhausted())
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn read_all(&mut self, count: usize, hint: u8, out: &mut Vec<i64>) -> Option<()> {
        let mut context = Context::new(hint);
        // In registers for the time of the loop.
        let (mut tokens, mut low) = (self.tokens, self.low);
        out.reserve(count);
        for _ in 0..count {
            out.push(next(&self.lookup, &mut tokens, &mut low, &mut context)?);
        }
        (self.tokens, self.low) = (tokens, low);
        Some(())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When there are more residuals than were asked for, or the decoder is not where the encoder began.
    pub(in crate::pack) fn finish(self) -> Result<(), Malformed> {
        if self.tokens.is_done() && self.low.at_end() {
            return Ok(());
        }
        let found = "more of them, or damage";
        Err(Malformed::unexpected(
            SECTION,
            self.offset,
            "the end",
            "after the last residual",
            found,
        ))
    }

    #[cold]
    fn exhausted(&self) -> Malformed {
        let found = "the end";
        Malformed::unexpected(
            SECTION,
            self.offset,
            "another residual",
            "as counted",
            found,
        )
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the innermost step")]
fn next(
    lookup: &Lookup,
    tokens: &mut Decoder<'_>,
    low: &mut BitReader<'_>,
    context: &mut Context,
) -> Option<i64> {
    let (token, frequency, bias) = lookup.get(context.number(), tokens.slot())?;
    tokens.advance(frequency, bias)?;
    if token == 0 {
        context.update(0);
        return Some(0);
    }
    let (low_bits, negative) = expand(token);
    let magnitude = 1u64 << low_bits | low.bits(low_bits)?;
    context.update(magnitude);
    let value = magnitude as i64;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}
