//! Windows: which bits of a change of value are written, and when a writer opens a new one.

/// More leading zeros than this are not counted: the field has five bits.
const MAX_LEADING: u32 = 31;
/// Bits that say where a new window is: five for its leading zeros, six for its width.
pub(super) const WINDOW_BITS: u32 = 11;

/// The bits of a change that are written: all but so many at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) leading: u32,
    pub(super) trailing: u32,
}

impl Window {
    /// The narrowest window that `change`, which is not 0, fits.
    #[inline]
    pub(super) fn around(change: u64) -> Self {
        Window {
            leading: change.leading_zeros().min(MAX_LEADING),
            trailing: change.trailing_zeros(),
        }
    }

    /// Bits that it holds.
    #[inline]
    pub(super) fn width(self) -> u32 {
        64 - self.leading - self.trailing
    }

    #[inline]
    fn holds(self, other: Window) -> bool {
        other.leading >= self.leading && other.trailing >= self.trailing
    }

    /// The narrowest window that holds both.
    fn union(self, other: Window) -> Self {
        Window {
            leading: self.leading.min(other.leading),
            trailing: self.trailing.min(other.trailing),
        }
    }
}

/// The writers of encoding 4, by the releases of Prometheus that have them. They differ in the
/// windows that they choose for values; everybody reads what either wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Xor2Writer {
    /// A window is used again whenever the change fits, and a new one is as narrow as the change.
    #[default]
    Before316,
    /// A window is used again unless a new one costs less for this change; one that must grow keeps
    /// its other end where that costs no more than half of what a new one does.
    Since316,
}

impl Xor2Writer {
    /// Both, the older one first.
    pub const ALL: [Xor2Writer; 2] = [Xor2Writer::Before316, Xor2Writer::Since316];

    /// The window that is opened for a change that `exact` just holds, after `open`, where a new
    /// window takes `cost` bits more than that one; `None` if that one is used again.
    #[inline]
    pub(super) fn opens(self, open: Option<Window>, exact: Window, cost: u32) -> Option<Window> {
        let Some(open) = open else {
            return Some(exact);
        };
        let holds = open.holds(exact);
        match self {
            Xor2Writer::Before316 => (!holds).then_some(exact),
            Xor2Writer::Since316 if holds => (open.width() - exact.width() > cost).then_some(exact),
            Xor2Writer::Since316 => {
                let union = open.union(exact);
                let added = union.width() - exact.width();
                Some(if added <= cost / 2 { union } else { exact })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(leading: u32, trailing: u32) -> Window {
        Window { leading, trailing }
    }

    #[test]
    fn the_first_window_is_exact() {
        for writer in Xor2Writer::ALL {
            let exact = window(12, 40);
            assert_eq!(writer.opens(None, exact, 12), Some(exact));
        }
    }

    #[test]
    fn the_newer_writer_reuses_a_window_that_wastes_no_more_than_a_new_one_costs() {
        let open = window(10, 20);
        let opens = |leading, trailing, cost| {
            Xor2Writer::Since316.opens(Some(open), window(leading, trailing), cost)
        };
        assert_eq!(opens(16, 26, 12), None);
        assert_eq!(opens(16, 27, 12), Some(window(16, 27)));
        assert_eq!(opens(16, 25, 11), None);
        assert_eq!(opens(16, 26, 11), Some(window(16, 26)));
        let older = Xor2Writer::Before316.opens(Some(open), window(31, 30), 12);
        assert_eq!(older, None);
    }

    #[test]
    fn the_newer_writer_keeps_the_end_of_a_growing_window_that_adds_no_more_than_half_of_that() {
        let open = window(10, 20);
        let opens = |leading, trailing, cost| {
            Xor2Writer::Since316.opens(Some(open), window(leading, trailing), cost)
        };
        assert_eq!(opens(9, 26, 12), Some(window(9, 20)));
        assert_eq!(opens(9, 27, 12), Some(window(9, 27)));
        assert_eq!(opens(15, 19, 11), Some(window(10, 19)));
        assert_eq!(opens(16, 19, 11), Some(window(16, 19)));
        let older = Xor2Writer::Before316.opens(Some(open), window(9, 26), 12);
        assert_eq!(older, Some(window(9, 26)));
    }
}
