//! Types 2, 4 and 11: float samples and exemplars; and the references and times that histograms
//! share with them.

use super::series::{LabelPairs, labels};
use super::{Decode, HeadSeriesRef, RecordType};
use crate::model::{FloatSample, Millis};
use crate::raw::{Malformed, Reader};

/// Series and times of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) series: HeadSeriesRef,
    pub(super) time: Millis,
    pub(super) start: Millis,
}

/// How references and times of successive entries are counted.
#[derive(Clone, Debug)]
pub(super) enum Stamps {
    /// Each as a difference to the base that the record starts with.
    Base { series: u64, time: Millis },
    /// With start timestamps: the first entry in full, references as differences to the entry
    /// before, times as differences to the first.
    First(Option<FirstAndLast>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FirstAndLast {
    first: Stamp,
    last: Stamp,
}

impl Stamps {
    /// For a record that starts with a base, unless it has no entries.
    pub(super) fn with_base(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (series, time) = if reader.is_empty() {
            (0, 0)
        } else {
            (reader.u64()?, reader.u64()? as i64)
        };
        Ok(Stamps::Base { series, time })
    }

    pub(super) fn with_start_times() -> Self {
        Stamps::First(None)
    }

    /// The stamp that `reader` stands at. Arithmetic wraps, as in Go.
    pub(super) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Stamp, Malformed> {
        match self {
            Stamps::Base { series, time } => Ok(Stamp {
                series: HeadSeriesRef(series.wrapping_add_signed(reader.varint()?)),
                time: time.wrapping_add(reader.varint()?),
                start: 0,
            }),
            Stamps::First(known) => {
                let stamp = match known {
                    None => Stamp {
                        series: HeadSeriesRef(reader.varint()? as u64),
                        time: reader.varint()?,
                        start: reader.varint()?,
                    },
                    Some(FirstAndLast { first, last }) => Stamp {
                        series: HeadSeriesRef(last.series.0.wrapping_add_signed(reader.varint()?)),
                        time: first.time.wrapping_add(reader.varint()?),
                        start: start_time(reader, first.start, last.start)?,
                    },
                };
                let first = known.map_or(stamp, |known| known.first);
                *known = Some(FirstAndLast { first, last: stamp });
                Ok(stamp)
            }
        }
    }
}

/// A start timestamp: none, the same as before, or (whatever other number the marker is) a
/// difference to the first.
fn start_time(reader: &mut Reader<'_>, first: Millis, last: Millis) -> Result<Millis, Malformed> {
    match reader.u8()? {
        0 => Ok(0),
        1 => Ok(last),
        _ => Ok(first.wrapping_add(reader.varint()?)),
    }
}

/// Reads series and times of a record from which the values were taken out.
#[derive(Debug)]
pub(crate) struct StampReader(Stamps);

impl StampReader {
    /// For a record of samples or exemplars of type `kind`, whose type byte `reader` stands behind.
    ///
    /// # Errors
    ///
    /// When what precedes the entries is cut off, or records of that type hold no samples.
    pub(crate) fn new(kind: RecordType, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let stamps = match kind {
            RecordType::Samples
            | RecordType::Exemplars
            | RecordType::HistogramSamples
            | RecordType::FloatHistogramSamples
            | RecordType::CustomBucketsHistogramSamples
            | RecordType::CustomBucketsFloatHistogramSamples => Stamps::with_base(reader)?,
            RecordType::SamplesV2
            | RecordType::HistogramSamplesV2
            | RecordType::FloatHistogramSamplesV2 => Stamps::with_start_times(),
            RecordType::Series
            | RecordType::Tombstones
            | RecordType::MmapMarkers
            | RecordType::Metadata
            | RecordType::MinValidTime => {
                return Err(reader.unexpected("record", "of samples", kind.name()));
            }
        };
        Ok(StampReader(stamps))
    }

    /// Series and time of the entry that `reader` stands at, which is behind them then.
    ///
    /// # Errors
    ///
    /// When they are cut off.
    pub(crate) fn next(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<(HeadSeriesRef, Millis), Malformed> {
        let stamp = self.0.next(reader)?;
        Ok((stamp.series, stamp.time))
    }
}

/// A float sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleEntry {
    /// The series it belongs to, which an older segment or a checkpoint may define.
    pub series: HeadSeriesRef,
    /// Time, start timestamp and value.
    pub sample: FloatSample,
}

/// Decodes float samples.
#[derive(Clone, Debug)]
pub struct LoggedSamples(pub(super) Stamps);

impl Decode<'_> for LoggedSamples {
    type Entry = SampleEntry;

    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<SampleEntry, Malformed> {
        let Stamp {
            series,
            time,
            start,
        } = self.0.next(reader)?;
        let bits = reader.u64()?;
        Ok(SampleEntry {
            series,
            sample: FloatSample { time, start, bits },
        })
    }
}

/// An exemplar.
#[derive(Clone, Debug)]
pub struct ExemplarEntry<'a> {
    /// The series it belongs to.
    pub series: HeadSeriesRef,
    /// Its time.
    pub time: Millis,
    /// IEEE-754 bits of its value.
    pub bits: u64,
    /// Its own labels, for example a trace id.
    pub labels: LabelPairs<'a>,
}

/// Decodes exemplars.
#[derive(Clone, Debug)]
pub struct Exemplars(pub(super) Stamps);

impl<'a> Decode<'a> for Exemplars {
    type Entry = ExemplarEntry<'a>;

    fn decode(&mut self, reader: &mut Reader<'a>) -> Result<ExemplarEntry<'a>, Malformed> {
        let Stamp { series, time, .. } = self.0.next(reader)?;
        Ok(ExemplarEntry {
            series,
            time,
            bits: reader.u64()?,
            labels: labels(reader)?,
        })
    }
}
