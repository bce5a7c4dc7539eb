//! Exemplars, column by column: when, how much, of which request.

use super::Section;
use super::recent::{Finder, Recent, Repeat};
use super::samples::{Bare, VALUE_BYTES, each_entry, in_stamps};
use super::section::{SectionReader, SectionWriter};
use crate::error::Result;
use crate::raw::Reader;
use crate::wal::{Entries, Exemplars, MAX_RECORD_BYTES, RecordType, StampReader, write_labels};

/// What exemplars become.
pub(super) struct ExemplarWriter {
    stamps: SectionWriter,
    repeats: SectionWriter,
    values: SectionWriter,
    labels: SectionWriter,
    finder: Finder,
}

impl ExemplarWriter {
    /// None yet.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be made.
    pub(super) fn new() -> Result<Self> {
        Ok(ExemplarWriter {
            stamps: SectionWriter::new()?,
            repeats: SectionWriter::new()?,
            values: SectionWriter::new()?,
            labels: SectionWriter::new()?,
            finder: Finder::default(),
        })
    }

    /// Takes the entries of a record, and gives how long their stamps are; `None`, and nothing is
    /// taken, where one is damaged, or says a number in more bytes than it takes.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be written.
    pub(super) fn put<'p>(
        &mut self,
        payload: &'p [u8],
        entries: &Entries<'p, Exemplars>,
    ) -> Result<Option<u64>> {
        let mut labels = Vec::new();
        // What was found of one exemplar changes what is found of the next: all or none.
        let comes_back = each_entry(payload, entries.clone(), |bare, entry, bytes| {
            labels.clear();
            write_labels(&entry.labels, &mut labels);
            let before = bytes.strip_suffix(&labels[..]);
            let before = before.and_then(<[u8]>::split_last_chunk::<VALUE_BYTES>);
            if let Some((stamp, _)) = before {
                bare.stamps.extend_from_slice(stamp);
            }
            Ok(before.is_some())
        })?;
        let Some(Bare { stamps, .. }) = comes_back else {
            return Ok(None);
        };
        for entry in entries.clone().map_while(std::result::Result::ok) {
            labels.clear();
            write_labels(&entry.labels, &mut labels);
            let repeat = self.finder.find(&labels, entry.bits);
            self.repeats.put_number(repeat.number())?;
            if !matches!(repeat, Repeat::Same(_)) {
                self.values.put(&entry.bits.to_be_bytes())?;
            }
            if repeat == Repeat::New {
                self.labels.put_number(labels.len() as u64)?;
                self.labels.put(&labels)?;
            }
        }
        self.stamps.put(&stamps)?;
        Ok(Some(stamps.len() as u64))
    }

    /// The sections, in their order in the file.
    pub(super) fn finish(self) -> [SectionWriter; 4] {
        [self.stamps, self.repeats, self.values, self.labels]
    }
}

/// Exemplars on their way to records.
pub(super) struct ExemplarReader<'a> {
    stamps: SectionReader<'a>,
    repeats: SectionReader<'a>,
    values: SectionReader<'a>,
    labels: SectionReader<'a>,
    recent: Recent,
}

impl<'a> ExemplarReader<'a> {
    /// From the first exemplar on; the sections are in their order in the file.
    ///
    /// # Errors
    ///
    /// When a decoder cannot be made.
    pub(super) fn new([stamps, repeats, values, labels]: [&'a [u8]; 4]) -> Result<Self> {
        Ok(ExemplarReader {
            stamps: SectionReader::new(Section::ExemplarStamps, stamps)?,
            repeats: SectionReader::new(Section::Repeats, repeats)?,
            values: SectionReader::new(Section::ExemplarValues, values)?,
            labels: SectionReader::new(Section::Labels, labels)?,
            recent: Recent::default(),
        })
    }

    /// Appends the record whose stamps have `len` bytes.
    ///
    /// # Errors
    ///
    /// When a section is damaged.
    pub(super) fn fill(&mut self, len: u64, record: &mut Vec<u8>) -> Result<()> {
        let stamps = self.stamps.take(len, MAX_RECORD_BYTES)?;
        let mut reader = Reader::new(stamps, 0, Section::ExemplarStamps.name());
        // The type byte.
        let number = reader.u8().map_err(in_stamps)?;
        if number != RecordType::Exemplars as u8 {
            return Err(in_stamps(reader.unexpected(
                "record",
                "of exemplars",
                number,
            )));
        }
        let made = StampReader::new(RecordType::Exemplars, &mut reader);
        let mut stamp_reader = made.map_err(in_stamps)?;
        let mut copied = 0;
        let mut copy_to = |reader: &Reader<'_>, record: &mut Vec<u8>| {
            let at = stamps.len() - reader.remaining();
            record.extend_from_slice(stamps.get(copied..at).unwrap_or_default());
            copied = at;
        };
        copy_to(&reader, record);
        while !reader.is_empty() {
            stamp_reader.next(&mut reader).map_err(in_stamps)?;
            copy_to(&reader, record);
            let repeat = Repeat::of(self.repeats.number()?);
            let mut value = || -> Result<u64> {
                let bytes = self.values.take(VALUE_BYTES as u64, VALUE_BYTES)?;
                Ok(bytes.first_chunk().copied().map_or(0, u64::from_be_bytes))
            };
            match repeat {
                Repeat::New => {
                    let value = value()?;
                    let len = self.labels.number()?;
                    let labels = self.labels.take(len, MAX_RECORD_BYTES)?;
                    record.extend(value.to_be_bytes());
                    record.extend_from_slice(labels);
                    self.recent.push(labels, value);
                }
                Repeat::Same(step) | Repeat::OtherValue(step) => {
                    let Some((labels, known)) = self.recent.get(step) else {
                        let wanted = "labels that are remembered";
                        let found = format!("those at a distance of {step}");
                        return Err(self.repeats.unexpected(wanted, found));
                    };
                    if repeat == Repeat::OtherValue(step) {
                        *known = value()?;
                    }
                    record.extend(known.to_be_bytes());
                    record.extend_from_slice(labels);
                }
            }
            if record.len() > MAX_RECORD_BYTES {
                let wanted = format!("a record of at most {MAX_RECORD_BYTES} bytes");
                return Err(self.labels.unexpected(&wanted, "a longer one"));
            }
        }
        Ok(())
    }
}
