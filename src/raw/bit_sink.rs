//! Bits into a slice that has room for them.

/// Writes bits into a slice, most significant bit first. Unlike a [`BitWriter`](super::BitWriter)
/// it never allocates, does not branch, and is small enough to stay in registers.
///
/// Whoever makes one provides for the room: bits beyond the slice are lost.
#[derive(Debug)]
pub(crate) struct BitSink<'a> {
    bytes: &'a mut [u8],
    /// Whole bytes written.
    next: usize,
    /// Bits behind those, left-aligned, zeros below; they stand in `bytes` already.
    pending: u64,
    /// How many these are: fewer than 8.
    held: u32,
}

impl<'a> BitSink<'a> {
    /// Bytes that a slice must have beyond what is written to it.
    pub(crate) const SLACK: usize = 8;

    /// Writes to the beginning of `bytes`.
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        BitSink {
            bytes,
            next: 0,
            pending: 0,
            held: 0,
        }
    }

    /// The bits behind the whole bytes, and how many they are: what [`BitSink::resume`] needs to go
    /// on.
    pub(crate) fn pending(&self) -> (u64, u32) {
        (self.pending, self.held)
    }

    /// Writes to the beginning of `bytes`, behind bits that [`BitSink::pending`] told of.
    pub(crate) fn resume(bytes: &'a mut [u8], (pending, held): (u64, u32)) -> Self {
        BitSink {
            bytes,
            next: 0,
            pending,
            held,
        }
    }

    /// Whole bytes written.
    pub(crate) fn whole(&self) -> usize {
        self.next
    }

    /// Writes the low `count` bits of `value`, which has no others; at most 56.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "only inlined code has it in registers"
    )]
    pub(crate) fn bits(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 56 && value >> count == 0);
        let held = self.held + count;
        // In two steps because it may be by all 64 bits.
        let pending = self.pending | value << 1 << (63 - held);
        let place = self.bytes.get_mut(self.next..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut::<8>) {
            *place = pending.to_be_bytes();
        }
        self.next += (held >> 3) as usize;
        self.pending = pending << (held & 0b11_1000);
        self.held = held & 0b111;
    }

    /// As [`BitSink::bits`], of up to 64 bits.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as above")]
    pub(crate) fn long_bits(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.bits(value >> 32, count - 32);
            self.bits(value & 0xffff_ffff, 32);
        } else {
            self.bits(value, count);
        }
    }

    /// Bytes begun so far, the unfinished one included; that one ends in zeros.
    pub(crate) fn len(&self) -> usize {
        self.next + usize::from(self.held > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::BitWriter;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_writes_what_a_bit_writer_writes(items in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            let mut bytes = vec![0xff; items.len() * 8 + BitSink::SLACK];
            let mut sink = BitSink::new(&mut bytes);
            for (value, count) in items {
                let value = value & u64::MAX.checked_shr(64 - count).unwrap_or(0);
                writer.bits(value, count);
                sink.long_bits(value, count);
            }
            let length = sink.len();
            prop_assert_eq!(&bytes[..length], writer.finish());
        }
    }
}
