//! Typed records: what one commit, or a checkpoint, has logged (Prometheus
//! `tsdb/record/record.go`).
//!
//! A record is a type byte and a list of entries that runs to its end. [`Entries`] decodes them one
//! by one.

mod histograms;
mod lists;
mod samples;
mod series;

use std::fmt;

use super::segment::RawRecord;
use crate::model::Millis;
use crate::raw::{Malformed, Reader};

pub(crate) use histograms::{HistogramCounts, write_histogram};
pub use histograms::{HistogramEntry, Histograms};
pub use lists::{HeadChunkRef, LoggedTombstones, MarkerEntry, Markers, TombstoneEntry};
pub(crate) use samples::StampReader;
pub use samples::{ExemplarEntry, Exemplars, LoggedSamples, SampleEntry};
pub(crate) use series::write_labels;
pub use series::{LabelPairs, LoggedSeries, MetadataEntry, MetadataList, SeriesList};

/// The number under which the head knows a series. It is not a
/// [`SeriesRef`](crate::model::SeriesRef), which is a place in an index; and several of them may
/// stand for the same labels after restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadSeriesRef(pub u64);

impl fmt::Display for HeadSeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The record types that this program knows. Their numbers are the type bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// Labels of new series.
    Series = 1,
    /// Float samples.
    Samples = 2,
    /// Deletions.
    Tombstones = 3,
    /// Exemplars.
    Exemplars = 4,
    /// In the WBL: out-of-order samples up to here are in head chunks.
    MmapMarkers = 5,
    /// Type, unit and help of metrics.
    Metadata = 6,
    /// Histograms with integer counts.
    HistogramSamples = 7,
    /// Histograms with float counts.
    FloatHistogramSamples = 8,
    /// Integer histograms with custom bounds (since 3.2).
    CustomBucketsHistogramSamples = 9,
    /// Float histograms with custom bounds (since 3.2).
    CustomBucketsFloatHistogramSamples = 10,
    /// Float samples with start timestamps (since 3.11).
    SamplesV2 = 11,
    /// Integer histograms of both kinds with start timestamps (since 3.12).
    HistogramSamplesV2 = 12,
    /// Float histograms of both kinds with start timestamps (since 3.12).
    FloatHistogramSamplesV2 = 13,
    /// At the head of a checkpoint: samples before this time are not replayed (since 3.16).
    MinValidTime = 14,
}

impl RecordType {
    /// All of them, by number.
    pub const ALL: [RecordType; 14] = [
        RecordType::Series,
        RecordType::Samples,
        RecordType::Tombstones,
        RecordType::Exemplars,
        RecordType::MmapMarkers,
        RecordType::Metadata,
        RecordType::HistogramSamples,
        RecordType::FloatHistogramSamples,
        RecordType::CustomBucketsHistogramSamples,
        RecordType::CustomBucketsFloatHistogramSamples,
        RecordType::SamplesV2,
        RecordType::HistogramSamplesV2,
        RecordType::FloatHistogramSamplesV2,
        RecordType::MinValidTime,
    ];

    /// The type with that number, if it is known.
    pub fn from_byte(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// Its name, as in errors and reports.
    pub fn name(self) -> &'static str {
        match self {
            RecordType::Series => "series record",
            RecordType::Samples => "samples record",
            RecordType::Tombstones => "tombstones record",
            RecordType::Exemplars => "exemplars record",
            RecordType::MmapMarkers => "mmap markers record",
            RecordType::Metadata => "metadata record",
            RecordType::HistogramSamples => "histogram samples record",
            RecordType::FloatHistogramSamples => "float histogram samples record",
            RecordType::CustomBucketsHistogramSamples => "custom buckets histogram samples record",
            RecordType::CustomBucketsFloatHistogramSamples => {
                "custom buckets float histogram samples record"
            }
            RecordType::SamplesV2 => "samples v2 record",
            RecordType::HistogramSamplesV2 => "histogram samples v2 record",
            RecordType::FloatHistogramSamplesV2 => "float histogram samples v2 record",
            RecordType::MinValidTime => "minimum valid time record",
        }
    }
}

