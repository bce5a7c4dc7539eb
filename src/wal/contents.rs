//! What records hold, counted.

use std::collections::BTreeMap;

use super::compression::Compression;
use super::follow::Follow;
use super::oddity::{Oddities, Oddity};
use super::record::{HistogramEntry, LogRecord, RecordType, SampleEntry};
use super::segment::RawRecord;
use crate::model::Millis;
use crate::raw::Malformed;

/// Counts of what records hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records by type; those of unknown types are in
    /// [`SegmentSummary::oddities`](super::SegmentSummary::oddities).
    pub records: BTreeMap<RecordType, u64>,
    /// Series definitions; a series may be defined more than once.
    pub series: u64,
    /// Float samples.
    pub floats: u64,
    /// Native histograms, with integer or float counts.
    pub histograms: u64,
    /// Deletions.
    pub tombstones: u64,
    /// Of those, deletions of whole series, by which Prometheus 3.10 and newer say that a series
    /// that was stale is gone from the head.
    pub gone: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata entries.
    pub metadata: u64,
    /// Markers of the WBL.
    pub markers: u64,
    /// The time before which a start of Prometheus 3.16 or newer replays no sample that came in
    /// order: the newest that a minimum valid time record says. Starts heed it as the first
    /// record of the newest checkpoint only, and there it is.
    pub min_valid_time: Option<Millis>,
    /// Records that are compressed with Zstandard.
    pub zstd: u64,
    /// Times of the oldest and the newest sample, float or histogram.
    pub times: Option<(Millis, Millis)>,
}

impl Contents {
    /// Samples of any kind.
    pub fn samples(&self) -> u64 {
        self.floats + self.histograms
    }

    pub(super) fn add(&mut self, other: &Contents) {
        for (kind, count) in &other.records {
            *self.records.entry(*kind).or_default() += count;
        }
        self.series += other.series;
        self.floats += other.floats;
        self.histograms += other.histograms;
        self.tombstones += other.tombstones;
        self.gone += other.gone;
        self.exemplars += other.exemplars;
        self.metadata += other.metadata;
        self.markers += other.markers;
        self.zstd += other.zstd;
        self.min_valid_time = self.min_valid_time.max(other.min_valid_time);
        if let Some((min, max)) = other.times {
            self.see(min);
            self.see(max);
        }
    }

    fn see(&mut self, time: Millis) {
        let (min, max) = self.times.unwrap_or((time, time));
        self.times = Some((min.min(time), max.max(time)));
    }

    fn see_histogram<B>(
        &mut self,
        entry: &HistogramEntry<B>,
        offset: u64,
        odd: &mut Oddities,
        follow: &mut Follow,
    ) {
        if entry.has_known_schema() {
            self.see(entry.time);
            self.histograms += 1;
            if !entry.fits_its_spans() && follow.is_replayed(entry.series, entry.time) {
                odd.note(Oddity::HistogramBuckets, offset);
            }
            follow.sample(entry.series, entry.time);
        } else {
            odd.note(Oddity::UnknownSchema, offset);
        }
    }
}

/// Decodes a whole record. A record with an error in it counts for nothing: Prometheus drops it as
/// a whole.
pub(super) fn contents_of(
    raw: &RawRecord<'_>,
    odd: &mut Oddities,
    follow: &mut Follow,
) -> Result<Contents, Malformed> {
    let mut contents = Contents {
        zstd: u64::from(raw.compression == Compression::Zstd),
        ..Contents::default()
    };
    let Some(record) = raw.decode()? else {
        let oddity = raw
            .type_byte()
            .map_or(Oddity::EmptyRecord, Oddity::UnknownRecordType);
        odd.note(oddity, raw.offset);
        return Ok(contents);
    };
    match record {
        LogRecord::Series(list) => {
            for entry in list {
                follow.define(&entry?);
                contents.series += 1;
            }
        }
        LogRecord::Tombstones(list) => {
            for entry in list {
                let entry = entry?;
                follow.tombstone(entry.series, entry.min_time, entry.max_time);
                contents.tombstones += 1;
                let is_whole = (entry.min_time, entry.max_time) == (Millis::MIN, Millis::MAX);
                contents.gone += u64::from(is_whole);
            }
        }
        LogRecord::Exemplars(list) => {
            for entry in list {
                let entry = entry?;
                follow.exemplar(entry.series, entry.time);
                contents.exemplars += 1;
            }
        }
        LogRecord::Markers(list) => {
            for entry in list {
                follow.marker(entry?.series);
                contents.markers += 1;
            }
        }
        LogRecord::Metadata(list) => {
            for entry in list {
                follow.metadata(entry?.series);
                contents.metadata += 1;
            }
        }
        LogRecord::MinValidTime(Some(time)) => {
            follow.raise_min_valid_time(time);
            contents.min_valid_time = Some(time);
        }
        LogRecord::MinValidTime(None) => odd.note(Oddity::MinValidTimeLength, raw.offset),
        LogRecord::Samples(list) => {
            for entry in list {
                let SampleEntry { series, sample } = entry?;
                contents.see(sample.time);
                contents.floats += 1;
                follow.sample(series, sample.time);
            }
        }
        LogRecord::Histograms(list) => {
            for entry in list {
                contents.see_histogram(&entry?, raw.offset, odd, follow);
            }
        }
        LogRecord::FloatHistograms(list) => {
            for entry in list {
                contents.see_histogram(&entry?, raw.offset, odd, follow);
            }
        }
    }
    if let Some(kind) = raw.type_byte().and_then(RecordType::from_byte) {
        contents.records.insert(kind, 1);
    }
    Ok(contents)
}
