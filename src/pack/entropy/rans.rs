//! rANS (Jarek Duda, "Asymmetric numeral systems", arXiv:1311.2540), with [`LANES`] states in
//! turns.
//!
//! A state is 32 bits wide, at least [`LOW`] between tokens, and is refilled by words of 16 bits.
//! Frequencies add up to [`TOTAL`]. The encoder runs backwards, so that the decoder runs forwards.

/// Number of states: what one waits for, the others need not.
pub(super) const LANES: usize = 4;

/// Binary logarithm of [`TOTAL`].
pub(super) const SCALE: u32 = 10;
/// Sum of the frequencies in a table.
pub(super) const TOTAL: u32 = 1 << SCALE;
/// Smallest state between tokens; also the state in which the encoder begins and the decoder must
/// end.
pub(super) const LOW: u32 = 1 << 16;

/// Share of a token: its frequency, and the sum of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) start: u32,
    pub(super) frequency: u32,
    /// For dividing by the frequency: a multiplication takes a fifth of the time.
    inverse: u64,
}

/// Fraction bits of an inverse.
const INVERSE: u32 = 42;

impl Share {
    pub(super) fn new(start: u32, frequency: u32) -> Self {
        Share {
            start,
            frequency,
            inverse: (1 << INVERSE) / u64::from(frequency.max(1)) + 1,
        }
    }

    /// `state` divided by the frequency, rounded down; `state` is below 2^(32 − [`SCALE`]) times
    /// the frequency.
    ///
    /// The inverse exceeds the true one by at most 1, so the product is too large by at most
    /// `state`: less than 2^42 / frequency, as no frequency exceeds 2^10. So it never reaches
    /// the next whole number. Nor does it reach 2^64.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a part of an innermost step")]
    fn divide(self, state: u32) -> u32 {
        (u64::from(state).wrapping_mul(self.inverse) >> INVERSE) as u32
    }
}

/// Encodes tokens given in reverse order.
#[derive(Debug)]
pub(super) struct Encoder {
    states: [u32; LANES],
    /// Words, filled from the end; each token takes at most one.
    words: Vec<u16>,
    /// Where the last one put stands.
    first: usize,
}

impl Encoder {
    /// An encoder for at most so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        Encoder {
            states: [LOW; LANES],
            // One more, as there always is a place for another word, needed or not.
            words: vec![0; tokens + 1],
            first: tokens + 1,
        }
    }

    /// Puts token number `at` in front of those put so far. Its frequency is not zero.
    #[inline]
    pub(super) fn put(&mut self, at: usize, share: Share) {
        let Some(state) = self.states.get_mut(at % LANES) else {
            return;
        };
        let Some(place) = self.words.get_mut(self.first - 1) else {
            return;
        };
        #[expect(clippy::cast_possible_truncation, reason = "the low half goes out")]
        let word = *state as u16;
        *place = word;
        let full = u64::from(*state) >= u64::from(share.frequency) << (32 - SCALE);
        self.first -= usize::from(full);
        let kept = *state >> (16 * u32::from(full));
        let quotient = share.divide(kept);
        let rest = kept.wrapping_sub(quotient.wrapping_mul(share.frequency));
        *state = (quotient << SCALE)
            .wrapping_add(rest)
            .wrapping_add(share.start);
    }

    /// All states, then the words in the order in which a decoder wants them; little-endian.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let words = self.words.get(self.first..).unwrap_or_default();
        out.reserve(4 * LANES + 2 * words.len());
        out.extend(self.states.iter().flat_map(|state| state.to_le_bytes()));
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
}

/// The states of a decoder, that of the next token first.
pub(super) type States = [u32; LANES];

/// Reads the states that [`Encoder::finish`] wrote, and the words behind them; `None` if there are
/// too few bytes or a state cannot be.
pub(super) fn begin(bytes: &[u8]) -> Option<(States, Words<'_>)> {
    let (states, bytes) = bytes.split_first_chunk::<{ 4 * LANES }>()?;
    let mut found = [LOW; LANES];
    for (state, bytes) in found.iter_mut().zip(states.as_chunks::<4>().0) {
        *state = u32::from_le_bytes(*bytes);
    }
    let possible = found.iter().all(|state| *state >= LOW);
    possible.then_some((found, Words { bytes, next: 0 }))
}

/// Where in its table the next token of a state stands: below [`TOTAL`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "a part of the innermost step")]
pub(super) fn slot(state: u32) -> usize {
    (state & (TOTAL - 1)) as usize
}

/// The words of a decoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl Words<'_> {
    /// The state behind a token that begins `bias` below its slot; `None` when the words have run
    /// out.
    ///
    /// Whether a state needs a word is as good as random, so nothing here branches on it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a part of the innermost step")]
    pub(super) fn advance(&mut self, state: u32, frequency: u32, bias: u32) -> Option<u32> {
        // At most 2^12 × 2^20: `frequency` is at most TOTAL and `bias` below it.
        let state = frequency.wrapping_mul(state >> SCALE).wrapping_add(bias);
        let needs = u32::from(state < LOW);
        let next = self.bytes.get(self.next..);
        let word = match next.and_then(<[u8]>::first_chunk::<2>) {
            Some(word) => u32::from(u16::from_le_bytes(*word)),
            None if needs == 1 => return None,
            None => 0,
        };
        self.next += 2 * needs as usize;
        Some(state << (16 * needs) | (word & needs.wrapping_neg()))
    }

    /// Whether all have been read.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses_divide_exactly() {
        for frequency in 1..=TOTAL {
            let share = Share::new(0, frequency);
            let end = u64::from(frequency) << (32 - SCALE);
            let multiples =
                (1..=64u64).map(|i| end * i / 64 / u64::from(frequency) * u64::from(frequency));
            for state in multiples.flat_map(|state| [state.saturating_sub(1), state, state + 1]) {
                if let Some(state) = u32::try_from(state).ok().filter(|_| state < end) {
                    assert_eq!(
                        share.divide(state),
                        state / frequency,
                        "{state} / {frequency}"
                    );
                }
            }
        }
    }
}
