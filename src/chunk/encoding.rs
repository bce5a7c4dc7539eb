//! The one table of chunk encodings.

use std::fmt;

/// How a chunk holds its samples; the byte before its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// 1: floats, Gorilla compression.
    Xor,
    /// 2: native histograms with integer counts.
    Histogram,
    /// 3: native histograms with float counts.
    FloatHistogram,
    /// 4: floats with optional start timestamps, since Prometheus 3.11.
    Xor2,
    /// 5: integer histograms with start timestamps, since 3.14.
    HistogramSt,
    /// 6: float histograms with start timestamps, since 3.14.
    FloatHistogramSt,
    /// 255: several aggregates of floats or histograms, in blocks that Thanos downsampled; see [`super::aggregates`].
    Aggregates,
    /// Anything else.
    Unknown(u8),
}

impl Encoding {
    /// The encodings that [`super::decode`] knows.
    pub const KNOWN: [Encoding; 6] = [
        Encoding::Xor,
        Encoding::Histogram,
        Encoding::FloatHistogram,
        Encoding::Xor2,
        Encoding::HistogramSt,
        Encoding::FloatHistogramSt,
    ];

    /// The encoding that `byte` stands for.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Encoding::Xor,
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            4 => Encoding::Xor2,
            5 => Encoding::HistogramSt,
            6 => Encoding::FloatHistogramSt,
            255 => Encoding::Aggregates,
            other => Encoding::Unknown(other),
        }
    }

    /// The byte that stands for this encoding.
    pub fn byte(self) -> u8 {
        match self {
            Encoding::Xor => 1,
            Encoding::Histogram => 2,
            Encoding::FloatHistogram => 3,
            Encoding::Xor2 => 4,
            Encoding::HistogramSt => 5,
            Encoding::FloatHistogramSt => 6,
            Encoding::Aggregates => 255,
            Encoding::Unknown(byte) => byte,
        }
    }

    /// Whether it holds float samples.
    pub fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }

    /// Whether it holds histogram samples.
    pub fn is_histogram(self) -> bool {
        matches!(
            self,
            Encoding::Histogram
                | Encoding::FloatHistogram
                | Encoding::HistogramSt
                | Encoding::FloatHistogramSt
        )
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Xor => "XOR",
            Encoding::Histogram => "histogram",
            Encoding::FloatHistogram => "float histogram",
            Encoding::Xor2 => "XOR2",
            Encoding::HistogramSt => "histogram ST",
            Encoding::FloatHistogramSt => "float histogram ST",
            Encoding::Aggregates => "Thanos aggregate (255)",
            Encoding::Unknown(byte) => return write!(f, "unknown ({byte})"),
        })
    }
}

/// A set of encodings; those that are not known count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encodings(u8);

impl Encodings {
    /// Adds `encoding`.
    #[inline]
    pub fn insert(&mut self, encoding: Encoding) {
        self.0 |= Self::bit(encoding);
    }

    /// Whether `encoding` is among them.
    pub fn contains(self, encoding: Encoding) -> bool {
        self.0 & Self::bit(encoding) != 0
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Encodings) -> Self {
        Encodings(self.0 | other.0)
    }

    /// The known ones among them, by number.
    pub fn known(self) -> impl Iterator<Item = Encoding> {
        let all = Encoding::KNOWN.into_iter();
        all.filter(move |encoding| self.contains(*encoding))
    }

    fn bit(encoding: Encoding) -> u8 {
        match encoding {
            Encoding::Unknown(_) => 1,
            known => 1 << (known.byte() & 7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = Encodings::default();
        for encoding in [Encoding::Xor2, Encoding::Unknown(255), Encoding::Xor] {
            assert!(!set.contains(encoding));
            set.insert(encoding);
            assert!(set.contains(encoding));
        }
        assert!(set.known().eq([Encoding::Xor, Encoding::Xor2]));
        assert!(Encodings::default().and(set) == set);
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            let encoding = Encoding::from_byte(byte);
            assert_eq!(encoding.byte(), byte);
            assert_eq!(
                Encoding::KNOWN.contains(&encoding),
                !matches!(encoding, Encoding::Unknown(_) | Encoding::Aggregates)
            );
        }
    }
}
