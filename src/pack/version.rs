//! Versions of the formats of packs and splices, and which chunk encodings each has: whatever is
//! written asks here, and so does whatever is read. The table of [`Encoding`] says from which
//! version on an encoder's chunks are in them.

use crate::chunk::{Encoder, Encoding, Xor2Writer};
use crate::raw::Malformed;

/// Makes an ordered enum of the versions of a format.
macro_rules! versions {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $version:ident = $byte:literal,)+ } of $field:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(in crate::pack) enum $name {
            $($(#[$of])* $version = $byte,)+
        }

        impl $name {
            /// The version that `byte` stands for in a header, if this program reads it.
            pub(in crate::pack) const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$version),)+
                    _ => None,
                }
            }

            /// The byte that stands for it in a header.
            pub(in crate::pack) const fn byte(self) -> u8 {
                self as u8
            }

            /// The oldest version that has the chunks of `encoder`, if any has.
            pub(in crate::pack) const fn of(encoder: &Encoder) -> Option<Self> {
                match encoder.$field {
                    Some(byte) => Self::from_byte(byte),
                    None => None,
                }
            }

            /// How many of the encoders of `encoding` this version has.
            pub(in crate::pack) fn encoders(self, encoding: Encoding) -> usize {
                let encoders = encoding.encoders().iter();
                encoders.filter(|encoder| Self::of(encoder).is_some_and(|oldest| oldest <= self)).count()
            }

            /// The encodings it has, for errors.
            fn encodings(self) -> String {
                let all = Encoding::ALL.into_iter();
                let own = all.filter(|encoding| self.encoders(*encoding) > 0);
                own.map(|encoding| encoding.byte().to_string()).collect::<Vec<_>>().join(", ")
            }

            /// Fails the build where the table of encodings names a version that is not one of
            /// these.
            const fn knows_all(encodings: &[Encoding]) -> bool {
                let [encoding, rest @ ..] = encodings else { return true };
                let mut encoders = encoding.encoders();
                while let [encoder, rest @ ..] = encoders {
                    if encoder.$field.is_some() && Self::of(encoder).is_none() {
                        return false;
                    }
                    encoders = rest;
                }
                Self::knows_all(rest)
            }
        }

        const _: () = assert!($name::knows_all(&Encoding::ALL), "an encoding asks for a version that there is not");
    };
}

versions! {
    /// A version of the pack format.
    PackVersion {
        /// Is only read. It is like the next, but for a predictor and a kind of reference that it
        /// does not have.
        V1 = 1,
        /// Is written where no chunk asks for more.
        V2 = 2,
        /// Chunks of encoding 4 are those of the writer since Prometheus 3.16, if exceptions do not
        /// say otherwise.
        V3 = 3,
    } of pack_format
}

versions! {
    /// A version of the splice format.
    SpliceVersion {
        /// Is written where no new chunk asks for more.
        V1 = 1,
        /// New chunks of encoding 4 say who writes them.
        V2 = 2,
        /// New chunks say whether a zero byte stands behind their samples.
        V3 = 3,
    } of splice_format
}

impl PackVersion {
    /// The oldest version that is written.
    pub(in crate::pack) const PLAIN: Self = PackVersion::V2;

    /// Whether there is no newer version.
    pub(in crate::pack) fn is_newest(self) -> bool {
        Self::from_byte(self.byte() + 1).is_none()
    }

    /// Whether columns of this version hold chunks of `encoding` that `writer` wrote.
    pub(in crate::pack) fn has(self, encoding: Encoding, writer: Xor2Writer) -> bool {
        let oldest = encoding.encoder(writer).and_then(Self::of);
        oldest.is_some_and(|oldest| oldest <= self)
    }

    /// Whose the chunks of encoding 4 are, if exceptions do not say otherwise: the newest writer
    /// that this version has.
    pub(in crate::pack) fn xor2_writer(self) -> Xor2Writer {
        let mut writers = Xor2Writer::ALL.into_iter().rev();
        let newest = writers.find(|writer| self.has(Encoding::Xor2, *writer));
        newest.unwrap_or_default()
    }

