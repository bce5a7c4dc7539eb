//! Start timestamps, the same in encodings 4, 5 and 6 (Prometheus `chunkenc/st.go`).
//!
//! They are written relative to the previous sample's time, from the first sample on at which they
//! differ (or from sample 127) to the end of the chunk.

use super::varbit;
use crate::model::Millis;
use crate::raw::BitWriter;

/// Header bit: sample 0 has a start timestamp. The other seven bits are the index of the first
/// later sample that carries the field, 0 for none.
const INITIAL: u8 = 0x80;

/// The last index the header can name, so a sample there carries the field in any case.
const FORCED: u8 = 0x7f;

/// The start-timestamp column of one chunk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StartColumn {
    header: u8,
    value: Millis,
    /// Distance of the start timestamp from the previous sample's time.
    distance: i64,
}

impl StartColumn {
    /// The header byte for what was written so far.
    pub(super) fn header(self) -> u8 {
        self.header
    }

    /// Writes the field of sample 0, whose time is `time`.
    pub(super) fn write_first(&mut self, out: &mut BitWriter, time: Millis, start: Millis) {
        if start != 0 {
            out.varint(time.wrapping_sub(start));
            self.header = INITIAL;
        }
        self.value = start;
    }

    /// Writes the field of sample `index`, at least 1; `previous` is the time of the sample before.
    #[inline]
    pub(super) fn write(
        &mut self,
        out: &mut BitWriter,
        index: u16,
        previous: Millis,
        start: Millis,
    ) {
        let distance = previous.wrapping_sub(start);
        if self.header & FORCED != 0 {
            varbit::write_signed(out, distance.wrapping_sub(self.distance));
        } else if start != self.value || index == u16::from(FORCED) {
            // The index fits: sample 127 never passes without the field.
            self.header |= (index & 0x7f) as u8;
            varbit::write_signed(out, distance);
        }
        self.distance = distance;
        self.value = start;
    }
}
