//! Both logs, record by record, by the rules of a start.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::HeadFacts;
use super::chunks::InOrder;
use super::late::Late;
use super::series::{SeriesId, SeriesTable};
use super::spool::Spool;
use crate::chunk::OwnedSample;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CounterReset, HistogramSample, Millis, Sample};
use crate::progress::Progress;
use crate::raw::{FileBytes, Malformed, ReadMode, crc32c};
use crate::wal::{
    Broken, EntryType, HeadSeriesRef, HistogramEntry, Log, LogListing, LogRecord, RawRecord,
    Records, SegmentFile,
};

/// A series that is logged as gone has everything deleted (since Prometheus 3.10).
const ALL_TIME: (Millis, Millis) = (Millis::MIN, Millis::MAX);

/// What [`Replay::digest`] begins with, and is multiplied by: FNV-1a (Fowler, Noll, Vo) with 64
/// bits.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// What is deleted, both ends included.
pub(super) type Interval = (Millis, Millis);

/// What a start has read so far.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) series: SeriesTable,
    pub(super) in_order: InOrder,
    pub(super) late: Late,
    pub(super) deleted: HashMap<SeriesId, Vec<Interval>>,
    pub(super) spool: Spool,
    log: Log,
    /// Samples of the WAL before it are in blocks.
    min_valid_time: Millis,
    unknown: u64,
    broken: Vec<String>,
    /// Tells records from others: FNV-1a of their CRC-32C checksums.
    pub(super) digest: u64,
    samples: u64,
    times: Option<(Millis, Millis)>,
}

/// What is replayed of one log.
struct Segments {
    log: Log,
    dir: PathBuf,
    /// Its files, each with the bytes that were there when it was listed.
    files: Vec<(SegmentFile, u64)>,
}

impl Segments {
    /// Those of `log` in the data directory `dir`, if it is there.
    fn of(dir: &Path, log: Log) -> Result<Option<Self>> {
        let dir = dir.join(log.name());
        let Some(listing) = listed(&dir)? else {
            return Ok(None);
        };
        let replay = listing.replay(log);
        let sized = replay.files().map(|file| {
            let path = dir.join(&file.path);
            let found = path.metadata();
            let found = found.map_err(|e| Error::io("look at", &path, e))?;
            Ok((file.clone(), found.len()))
        });
        let files = sized.collect::<Result<_>>()?;
        Ok(Some(Segments { log, dir, files }))
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Why a segment is not read any further.
enum Stop {
    /// Where the log is damaged.
    Damage(Malformed),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Stop::Damage(malformed)
    }
}

impl Replay {
    /// Reads the logs of the data directory `dir`, in which blocks end at `min_valid_time`.
    ///
    /// # Errors
    ///
    /// `NotFound`, when a segment is gone that was listed; when one cannot be read, or the
    /// temporary file cannot be written.
    pub(super) fn read(
        dir: &Path,
        min_valid_time: Millis,
        mode: ReadMode,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut replay = Replay {
            series: SeriesTable::default(),
            in_order: InOrder::default(),
            late: Late::default(),
            deleted: HashMap::new(),
            spool: Spool::new()?,
            log: Log::Wal,
            min_valid_time,
            unknown: 0,
            broken: Vec::new(),
            digest: FNV_BASIS,
            samples: 0,
            times: None,
        };
        // Late samples are of series that the WAL defines: what comes meanwhile may be of others.
        let wbl = Segments::of(dir, Log::Wbl)?;
        let wal = Segments::of(dir, Log::Wal)?;
        let logs: Vec<_> = wal.into_iter().chain(wbl).collect();
        progress.begin("replay", Some(logs.iter().map(Segments::bytes).sum()));
        for segments in &logs {
            replay.read_log(segments, mode, progress)?;
        }
        progress.end();
        replay.spool.end()?;
        Ok(replay)
    }

    fn read_log(
        &mut self,
        segments: &Segments,
        mode: ReadMode,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.log = segments.log;
        let mut lengths = segments.files.iter().map(|(_, bytes)| *bytes);
        let last = lengths.rposition(|bytes| bytes > 0);
        for (at, (file, bytes)) in segments.files.iter().enumerate() {
            if !self.read_file(&segments.dir, file, *bytes, Some(at) == last, mode)? {
                break;
            }
            progress.advance(*bytes);
        }
        Ok(())
    }

    /// Reads one segment, of which `len` bytes were there when it was listed; whether the log goes
    /// on behind it.
    fn read_file(
        &mut self,
        dir: &Path,
        file: &SegmentFile,
        len: u64,
        is_last: bool,
        mode: ReadMode,
    ) -> Result<bool> {
        let path = dir.join(&file.path);
        if file.kind != EntryType::File {
            self.end_log(&path, "expected a file");
            return Ok(false);
        }
        let bytes = FileBytes::open(&path, mode)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        let mut records = Records::new(bytes.get(..len).unwrap_or_default());
        loop {
            let next = records.next_record();
            // What the disk cannot read comes as zeros, which look like the end of a page.
            if let Some(unreadable) = bytes.unreadable() {
                self.end_log(&path, &unreadable.extent());
                return Ok(false);
            }
            let stop = match next {
                Ok(None) => return Ok(true),
                // A server that runs, or was killed, is in the middle of it.
                Err(Broken::Torn(_)) if is_last => return Ok(true),
                Err(Broken::Torn(malformed) | Broken::Damaged(malformed)) => malformed,
                Ok(Some(record)) => match self.record(&record) {
                    Ok(()) => continue,
                    Err(Stop::Failed(error)) => return Err(error),
                    Err(Stop::Damage(_)) if record.is_padded && is_last => return Ok(true),
                    Err(Stop::Damage(malformed)) => malformed,
                },
            };
            self.end_log(&path, &stop.to_string());
            return Ok(false);
        }
    }

