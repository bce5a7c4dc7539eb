//! Bit streams, most significant bit first, as Prometheus' `chunkenc/bstream.go` writes them.
//!
//! The reader keeps up to 64 bits in a register and refills it with one unaligned 8-byte load, so
//! that a sample of the usual two to twenty bits costs shifts and no loop.

use super::varint;

/// Reads bits from a byte slice. Running out of bits is `None`, never a panic.
#[derive(Clone, Copy, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    next: usize,
    /// Bits in hand, left-aligned. Bits below `held` are bits of `bytes` seen early, or zero.
    buffer: u64,
    /// Number of bits in hand that count.
    held: u32,
}

impl<'a> BitReader<'a> {
    /// Reads `bytes` from their first bit.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader {
            bytes,
            next: 0,
            buffer: 0,
            held: 0,
        }
    }

    /// Bits read so far.
    pub fn position(&self) -> u64 {
        self.next as u64 * 8 - u64::from(self.held)
    }

    /// Bits not yet read.
    pub fn remaining(&self) -> u64 {
        (self.bytes.len() - self.next) as u64 * 8 + u64::from(self.held)
    }

    /// Fills the register: afterwards at least 56 bits are in hand, or all that are left.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the decoders' innermost step")]
    pub(crate) fn refill(&mut self) {
        if let Some(&word) = self
            .bytes
            .get(self.next..)
            .and_then(<[u8]>::first_chunk::<8>)
        {
            self.buffer |= u64::from_be_bytes(word) >> self.held;
            self.next += ((63 - self.held) >> 3) as usize;
            self.held |= 0b11_1000;
        } else {
            *self = self.refilled_at_end();
        }
    }

    /// Fewer than 8 bytes are left: takes as many as fit, with zeros behind them.
    ///
    /// By value, as everything that is rare: a reader whose address is handed out cannot stay in
    /// registers.
    #[cold]
    #[inline(never)]
    fn refilled_at_end(mut self) -> Self {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        self.buffer |= u64::from_be_bytes(word) >> self.held;
        let taken = (((63 - self.held) >> 3) as usize).min(rest.len());
        self.next += taken;
        #[expect(clippy::cast_possible_truncation, reason = "at most 7")]
        let taken = taken as u32;
        self.held += taken * 8;
        self
    }

    /// The register and how many of its top bits count. Call after [`BitReader::refill`].
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the decoders' innermost step")]
    pub(crate) fn peek(&self) -> (u64, u32) {
        (self.buffer, self.held)
    }

    /// Drops `count` bits; the caller has checked that they are in hand and that `count < 64`.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the decoders' innermost step")]
    pub(crate) fn consume(&mut self, count: u32) {
        self.buffer <<= count;
        self.held -= count;
    }

    /// Bytes loaded so far, of which the last few may not have been read.
    #[inline]
    pub(crate) fn loaded(&self) -> usize {
        self.next
    }

    /// Goes on behind the next `count` bits, or to the end.
    pub(crate) fn skip(&mut self, count: u64) {
        let position = (self.position() + count).min(self.bytes.len() as u64 * 8);
        self.next = usize::try_from(position / 8).unwrap_or(self.bytes.len());
        (self.buffer, self.held) = (0, 0);
        self.bits_u32(u32::from(position.to_le_bytes()[0] & 7));
    }

    /// One bit.
    #[inline]
    pub fn bit(&mut self) -> Option<bool> {
        if self.held == 0 {
            self.refill();
            if self.held == 0 {
                return None;
            }
        }
        let bit = self.buffer >> 63 != 0;
        self.consume(1);
        Some(bit)
    }

    /// `count` bits, at most 64, as the low bits of the result.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the decoders' innermost step")]
    pub fn bits(&mut self, count: u32) -> Option<u64> {
        if count == 0 {
            return Some(0);
        }
        if self.held < count {
            self.refill();
            if self.held < count {
                let (after, bits) = self.bits_in_two(count);
                *self = after;
                return bits;
            }
        }
        let bits = self.buffer >> (64 - count);
        self.consume(count);
        Some(bits)
    }

    /// More bits than the register holds: more than there are, or more than fit it at once.
    #[cold]
    #[inline(never)]
    fn bits_in_two(mut self, count: u32) -> (Self, Option<u64>) {
        if count <= 56 || self.remaining() < u64::from(count) {
            return (self, None);
        }
        let first = self.held;
        let high = self.buffer >> (64 - first);
        (self.buffer, self.held) = (0, 0);
        self.refill();
        let second = count - first;
        let low = self.buffer >> (64 - second);
        self.consume(second);
        (self, Some(high << second | low))
    }

    /// `count` bits, at most 32.
    #[inline]
    pub(crate) fn bits_u32(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32);
        #[expect(clippy::cast_possible_truncation, reason = "at most 32 bits were read")]
        self.bits(count).map(|bits| bits as u32)
    }

    /// Number of 1 bits before the next 0, at most `max`; the 0 is consumed unless `max` was
    /// reached.
    #[inline]
    pub fn ones(&mut self, max: u32) -> Option<u32> {
        debug_assert!(max <= 56);
        if self.held < max {
            self.refill();
        }
        let ones = self.buffer.leading_ones();
        if ones >= max {
            if self.held < max {
                return None;
            }
            self.consume(max);
            return Some(max);
        }
        if ones >= self.held {
            return None;
        }
        self.consume(ones + 1);
        Some(ones)
    }

    /// An unsigned LEB128 varint, which may start at any bit.
    pub fn uvarint(&mut self) -> Option<u64> {
        let mut bytes = [0u8; varint::MAX_LEN];
        for (i, slot) in bytes.iter_mut().enumerate() {
            let byte = u8::try_from(self.bits(8)?).ok()?;
            *slot = byte;
            if byte < 0x80 {
                return varint::read_uvarint(bytes.get(..=i)?).map(|(value, _)| value);
            }
        }
        None
    }

    /// A zig-zag varint, which may start at any bit.
    pub fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(varint::unzigzag)
    }

    /// Whether only padding is left: fewer than 8 bits, all zero.
    pub fn at_end(&self) -> bool {
        let mut rest = *self;
        let left = rest.remaining();
        left < 8 && u32::try_from(left).ok().and_then(|left| rest.bits(left)) == Some(0)
    }
}

