//! What was wrong with some bytes: section, absolute offset, wanted, found.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use crate::error::{Error, ErrorKind, InFile, Result};

/// A place in a file where the bytes are not what the format says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Part of the file, as the format names it (`symbol table`, `series`, `chunk data`).
    pub section: &'static str,
    /// Absolute offset in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub problem: MalformedProblem,
}

/// What is wrong at the place a [`Malformed`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedProblem {
    /// The section or file ends too early.
    Truncated {
        /// Bytes wanted from the offset on.
        wanted: u64,
        /// Bytes that were left.
        found: u64,
    },
    /// The stored CRC-32C differs from that of the bytes.
    Checksum {
        /// The checksum stored in the file.
        stored: u32,
        /// The checksum of the bytes as they are.
        computed: u32,
    },
    /// A value the format does not allow here.
    Unexpected {
        /// What the value is, for example `magic number`.
        what: &'static str,
        /// What the format wants.
        wanted: Cow<'static, str>,
        /// What was found.
        found: Cow<'static, str>,
    },
    /// A value that the version of the format does not have; another version may.
    Unsupported {
        /// What the value is, for example `an encoding`.
        what: &'static str,
        /// What the version has.
        wanted: Cow<'static, str>,
        /// What was found.
        found: Cow<'static, str>,
    },
    /// A version or an encoding that this program does not know.
    Unknown {
        /// What is unknown, for example `index version`.
        what: &'static str,
        /// Its number in the file.
        found: i64,
    },
}

impl Malformed {
    /// A value that the format does not allow.
    #[cold]
    pub fn unexpected(
        section: &'static str,
        offset: u64,
        what: &'static str,
        wanted: impl Into<Cow<'static, str>>,
        found: impl fmt::Display,
    ) -> Self {
        let problem = MalformedProblem::Unexpected {
            what,
            wanted: wanted.into(),
            found: found.to_string().into(),
        };
        Malformed {
            section,
            offset,
            problem,
        }
    }

    /// The section or file ends before `wanted` bytes.
    #[cold]
    pub fn truncated(section: &'static str, offset: u64, wanted: u64, found: u64) -> Self {
        Malformed {
            section,
            offset,
            problem: MalformedProblem::Truncated { wanted, found },
        }
    }

    /// The stored checksum of the bytes that begin at `offset` is another one than that of the
    /// bytes as they are.
    #[cold]
    pub fn checksum(section: &'static str, offset: u64, stored: u32, computed: u32) -> Self {
        Malformed {
            section,
            offset,
            problem: MalformedProblem::Checksum { stored, computed },
        }
    }

    /// A version or an encoding that this program does not know.
    #[cold]
    pub fn unknown(section: &'static str, offset: u64, what: &'static str, found: i64) -> Self {
        Malformed {
            section,
            offset,
            problem: MalformedProblem::Unknown { what, found },
        }
    }

    /// A value that the version of the format does not have; another version may.
    #[cold]
    pub fn unsupported(
        section: &'static str,
        offset: u64,
        what: &'static str,
        wanted: impl Into<Cow<'static, str>>,
        found: impl fmt::Display,
    ) -> Self {
        let problem = MalformedProblem::Unsupported {
            what,
            wanted: wanted.into(),
            found: found.to_string().into(),
        };
        Malformed {
            section,
            offset,
            problem,
        }
    }

    /// The kind of [`Error`](crate::Error) this becomes.
    pub fn kind(&self) -> ErrorKind {
        match self.problem {
            MalformedProblem::Unknown { .. } | MalformedProblem::Unsupported { .. } => {
                ErrorKind::Unsupported
            }
            MalformedProblem::Truncated { .. }
            | MalformedProblem::Checksum { .. }
            | MalformedProblem::Unexpected { .. } => ErrorKind::Corrupt,
        }
    }
}

impl Malformed {
    /// Whether the bytes may well be sound, and of a version or an encoding that this program does
    /// not read.
    pub fn is_unsupported(&self) -> bool {
        self.kind() == ErrorKind::Unsupported
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: ", self.section, self.offset)?;
        self.problem.fmt(f)
    }
}

impl fmt::Display for MalformedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MalformedProblem::Truncated { wanted, found } => {
                write!(f, "expected {wanted} more bytes, found {found}")
            }
            MalformedProblem::Checksum { stored, computed } => {
                write!(
                    f,
                    "expected checksum {stored:08x} as stored, found {computed:08x}"
                )
            }
            MalformedProblem::Unexpected {
                what,
                wanted,
                found,
            }
            | MalformedProblem::Unsupported {
                what,
                wanted,
                found,
            } => {
                write!(f, "expected {what} {wanted}, found {found}")
            }
            MalformedProblem::Unknown { what, found } => write!(f, "unknown {what} {found}"),
        }
    }
}

impl std::error::Error for Malformed {}

impl<T> InFile<T> for Result<T, Malformed> {
    fn in_file(self, path: &Path) -> Result<T> {
        self.map_err(|malformed| {
            Error::new(malformed.kind(), path.display().to_string()).with_source(malformed)
        })
    }
}
