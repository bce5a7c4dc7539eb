//! The times of a chunk's samples: all that the innermost loop of verification keeps of them.

use crate::chunk::{self, ChunkRecord, Shape, VisitFloats};
use crate::model::{FloatSample, Millis, Sample};
use crate::raw::Malformed;

/// Decodes a float chunk. Apart from `decode` so that the compiler makes one tight loop of it.
#[inline(never)]
pub(super) fn decode_floats(
    record: &ChunkRecord<'_>,
    times: &mut Times,
) -> Result<Shape, Malformed> {
    let (record, visit) = (*record, *times);
    let (shape, seen) =
        chunk::decode_floats(record.encoding, record.data, record.data_offset, visit)?;
    *times = seen;
    Ok(shape)
}

/// The times of a chunk's samples.
#[derive(Clone, Copy, Debug)]
pub(in crate::verify) struct Times {
    pub(super) first: Millis,
    pub(super) last: Millis,
    any: bool,
    pub(super) ascending: bool,
}

impl Times {
    pub(in crate::verify) fn new() -> Self {
        Times {
            first: 0,
            last: 0,
            any: false,
            ascending: true,
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once for every sample")]
    pub(in crate::verify) fn see(&mut self, time: Millis) {
        self.ascending &= time > self.last || !self.any;
        if !self.any {
            self.first = time;
            self.any = true;
        }
        self.last = time;
    }

    /// Times that go backwards or wrap around.
    #[cold]
    #[inline(never)]
    fn see_each(mut self, mut time: Millis, interval: u64, count: u32) -> Self {
        for _ in 0..count {
            time = time.wrapping_add(interval as Millis);
            self.see(time);
        }
        self
    }

    /// The first pair of times that are not in order, found by decoding once more.
    #[cold]
    pub(super) fn out_of_order(self, record: &ChunkRecord<'_>) -> Option<(Millis, Millis)> {
        if self.ascending {
            return None;
        }
        let mut last = None;
        let mut found = None;
        let decoded = chunk::decode(
            record.encoding,
            record.data,
            record.data_offset,
            |sample: Sample<'_>| {
                let time = sample.time();
                if found.is_none()
                    && let Some(last) = last
                    && time <= last
                {
                    found = Some((last, time));
                }
                last = Some(time);
            },
        );
        decoded.ok().and(found)
    }
}

impl VisitFloats for Times {
    fn first(&mut self, sample: FloatSample) {
        self.see(sample.time);
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once for every sample")]
    fn sample(&mut self, sample: FloatSample) {
        self.ascending &= sample.time > self.last;
        self.last = sample.time;
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once for every other sample")]
    fn repeat(&mut self, before: FloatSample, interval: u64, count: u32) {
        let last = i64::try_from(interval)
            .ok()
            .filter(|interval| *interval > 0)
            .and_then(|interval| interval.checked_mul(i64::from(count)))
            .and_then(|passed| before.time.checked_add(passed));
        match last {
            Some(last) => self.last = last,
            None => *self = self.see_each(before.time, interval, count),
        }
    }
}

/// Times of the first and the last sample of a chunk.
pub(super) fn times_of(record: &ChunkRecord<'_>) -> Option<(Millis, Millis)> {
    let mut times = Times::new();
    let see = |sample: Sample<'_>| times.see(sample.time());
    chunk::decode(record.encoding, record.data, record.data_offset, see).ok()?;
    times.any.then_some((times.first, times.last))
}
