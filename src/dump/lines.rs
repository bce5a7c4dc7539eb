//! Lines on their way to the output.

use std::io::{self, Write};

use super::format::{DumpFormat, are_utf8};
use super::tally::Unsaid;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, STALE_NAN, Sample};
use crate::select::{LabelSlices, Sink};

/// The buffer is written out from this size on.
const FULL: usize = 256 * 1024;

/// Puts lines together and writes them out in large pieces.
pub(super) struct Lines<'o> {
    out: &'o mut dyn Write,
    format: DumpFormat,
    /// What every line of the current series begins with.
    prefix: Vec<u8>,
    buffer: Vec<u8>,
    /// The first failure to write; nothing is written after it.
    failed: Option<io::Error>,
    pub(super) unsaid: Unsaid,
}

impl<'o> Lines<'o> {
    pub(super) fn new(out: &'o mut dyn Write, format: DumpFormat) -> Self {
        Lines {
            out,
            format,
            prefix: Vec::new(),
            buffer: Vec::with_capacity(FULL * 2),
            failed: None,
            unsaid: Unsaid::default(),
        }
    }

    /// Samples are lent to closures that cannot fail, so a failure waits here for [`Lines::check`].
    fn write_out(&mut self) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }

    /// Whether everything so far could be written.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) => {
                Err(Error::new(ErrorKind::Io, "cannot write samples").with_source(error))
            }
        }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<()> {
        self.buffer.extend_from_slice(self.format.footer());
        self.write_out();
        self.check()
    }
}

impl Sink for Lines<'_> {
    fn begin(&mut self, labels: &LabelSlices<'_>) {
        self.prefix.clear();
        self.format.prefix(labels, &mut self.prefix);
    }

    fn body(&mut self, sample: &Sample<'_>, body: &mut Vec<u8>) -> bool {
        let said = self.format.body(sample, body);
        if said {
            count_unsaid(self.format, sample, &mut self.unsaid);
        }
        said
    }

    fn take(&mut self, _time: Millis, body: &[u8]) {
        self.buffer.extend_from_slice(&self.prefix);
        self.buffer.extend_from_slice(body);
        if self.buffer.len() >= FULL {
            self.write_out();
        }
    }

    #[inline]
    fn sample(&mut self, sample: &Sample<'_>) -> bool {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&self.prefix);
        let said = self.format.body(sample, &mut self.buffer);
        if said {
            count_unsaid(self.format, sample, &mut self.unsaid);
        } else {
            self.buffer.truncate(start);
        }
        if self.buffer.len() >= FULL {
            self.write_out();
        }
        said
    }

    fn end(&mut self, labels: &LabelSlices<'_>) {
        if !self.format.tells_any_bytes() && !are_utf8(labels) {
            self.unsaid.replaced_labels += 1;
        }
    }
}

/// Counts what the format does not say of a sample it writes.
#[inline]
fn count_unsaid(format: DumpFormat, sample: &Sample<'_>, unsaid: &mut Unsaid) {
    let (start, stale) = match sample {
        Sample::Float(float) => (float.start, float.bits == STALE_NAN),
        Sample::Histogram(histogram) => (histogram.start, histogram.is_stale()),
        Sample::FloatHistogram(histogram) => (histogram.start, histogram.is_stale()),
    };
    if start != 0 && !format.tells_start_timestamps() {
        unsaid.starts += 1;
    }
    if stale && !format.tells_stale_markers() {
        unsaid.stale_as_nan += 1;
    }
}
