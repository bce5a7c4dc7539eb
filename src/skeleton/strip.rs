//! Segments taken apart.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::exemplars::ExemplarWriter;
use super::samples::{Bare, VALUE_BYTES, each_entry};
use super::section::SectionWriter;
use super::{MAGIC, SECTIONS, SKELETON_FILE, SkeletonPart, VERSION, item, max_numbers};
use crate::error::{Error, Result};
use crate::model::{HistogramSample, Sample, Ulid};
use crate::raw::{crc32c, varint};
use crate::replay::{Gathered, SeriesId, is_sound, plain};
use crate::wal::{
    Compression, Decode, Entries, Framer, HeadSeriesRef, HistogramCounts, HistogramEntry, Log,
    LogRecord, RawRecord, Records, SampleEntry, SeriesList, write_histogram,
};

/// Takes segments apart, each from where it was not archived yet.
pub struct Strip {
    gathered: Gathered,
    /// The series that numbers stand for of which samples were taken.
    taken: HashMap<HeadSeriesRef, SeriesId>,
    parts: Vec<SkeletonPart>,
    items: SectionWriter,
    stamps: SectionWriter,
    values: SectionWriter,
    exemplars: ExemplarWriter,
    records: SectionWriter,
    raw: SectionWriter,
    /// Of all parts, to tell them from others.
    digest: u64,
    framed: Vec<u8>,
    with_histograms: bool,
}

impl fmt::Debug for Strip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Strip");
        out.field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// What segments became.
#[derive(Debug)]
pub struct Stripped {
    /// Directory of the block, in which the skeleton is.
    pub dir: PathBuf,
    /// The block.
    pub ulid: Ulid,
    /// Samples that are in it.
    pub samples: u64,
    /// Bytes of the skeleton.
    pub skeleton: u64,
}

