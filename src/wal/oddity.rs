//! What is unusual in a log without being damage: Prometheus reads on as if nothing were there.

use std::collections::BTreeMap;
use std::fmt;

/// Something that no Prometheus writes, or that this program does not know, and that replay passes
/// over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oddity {
    /// A fragment's type byte, or that of a page's padding, has bits set that the format reserves.
    ReservedBits,
    /// The fragments of one record disagree about whether snappy compressed it.
    MixedCompression,
    /// The fragments of one record disagree about whether zstd compressed it; none claims snappy.
    MixedZstd,
    /// A record claims to be compressed with zstd and with snappy, which goes first.
    StrayZstd,
    /// A record without a single byte, not even its type.
    EmptyRecord,
    /// A record of a type that this program does not know. Prometheus passes over types that *it*
    /// does not know, and its next checkpoint drops them.
    UnknownRecordType(u8),
    /// A histogram whose schema is none that Prometheus reads; it is passed over.
    UnknownSchema,
    /// A histogram with more or fewer buckets than its spans say, which a replay does not pass
    /// over.
    HistogramBuckets,
    /// A minimum valid time record that is not nine bytes long; a start says so and goes by the
    /// blocks alone.
    MinValidTimeLength,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::ReservedBits => f.write_str("reserved bits set"),
            Oddity::MixedCompression => f.write_str("fragments disagree about compression"),
            Oddity::MixedZstd => f.write_str("fragments disagree about zstd"),
            Oddity::StrayZstd => f.write_str("record claims snappy and zstd"),
            Oddity::EmptyRecord => f.write_str("empty record"),
            Oddity::UnknownRecordType(number) => write!(f, "unknown record type {number}"),
            Oddity::UnknownSchema => f.write_str("histogram of an unknown schema"),
            Oddity::HistogramBuckets => {
                f.write_str("histogram with other buckets than its spans say")
            }
            Oddity::MinValidTimeLength => {
                f.write_str("minimum valid time record of another length than 9 bytes")
            }
        }
    }
}

/// How often an [`Oddity`] was seen, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Offset of the first one in its segment.
    pub first: u64,
    /// How many there are.
    pub count: u64,
}

/// The oddities of one segment, counted: a log full of them costs no more memory than one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities(BTreeMap<Oddity, Seen>);

impl Oddities {
    pub(super) fn note(&mut self, oddity: Oddity, offset: u64) {
        let first = Seen {
            first: offset,
            count: 0,
        };
        self.0.entry(oddity).or_insert(first).count += 1;
    }

    pub(super) fn add(&mut self, others: &Oddities) {
        for (oddity, seen) in others.iter() {
            let first = Seen { count: 0, ..seen };
            let known = self.0.entry(oddity).or_insert(first);
            known.first = known.first.min(seen.first);
            known.count += seen.count;
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind that was seen.
    pub fn iter(&self) -> impl Iterator<Item = (Oddity, Seen)> {
        self.0.iter().map(|(oddity, seen)| (*oddity, *seen))
    }
}
