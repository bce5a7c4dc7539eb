//! rANS (Jarek Duda, "Asymmetric numeral systems", arXiv:1311.2540), with [`LANES`] states in turns.
//!
//! A state is 32 bits wide, at least [`LOW`] between tokens, and is refilled by words of 16 bits. Frequencies add up to
//! [`TOTAL`]. The encoder runs backwards, so that the decoder runs forwards.

/// Number of states: what one waits for, the others need not.
pub(super) const LANES: usize = 4;

/// Binary logarithm of [`TOTAL`].
pub(super) const SCALE: u32 = 10;
/// Sum of the frequencies in a table.
pub(super) const TOTAL: u32 = 1 << SCALE;
/// Smallest state between tokens; also the state in which the encoder begins and the decoder must end.
pub(super) const LOW: u32 = 1 << 16;

/// Share of a token: its frequency, and the sum of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) start: u32,
    pub(super) frequency: u32,
}

/// Encodes tokens given in reverse order.
#[derive(Debug)]
pub(super) struct Encoder {
    states: [u32; LANES],
    /// Words, the last one first.
    words: Vec<u16>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Encoder {
            states: [LOW; LANES],
            words: Vec::new(),
        }
    }

    /// Puts token number `at` in front of those put so far. Its frequency is not zero.
    #[inline]
    pub(super) fn put(&mut self, at: usize, share: Share) {
        let Some(state) = self.states.get_mut(at % LANES) else {
            return;
        };
        if u64::from(*state) >= u64::from(share.frequency) << (32 - SCALE) {
            #[expect(clippy::cast_possible_truncation, reason = "the low half goes out")]
            self.words.push(*state as u16);
            *state >>= 16;
        }
        let frequency = share.frequency.max(1);
        *state = ((*state / frequency) << SCALE) + *state % frequency + share.start;
    }

    /// All states, then the words in the order in which a decoder wants them; little-endian.
    pub(super) fn finish(self) -> Vec<u8> {
        let states = self.states.iter().flat_map(|state| state.to_le_bytes());
        let words = self.words.iter().rev().flat_map(|word| word.to_le_bytes());
        states.chain(words).collect()
    }
}

/// The states of a decoder, that of the next token first.
pub(super) type States = [u32; LANES];

/// Reads the states that [`Encoder::finish`] wrote, and the words behind them; `None` if there are too few bytes or a state cannot
/// be.
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
    /// The state behind a token that begins `bias` below its slot; `None` when the words have run out.
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
