//! Frequency tables: counted, rounded to a power of two, written down.

use super::context::CONTEXTS;
use super::rans::{Share, TOTAL};
use super::{TOKENS, expand};
use crate::raw::varint::write_uvarint;
use crate::raw::{Malformed, Reader};

/// Neighbouring contexts share a table until it has seen so many tokens: below that, a table costs
/// more than it saves.
const WORTH_A_TABLE: u64 = 3000;

/// One table: the share of each token.
type Table = [Share; TOKENS];

/// The tables of a section, and which context uses which.
#[derive(Debug)]
pub(super) struct Tables {
    /// For each context the number of its table.
    map: [u8; CONTEXTS],
    tables: Vec<Table>,
}

/// How often each token occurred in each context.
#[derive(Clone, Debug)]
pub(super) struct Counts(Vec<u32>);

impl Default for Counts {
    fn default() -> Self {
        Counts(vec![0; CONTEXTS * TOKENS])
    }
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, context: usize, token: u8) {
        if let Some(count) = self.0.get_mut(context * TOKENS + usize::from(token)) {
            *count += 1;
        }
    }

    fn of(&self, context: usize) -> &[u32] {
        self.0
            .get(context * TOKENS..(context + 1) * TOKENS)
            .unwrap_or_default()
    }
}

impl Tables {
    /// Tables for what was counted.
    pub(super) fn new(counts: &Counts) -> Self {
        let mut tables = Tables {
            map: [0; CONTEXTS],
            tables: Vec::new(),
        };
        // Contexts after a zero have odd numbers; the two kinds do not mix.
        for parity in 0..2 {
            let mut open = [0u64; TOKENS];
            let mut members = Vec::new();
            for context in (parity..CONTEXTS).step_by(2) {
                for (sum, count) in open.iter_mut().zip(counts.of(context)) {
                    *sum += u64::from(*count);
                }
                members.push(context);
                if open.iter().sum::<u64>() >= WORTH_A_TABLE {
                    tables.push(&open, &members);
                    (open, members) = ([0; TOKENS], Vec::new());
                }
            }
            tables.push(&open, &members);
        }
        tables
    }

    fn push(&mut self, counts: &[u64; TOKENS], members: &[usize]) {
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "no more tables than contexts"
        )]
        let number = self.tables.len() as u8;
        for context in members {
            if let Some(table) = self.map.get_mut(*context) {
                *table = number;
            }
        }
        self.tables.push(shares(&normalize(counts)));
    }

    #[inline]
    pub(super) fn share(&self, context: usize, token: u8) -> Share {
        let table = self
            .map
            .get(context)
            .and_then(|table| self.tables.get(usize::from(*table)));
        table
            .and_then(|table| table.get(usize::from(token)))
            .copied()
            .unwrap_or_default()
    }

    /// Number of tables, the map as runs of one table, then each table: number of tokens up to the
    /// last that occurs, and the frequency of each.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_uvarint(out, self.tables.len() as u64);
        for parity in 0..2 {
            let of_parity: Vec<u8> = self.map.iter().skip(parity).step_by(2).copied().collect();
            let runs: Vec<&[u8]> = of_parity.chunk_by(|a, b| a == b).collect();
            write_uvarint(out, runs.len() as u64);
            for run in runs {
                out.extend(run.first());
                write_uvarint(out, run.len() as u64);
            }
        }
        for table in &self.tables {
            let used = table
                .iter()
                .rposition(|share| share.frequency > 0)
                .map_or(0, |last| last + 1);
            write_uvarint(out, used as u64);
            for share in table.iter().take(used) {
                write_uvarint(out, u64::from(share.frequency));
            }
        }
    }

    /// Reads what [`Tables::write`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(2)?;
        if count > CONTEXTS {
            return Err(reader.unexpected("number of tables", format!("up to {CONTEXTS}"), count));
        }
        let mut map = [0; CONTEXTS];
        for parity in 0..2 {
            let mut slots = map.iter_mut().skip(parity).step_by(2);
            for _ in 0..reader.count(2)? {
                let table = reader.u8()?;
                let length = reader.uvarint()?;
                let left = slots.len() as u64;
                if usize::from(table) >= count.max(1) || length == 0 || length > left {
                    return Err(reader.unexpected(
                        "run of contexts",
                        format!("that use one of {count} tables"),
                        table,
                    ));
                }
                for _ in 0..length {
                    if let Some(slot) = slots.next() {
                        *slot = table;
                    }
                }
            }
            if slots.len() > 0 {
                return Err(reader.unexpected("runs of contexts", "that reach all", "fewer"));
            }
        }
        let mut tables = Vec::with_capacity(count);
        for _ in 0..count {
            let at = *reader;
            let used = reader.count(1)?;
            let mut frequencies = [0u32; TOKENS];
            for i in 0..used {
                let frequency = reader.uvarint()?;
                let slot = frequencies.get_mut(i);
                let (Some(slot), Ok(frequency)) = (slot, u32::try_from(frequency)) else {
                    return Err(at.unexpected(
                        "frequency table",
                        format!("of {TOKENS} tokens"),
                        used,
                    ));
                };
                *slot = frequency;
            }
            let total: u64 = frequencies.iter().map(|f| u64::from(*f)).sum();
            if total != u64::from(TOTAL) {
                return Err(at.unexpected("frequencies", format!("that add up to {TOTAL}"), total));
            }
            tables.push(shares(&frequencies));
        }
        Ok(Tables { map, tables })
    }

    /// For every context and slot the token there.
    pub(super) fn lookup(&self) -> Lookup {
        let mut entries = Vec::with_capacity(self.tables.len() * TOTAL as usize);
        for table in &self.tables {
            for (token, share) in (0u8..).zip(table) {
                entries.extend(
                    (0..share.frequency).map(|bias| Entry::new(token, share.frequency, bias)),
                );
            }
        }
        Lookup {
            bases: self.map.map(|table| usize::from(table) * TOTAL as usize),
            entries,
        }
    }
}