impl Strip {
    /// Nothing yet.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Strip {
            gathered: Gathered::new()?,
            taken: HashMap::new(),
            parts: Vec::new(),
            items: SectionWriter::new()?,
            stamps: SectionWriter::new()?,
            values: SectionWriter::new()?,
            exemplars: ExemplarWriter::new()?,
            records: SectionWriter::new()?,
            raw: SectionWriter::new()?,
            digest: 0,
            framed: Vec::new(),
            with_histograms: true,
        })
    }

    /// Leaves histograms in the skeleton, as they are.
    #[must_use]
    pub fn without_histograms(mut self) -> Self {
        self.with_histograms = false;
        self
    }

    /// Reads a segment, or the beginning of one, that is no part but may define series of which
    /// parts have samples. Damage ends it.
    pub fn context(&mut self, segment: &[u8]) {
        let mut records = Records::new(segment);
        while let Ok(Some(record)) = records.next_record() {
            self.define_series(&record);
        }
    }

    /// Takes a segment of `log` apart from the offset `from` on; what is before it defines series.
    /// Checkpoint and segments come in the order in which a start reads them. `name` is that of the
    /// file below the data directory.
    ///
    /// # Errors
    ///
    /// When a temporary file cannot be written.
    pub fn part(&mut self, name: &str, log: Log, segment: &[u8], from: usize) -> Result<()> {
        let from = from.min(segment.len());
        let part = segment.get(from..).unwrap_or_default();
        self.parts.push(SkeletonPart {
            name: name.to_owned(),
            from: from as u64,
            bytes: part.len() as u64,
        });
        self.digest = self.digest.rotate_left(23) ^ u64::from(crc32c(name.as_bytes()));
        self.digest = self.digest.rotate_left(23) ^ u64::from(crc32c(part)) ^ part.len() as u64;

        let mut framer = Framer::at(from as u64);
        // Everything before it is an item.
        let mut done = from;
        let mut records = Records::new(segment);
        while let Ok(Some(record)) = records.next_record() {
            let (Ok(begin), Ok(end)) =
                (usize::try_from(record.offset), usize::try_from(record.end))
            else {
                break;
            };
            if begin < done {
                if log == Log::Wal {
                    self.define_series(&record);
                }
                continue;
            }
            let Some(stored) = segment.get(begin..end).filter(|_| !record.is_padded) else {
                break;
            };
            let mut padding = segment.get(done..begin).unwrap_or_default();
            let is_usual = padding.len() == framer.padding();
            if !is_usual || padding.iter().any(|byte| *byte != 0) {
                self.keep(padding)?;
                framer.skip(padding.len() as u64);
                padding = &[];
            }
            self.record(&record, log, (padding, stored), &mut framer)?;
            done = end;
        }
        self.keep(segment.get(done..).unwrap_or_default())?;
        self.items.put(&[item::END])
    }

    /// Samples that were taken out so far.
    pub fn samples(&self) -> u64 {
        self.gathered.samples()
    }

    /// Writes the block and in it the skeleton into the directory `parent`; `None`, and nothing is
    /// written, where no sample was taken out.
    ///
    /// The block has the same name for the same parts, and another for others.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn finish(self, parent: &Path) -> Result<Option<Stripped>> {
        let Some((_, newest)) = self.gathered.times() else {
            return Ok(None);
        };
        let samples = self.gathered.samples();
        let digest = u128::from(self.digest) << 16 ^ u128::from(samples);
        let ulid = Ulid::from_parts(newest, digest);
        let Some((dir, order)) = self.gathered.write_block(parent, ulid)? else {
            return Ok(None);
        };
        let [exemplar_stamps, repeats, exemplar_values, labels] = self.exemplars.finish();
        let sections = [
            parts_section(&self.parts)?,
            series_section(&self.taken, &order)?,
            self.items,
            self.stamps,
            self.values,
            exemplar_stamps,
            repeats,
            exemplar_values,
            labels,
            self.records,
            self.raw,
        ];
        let path = dir.join(SKELETON_FILE);
        let written = write_file(&path, sections)?;
        Ok(Some(Stripped {
            dir,
            ulid,
            samples,
            skeleton: written,
        }))
    }

    fn define_series(&mut self, record: &RawRecord<'_>) {
        if let Ok(Some(LogRecord::Series(entries))) = record.decode() {
            self.define(entries);
        }
    }

    fn define(&mut self, entries: Entries<'_, SeriesList>) {
        for entry in entries.map_while(std::result::Result::ok) {
            self.gathered.define(entry.series, &entry.labels);
        }
    }

    /// Bytes as they are.
    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().all(|byte| *byte == 0) {
            self.items.put(&[item::ZEROS])?;
        } else {
            self.items.put(&[item::RAW])?;
            self.raw.put(bytes)?;
        }
        self.items.put_number(bytes.len() as u64)
    }

    /// A record that is `stored` like this, behind `padding`, which is what `framer` puts there.
    fn record(
        &mut self,
        record: &RawRecord<'_>,
        log: Log,
        (padding, stored): (&[u8], &[u8]),
        framer: &mut Framer,
    ) -> Result<()> {
        let mut framed = std::mem::take(&mut self.framed);
        framed.clear();
        let mut ahead = framer.clone();
        let comes_back = ahead.frame(record.payload, record.compression, &mut framed)
            && framed.get(padding.len()..) == Some(stored);
        self.framed = framed;
        let decoded = record.decode();
        if let (Log::Wal, Ok(Some(LogRecord::Series(entries)))) = (log, &decoded) {
            self.define(entries.clone());
        }
        if !comes_back {
            framer.skip((padding.len() + stored.len()) as u64);
            self.keep(padding)?;
            return self.keep(stored);
        }
        *framer = ahead;
        let is_snappy = record.compression == Compression::Snappy;
        let bare = match decoded {
            Ok(Some(LogRecord::Exemplars(entries))) => {
                if let Some(stamps) = self.exemplars.put(record.payload, &entries)? {
                    let kind = if is_snappy {
                        item::EXEMPLARS_SNAPPY
                    } else {
                        item::EXEMPLARS
                    };
                    self.items.put(&[kind])?;
                    return self.items.put_number(stamps);
                }
                None
            }
            Ok(Some(LogRecord::Samples(entries))) => self.floats(record.payload, log, entries)?,
            Ok(Some(LogRecord::Histograms(entries))) => {
                self.histograms(record.payload, log, entries, |sample| {
                    Sample::Histogram(sample)
                })?
            }
            Ok(Some(LogRecord::FloatHistograms(entries))) => {
                self.histograms(record.payload, log, entries, |sample| {
                    Sample::FloatHistogram(sample)
                })?
            }
            _ => None,
        };
        let Some(bare) = bare else {
            let kind = if is_snappy {
                item::RECORD_SNAPPY
            } else {
                item::RECORD
            };
            self.items.put(&[kind])?;
            self.items.put_number(record.payload.len() as u64)?;
            return self.records.put(record.payload);
        };
        let kind = if is_snappy {
            item::SAMPLES_SNAPPY
        } else {
            item::SAMPLES
        };
        self.items.put(&[kind])?;
        self.items.put_number(bare.stamps.len() as u64)?;
        self.items.put_number(bare.exceptions)?;
        self.items.put(&bare.gaps)?;
        self.stamps.put(&bare.stamps)?;
        self.values.put(&bare.values)
    }

    /// Float samples without their values; `None` where the record is damaged.
    fn floats<'p, D: Decode<'p, Entry = SampleEntry>>(
        &mut self,
        payload: &'p [u8],
        log: Log,
        entries: Entries<'p, D>,
    ) -> Result<Option<Bare>> {
        each_entry(payload, entries, |bare, entry, bytes| {
            let Some((stamp, value)) = bytes.split_last_chunk::<VALUE_BYTES>() else {
                return Ok(false);
            };
            bare.stamps.extend_from_slice(stamp);
            if self.take(log, entry.series, &Sample::Float(entry.sample))? {
                bare.in_block();
            } else {
                bare.exception();
                bare.values.extend_from_slice(value);
            }
            Ok(true)
        })
    }

    /// Histograms without what follows their hints; `None` where the record is damaged, or says a
    /// number in more bytes than it takes.
    fn histograms<'p, B, D>(
        &mut self,
        payload: &'p [u8],
        log: Log,
        entries: Entries<'p, D>,
        sample_of: impl Fn(HistogramSample<'_, B>) -> Sample<'_>,
    ) -> Result<Option<Bare>>
    where
        B: HistogramCounts,
        D: Decode<'p, Entry = HistogramEntry<B>>,
    {
        if !self.with_histograms {
            return Ok(None);
        }
        let mut rest = Vec::new();
        each_entry(payload, entries, |bare, entry, bytes| {
            let sample = entry.sample();
            rest.clear();
            write_histogram(&sample, &mut rest);
            let Some(stamp) = bytes.strip_suffix(&rest[..]) else {
                return Ok(false);
            };
            bare.stamps.extend_from_slice(stamp);
            // A chunk does not say what a marker of staleness comes with.
            let is_kept = is_sound(&entry) && !sample.is_stale();
            if is_kept && self.take(log, entry.series, &sample_of(plain(&sample)))? {
                bare.in_block();
            } else {
                bare.exception();
                varint::write_uvarint(&mut bare.values, rest.len() as u64);
                bare.values.extend_from_slice(&rest);
            }
            Ok(true)
        })
    }

    /// Puts a sample into the block; `false` if it cannot be there.
    fn take(&mut self, log: Log, number: HeadSeriesRef, sample: &Sample<'_>) -> Result<bool> {
        // What came late is not in order; a block has one sample of each time.
        let Some(series) = self.gathered.series_of(number).filter(|_| log == Log::Wal) else {
            return Ok(false);
        };
        let fits = match self.taken.get(&number) {
            Some(before) => *before == series,
            None => self.taken.len() < max_numbers(0),
        };
        if !fits || !self.gathered.push(series, sample)? {
            return Ok(false);
        }
        self.taken.insert(number, series);
        Ok(true)
    }
}

