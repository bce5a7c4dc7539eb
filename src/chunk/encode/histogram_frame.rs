//! What chunks of integer and of float histograms have in common: header, layout, times, start
//! timestamps, and the question whether a sample may go into the chunk at all.

use super::delta_column::DeltaColumn;
use super::layout::{bucket_count, write_layout};
use super::start::StartColumn;
use super::varbit::write_signed;
use super::{next_count, with_header};
use crate::error::{Error, Result};
use crate::model::{CounterReset, HistogramLayout, HistogramSample, Millis};
use crate::raw::BitWriter;

/// Sample count of a chunk with start timestamps: 14 bits, the other two are the counter-reset
/// header.
const MAX_SAMPLES_WITH_STARTS: u16 = 0x3fff;

/// The parts of a histogram chunk that do not depend on the type of its counts.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) out: BitWriter,
    samples: u16,
    counter_reset: CounterReset,
    layout: HistogramLayout,
    /// The last sample was a stale marker.
    stale: bool,
    time: Millis,
    times: DeltaColumn,
    starts: Option<StartColumn>,
}

impl Frame {
    pub(super) fn new(with_starts: bool) -> Self {
        Frame {
            out: BitWriter::after(vec![0; 3]),
            samples: 0,
            counter_reset: CounterReset::Unknown,
            layout: HistogramLayout::default(),
            stale: false,
            time: 0,
            times: DeltaColumn::default(),
            starts: with_starts.then(StartColumn::default),
        }
    }

    pub(super) fn samples(&self) -> u16 {
        self.samples
    }

    /// Checks that `sample` may be the next and writes what stands before its counts.
    pub(super) fn begin<B>(&mut self, sample: &HistogramSample<'_, B>) -> Result<()> {
        let max = match self.starts {
            Some(_) => MAX_SAMPLES_WITH_STARTS,
            None => u16::MAX,
        };
        next_count(self.samples, max)?;
        if let Some(misfit) = self.misfit(sample) {
            return Err(Error::invalid(misfit));
        }
        if self.samples == 0 {
            self.counter_reset = sample.counter_reset;
            if !sample.is_stale() {
                self.layout.clone_from(sample.layout);
            }
            write_layout(&mut self.out, &self.layout);
            write_signed(&mut self.out, sample.time);
            self.times = DeltaColumn::new(sample.time);
        } else {
            write_signed(&mut self.out, self.times.change_to(sample.time));
        }
        Ok(())
    }

    /// Writes what stands behind the counts of `sample`.
    pub(super) fn end<B>(&mut self, sample: &HistogramSample<'_, B>) {
        if let Some(starts) = &mut self.starts {
            if self.samples == 0 {
                starts.write_first(&mut self.out, sample.time, sample.start);
            } else {
                starts.write(&mut self.out, self.samples, self.time, sample.start);
            }
        }
        self.time = sample.time;
        self.stale = sample.is_stale();
        self.samples += 1;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let counter_reset = self.counter_reset.bits() << 6;
        let [high, low] = self.samples.to_be_bytes();
        let header = match self.starts {
            None => [high, low, counter_reset],
            Some(starts) => [high | counter_reset, low, starts.header()],
        };
        with_header(self.out, &header)
    }

    /// What keeps `sample` from being the next, if anything.
    fn misfit<B>(&self, sample: &HistogramSample<'_, B>) -> Option<&'static str> {
        let begun = self.samples > 0;
        if self.starts.is_none() && sample.start != 0 {
            return Some("expected no start timestamp in a chunk of this encoding");
        }
        if begun && sample.counter_reset != self.counter_reset {
            return Some("expected one counter-reset header for all samples of a chunk");
        }
        if sample.is_stale() {
            return None;
        }
        if self.stale {
            return Some("expected only stale markers after a stale marker in a chunk");
        }
        if begun && *sample.layout != self.layout {
            return Some("expected one histogram layout for all samples of a chunk");
        }
        let complete = bucket_count(&sample.layout.positive) == Some(sample.positive.len() as u64)
            && bucket_count(&sample.layout.negative) == Some(sample.negative.len() as u64);
        (!complete).then_some("expected as many histogram buckets as the spans describe")
    }
}

/// The sample as Prometheus writes it: a stale marker has no counts and no buckets, whatever came
/// with it.
pub(super) fn as_written<'a, B: Copy>(sample: &HistogramSample<'a, B>) -> HistogramSample<'a, B> {
    if !sample.is_stale() {
        return *sample;
    }
    HistogramSample {
        count: 0,
        zero_count: 0,
        positive: &[],
        negative: &[],
        ..*sample
    }
}