/// What a decoder looks up.
#[derive(Debug)]
pub(super) struct Lookup {
    /// For each context where the entries of its table begin.
    bases: [usize; CONTEXTS],
    /// For each table and slot what stands there.
    entries: Vec<Entry>,
}

impl Lookup {
    /// What stands at `slot` in the table of `context`; `None` when the section has no tables.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a part of the innermost step")]
    pub(super) fn get(&self, context: usize, slot: usize) -> Option<Entry> {
        let base = self.bases.get(context)?;
        self.entries.get(base + slot).copied()
    }
}

/// A token, its frequency, and its distance from the token's first slot, in 32 bits: number of low
/// bits (6 bits), sign (1), whether it is another than zero (1), distance (12), frequency less one
/// (12).
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry(u32);

impl Entry {
    fn new(token: u8, frequency: u32, bias: u32) -> Self {
        let (low_bits, negative) = expand(token);
        let flags = u32::from(negative) << 6 | u32::from(token != 0) << 7;
        Entry((frequency - 1) << 20 | bias << 8 | flags | low_bits)
    }

    #[inline]
    pub(super) fn frequency(self) -> u32 {
        (self.0 >> 20) + 1
    }

    #[inline]
    pub(super) fn bias(self) -> u32 {
        self.0 >> 8 & 0xfff
    }

    /// How many bits of the magnitude follow.
    #[inline]
    pub(super) fn low_bits(self) -> u32 {
        self.0 & 63
    }

    /// -1 for negative residuals, else 0.
    #[inline]
    pub(super) fn sign(self) -> i64 {
        (i64::from(self.0 >> 6) & 1).wrapping_neg()
    }

    /// 0 for zero, else all ones.
    #[inline]
    pub(super) fn zero_mask(self) -> u64 {
        (u64::from(self.0 >> 7) & 1).wrapping_neg()
    }
}

/// Frequencies that add up to [`TOTAL`], none of them zero where something was counted.
fn normalize(counts: &[u64; TOKENS]) -> [u32; TOKENS] {
    let sum: u64 = counts.iter().sum();
    let mut frequencies = [0u32; TOKENS];
    for (frequency, count) in frequencies.iter_mut().zip(counts) {
        let scaled = (count * u64::from(TOTAL) + sum / 2) / sum.max(1);
        *frequency = u32::try_from(scaled)
            .unwrap_or(TOTAL)
            .max(u32::from(*count > 0));
    }
    // Rounding is paid for, or made up, where it costs least: by the most frequent.
    loop {
        let total: u32 = frequencies.iter().sum();
        let Some(largest) = frequencies.iter_mut().max() else {
            return frequencies;
        };
        if total <= TOTAL {
            *largest += TOTAL - total;
            return frequencies;
        }
        *largest -= (total - TOTAL).min(*largest / 2).max(1);
    }
}

fn shares(frequencies: &[u32; TOKENS]) -> Table {
    let mut table = [Share::default(); TOKENS];
    let mut start = 0;
    for (share, frequency) in table.iter_mut().zip(frequencies) {
        *share = Share::new(start, *frequency);
        start += frequency;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_come_back_and_hold_every_token_that_was_counted() {
        let mut counts = Counts::default();
        for i in 0..40_000usize {
            let token = u8::try_from(i * i % TOKENS).unwrap();
            counts.add(i % CONTEXTS, token / (1 + u8::try_from(i % 7).unwrap()));
        }
        let tables = Tables::new(&counts);
        let mut bytes = Vec::new();
        tables.write(&mut bytes);
        let read = Tables::read(&mut Reader::new(&bytes, 0, "tables")).unwrap();
        assert_eq!((read.map, &read.tables), (tables.map, &tables.tables));
        for context in 0..CONTEXTS {
            for (token, count) in counts.of(context).iter().enumerate() {
                let share = tables.share(context, u8::try_from(token).unwrap());
                assert!(*count == 0 || share.frequency > 0);
            }
        }
    }

    #[test]
    fn many_rare_tokens_leave_the_frequent_one_its_share() {
        let mut counts = [1u64; TOKENS];
        counts[0] = 1_000_000;
        let frequencies = normalize(&counts);
        assert_eq!(frequencies.iter().sum::<u32>(), TOTAL);
        assert_eq!(frequencies[0], TOTAL - 128);
    }
}
