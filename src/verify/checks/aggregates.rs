//! Chunks of aggregates: what each holds, in which order and of which time.

use crate::chunk::{self, Aggregate, ChunkRecord, Part, Tail};
use crate::model::{ChunkMeta, Millis};
use crate::raw::Malformed;
use crate::verify::Kind;

/// What is wrong with aggregates that could be decoded.
pub(super) struct AggregateFault {
    pub(super) kind: Kind,
    pub(super) detail: String,
    /// Where the data of the aggregate begin.
    pub(super) offset: u64,
    /// Spans of time that the chunk promises.
    pub(super) spans: Option<u32>,
}

/// Checks a chunk of aggregates: its lengths and encodings, and where `is_full` the times of each
/// aggregate.
///
/// # Errors
///
/// When it cannot be taken apart, or an aggregate cannot be decoded.
#[cold]
pub(super) fn check_aggregates(
    record: &ChunkRecord<'_>,
    meta: ChunkMeta,
    is_full: bool,
) -> Result<Option<AggregateFault>, Malformed> {
    let parts = chunk::aggregates(record.data, record.data_offset)?;
    let mut spans = None;
    for part in parts {
        if !is_full {
            chunk::promised_samples(part.encoding, part.data, part.offset)?;
            continue;
        }
        let (samples, fault) = check_part(&part, meta)?;
        let spans = *spans.get_or_insert(samples);
        if let Some((kind, detail)) = fault {
            return Ok(Some(AggregateFault {
                kind,
                detail: format!("{}: {detail}", part.aggregate.name()),
                offset: part.offset,
                spans: Some(spans),
            }));
        }
    }
    Ok(None)
}

type Fault = Option<(Kind, String)>;

/// Decodes one aggregate; its samples, and what is wrong with them.
fn check_part(part: &Part<'_>, meta: ChunkMeta) -> Result<(u32, Fault), Malformed> {
    let mut times: Option<(Millis, Millis)> = None;
    let mut disorder = None;
    let is_counter = part.aggregate == Aggregate::Counter;
    let shape = chunk::decode(part.encoding, part.data, part.offset, |sample| {
        let time = sample.time();
        if let Some((_, last)) = times
            && (time < last || time == last && !is_counter)
        {
            disorder.get_or_insert((last, time));
        }
        times = Some((times.map_or(time, |(first, _)| first), time));
    })?;
    let samples = shape.samples;
    let fault = if let Tail::Unexpected { bits } = shape.tail {
        let detail = format!(
            "expected the end of the aggregate after {samples} samples, found {bits} more bits"
        );
        Some((Kind::ChunkCount, detail))
    } else if let Some((before, after)) = disorder {
        let detail = format!("expected a time after {before}, found {after}");
        Some((Kind::ChunkOrder, detail))
    } else if let Some((first, last)) = times {
        let is_within = first >= meta.min_time && last <= meta.max_time;
        let detail = format!(
            "expected samples from {} to {} as the index says, found {first} to {last}",
            meta.min_time, meta.max_time
        );
        (!is_within).then_some((Kind::ChunkTime, detail))
    } else {
        Some((Kind::ChunkEmpty, "expected at least one sample".to_owned()))
    };
    Ok((samples, fault))
}