    fn end_log(&mut self, path: &Path, why: &str) {
        let said = format!("{}: {why}", path.display());
        self.broken.push(said);
    }

    fn record(&mut self, record: &RawRecord<'_>) -> Result<(), Stop> {
        let checksum = u64::from(crc32c(record.payload));
        self.digest = (self.digest ^ checksum).wrapping_mul(FNV_PRIME);
        let Some(decoded) = record.decode()? else {
            // Of a newer server: a start passes it over.
            return Ok(());
        };
        match decoded {
            LogRecord::Series(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if self.log == Log::Wal {
                        self.series.define(entry.series, &entry.labels);
                        self.in_order.grow(self.series.len());
                    }
                }
            }
            LogRecord::Samples(entries) => {
                for entry in entries {
                    let entry = entry?;
                    self.sample(entry.series, &Sample::Float(entry.sample))?;
                }
            }
            LogRecord::Histograms(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if is_sound(&entry) {
                        self.sample(entry.series, &Sample::Histogram(plain(&entry.sample())))?;
                    }
                }
            }
            LogRecord::FloatHistograms(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if is_sound(&entry) {
                        let sample = Sample::FloatHistogram(plain(&entry.sample()));
                        self.sample(entry.series, &sample)?;
                    }
                }
            }
            LogRecord::Tombstones(entries) => {
                for entry in entries {
                    let entry = entry?;
                    self.delete(entry.series, (entry.min_time, entry.max_time));
                }
            }
            // They are no samples; but a record of them that is damaged ends a log as any other.
            LogRecord::Exemplars(mut entries) => entries.try_for_each(|it| it.map(|_| ()))?,
            LogRecord::Metadata(mut entries) => entries.try_for_each(|it| it.map(|_| ()))?,
            LogRecord::Markers(mut entries) => entries.try_for_each(|it| it.map(|_| ()))?,
            LogRecord::MinValidTime(time) => {
                let time = time.filter(|_| self.log == Log::Wal);
                self.min_valid_time =
                    time.map_or(self.min_valid_time, |time| time.max(self.min_valid_time));
            }
        }
        Ok(())
    }

    fn sample(&mut self, number: HeadSeriesRef, sample: &Sample<'_>) -> Result<()> {
        let time = sample.time();
        let Some(series) = self.series.of(number) else {
            self.unknown += u64::from(self.log == Log::Wbl || time >= self.min_valid_time);
            return Ok(());
        };
        let counts = match self.log {
            Log::Wal if time < self.min_valid_time => false,
            Log::Wal => self.in_order.push(series, sample, &mut self.spool)?,
            Log::Wbl => {
                let owned = OwnedSample::from(sample);
                let is_gauge = is_gauge(sample);
                self.late.push(series, owned, is_gauge, &mut self.spool)?;
                true
            }
        };
        if counts {
            self.samples += 1;
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        Ok(())
    }

    fn delete(&mut self, number: HeadSeriesRef, interval: Interval) {
        if interval == ALL_TIME {
            self.series.remove(number);
        } else if interval.1 >= self.min_valid_time
            && let Some(series) = self.series.of(number)
        {
            self.deleted.entry(series).or_default().push(interval);
        }
    }

    /// What was found so far; of samples that came late, and of those that were deleted, all are
    /// counted.
    pub(super) fn facts(&self) -> HeadFacts {
        let ids = (0..self.series.len()).filter_map(|at| u32::try_from(at).ok());
        let with_samples = ids.map(SeriesId).filter(|id| self.has_samples(*id));
        HeadFacts {
            series: with_samples.count() as u64,
            samples: self.samples,
            times: self.times,
            unknown: self.unknown,
            broken: self.broken.clone(),
            since: self.min_valid_time,
        }
    }

    /// Whether the series has any sample that counts.
    pub(super) fn has_samples(&self, series: SeriesId) -> bool {
        self.in_order.has(series) || self.late.has(series)
    }
}

/// What the directory holds, if it is there.
fn listed(dir: &Path) -> Result<Option<LogListing>> {
    match LogListing::read(dir) {
        Err(none) if none.kind() == ErrorKind::NotFound => Ok(None),
        listing => listing.map(Some),
    }
}

/// Whether a histogram has as many buckets as its spans say, and a schema that there is.
pub(crate) fn is_sound<B>(entry: &HistogramEntry<B>) -> bool {
    entry.fits_its_spans() && entry.has_known_schema()
}

/// The sample as a chunk of the head has it: whether a counter was reset before it whoever reads it
/// sees for himself.
pub(crate) fn plain<'s, B>(sample: &HistogramSample<'s, B>) -> HistogramSample<'s, B> {
    let counter_reset = match sample.counter_reset {
        CounterReset::Gauge => CounterReset::Gauge,
        CounterReset::Unknown | CounterReset::Reset | CounterReset::NotReset => {
            CounterReset::Unknown
        }
    };
    HistogramSample {
        counter_reset,
        ..*sample
    }
}

fn is_gauge(sample: &Sample<'_>) -> bool {
    let reset = match sample {
        Sample::Float(_) => return false,
        Sample::Histogram(sample) => sample.counter_reset,
        Sample::FloatHistogram(sample) => sample.counter_reset,
    };
    reset == CounterReset::Gauge
}
