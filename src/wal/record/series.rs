//! Types 1 and 6: labels of new series, metadata of metrics.

use super::{Decode, HeadSeriesRef};
use crate::model::{Label, Labels};
use crate::raw::{Malformed, Reader, varint};

/// Names and values of labels, still in the record.
#[derive(Clone, Debug)]
pub struct LabelPairs<'a> {
    pairs: Reader<'a>,
}

impl<'a> LabelPairs<'a> {
    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        // They have been read once, so that they end where the reader does.
        let mut reader = self.pairs;
        std::iter::from_fn(move || Some((reader.string().ok()?, reader.string().ok()?)))
    }

    /// The same, copied out.
    pub fn to_labels(&self) -> Labels {
        let label = |(name, value): (&[u8], &[u8])| Label {
            name: name.into(),
            value: value.into(),
        };
        Labels(self.iter().map(label).collect())
    }
}

/// Appends the list of labels as a record has it, every number as short as it can be.
pub(crate) fn write_labels(labels: &LabelPairs<'_>, out: &mut Vec<u8>) {
    varint::write_uvarint(out, labels.iter().count() as u64);
    for string in labels.iter().flat_map(|(name, value)| [name, value]) {
        varint::write_uvarint(out, string.len() as u64);
        out.extend_from_slice(string);
    }
}

/// Reads past a list of labels, which proves that it is one.
pub(super) fn labels<'a>(reader: &mut Reader<'a>) -> Result<LabelPairs<'a>, Malformed> {
    // A label is two strings of at least their length byte.
    let count = reader.count(2)?;
    let mut ahead = *reader;
    for _ in 0..count {
        ahead.string()?;
        ahead.string()?;
    }
    let len = reader.remaining() - ahead.remaining();
    let pairs = reader.sub(len, reader.section())?;
    Ok(LabelPairs { pairs })
}

/// A new series.
#[derive(Clone, Debug)]
pub struct LoggedSeries<'a> {
    /// The number that later entries name it by.
    pub series: HeadSeriesRef,
    /// Its labels.
    pub labels: LabelPairs<'a>,
}

/// Decodes series.
#[derive(Clone, Debug)]
pub struct SeriesList;

impl<'a> Decode<'a> for SeriesList {
    type Entry = LoggedSeries<'a>;

    fn decode(&mut self, reader: &mut Reader<'a>) -> Result<LoggedSeries<'a>, Malformed> {
        Ok(LoggedSeries {
            series: HeadSeriesRef(reader.u64()?),
            labels: labels(reader)?,
        })
    }
}

/// What is known of a series' metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataEntry<'a> {
    /// The series.
    pub series: HeadSeriesRef,
    /// 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state
    /// set.
    pub metric_type: u8,
    /// Unit; empty when there is none.
    pub unit: &'a [u8],
    /// Help text; empty when there is none.
    pub help: &'a [u8],
}

/// Decodes metadata. Fields of other names, which later versions may add, are passed over.
#[derive(Clone, Debug)]
pub struct MetadataList;

impl<'a> Decode<'a> for MetadataList {
    type Entry = MetadataEntry<'a>;

    fn decode(&mut self, reader: &mut Reader<'a>) -> Result<MetadataEntry<'a>, Malformed> {
        let mut entry = MetadataEntry {
            series: HeadSeriesRef(reader.uvarint()?),
            metric_type: reader.u8()?,
            unit: b"",
            help: b"",
        };
        for _ in 0..reader.count(2)? {
            match reader.string()? {
                b"UNIT" => entry.unit = reader.string()?,
                b"HELP" => entry.help = reader.string()?,
                _ => {
                    reader.string()?;
                }
            }
        }
        Ok(entry)
    }
}
