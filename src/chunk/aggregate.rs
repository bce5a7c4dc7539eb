//! Encoding 255: the aggregates of a block that Thanos downsampled.
//!
//! Source: Thanos `pkg/compact/downsample/aggr.go`, `AggrChunk`; layout in `docs/tsdb-format.md`.

use super::{Encoding, promised_samples};
use crate::raw::{Malformed, Reader};

/// Section named in errors.
const DATA: &str = "aggregate chunk";

/// What an aggregate says of the samples of its span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// How many there were.
    Count,
    /// Their sum.
    Sum,
    /// The least of them.
    Min,
    /// The greatest of them.
    Max,
    /// The last of them, as a counter that was never reset. Where a chunk ends, the last sample
    /// follows as it was, perhaps with the time of the one before.
    Counter,
}

impl Aggregate {
    /// All of them, in the order in which a chunk holds them.
    pub const ALL: [Aggregate; 5] = [
        Aggregate::Count,
        Aggregate::Sum,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Counter,
    ];

    /// Its name: `count`, `sum`, `min`, `max`, `counter`.
    pub fn name(self) -> &'static str {
        match self {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Counter => "counter",
        }
    }
}

/// A chunk inside a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// What it holds.
    pub aggregate: Aggregate,
    /// How it holds it; never aggregates again.
    pub encoding: Encoding,
    /// Its data.
    pub data: &'a [u8],
    /// Absolute offset of the data in the file.
    pub offset: u64,
}

/// Takes the data of an aggregate chunk apart. At least one aggregate is there; any may be missing.
///
/// `at` is the absolute offset of `data` in its file, for errors.
///
/// # Errors
///
/// When lengths do not fit the data, a part has an encoding that is unknown or aggregates again, or
/// nothing is there.
pub fn aggregates(data: &[u8], at: u64) -> Result<Vec<Part<'_>>, Malformed> {
    let mut reader = Reader::new(data, at, DATA);
    let mut parts = Vec::with_capacity(Aggregate::ALL.len());
    for aggregate in Aggregate::ALL {
        let start = reader.offset();
        let length = reader.uvarint()?;
        if length == 0 {
            continue;
        }
        let encoding = Encoding::from_byte(reader.u8()?);
        if !encoding.is_decodable() {
            let byte = i64::from(encoding.byte());
            return Err(Malformed::unknown(
                DATA,
                start,
                "encoding of an aggregate",
                byte,
            ));
        }
        let offset = reader.offset();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        parts.push(Part {
            aggregate,
            encoding,
            data: reader.take(length)?,
            offset,
        });
    }
    if !reader.rest().is_empty() {
        let found = format!("{} more bytes", reader.rest().len());
        return Err(Malformed::unexpected(
            DATA,
            reader.offset(),
            "end",
            "after five aggregates",
            found,
        ));
    }
    if parts.is_empty() {
        return Err(Malformed::unexpected(
            DATA,
            at,
            "aggregates",
            "at least one",
            "none",
        ));
    }
    Ok(parts)
}

/// How many spans of time a chunk of aggregates stands for: the samples of its first part.
///
/// # Errors
///
/// As [`aggregates`], or when that part is shorter than its header.
pub(super) fn promised(data: &[u8], at: u64) -> Result<u32, Malformed> {
    let parts = aggregates(data, at)?;
    match parts.first() {
        Some(part) => promised_samples(part.encoding, part.data, part.offset),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::ChunkEncoder;
    use super::*;
    use crate::model::{FloatSample, Sample};

    fn chunk(samples: i64) -> Vec<u8> {
        let mut encoder = ChunkEncoder::new(Encoding::Xor).unwrap();
        for time in 0..samples {
            let sample = FloatSample {
                time,
                start: 0,
                bits: 1f64.to_bits(),
            };
            encoder.push(&Sample::Float(sample)).unwrap();
        }
        encoder.finish().data
    }

    fn put(parts: [Option<&[u8]>; 5]) -> Vec<u8> {
        let mut data = Vec::new();
        for part in parts {
            let part = part.unwrap_or_default();
            data.push(u8::try_from(part.len()).unwrap());
            if !part.is_empty() {
                data.push(1);
                data.extend_from_slice(part);
            }
        }
        data
    }

    #[test]
    fn parts_are_found_where_some_are_missing() {
        let (three, four) = (chunk(3), chunk(4));
        let data = put([None, Some(&three), None, None, Some(&four)]);
        let parts = aggregates(&data, 100).unwrap();
        let kinds: Vec<_> = parts.iter().map(|part| part.aggregate).collect();
        assert_eq!(kinds, [Aggregate::Sum, Aggregate::Counter]);
        assert_eq!((parts[0].data, parts[0].offset), (three.as_slice(), 103));
        assert_eq!(parts[1].data, four);
        assert_eq!(promised(&data, 0).unwrap(), 3);
    }

    #[test]
    fn every_prefix_and_every_odd_length_is_an_error_and_never_a_panic() {
        let three = chunk(3);
        let data = put([Some(&three), None, None, Some(&three), None]);
        for len in 0..data.len() {
            assert!(aggregates(&data[..len], 0).is_err(), "{len}");
        }
        let mut longer = data.clone();
        longer.push(0);
        assert!(aggregates(&longer, 0).is_err());
        assert!(aggregates(&[0; 5], 0).is_err(), "nothing is no chunk");
        let mut nested = data;
        nested[1] = 255;
        assert!(aggregates(&nested, 0).is_err());
        let huge = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0];
        assert!(aggregates(&huge, 0).is_err());
    }
}
