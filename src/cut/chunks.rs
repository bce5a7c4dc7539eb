//! What becomes of one chunk.
//!
//! Source: Prometheus `tsdb/querier.go`, `populateWithDelChunkSeriesIterator`.

use std::borrow::Cow;

use crate::chunk::encode::{ChunkEncoder, EncodedChunk};
use crate::chunk::{ChunkRecord, Tail, Xor2Writer, decode};
use crate::error::{Error, Result};
use crate::model::{ChunkMeta, CounterReset, HistogramSample, Millis, Sample};
use crate::select::{Interval, Selection, is_deleted};

/// A chunk of the new block: a copy's data stay where they are.
pub(super) type CutChunk<'a> = EncodedChunk<Cow<'a, [u8]>>;

/// What becomes of a chunk, by what the index says of its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// None of its samples is wanted.
    Goes,
    /// All of them are.
    Stays,
    /// It must be decoded to tell.
    Trimmed,
}

impl Fate {
    /// The fate of `chunk`, when `deleted` (sorted, not touching) are the deleted ranges of its
    /// series.
    pub(super) fn of(chunk: &ChunkMeta, part: &Selection, deleted: &[Interval]) -> Self {
        let (min, max) = (chunk.min_time, chunk.max_time);
        if !part.range.overlaps(min, max) {
            return Fate::Goes;
        }
        let after = deleted.partition_point(|interval| interval.max_time < min);
        match deleted.get(after) {
            Some(interval) if interval.min_time <= min && max <= interval.max_time => Fate::Goes,
            Some(interval) if interval.min_time <= max => Fate::Trimmed,
            _ if !(part.range.contains(min) && part.range.contains(max)) => Fate::Trimmed,
            _ => Fate::Stays,
        }
    }
}

/// The chunk as it is.
pub(super) fn copy<'a>(record: &ChunkRecord<'a>, chunk: &ChunkMeta) -> CutChunk<'a> {
    EncodedChunk {
        encoding: record.encoding,
        min_time: chunk.min_time,
        max_time: chunk.max_time,
        data: Cow::Borrowed(record.data),
    }
}

/// The samples of the chunk that are wanted and not deleted, as one chunk of the same encoding;
/// `None` if there are none.
///
/// # Errors
///
/// When the chunk cannot be decoded to its end, or its samples are not from the time that the index
/// says.
pub(super) fn trim(
    record: &ChunkRecord<'_>,
    chunk: &ChunkMeta,
    part: &Selection,
    deleted: &[Interval],
) -> Result<Option<CutChunk<'static>>> {
    // The newest writer, whoever wrote the chunk: so do compactions that apply deletions.
    let mut encoder = ChunkEncoder::of_writer(record.encoding, Xor2Writer::Since316)?;
    let mut pushed = Ok(());
    let mut range: Option<(Millis, Millis)> = None;
    let shape = decode(record.encoding, record.data, record.data_offset, |sample| {
        let time = sample.time();
        range = Some((range.map_or(time, |(first, _)| first), time));
        let wanted = part.range.contains(time) && !is_deleted(deleted, time);
        if wanted && pushed.is_ok() {
            pushed = encoder.push(&trimmed(sample));
        }
    });
    let in_chunk = |error: Error| error.context(format!("chunk {}", chunk.reference));
    let shape = shape.map_err(|malformed| {
        let error = Error::new(malformed.kind(), "expected a chunk that can be decoded");
        in_chunk(error.with_source(malformed))
    })?;
    pushed.map_err(in_chunk)?;
    let (min, max) = (chunk.min_time, chunk.max_time);
    if range != Some((min, max)) || matches!(shape.tail, Tail::Unexpected { .. }) {
        let wanted = format!("expected samples from {min} to {max} and nothing behind them");
        return Err(in_chunk(Error::corrupt(wanted)));
    }
    if encoder.samples() == 0 {
        return Ok(None);
    }
    let EncodedChunk {
        encoding,
        min_time,
        max_time,
        data,
    } = encoder.finish();
    Ok(Some(EncodedChunk {
        encoding,
        min_time,
        max_time,
        data: Cow::Owned(data),
    }))
}

/// The sample as it goes into a chunk that has lost others: what the chunk said of a counter reset
/// before its first sample may be true no longer, so nothing is said.
fn trimmed(sample: Sample<'_>) -> Sample<'_> {
    match sample {
        Sample::Float(float) => Sample::Float(float),
        Sample::Histogram(histogram) => Sample::Histogram(HistogramSample {
            counter_reset: hint(histogram.counter_reset),
            ..histogram
        }),
        Sample::FloatHistogram(histogram) => Sample::FloatHistogram(HistogramSample {
            counter_reset: hint(histogram.counter_reset),
            ..histogram
        }),
    }
}

fn hint(hint: CounterReset) -> CounterReset {
    match hint {
        CounterReset::Gauge => CounterReset::Gauge,
        CounterReset::Unknown | CounterReset::NotReset | CounterReset::Reset => {
            CounterReset::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChunkRef, TimeRange};

    fn fate(min_time: Millis, max_time: Millis, deleted: &[(Millis, Millis)]) -> Fate {
        let chunk = ChunkMeta {
            min_time,
            max_time,
            reference: ChunkRef::default(),
        };
        let part = Selection {
            selectors: Vec::new(),
            range: TimeRange {
                since: 10,
                until: 21,
            },
        };
        let interval = |(min_time, max_time): &(Millis, Millis)| Interval {
            min_time: *min_time,
            max_time: *max_time,
        };
        let deleted: Vec<_> = deleted.iter().map(interval).collect();
        Fate::of(&chunk, &part, &deleted)
    }

    #[test]
    fn a_chunk_is_decoded_only_when_its_times_do_not_tell() {
        assert_eq!(fate(0, 9, &[]), Fate::Goes);
        assert_eq!(fate(21, 30, &[]), Fate::Goes);
        assert_eq!(fate(10, 20, &[]), Fate::Stays);
        assert_eq!(fate(9, 20, &[]), Fate::Trimmed);
        assert_eq!(fate(10, 21, &[]), Fate::Trimmed);
        assert_eq!(fate(0, 30, &[]), Fate::Trimmed);
        assert_eq!(fate(10, 20, &[(0, 9), (21, 30)]), Fate::Stays);
        assert_eq!(fate(10, 20, &[(0, 9), (10, 20)]), Fate::Goes);
        assert_eq!(fate(10, 20, &[(0, 10)]), Fate::Trimmed);
        assert_eq!(fate(10, 20, &[(20, 20)]), Fate::Trimmed);
        assert_eq!(fate(10, 20, &[(11, 12), (14, 30)]), Fate::Trimmed);
    }
}
