//! What stands in one chunk, as far as it is decoded.

#![deny(clippy::wildcard_enum_match_arm)]

use super::super::aggregates::check_aggregates;
use super::super::histogram::HistogramFault;
use super::super::times::{Times, decode_floats};
use super::{Chunks, Named, inside};
use crate::chunk::{self, ChunkRecord, Shape, Tail};
use crate::model::{ChunkMeta, Millis, Sample};
use crate::raw::{Malformed, MalformedProblem};
use crate::verify::{Finding, Findings, Kind};

impl Chunks<'_> {
    /// Counts a chunk of aggregates, and checks it as far as is asked for.
    #[cold]
    pub(super) fn aggregates(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        findings: &mut Findings,
    ) {
        self.counts.count(record.encoding, 0);
        match check_aggregates(record, named.meta, self.subject.is_full()) {
            Ok(None) => {}
            Ok(Some(fault)) => {
                self.find(fault.kind, named, fault.spans, findings, |finding| {
                    Finding {
                        section: Some("aggregate chunk"),
                        offset: Some(fault.offset),
                        ..finding.saying(fault.detail)
                    }
                });
            }
            Err(malformed) => self.undecodable(named, record, &malformed, findings),
        }
    }

    /// Counts what the header promises, without decoding.
    pub(super) fn promise(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        findings: &mut Findings,
    ) {
        match chunk::promised_samples(record.encoding, record.data, record.data_offset) {
            Ok(samples) => {
                self.counts.count(record.encoding, samples);
                if self.is_repeated {
                    self.remember(named.meta, record, samples);
                }
            }
            Err(malformed) => self.undecodable(named, record, &malformed, findings),
        }
    }

    #[inline]
    pub(super) fn decode(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        findings: &mut Findings,
    ) {
        let mut times = Times::new();
        let decoded = if record.encoding.is_float() {
            decode_floats(record, &mut times)
        } else {
            self.histograms.decode(record, &mut times)
        };
        match decoded {
            Ok(shape) => {
                self.counts.count(record.encoding, shape.samples);
                let histograms = self.histograms.fault.take();
                if !is_plain(shape, times, named.meta) || histograms.is_some() {
                    self.judge(named, record, shape, times, histograms, findings);
                } else if self.is_repeated {
                    self.remember(named.meta, record, shape.samples);
                }
            }
            Err(malformed) => self.undecodable(named, record, &malformed, findings),
        }
    }

    #[cold]
    fn undecodable(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        malformed: &Malformed,
        findings: &mut Findings,
    ) {
        self.counts.uncounted += 1;
        let kind = match malformed.problem {
            MalformedProblem::Unknown { .. } | MalformedProblem::Unsupported { .. } => {
                Kind::ChunkEncoding
            }
            // Prometheus ends such a chunk without a word where others follow, or where nobody asks
            // for more.
            MalformedProblem::Unexpected {
                what: chunk::ANOTHER_SAMPLE,
                ..
            } if last_time(record) < Some(named.meta.max_time) => Kind::ChunkShort,
            MalformedProblem::Truncated { .. }
            | MalformedProblem::Checksum { .. }
            | MalformedProblem::Unexpected { .. } => Kind::ChunkMalformed,
        };
        let samples = chunk::promised_samples(record.encoding, record.data, 0).ok();
        self.find(kind, named, samples, findings, |finding| {
            inside(finding, malformed)
        });
    }

    /// Says what is not as it should be in a chunk that could be decoded.
    #[cold]
    fn judge(
        &mut self,
        named: Named<'_>,
        record: &ChunkRecord<'_>,
        shape: Shape,
        times: Times,
        histograms: Option<HistogramFault>,
        findings: &mut Findings,
    ) {
        let meta = named.meta;
        let samples = Some(shape.samples);
        let mut find = |kind, detail: String| {
            self.find(kind, named, samples, findings, |finding| {
                finding.saying(detail)
            });
        };
        if shape.samples == 0 && !matches!(shape.tail, Tail::Unexpected { .. }) {
            return find(Kind::ChunkEmpty, "expected at least one sample".to_owned());
        }
        if let Tail::Unexpected { bits } = shape.tail {
            let detail = format!(
                "expected the end of the chunk after {} samples, found {bits} more bits",
                shape.samples
            );
            return find(Kind::ChunkCount, detail);
        }
        if let Some((before, after)) = times.out_of_order(record) {
            let detail = format!("expected a time after {before}, found {after}");
            return find(Kind::ChunkOrder, detail);
        }
        if (times.first, times.last) != (meta.min_time, meta.max_time) {
            let detail = format!(
                "expected samples from {} to {} as the index says, found {} to {}",
                meta.min_time, meta.max_time, times.first, times.last
            );
            // What reaches beyond the range may be passed over; a range that reaches beyond the
            // chunk costs a look.
            let is_wide = meta.min_time <= times.first && times.last <= meta.max_time;
            let kind = if is_wide {
                Kind::ChunkTimeWide
            } else {
                Kind::ChunkTime
            };
            find(kind, detail);
            return self.count_astray(meta.reference.segment(), false);
        }
        if let Some(HistogramFault { kind, detail }) = histograms {
            return find(kind, detail);
        }
        if !shape.canonical {
            let detail = "expected the codes that Prometheus' encoder chooses".to_owned();
            find(Kind::ChunkNotCanonical, detail);
        }
    }
}

/// Time of the last sample that can be decoded.
#[cold]
fn last_time(record: &ChunkRecord<'_>) -> Option<Millis> {
    let mut last = None;
    let see = |sample: Sample<'_>| last = Some(sample.time());
    // Where it fails is known already.
    let _ = chunk::decode(record.encoding, record.data, record.data_offset, see);
    last
}

/// Whether there is nothing to say of a chunk.
fn is_plain(shape: Shape, times: Times, meta: ChunkMeta) -> bool {
    shape.canonical
        && !matches!(shape.tail, Tail::Unexpected { .. })
        && shape.samples > 0
        && times.ascending
        && (times.first, times.last) == (meta.min_time, meta.max_time)
}