    /// `encoding`, if columns of this version hold its chunks.
    pub(in crate::pack) fn column_encoding(self, encoding: Encoding) -> Option<ColumnEncoding> {
        (self.encoders(encoding) > 0).then_some(ColumnEncoding(encoding))
    }

    /// The error of a reader that finds `encoding` in columns, though this version does not have
    /// it.
    #[cold]
    pub(in crate::pack) fn lacks(
        self,
        encoding: Encoding,
        section: &'static str,
        offset: u64,
    ) -> Malformed {
        let wanted = format!(
            "that columns of pack version {} hold ({})",
            self.byte(),
            self.encodings()
        );
        Malformed::unsupported(section, offset, "an encoding", wanted, encoding.byte())
    }
}

impl SpliceVersion {
    /// The error of a reader that finds a new chunk of `encoding`, though this version does not
    /// have it.
    #[cold]
    pub(in crate::pack) fn lacks(
        self,
        encoding: Encoding,
        section: &'static str,
        offset: u64,
    ) -> Malformed {
        let wanted = format!(
            "of new chunks in splice version {} ({})",
            self.byte(),
            self.encodings()
        );
        Malformed::unsupported(section, offset, "an encoding", wanted, encoding.byte())
    }
}

/// An encoding that columns of some version of the pack format hold:
/// [`PackVersion::column_encoding`] alone makes one, so that nothing else gets into the shapes of a
/// pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::pack) struct ColumnEncoding(Encoding);

impl ColumnEncoding {
    /// The encoding.
    #[inline]
    pub(in crate::pack) fn get(self) -> Encoding {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_hold_what_the_table_says_from_that_version_on() {
        let versions = [PackVersion::V1, PackVersion::V2, PackVersion::V3];
        for (version, encoding) in versions
            .into_iter()
            .flat_map(|version| (0..=255).map(move |byte| (version, Encoding::from_byte(byte))))
        {
            let mut any = false;
            for writer in Xor2Writer::ALL {
                let since = encoding
                    .encoder(writer)
                    .and_then(|encoder| encoder.pack_format);
                let wanted = since.is_some_and(|since| since <= version.byte());
                assert_eq!(
                    version.has(encoding, writer),
                    wanted,
                    "{encoding} {version:?}"
                );
                any |= wanted;
            }
            assert_eq!(
                version.column_encoding(encoding).is_some(),
                any,
                "{encoding} {version:?}"
            );
        }
        assert_eq!(
            versions.map(PackVersion::xor2_writer),
            [
                Xor2Writer::Before316,
                Xor2Writer::Before316,
                Xor2Writer::Since316
            ]
        );
        assert_eq!(versions.map(PackVersion::is_newest), [false, false, true]);
    }

    #[test]
    fn what_a_released_version_has_never_changes() {
        let has = |version: PackVersion| {
            let all = Encoding::ALL.map(|encoding| (encoding.byte(), version.encoders(encoding)));
            all.into_iter()
                .filter(|(_, encoders)| *encoders > 0)
                .collect::<Vec<_>>()
        };
        let first = [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)];
        assert_eq!(has(PackVersion::V1), first);
        assert_eq!(has(PackVersion::V2), first);
        assert_eq!(
            has(PackVersion::V3),
            [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1), (6, 1)]
        );
        let has = |version: SpliceVersion| {
            let all = Encoding::ALL.map(|encoding| (encoding.byte(), version.encoders(encoding)));
            all.into_iter()
                .filter(|(_, encoders)| *encoders > 0)
                .collect::<Vec<_>>()
        };
        assert_eq!(has(SpliceVersion::V1), first);
        for version in [SpliceVersion::V2, SpliceVersion::V3] {
            assert_eq!(
                has(version),
                [(1, 1), (2, 1), (3, 1), (4, 2), (5, 1), (6, 1)]
            );
        }
    }
}