fn parts_section(parts: &[SkeletonPart]) -> Result<SectionWriter> {
    let mut section = SectionWriter::new()?;
    section.put_number(parts.len() as u64)?;
    for part in parts {
        section.put_number(part.name.len() as u64)?;
        section.put(part.name.as_bytes())?;
        section.put_number(part.from)?;
        section.put_number(part.bytes)?;
    }
    Ok(section)
}

fn series_section(
    taken: &HashMap<HeadSeriesRef, SeriesId>,
    order: &[SeriesId],
) -> Result<SectionWriter> {
    let positions: HashMap<_, _> = order.iter().copied().zip(0_i64..).collect();
    let mut numbers: Vec<_> = taken
        .iter()
        .filter_map(|(number, series)| Some((number.0, *positions.get(series)?)))
        .collect();
    numbers.sort_unstable();
    let mut section = SectionWriter::new()?;
    section.put_number(numbers.len() as u64)?;
    let mut before = (0, 0);
    for (number, position) in numbers {
        section.put_number(number.wrapping_sub(before.0))?;
        section.put_number(varint::zigzag(position.wrapping_sub(before.1)))?;
        before = (number, position);
    }
    Ok(section)
}

fn write_file(path: &Path, sections: [SectionWriter; SECTIONS]) -> Result<u64> {
    let mut header = Vec::from(*MAGIC);
    header.push(VERSION);
    let mut contents = Vec::with_capacity(SECTIONS);
    let mut bytes = super::HEADER_BYTES as u64;
    for section in sections {
        let (content, len) = section.finish()?;
        header.extend(len.to_le_bytes());
        bytes += len;
        contents.push(content);
    }
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(&header)?;
        for mut content in contents {
            io::copy(&mut content, &mut file)?;
        }
        file.sync_all()
    });
    written.map_err(|e| Error::io("write", path, e))?;
    Ok(bytes)
}
