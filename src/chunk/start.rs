//! Start timestamps, the same in encodings 4, 5 and 6.
//!
//! They are written relative to the previous sample's time, from the first sample on at which they
//! differ (or from sample 127) to the end of the chunk.

use super::varbit::Varbit;
use crate::model::Millis;
use crate::raw::BitReader;

/// Sample count of a histogram chunk with start timestamps: the low 14 bits of its first two bytes.
pub(super) const COUNT_MASK: u32 = 0x3fff;

/// A sample at this index always carries the field, if none before did.
const FORCED: u32 = 127;

/// The start-timestamp column of one chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartColumn {
    /// Sample 0 has one.
    initial: bool,
    /// First later sample that carries a field; 0 for none.
    first: u32,
    value: Millis,
    /// Distance of the start timestamp from the previous sample's time.
    distance: i64,
    varbit: Varbit,
    canonical: bool,
}

impl StartColumn {
    /// From the header byte: bit 7 for sample 0, the rest for the first later one.
    pub(super) fn new(header: u8) -> Self {
        StartColumn {
            initial: header & 0x80 != 0,
            first: u32::from(header & 0x7f),
            value: 0,
            distance: 0,
            varbit: Varbit::new(),
            canonical: true,
        }
    }

    /// A chunk without start timestamps.
    pub(super) fn absent() -> Self {
        Self::new(0)
    }

    /// The field of sample 0, whose time is `time`.
    pub(super) fn read_first(&mut self, bits: &mut BitReader<'_>, time: Millis) -> Option<Millis> {
        if self.initial {
            self.value = time.wrapping_sub(bits.varint()?);
            self.canonical &= self.value != 0;
        }
        Some(self.value)
    }

    /// The field of sample `index`, at least 1; `previous` is the time of the sample before.
    #[inline]
    pub(super) fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        index: u32,
        previous: Millis,
    ) -> Option<Millis> {
        if self.first == 0 || index < self.first {
            return Some(self.value);
        }
        let before = self.value;
        self.distance = self.distance.wrapping_add(self.varbit.signed(bits)?);
        self.value = previous.wrapping_sub(self.distance);
        if index == self.first {
            self.canonical &= self.value != before || index == FORCED;
        }
        Some(self.value)
    }

    /// Whether Prometheus' encoder would have written the same fields for a chunk of `samples`.
    pub(super) fn is_canonical(&self, samples: u32) -> bool {
        let announced = self.first < samples.max(1) && (self.first > 0 || samples <= FORCED);
        self.canonical && self.varbit.canonical && announced
    }
}
