//! Values as XOR with their predecessor: the value half of XOR chunks, and the sum and float
//! columns of histogram chunks (Prometheus `chunkenc/xor.go`, `xorRead`).

use super::window::Window;
use crate::raw::BitReader;

/// State of one column: the value before, and the window its last change was written in.
#[derive(Clone, Copy, Debug)]
pub(super) struct XorColumn {
    /// Bits of the value before; the next one is coded against it.
    pub(super) value: u64,
    /// Bits that the window holds; 0 while no window has been opened.
    width: u32,
    /// Zero bits below the window.
    trailing: u32,
    /// Whether all codes so far were those Prometheus' encoder chooses.
    pub(super) canonical: bool,
}

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueFault {
    /// The bits ran out.
    Exhausted,
    /// Leading zeros and width together exceed 64 bits.
    WindowTooWide,
}

impl ValueFault {
    /// The fault in words, as *expected*, *found*.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            ValueFault::Exhausted => ("more bits", "the end of the chunk"),
            ValueFault::WindowTooWide => ("a window of at most 64 bits", "a wider one"),
        }
    }
}

impl XorColumn {
    /// A column whose first value is `value`, with no window yet.
    pub(super) fn new(value: u64) -> Self {
        XorColumn {
            value,
            width: 0,
            trailing: 0,
            canonical: true,
        }
    }

    /// Reads the next value: `0` unchanged, `10` + bits in the window before, `11` + 5 + 6 + bits
    /// in a new window.
    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        bits.refill();
        self.read_prepared(bits)
    }

    /// As [`XorColumn::read`], for a reader that was refilled and of which at most 24 bits were
    /// consumed since.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the innermost step of decoding floats"
    )]
    pub(super) fn read_prepared(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let (buffer, held) = bits.peek();
        match buffer >> 62 {
            _ if held < 2 => {
                let (after, read) = self.read_at_end(*bits);
                *bits = after;
                read
            }
            0b00 | 0b01 => {
                bits.consume(1);
                Ok(self.value)
            }
            0b10 => {
                bits.consume(2);
                self.read_in_window(bits)
            }
            _ => {
                bits.consume(2);
                self.read_new_window(bits)
            }
        }
    }

    /// Less than a control code of two bits is left, at most.
    #[cold]
    #[inline(never)]
    fn read_at_end(self, mut bits: BitReader<'_>) -> (BitReader<'_>, Result<u64, ValueFault>) {
        let read = match bits.bit() {
            Some(false) => Ok(self.value),
            _ => Err(ValueFault::Exhausted),
        };
        (bits, read)
    }

    /// The window that is open, if any is.
    #[inline]
    pub(super) fn window(&self) -> Option<Window> {
        (self.width > 0).then(|| Window {
            leading: 64 - self.width - self.trailing,
            trailing: self.trailing,
        })
    }

    /// Before the first window all bits are written: so a Prometheus goes on with a chunk of one
    /// and the same value that it has loaded from a snapshot of its head.
    #[cold]
    fn open_widest(&mut self) {
        self.width = 64;
        self.trailing = 0;
        self.canonical = false;
    }

    /// Reads a change in the window before.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as above")]
    pub(super) fn read_in_window(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        if self.width == 0 {
            self.open_widest();
        }
        let xor = bits.bits(self.width).ok_or(ValueFault::Exhausted)? << self.trailing;
        self.canonical &= xor != 0;
        self.value ^= xor;
        Ok(self.value)
    }

    /// Reads a new window and the change in it.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as above")]
    pub(super) fn read_new_window(&mut self, bits: &mut BitReader<'_>) -> Result<u64, ValueFault> {
        let header = bits.bits_u32(11).ok_or(ValueFault::Exhausted)?;
        let leading = header >> 6;
        // 64 does not fit the six bits and is written as 0.
        let width = match header & 63 {
            0 => 64,
            width => width,
        };
        if leading + width > 64 {
            return Err(ValueFault::WindowTooWide);
        }
        let trailing = 64 - leading - width;
        let xor = bits.bits(width).ok_or(ValueFault::Exhausted)? << trailing;
        self.canonical &= self.must_open(xor, leading, trailing);
        self.width = width;
        self.trailing = trailing;
        self.value ^= xor;
        Ok(self.value)
    }

    /// Whether the encoder would open exactly this window for `xor`: it fits exactly, and the open
    /// one does not hold the change.
    #[inline]
    fn must_open(self, xor: u64, leading: u32, trailing: u32) -> bool {
        let exact = xor.leading_zeros().min(31) == leading && xor.trailing_zeros() == trailing;
        let old_leading = 64 - self.width - self.trailing;
        let reusable = self.width > 0 && leading >= old_leading && trailing >= self.trailing;
        exact && !reusable
    }
}
