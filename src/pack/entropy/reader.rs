//! Residuals out.

use super::context::Context;
use super::rans::{LANES, LOW, States, Words, slot};
use super::table::{Lookup, Tables};
use super::{SECTION, lanes, rans};
use crate::raw::{BitReader, Malformed, Reader, Work, run};

/// Reads what a [`ResidualWriter`](super::ResidualWriter) wrote, column by column.
#[derive(Debug)]
pub(in crate::pack) struct ResidualReader<'a> {
    lookup: Lookup,
    states: States,
    words: Words<'a>,
    low: LowBits<'a>,
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
        let low = LowBits {
            bytes: reader.take(low)?,
            position: 0,
        };
        let (states, words) = rans::begin(reader.rest())
            .ok_or_else(|| reader.unexpected("states", "of a decoder", "something else"))?;
        Ok(ResidualReader {
            lookup: tables.lookup(),
            states,
            words,
            low,
            offset,
        })
    }

    /// Appends the next column, of `count` residuals, to `out`.
    ///
    /// # Errors
    ///
    /// When there are no more. A damaged section can hold any number of residuals in no bytes at
    /// all: the caller bounds `count`.
    pub(in crate::pack) fn read(
        &mut self,
        count: usize,
        hint: u8,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        let read = run(Read {
            reader: &mut *self,
            count,
            hint,
            out,
        });
        read.ok_or_else(|| self.exhausted())
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn read_all(&mut self, count: usize, hint: u8, out: &mut Vec<i64>) -> Option<()> {
        let start = out.len();
        out.resize(start + count, 0);
        let (lanes, behind) = lanes::split_mut(out.get_mut(start..)?);
        // In registers for the time of the loops.
        let (lookup, mut words, mut low) = (&self.lookup, self.words, self.low);
        let [mut a, mut b, mut c, mut d] = self.states.map(|state| Lane {
            state,
            context: Context::new(hint),
        });
        let [first, second, third, fourth] = lanes;
        let rounds = first.iter_mut().zip(second).zip(third).zip(fourth);
        for (((first, second), third), fourth) in rounds {
            *first = a.next(lookup, &mut words, &mut low)?;
            *second = b.next(lookup, &mut words, &mut low)?;
            *third = c.next(lookup, &mut words, &mut low)?;
            *fourth = d.next(lookup, &mut words, &mut low)?;
        }
        let mut states = [a, b, c, d].map(|lane| lane.state);
        let mut context = d.context;
        for residual in behind {
            let [state, others @ ..] = states;
            let mut lane = Lane { state, context };
            *residual = lane.next(lookup, &mut words, &mut low)?;
            let [second, third, fourth] = others;
            states = [second, third, fourth, lane.state];
            context = lane.context;
        }
        (self.states, self.words, self.low) = (states, words, low);
        Some(())
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When there are more residuals than were asked for, or the decoder is not where the encoder
    /// began.
    pub(in crate::pack) fn finish(self) -> Result<(), Malformed> {
        if self.states == [LOW; LANES] && self.words.is_empty() && self.low.is_at_end() {
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

/// See [`ResidualReader::read`].
struct Read<'r, 'a> {
    reader: &'r mut ResidualReader<'a>,
    count: usize,
    hint: u8,
    out: &'r mut Vec<i64>,
}

impl Work for Read<'_, '_> {
    type Done = Option<()>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "compiled for each kind of processor")]
    fn work(self) -> Option<()> {
        self.reader.read_all(self.count, self.hint, self.out)
    }
}

/// What it takes to read one residual after the other.
#[derive(Clone, Copy, Debug)]
struct Lane {
    state: u32,
    context: Context,
}

impl Lane {
    /// The next residual. Nothing branches on what it is: processors would guess wrong.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost step")]
    fn next(
        &mut self,
        lookup: &Lookup,
        words: &mut Words<'_>,
        low: &mut LowBits<'_>,
    ) -> Option<i64> {
        let entry = lookup.get(self.context.number(), slot(self.state))?;
        self.state = words.advance(self.state, entry.frequency(), entry.bias())?;
        let magnitude = low.magnitude(entry.low_bits())? & entry.zero_mask();
        self.context.update(magnitude);
        let sign = entry.sign();
        Some((magnitude as i64 ^ sign).wrapping_sub(sign))
    }
}

/// The bits below the leading one of every magnitude.
#[derive(Clone, Copy, Debug)]
struct LowBits<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

impl LowBits<'_> {
    /// A one, and `count` bits behind it; at most 63.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a part of the innermost step")]
    fn magnitude(&mut self, count: u32) -> Option<u64> {
        let at = self.position;
        let word = self.bytes.get(at / 8..).and_then(<[u8]>::first_chunk::<8>);
        let Some(word) = word.filter(|_| count <= 57) else {
            let bits = bits_at(self.bytes, at, count)?;
            self.position += count as usize;
            return Some(1 << count | bits);
        };
        self.position += count as usize;
        let bits = u64::from_be_bytes(*word) << (at % 8);
        Some((1 << 63 | bits >> 1) >> (63 - count))
    }

    fn is_at_end(self) -> bool {
        let mut rest = BitReader::new(self.bytes);
        rest.skip(self.position as u64);
        rest.at_end()
    }
}

/// Bits near the end, or more than are sure to lie within eight bytes.
#[cold]
#[inline(never)]
fn bits_at(bytes: &[u8], position: usize, count: u32) -> Option<u64> {
    if count == 0 {
        return Some(0);
    }
    let mut reader = BitReader::new(bytes.get(position / 8..)?);
    reader.skip(position as u64 % 8);
    reader.bits(count)
}
