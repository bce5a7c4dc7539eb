//! Values as XOR with their predecessor: the value half of XOR chunks, and the sum and float
//! columns of histogram chunks (Prometheus `chunkenc/xor.go`, `xorWrite`).

use crate::chunk::window::{WINDOW_BITS, Window, Xor2Writer};
use crate::raw::BitWriter;

/// A control code: its bits and how many they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub(super) u64, pub(super) u32);

impl Code {
    /// Writes the code; one of more than 64 bits begins with ones.
    #[inline]
    pub(super) fn write(self, out: &mut BitWriter) {
        let Code(bits, width) = self;
        if width > 64 {
            out.bits((1 << (width - 64)) - 1, width - 64);
            out.bits(bits, 64);
        } else {
            out.bits(bits, width);
        }
    }
}

/// State of one column: the value before, and the window its last change was written in.
#[derive(Clone, Copy, Debug)]
pub(super) struct XorColumn {
    /// Bits of the value before; the next one is coded against it.
    pub(super) value: u64,
    window: Option<Window>,
}

impl XorColumn {
    /// A column whose first value is `value`, with no window yet.
    pub(super) fn new(value: u64) -> Self {
        XorColumn {
            value,
            window: None,
        }
    }

    /// Writes the next value: `0` unchanged, `10` in the window before, `11` in a new one.
    #[inline]
    pub(super) fn write(&mut self, out: &mut BitWriter, value: u64) {
        if value == self.value {
            out.bit(false);
        } else {
            let codes = [Code(0b10, 2), Code(0b11, 2)];
            self.write_change(out, value, codes, Xor2Writer::Before316);
        }
    }

    /// Writes a value that differs from the one before, in the window that `writer` chooses, after
    /// the control code that says where: in the window before it, or in a new one.
    #[inline]
    pub(super) fn write_change(
        &mut self,
        out: &mut BitWriter,
        value: u64,
        [before, new]: [Code; 2],
        writer: Xor2Writer,
    ) {
        let change = value ^ self.value;
        self.value = value;
        let cost = new.1 + WINDOW_BITS - before.1;
        let opened = writer.opens(self.window, Window::around(change), cost);
        if let Some(window) = opened {
            // 64 does not fit the six bits of the width and becomes 0.
            let header = u64::from(window.leading) << 6 | u64::from(window.width() & 63);
            out.bits(new.0 << WINDOW_BITS | header, new.1 + WINDOW_BITS);
            self.window = opened;
        } else {
            out.bits(before.0, before.1);
        }
        if let Some(window) = self.window {
            out.bits(change >> window.trailing, window.width());
        }
    }
}
