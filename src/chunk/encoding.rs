//! The one table of chunk encodings. What the program does with an encoding follows from here; what
//! only code can say (decoders, encoders) is held against it by the tests of `chunk`.

use std::fmt;

use super::Xor2Writer;

/// What the chunks of an encoding hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkKind {
    /// Floats.
    Floats,
    /// Native histograms with integer counts.
    Histograms,
    /// Native histograms with float counts.
    FloatHistograms,
    /// Several aggregates of floats or histograms, each a chunk in an encoding of its own.
    Aggregates,
    /// Nobody knows; encodings of different bytes are of different kinds.
    Unknown(u8),
}

/// An encoder that this program has for an encoding: it writes the bits that Prometheus writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// The first release of Prometheus that writes these bits: number before the point, and behind
    /// it.
    pub since: (u32, u32),
    /// The oldest version of the pack format whose columns hold such chunks; without one, packs
    /// keep them as they are.
    pub pack_format: Option<u8>,
    /// The oldest version of the splice format that encodes samples anew so; without one, no
    /// splice does.
    pub splice_format: Option<u8>,
}

/// What is known of an encoding.
#[derive(Debug)]
struct Facts {
    /// What people call it.
    name: &'static str,
    kind: ChunkKind,
    /// Whether samples have start timestamps.
    has_starts: bool,
    /// The first release of Prometheus that reads it, if any does.
    since: Option<(u32, u32)>,
    /// Whether [`super::decode`] lends its samples.
    is_decodable: bool,
    /// The encoders, one for each family of releases that write different bits for the same
    /// samples, the older one first. There are as many as [`Xor2Writer`] has, or one, or none.
    encoders: &'static [Encoder],
}