/// Writes bits into bytes; the last byte is padded with zeros.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, left-aligned, zeros below.
    pending: u64,
    /// Number of bits in `pending`, below 64 between calls.
    held: u32,
}

impl BitWriter {
    /// Goes on after `bytes`, at a byte boundary.
    pub fn after(bytes: Vec<u8>) -> Self {
        BitWriter {
            bytes,
            pending: 0,
            held: 0,
        }
    }

    /// Writes one bit.
    #[inline]
    pub fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// Writes the low `count` bits of `value`; `count` is at most 64.
    #[inline]
    pub fn bits(&mut self, value: u64, count: u32) {
        if count == 0 {
            return;
        }
        let aligned = value << (64 - count);
        self.pending |= aligned >> self.held;
        let held = self.held + count;
        if held < 64 {
            self.held = held;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_be_bytes());
        // What did not fit; shifted in two steps because all 64 bits may have.
        self.pending = aligned << (63 - self.held) << 1;
        self.held = held - 64;
    }

    /// Writes an unsigned LEB128 varint.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bits(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.bits(value, 8);
    }

    /// Writes a zig-zag varint.
    pub fn varint(&mut self, value: i64) {
        self.uvarint(varint::zigzag(value));
    }

    /// Bytes begun so far, the unfinished one included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.held.div_ceil(8) as usize
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, the last one padded with zero bits.
    pub fn finish(mut self) -> Vec<u8> {
        let unfinished = self.held.div_ceil(8) as usize;
        self.bytes
            .extend(self.pending.to_be_bytes().iter().take(unfinished));
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(items in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            let mut total = 0u64;
            for (value, count) in &items {
                writer.bits(*value, *count);
                total += u64::from(*count);
            }
            let bytes = writer.finish();
            prop_assert_eq!(bytes.len() as u64, total.div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            let mut position = 0;
            for (value, count) in items {
                let mask = if count == 64 { u64::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(reader.bits(count), Some(value & mask));
                position += u64::from(count);
                prop_assert_eq!(reader.position(), position);
                prop_assert_eq!(reader.remaining(), bytes.len() as u64 * 8 - position);
            }
            prop_assert!(reader.at_end());
        }

        #[test]
        fn ones_and_varints_are_read_at_any_bit(lead in 0u32..8, ones in 0u32..12, value: i64) {
            let mut writer = BitWriter::default();
            writer.bits(0, lead);
            writer.bits((1 << ones) - 1, ones);
            writer.bit(false);
            writer.varint(value);
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            reader.bits(lead);
            prop_assert_eq!(reader.ones(12), Some(ones));
            prop_assert_eq!(reader.varint(), Some(value));
        }
    }

    #[test]
    fn running_out_is_none_at_every_bit() {
        for len in 0..20usize {
            let bytes = vec![0xff; len];
            let mut reader = BitReader::new(&bytes);
            for _ in 0..len * 8 {
                assert_eq!(reader.bit(), Some(true));
            }
            assert_eq!(reader.bit(), None);
            assert_eq!(reader.bits(64), None);
            assert_eq!(BitReader::new(&bytes).ones(40).is_some(), len >= 5);
        }
    }
}