/// A record by what its entries are.
#[derive(Debug)]
pub enum LogRecord<'a> {
    /// New series.
    Series(Entries<'a, SeriesList>),
    /// Float samples.
    Samples(Entries<'a, LoggedSamples>),
    /// Deletions.
    Tombstones(Entries<'a, LoggedTombstones>),
    /// Exemplars.
    Exemplars(Entries<'a, Exemplars>),
    /// Markers of the WBL.
    Markers(Entries<'a, Markers>),
    /// Metadata of metrics.
    Metadata(Entries<'a, MetadataList>),
    /// Histograms with integer counts.
    Histograms(Entries<'a, Histograms<i64>>),
    /// Histograms with float counts.
    FloatHistograms(Entries<'a, Histograms<u64>>),
    /// Minimum valid time; nothing if the record has another length than it must: no start fails
    /// because of that.
    MinValidTime(Option<Millis>),
}

impl<'b> RawRecord<'b> {
    /// Its type byte; nothing for a record without any bytes.
    pub fn type_byte(&self) -> Option<u8> {
        self.payload.first().copied()
    }

    /// Decodes the record as far as its type; nothing for a type that this program does not know.
    ///
    /// # Errors
    ///
    /// When what precedes the entries is cut off. Like the errors of [`Entries`], this one names
    /// the offset at which the record starts: what is inside a compressed record has no offset
    /// of its own.
    pub fn decode(&self) -> Result<Option<LogRecord<'b>>, Malformed> {
        let Some(kind) = self.type_byte().and_then(RecordType::from_byte) else {
            return Ok(None);
        };
        let content = self.payload.get(1..).unwrap_or_default();
        let source = Source {
            reader: Reader::new(content, 0, kind.name()),
            offset: self.offset,
        };
        let record = match kind {
            RecordType::Series => LogRecord::Series(source.entries(SeriesList)),
            RecordType::Samples => LogRecord::Samples(source.with_base(LoggedSamples)?),
            RecordType::SamplesV2 => LogRecord::Samples(source.with_start_times(LoggedSamples)),
            RecordType::Tombstones => LogRecord::Tombstones(source.entries(LoggedTombstones)),
            RecordType::Exemplars => LogRecord::Exemplars(source.with_base(Exemplars)?),
            RecordType::MmapMarkers => LogRecord::Markers(source.entries(Markers)),
            RecordType::Metadata => LogRecord::Metadata(source.entries(MetadataList)),
            RecordType::HistogramSamples | RecordType::CustomBucketsHistogramSamples => {
                LogRecord::Histograms(source.with_base(Histograms::new)?)
            }
            RecordType::HistogramSamplesV2 => {
                LogRecord::Histograms(source.with_start_times(Histograms::new))
            }
            RecordType::FloatHistogramSamples | RecordType::CustomBucketsFloatHistogramSamples => {
                LogRecord::FloatHistograms(source.with_base(Histograms::new)?)
            }
            RecordType::FloatHistogramSamplesV2 => {
                LogRecord::FloatHistograms(source.with_start_times(Histograms::new))
            }
            RecordType::MinValidTime => {
                let time = content.try_into().ok();
                LogRecord::MinValidTime(time.map(Millis::from_be_bytes))
            }
        };
        Ok(Some(record))
    }
}

/// The content of a record and where the record starts.
struct Source<'a> {
    reader: Reader<'a>,
    offset: u64,
}

impl<'a> Source<'a> {
    fn entries<D>(self, decoder: D) -> Entries<'a, D> {
        Entries {
            reader: self.reader,
            offset: self.offset,
            decoder,
            fused: false,
        }
    }

    fn with_base<D>(
        mut self,
        decoder: impl FnOnce(samples::Stamps) -> D,
    ) -> Result<Entries<'a, D>, Malformed> {
        let stamps = samples::Stamps::with_base(&mut self.reader).map_err(at(self.offset))?;
        Ok(self.entries(decoder(stamps)))
    }

    fn with_start_times<D>(self, decoder: impl FnOnce(samples::Stamps) -> D) -> Entries<'a, D> {
        self.entries(decoder(samples::Stamps::with_start_times()))
    }
}

fn at(offset: u64) -> impl FnOnce(Malformed) -> Malformed {
    move |malformed| Malformed {
        offset,
        ..malformed
    }
}

/// How the entries of one kind of record are laid out.
pub trait Decode<'a> {
    /// One entry.
    type Entry;

    /// Decodes the entry that `reader` stands at.
    ///
    /// # Errors
    ///
    /// When the bytes are no such entry.
    fn decode(&mut self, reader: &mut Reader<'a>) -> Result<Self::Entry, Malformed>;
}

/// The entries of a record, decoded one by one. The first error is the last item.
#[derive(Clone, Debug)]
pub struct Entries<'a, D> {
    reader: Reader<'a>,
    offset: u64,
    decoder: D,
    fused: bool,
}

impl<D> Entries<'_, D> {
    /// Bytes of the record that were not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.reader.remaining()
    }
}

impl<'a, D: Decode<'a>> Iterator for Entries<'a, D> {
    type Item = Result<D::Entry, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fused || self.reader.is_empty() {
            return None;
        }
        let entry = self.decoder.decode(&mut self.reader);
        self.fused = entry.is_err();
        Some(entry.map_err(at(self.offset)))
    }
}

#[cfg(test)]
mod tests;
