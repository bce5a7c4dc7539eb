//! A second reader of residuals, written from section 4 of `docs/pack-format.md` alone: it shows
//! what happens step by step.

use std::fmt::Write as _;

/// Bytes that are read from their beginning.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn uvarint(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.u8();
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn part(&mut self) -> Vec<u8> {
        let (length, stored) = (self.uvarint(), self.uvarint());
        let bytes = self.take(stored);
        if length == stored {
            bytes.to_vec()
        } else {
            zstd::decode_all(bytes).unwrap()
        }
    }

    fn place(&mut self) -> (usize, usize) {
        let place = (self.uvarint(), self.uvarint());
        self.take(4);
        place
    }
}

/// The first group of a pack.
fn group(pack: &[u8]) -> &[u8] {
    let trailer = &pack[pack.len() - 24..];
    let offset = u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize;
    let directory = Bytes(&pack[offset..]).part();
    let mut directory = Bytes(&directory);
    let (_labels, groups) = (directory.place(), directory.uvarint());
    assert_eq!(groups, 1);
    let (_timelines, (offset, length)) = (directory.place(), directory.place());
    &pack[offset..offset + length]
}

/// The residuals of a section.
struct Residuals<'a> {
    /// The table of each context.
    map: [usize; 256],
    /// Frequencies.
    tables: Vec<Vec<u32>>,
    low: &'a [u8],
    /// Bits of `low` that were read.
    bits: usize,
    states: [u32; 4],
    words: Bytes<'a>,
    count: usize,
}

/// What happened when a residual was read.
struct Step {
    number: usize,
    context: usize,
    state: u32,
    slot: u32,
    token: usize,
    start: u32,
    frequency: u32,
    low: String,
    residual: i64,
    word: Option<u16>,
    after: u32,
}

impl<'a> Residuals<'a> {
    fn new(mut bytes: Bytes<'a>) -> Self {
        let count = bytes.uvarint();
        let mut map = [0; 256];
        for parity in 0..2 {
            let mut context = parity;
            for _ in 0..bytes.uvarint() {
                let (table, contexts) = (usize::from(bytes.u8()), bytes.uvarint());
                for _ in 0..contexts {
                    map[context] = table;
                    context += 2;
                }
            }
            assert_eq!(context, 256 + parity);
        }
        let mut table = || {
            let tokens = bytes.uvarint();
            (0..tokens).map(|_| bytes.uvarint() as u32).collect()
        };
        let tables = (0..count).map(|_| table()).collect();
        let low = bytes.uvarint();
        let low = bytes.take(low);
        let states = [(); 4].map(|()| u32::from_le_bytes(bytes.take(4).try_into().unwrap()));
        Residuals {
            map,
            tables,
            low,
            bits: 0,
            states,
            words: bytes,
            count: 0,
        }
    }

    fn low_bit(&mut self) -> u64 {
        let bit = self.low[self.bits / 8] >> (7 - self.bits % 8) & 1;
        self.bits += 1;
        u64::from(bit)
    }

    fn read(&mut self, context: &mut Context) -> Step {
        let (number, state) = (self.count, self.states[self.count % 4]);
        self.count += 1;
        let slot = state & 1023;
        let frequencies = &self.tables[self.map[context.number()]];
        let (mut token, mut start) = (0, 0);
        while slot >= start + frequencies[token] {
            start += frequencies[token];
            token += 1;
        }
        let frequency = frequencies[token];
        let mut after = frequency * (state >> 10) + slot - start;
        let word = (after < 1 << 16).then(|| {
            let word = u16::from_le_bytes(self.words.take(2).try_into().unwrap());
            after = after << 16 | u32::from(word);
            word
        });
        self.states[number % 4] = after;
        let (mut magnitude, mut low) = (u64::from(token > 0), String::new());
        for _ in 0..token.saturating_sub(1) / 2 {
            let bit = self.low_bit();
            magnitude = magnitude << 1 | bit;
            low.push(if bit == 1 { '1' } else { '0' });
        }
        let is_negative = token > 0 && (token - 1) % 2 == 1;
        let residual = magnitude as i64 * if is_negative { -1 } else { 1 };
        let step = Step {
            number,
            context: context.number(),
            state,
            slot,
            token,
            start,
            frequency,
            low,
            residual,
            word,
            after,
        };
        context.update(magnitude);
        step
    }
}

#[derive(Clone, Copy)]
struct Context {
    average: u64,
    zero: bool,
}

impl Context {
    fn new(hint: u8) -> Self {
        let m = if hint == 0 { 0 } else { 1 << (hint - 1) };
        Context {
            average: m << 8,
            zero: false,
        }
    }

    fn number(self) -> usize {
        let s = 4 * self.average + 3;
        let length = s.ilog2() + 1;
        let half = s >> (length - 2) & 1;
        (2 * (2 * length as usize + half as usize)) + usize::from(self.zero)
    }

    fn update(&mut self, magnitude: u64) {
        self.average = self.average - (self.average >> 2) + 64 * magnitude;
        self.zero = magnitude == 0;
    }
}

/// The guesses of predictor 4 for the numbers from the second on.
fn slope(values: &[i64]) -> Vec<i64> {
    let mut guesses = vec![values[0]];
    let mut slope = 256 * (values[1] - values[0]);
    for pair in values[1..].windows(2) {
        guesses.push(pair[0] + ((slope + 128) >> 8));
        slope += (256 * (pair[1] - pair[0]) - slope) >> 3;
    }
    guesses
}

/// How the first ten residuals of a pack are read, whose first column are `values`, whole numbers;
/// as two tables.
pub(super) fn ten_residuals(pack: &[u8], values: &[f64]) -> String {
    let mut group = Bytes(group(pack));
    let streams: Vec<Vec<u8>> = (0..15).map(|_| group.part()).collect();
    let mut residuals = Residuals::new(group);
    let values: Vec<i64> = values.iter().map(|value| *value as i64).collect();
    let (plan, hint) = (streams[5][0], streams[6][0]);
    assert_eq!(plan, 4, "predictor 4, and nothing else");
    let mut contexts = [Context::new(hint); 4];
    let lane = (values.len() - 1) / 4;
    let guesses = slope(&values);
    let mut text = format!(
        "the plan is {plan}, the hint {hint}; {} residuals are read in lanes of {lane}\n\n",
        values.len() - 1
    );
    text += "  i      v  guess  residual\n";
    for i in 1..=4 {
        let guess = guesses[i - 1];
        let residual = values[i] - guess;
        writeln!(text, "{i:3} {:6} {guess:6} {residual:9}", values[i]).unwrap();
    }
    text += "\nnumber  of v  context  table  state       slot  token  start  frequency  low  residual  then\n";
    for _ in 0..10 {
        let (at, which) = (residuals.count / 4, residuals.count % 4);
        let step = residuals.read(&mut contexts[which]);
        let place = which * lane + at + 1;
        assert_eq!(step.residual, values[place] - guesses[place - 1]);
        let then = match step.word {
            Some(word) => format!("{:#010x}, with the word {word:#06x}", step.after),
            None => format!("{:#010x}", step.after),
        };
        writeln!(
            text,
            "{:6}  {place:4}  {:7}  {:5}  {:#010x}  {:4}  {:5}  {:5}  {:9}  {:3}  {:8}  {then}",
            step.number,
            step.context,
            residuals.map[step.context],
            step.state,
            step.slot,
            step.token,
            step.start,
            step.frequency,
            step.low,
            step.residual,
        )
        .unwrap();
    }
    text
}
