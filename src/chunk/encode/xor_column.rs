//! Values as XOR with their predecessor: the value half of XOR chunks, and the sum and float columns of
//! histogram chunks (Prometheus `chunkenc/xor.go`, `xorWrite`).

use crate::raw::BitWriter;

/// More leading zeros than this are not counted: the field has five bits.
pub(super) const MAX_LEADING: u32 = 31;

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

/// The bits of a change that are written: all but so many at either end.
#[derive(Clone, Copy, Debug)]
struct Window {
    leading: u32,
    trailing: u32,
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
            self.write_change(out, value, Code(0b10, 2), Code(0b11, 2));
        }
    }

    /// Writes a value that differs from the one before, after the control code that says where: in the window
    /// `before` it, or in a `new` one.
    #[inline]
    pub(super) fn write_change(
        &mut self,
        out: &mut BitWriter,
        value: u64,
        before: Code,
        new: Code,
    ) {
        let change = value ^ self.value;
        self.value = value;
        let exact = Window::around(change);
        if let Some(window) = self.window.filter(|window| window.holds(exact)) {
            out.bits(before.0, before.1);
            out.bits(change >> window.trailing, window.width());
        } else {
            // 64 does not fit the six bits of the width and becomes 0.
            let header = u64::from(exact.leading) << 6 | u64::from(exact.width() & 63);
            out.bits(new.0 << 11 | header, new.1 + 11);
            out.bits(change >> exact.trailing, exact.width());
            self.window = Some(exact);
        }
    }
}

impl Window {
    /// The narrowest window that `change`, which is not 0, fits.
    fn around(change: u64) -> Self {
        Window {
            leading: change.leading_zeros().min(MAX_LEADING),
            trailing: change.trailing_zeros(),
        }
    }

    fn holds(self, other: Window) -> bool {
        other.leading >= self.leading && other.trailing >= self.trailing
    }

    fn width(self) -> u32 {
        64 - self.leading - self.trailing
    }
}
