//! The label pairs of all blocks together, by name and value.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::costs::{Costs, NameId, Walk};
use super::fixed::{FRACTION, FixedBytes};

/// The label names of all blocks, each with its values. Memory: about 100 bytes for a pair, and its
/// value.
#[derive(Clone, Debug, Default)]
pub(super) struct PairTable {
    pub(super) names: BTreeMap<Box<[u8]>, Values>,
}

/// The values of one label name, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    rows: Vec<Row>,
    /// Their strings, one behind the other.
    strings: Vec<u8>,
    /// What the name costs beside its pairs.
    pub(super) own: Wide,
}

/// Bytes with a fraction, for sums over many blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wide(pub(super) u128);

impl Wide {
    pub(super) fn add(&mut self, share: u64) {
        self.0 = self.0.saturating_add(u128::from(share));
    }

    pub(super) fn rounded(self) -> u64 {
        let half = 1 << (FRACTION - 1);
        u64::try_from(self.0.saturating_add(half) >> FRACTION).unwrap_or(u64::MAX)
    }
}

/// What is counted of a label pair.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PairTally {
    /// Series that carry it.
    pub(super) series: u32,
    /// Those that have one sample.
    pub(super) one_sample: u32,
    /// Different ones of them, as far as they have samples.
    pub(super) fresh: u32,
    /// Those of the different ones that are not there when the first block begins.
    pub(super) born: u32,
    /// Those of the different ones that are there when the last block so far ends.
    pub(super) ends: u32,
    pub(super) chunks: u32,
    pub(super) samples: u64,
    pub(super) chunk_bytes: u64,
    /// What they bear of the index, in units of a share.
    pub(super) index: u64,
    /// Milliseconds of the block they do not cover.
    pub(super) uncovered: u64,
}

impl PairTally {
    pub(super) fn add(&mut self, other: &PairTally) {
        self.series = self.series.saturating_add(other.series);
        self.one_sample = self.one_sample.saturating_add(other.one_sample);
        self.fresh = self.fresh.saturating_add(other.fresh);
        self.born = self.born.saturating_add(other.born);
        self.ends = self.ends.saturating_add(other.ends);
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.samples = self.samples.saturating_add(other.samples);
        self.chunk_bytes = self.chunk_bytes.saturating_add(other.chunk_bytes);
        self.index = self.index.saturating_add(other.index);
        self.uncovered = self.uncovered.saturating_add(other.uncovered);
    }
}

/// One pair.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    offset: usize,
    len: u32,
    index_fraction: u32,
    own_fraction: u32,
    index_bytes: u64,
    own_bytes: u64,
    /// Its `index` is not used.
    tally: PairTally,
}

/// One pair, as it is lent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) value: &'a [u8],
    pub(super) tally: &'a PairTally,
    pub(super) index: Wide,
    /// What it costs by itself.
    pub(super) own: Wide,
}

impl Row {
    fn join(&mut self, other: &Row) {
        (self.index_bytes, self.index_fraction) = sum(
            (self.index_bytes, self.index_fraction),
            (other.index_bytes, other.index_fraction),
        );
        (self.own_bytes, self.own_fraction) = sum(
            (self.own_bytes, self.own_fraction),
            (other.own_bytes, other.own_fraction),
        );
        self.tally.add(&other.tally);
    }
}

fn parts(share: FixedBytes) -> (u64, u32) {
    let mask = (1u64 << FRACTION) - 1;
    let fraction = u32::try_from(share.0 & mask).unwrap_or_default();
    (share.0 >> FRACTION, fraction)
}

fn sum(a: (u64, u32), b: (u64, u32)) -> (u64, u32) {
    let fraction = a.1 + b.1;
    let carry = u64::from(fraction >> FRACTION);
    let mask = (1u32 << FRACTION) - 1;
    (
        a.0.saturating_add(b.0).saturating_add(carry),
        fraction & mask,
    )
}

fn wide(bytes: u64, fraction: u32) -> Wide {
    Wide(u128::from(bytes) << FRACTION | u128::from(fraction))
}

