//! rANS (Jarek Duda, "Asymmetric numeral systems", arXiv:1311.2540), with two states in turns.
//!
//! A state is 32 bits wide, at least [`LOW`] between tokens, and is refilled by words of 16 bits. Frequencies add up to
//! [`TOTAL`]. The encoder runs backwards, so that the decoder runs forwards.

/// Binary logarithm of [`TOTAL`].
pub(super) const SCALE: u32 = 11;
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
    states: [u32; 2],
    /// Words, the last one first.
    words: Vec<u16>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Encoder {
            states: [LOW; 2],
            words: Vec::new(),
        }
    }

    /// Puts token number `at` in front of those put so far. Its frequency is not zero.
    #[inline]
    pub(super) fn put(&mut self, at: usize, share: Share) {
        let [even, odd] = &mut self.states;
        let state = if at.is_multiple_of(2) { even } else { odd };
        if u64::from(*state) >= u64::from(share.frequency) << (32 - SCALE) {
            #[expect(clippy::cast_possible_truncation, reason = "the low half goes out")]
            self.words.push(*state as u16);
            *state >>= 16;
        }
        let frequency = share.frequency.max(1);
        *state = ((*state / frequency) << SCALE) + *state % frequency + share.start;
    }

    /// Both states, then the words in the order in which a decoder wants them; little-endian.
    pub(super) fn finish(self) -> Vec<u8> {
        let states = self.states.iter().flat_map(|state| state.to_le_bytes());
        let words = self.words.iter().rev().flat_map(|word| word.to_le_bytes());
        states.chain(words).collect()
    }
}

/// Decodes tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder<'a> {
    /// The state of the next token, and that of the one after it.
    states: [u32; 2],
    words: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads what [`Encoder::finish`] wrote; `None` if it is too short or cannot be.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        let (second, words) = rest.split_first_chunk::<4>()?;
        let states = [u32::from_le_bytes(*first), u32::from_le_bytes(*second)];
        states
            .iter()
            .all(|state| *state >= LOW)
            .then_some(Decoder { states, words })
    }

    /// Where in its table the next token stands: below [`TOTAL`].
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        self.states[0] & (TOTAL - 1)
    }

    /// Goes on behind a token that begins `bias` below its slot; `None` when the words have run out.
    #[inline]
    pub(super) fn advance(&mut self, frequency: u32, bias: u32) -> Option<()> {
        // At most 2^12 × 2^20: `frequency` is at most TOTAL and `bias` below it.
        let mut state = frequency
            .wrapping_mul(self.states[0] >> SCALE)
            .wrapping_add(bias);
        if state < LOW {
            let (word, rest) = self.words.split_first_chunk::<2>()?;
            state = state << 16 | u32::from(u16::from_le_bytes(*word));
            self.words = rest;
        }
        self.states = [self.states[1], state];
        Some(())
    }

    /// Whether everything has been read, and nothing was damaged on the way.
    pub(super) fn is_done(&self) -> bool {
        self.states == [LOW; 2] && self.words.is_empty()
    }
}