/// Makes the enum of encodings and everything that goes over all of them from the table below.
macro_rules! encodings {
    ($($(#[$doc:meta])* $variant:ident = $byte:literal, $facts:expr;)+) => {
        /// How a chunk holds its samples; the byte before its data.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Encoding {
            $($(#[$doc])* $variant,)+
            /// Anything else.
            Unknown(u8),
        }

        /// The lines of the table.
        #[derive(Clone, Copy)]
        enum Line {
            $($variant,)+
        }

        impl Encoding {
            /// All encodings of the table, in its order.
            pub const ALL: [Encoding; [$($byte),+].len()] = [$(Encoding::$variant),+];

            /// The encoding that `byte` stands for.
            pub fn from_byte(byte: u8) -> Self {
                match byte {
                    $($byte => Encoding::$variant,)+
                    other => Encoding::Unknown(other),
                }
            }

            /// The byte that stands for this encoding.
            pub const fn byte(self) -> u8 {
                match self {
                    $(Encoding::$variant => $byte,)+
                    Encoding::Unknown(byte) => byte,
                }
            }

            const fn facts(self) -> Option<&'static Facts> {
                match self {
                    $(Encoding::$variant => Some(const { &$facts }),)+
                    Encoding::Unknown(_) => None,
                }
            }

            /// The place of its line in the table.
            const fn line(self) -> Option<Line> {
                match self {
                    $(Encoding::$variant => Some(Line::$variant),)+
                    Encoding::Unknown(_) => None,
                }
            }
        }
    };
}

/// The encoder of all releases since this one, whose chunks columns and splices have had from their
/// first version on.
const fn encoder_since(since: (u32, u32)) -> Encoder {
    Encoder {
        since,
        pack_format: Some(1),
        splice_format: Some(1),
    }
}

encodings! {
    /// 1: floats, Gorilla compression.
    Xor = 1, Facts {
        name: "XOR",
        kind: ChunkKind::Floats,
        has_starts: false,
        since: Some((2, 0)),
        is_decodable: true,
        encoders: &[encoder_since((2, 0))],
    };
    /// 2: native histograms with integer counts.
    Histogram = 2, Facts {
        name: "histogram",
        kind: ChunkKind::Histograms,
        has_starts: false,
        since: Some((2, 40)),
        is_decodable: true,
        encoders: &[encoder_since((2, 40))],
    };
    /// 3: native histograms with float counts.
    FloatHistogram = 3, Facts {
        name: "float histogram",
        kind: ChunkKind::FloatHistograms,
        has_starts: false,
        since: Some((2, 42)),
        is_decodable: true,
        encoders: &[encoder_since((2, 42))],
    };
    /// 4: floats with optional start timestamps, since Prometheus 3.11.
    Xor2 = 4, Facts {
        name: "XOR2",
        kind: ChunkKind::Floats,
        has_starts: true,
        since: Some((3, 11)),
        is_decodable: true,
        encoders: &[
            encoder_since((3, 11)),
            Encoder { since: (3, 16), pack_format: Some(3), splice_format: Some(2) },
        ],
    };
    /// 5: integer histograms with start timestamps, since 3.14.
    HistogramSt = 5, Facts {
        name: "histogram ST",
        kind: ChunkKind::Histograms,
        has_starts: true,
        since: Some((3, 14)),
        is_decodable: true,
        encoders: &[encoder_since((3, 14))],
    };
    /// 6: float histograms with start timestamps, since 3.14.
    FloatHistogramSt = 6, Facts {
        name: "float histogram ST",
        kind: ChunkKind::FloatHistograms,
        has_starts: true,
        since: Some((3, 14)),
        is_decodable: true,
        encoders: &[encoder_since((3, 14))],
    };
    /// 255: several aggregates of floats or histograms, in blocks that Thanos downsampled; see
    /// [`super::aggregates`].
    Aggregates = 255, Facts {
        name: "Thanos aggregate (255)",
        kind: ChunkKind::Aggregates,
        has_starts: false,
        since: None,
        is_decodable: false,
        encoders: &[],
    };
}

impl Encoding {
    /// The encodings whose samples [`super::decode`] lends.
    pub fn decodable() -> impl Iterator<Item = Encoding> {
        let all = Encoding::ALL.into_iter();
        all.filter(|encoding| encoding.is_decodable())
    }

    /// The encodings that [`ChunkEncoder`](super::encode::ChunkEncoder) makes chunks of.
    pub fn encodable() -> impl Iterator<Item = Encoding> {
        let all = Encoding::ALL.into_iter();
        all.filter(|encoding| !encoding.encoders().is_empty())
    }

    /// What its chunks hold.
    #[inline]
    pub const fn kind(self) -> ChunkKind {
        match self.facts() {
            Some(facts) => facts.kind,
            None => ChunkKind::Unknown(self.byte()),
        }
    }

    /// Whether its samples have start timestamps.
    pub const fn has_starts(self) -> bool {
        matches!(self.facts(), Some(facts) if facts.has_starts)
    }

    /// The first release of Prometheus that reads it, as the number before the point and the one
    /// behind it; nothing for encodings that none reads.
    pub fn since(self) -> Option<(u32, u32)> {
        self.facts().and_then(|facts| facts.since)
    }

    /// Whether [`super::decode`] lends its samples.
    pub fn is_decodable(self) -> bool {
        self.facts().is_some_and(|facts| facts.is_decodable)
    }

    /// The encoders there are for it, one for each family of releases that write different bits,
    /// the older one first.
    pub const fn encoders(self) -> &'static [Encoder] {
        match self.facts() {
            Some(facts) => facts.encoders,
            None => &[],
        }
    }

    /// The encoder for it that writes as `writer` does. Where all releases write alike, that is the
    /// only one.
    pub fn encoder(self, writer: Xor2Writer) -> Option<&'static Encoder> {
        let encoders = self.encoders();
        encoders.get(writer as usize).or(encoders.first())
    }

    /// Whether it holds float samples.
    #[inline]
    pub fn is_float(self) -> bool {
        match self.kind() {
            ChunkKind::Floats => true,
            ChunkKind::Histograms
            | ChunkKind::FloatHistograms
            | ChunkKind::Aggregates
            | ChunkKind::Unknown(_) => false,
        }
    }

    /// Whether it holds histogram samples.
    #[inline]
    pub fn is_histogram(self) -> bool {
        match self.kind() {
            ChunkKind::Histograms | ChunkKind::FloatHistograms => true,
            ChunkKind::Floats | ChunkKind::Aggregates | ChunkKind::Unknown(_) => false,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.facts() {
            Some(facts) => f.write_str(facts.name),
            None => write!(f, "unknown ({})", self.byte()),
        }
    }
}

/// A set of encodings; those that are not in the table count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encodings(u32);

/// The unknown ones have a bit of their own behind those of the table.
const _: () = assert!(Encoding::ALL.len() < u32::BITS as usize);

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

    /// The decodable ones among them, by number.
    pub fn known(self) -> impl Iterator<Item = Encoding> {
        Encoding::decodable().filter(move |encoding| self.contains(*encoding))
    }

    fn bit(encoding: Encoding) -> u32 {
        match encoding.line() {
            Some(line) => 1 << line as u32,
            None => 1 << (u32::BITS - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = Encodings::default();
        for encoding in Encoding::ALL.into_iter().chain([Encoding::Unknown(254)]) {
            assert!(!set.contains(encoding), "{encoding}");
            set.insert(encoding);
            assert!(set.contains(encoding), "{encoding}");
        }
        assert!(set.known().eq(Encoding::decodable()));
        assert!(Encodings::default().and(set) == set);
        let mut some = Encodings::default();
        for encoding in [Encoding::Xor2, Encoding::Unknown(254), Encoding::Xor] {
            some.insert(encoding);
        }
        assert!(some.known().eq([Encoding::Xor, Encoding::Xor2]));
        assert!(some.contains(Encoding::Unknown(253)));
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            let encoding = Encoding::from_byte(byte);
            assert_eq!(encoding.byte(), byte);
            let is_unknown = matches!(encoding, Encoding::Unknown(_));
            assert_eq!(Encoding::ALL.contains(&encoding), !is_unknown);
            assert_eq!(encoding.kind() == ChunkKind::Unknown(byte), is_unknown);
        }
        assert_eq!(
            Encoding::from_byte(0),
            Encoding::Unknown(0),
            "packs call a chunk so that they keep as it is"
        );
    }

    #[test]
    fn the_table_does_not_contradict_itself() {
        assert!(Encoding::ALL.is_sorted_by_key(|encoding| encoding.byte()));
        for encoding in Encoding::ALL {
            let encoders = encoding.encoders();
            assert!(
                matches!(encoders.len(), 0 | 1) || encoders.len() == Xor2Writer::ALL.len(),
                "{encoding}"
            );
            assert!(
                encoders.is_empty() || encoding.is_decodable(),
                "{encoding}: what is written is read again"
            );
            assert!(
                encoders.is_sorted_by(|a, b| a.since < b.since && a.pack_format <= b.pack_format),
                "{encoding}"
            );
            let first = encoders.first().map(|encoder| encoder.since);
            assert!(
                first.is_none() || first == encoding.since(),
                "{encoding}: somebody writes it"
            );
        }
    }
}