impl Values {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        self.rows.iter().map(|row| self.lend(row))
    }

    pub(super) fn find(&self, value: &[u8]) -> Option<Pair<'_>> {
        let at = self
            .rows
            .binary_search_by(|row| self.string(row).cmp(value));
        Some(self.lend(self.rows.get(at.ok()?)?))
    }

    fn lend<'a>(&'a self, row: &'a Row) -> Pair<'a> {
        Pair {
            value: self.string(row),
            tally: &row.tally,
            index: wide(row.index_bytes, row.index_fraction),
            own: wide(row.own_bytes, row.own_fraction),
        }
    }

    fn string(&self, row: &Row) -> &[u8] {
        let end = row.offset.saturating_add(row.len as usize);
        self.strings.get(row.offset..end).unwrap_or_default()
    }

    fn push(&mut self, value: &[u8], mut row: Row) {
        row.offset = self.strings.len();
        row.len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.strings.extend_from_slice(value);
        self.rows.push(row);
    }

    /// Both together; both are sorted.
    fn joined(self, other: Values) -> Values {
        if self.rows.is_empty() {
            return other;
        }
        let own = Wide(self.own.0.saturating_add(other.own.0));
        let mut whole = Values {
            own,
            ..Values::default()
        };
        let (mut mine, mut theirs) = (self.rows.iter().peekable(), other.rows.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => self.string(a).cmp(other.string(b)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return whole,
            };
            let (a, b) = (
                (order != Ordering::Greater).then(|| mine.next()).flatten(),
                (order != Ordering::Less).then(|| theirs.next()).flatten(),
            );
            match (a, b) {
                (Some(a), b) => {
                    let mut row = *a;
                    if let Some(b) = b {
                        row.join(b);
                    }
                    whole.push(self.string(a), row);
                }
                (None, Some(b)) => whole.push(other.string(b), *b),
                (None, None) => return whole,
            }
        }
    }

    fn sort(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        if !rows.is_sorted_by(|a, b| self.string(a) <= self.string(b)) {
            rows.sort_by(|a, b| self.string(a).cmp(self.string(b)));
        }
        self.rows = rows;
    }
}

impl PairTable {
    /// Adds the pairs of a block that series which count carry.
    pub(super) fn add(&mut self, costs: &Costs<'_>, tallies: Vec<PairTally>) {
        let mut of_block: BTreeMap<NameId, Values> = BTreeMap::new();
        let mut strings = Walk::new(costs.symbols());
        let mut last: Option<(NameId, Values)> = None;
        for (id, (pair, tally)) in (0u32..).zip(costs.pairs().iter().zip(&tallies)) {
            if tally.series == 0 {
                continue;
            }
            if last.as_ref().is_none_or(|(name, _)| *name != pair.name) {
                of_block.extend(last.take());
                let known = of_block.remove(&pair.name).unwrap_or_default();
                last = Some((pair.name, known));
            }
            let Some((_, values)) = &mut last else {
                continue;
            };
            let Some(value) = strings.string(pair.value as usize) else {
                continue;
            };
            let (index_bytes, index_fraction) = parts(FixedBytes(tally.index));
            let (own_bytes, own_fraction) = parts(costs.own(id));
            let row = Row {
                index_bytes,
                index_fraction,
                own_bytes,
                own_fraction,
                tally: *tally,
                ..Row::default()
            };
            values.push(value, row);
        }
        drop(tallies);
        of_block.extend(last);
        for (name, mut values) in of_block {
            values.sort();
            if let Some(cost) = costs.names().get(name as usize) {
                values.own.add(cost.own.0);
            }
            let known = self.names.entry(costs.name_of(name).into()).or_default();
            *known = std::mem::take(known).joined(values);
        }
    }

    /// Forgets which series are at the end: it has moved on.
    pub(super) fn forget_ends(&mut self) {
        for values in self.names.values_mut() {
            for row in &mut values.rows {
                row.tally.ends = 0;
            }
        }
    }

    /// All pairs with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Pair<'_>)> {
        self.names
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |pair| (&**name, pair)))
    }

    /// Different pairs.
    pub(super) fn len(&self) -> u64 {
        self.names.values().map(|values| values.len() as u64).sum()
    }
}
