//! What a source held and an archive does not: in the manifest a name and a sentence, whose
//! beginning says which kind it is of.
//!
//! An archive lists what it left out, and what is gone is told by the archive that had it: so this
//! file and `manifest` name each other.

use serde::{Deserialize, Serialize};

use super::Archive;
use crate::model::Ulid;

/// Something of the source that an archive does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name in the data directory; bytes that are no text are replaced.
    pub name: String,
    /// Why, as a sentence.
    pub reason: String,
}

macro_rules! kinds {
    ($($variant:ident $id:literal $is_missed:literal $sentence:literal;)*) => {
        /// Why something was left out: one member for each row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LeftOutKind {
            $(#[doc = $sentence] $variant,)*
        }

        impl LeftOutKind {
            /// Every kind, in the order of the table.
            pub const ALL: &[LeftOutKind] = &[$(LeftOutKind::$variant,)*];

            /// Its name in JSON, which does not change between versions.
            pub fn id(self) -> &'static str {
                match self {
                    $(LeftOutKind::$variant => $id,)*
                }
            }

            /// Whether the archive should hold it, or may have held it when it was reconstructed.
            pub fn is_missed(self) -> bool {
                match self {
                    $(LeftOutKind::$variant => $is_missed,)*
                }
            }

            /// What it means, in one sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(LeftOutKind::$variant => $sentence,)*
                }
            }
        }
    };
}

kinds! {
    Unread "unread" true "A block or a log, or part of one, that could not be read.";
    Gone "gone" true "A block or a log that an earlier archive holds, and that was gone for no reason that is known.";
    Unknown "unknown" true "What is not known of an archive that `narthex repair` made.";
    Emptied "emptied" false "A block of which nothing was left, or will be, once deletions were carried out.";
    Compacted "compacted" false "A block that was compacted into one that the archive holds.";
    Misspelled "misspelled" false "A block that the archive holds under its proper name.";
    AskedFor "asked-for" false "A log that was not wanted: `--no-wal`.";
    NotReplayed "not-replayed" false "A segment of a log that no start replays.";
    Foreign "foreign" false "Something of a name that means nothing to Prometheus.";
    Passing "passing" false "What a server makes anew, or leaves behind: locks, temporary directories, the chunks of the head.";
}

/// What an archive that was reconstructed lacks, by name.
pub(crate) const RECONSTRUCTED: &str = "manifest";

/// Name of the source of archives that `narthex repair` made of what was left, where it is not
/// known whose they are.
pub(crate) const UNKNOWN_SOURCE: &str = "reconstructed";

/// How the reason begins of what is gone.
const GONE: &str = "gone since archive ";

/// How the reason begins of a block of which nothing was left, or will be.
const EMPTIED: &str = "everything in it was deleted";

/// The reason of what somebody wanted to be left out.
pub(crate) const ASKED_FOR: &str = "left out as asked for";

/// How reasons begin that mean the same of whatever name.
const REASONS: [(&str, LeftOutKind); 7] = [
    (GONE, LeftOutKind::Gone),
    (EMPTIED, LeftOutKind::Emptied),
    ("compacted into ", LeftOutKind::Compacted),
    ("another spelling of ", LeftOutKind::Misspelled),
    (ASKED_FOR, LeftOutKind::AskedFor),
    ("not needed for replay", LeftOutKind::NotReplayed),
    ("nothing that Prometheus knows", LeftOutKind::Foreign),
];

impl LeftOut {
    /// `name`, which `archive` still holds, and which is gone for no reason that is known.
    pub fn gone(name: String, archive: &Archive) -> Self {
        let id = archive.id.short();
        LeftOut {
            name,
            reason: format!("{GONE}{id}, which holds it"),
        }
    }

    /// The block `name`, which `archive` still holds, and of which nothing was left once deletions
    /// were carried out, as far as can be told.
    pub fn emptied(name: String, archive: &Archive) -> Self {
        let id = archive.id.short();
        LeftOut {
            name,
            reason: format!("{EMPTIED}, it seems, since archive {id}, which holds it"),
        }
    }

    /// Why it was left out.
    pub fn kind(&self) -> LeftOutKind {
        if self.name == RECONSTRUCTED && self.reason.starts_with("reconstructed ") {
            return LeftOutKind::Unknown;
        }
        let mut known = REASONS.iter();
        let known = known.find(|(reason, _)| self.reason.starts_with(reason));
        match known {
            Some((_, kind)) => *kind,
            None if self.is_of_log() || self.top().parse::<Ulid>().is_ok() => LeftOutKind::Unread,
            None => LeftOutKind::Passing,
        }
    }

    /// Whether the archive should hold it, or may have held it when it was reconstructed.
    pub fn is_missed(&self) -> bool {
        self.kind().is_missed()
    }

    /// The beginning of the id of the archive that still holds it, if it is gone.
    pub fn gone_since(&self) -> Option<&str> {
        let id = self.reason.strip_prefix(GONE)?;
        id.split(',').next()
    }

    /// Whether it is a log, or of one.
    pub fn is_of_log(&self) -> bool {
        ["wal", "wbl"].contains(&self.top())
    }

    /// The first part of its name.
    fn top(&self) -> &str {
        self.name.split('/').next().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_reasons_and_names() {
        let block = "01M7ZSW06MPETEKCNDX7B1881S";
        for (name, reason, kind) in [
            (block, "input/output error", LeftOutKind::Unread),
            ("wal/00000003", "permission denied", LeftOutKind::Unread),
            (
                block,
                "gone since archive 12345678, which holds it",
                LeftOutKind::Gone,
            ),
            (
                "manifest",
                "reconstructed from what was left",
                LeftOutKind::Unknown,
            ),
            (
                "manifest",
                "nothing that Prometheus knows",
                LeftOutKind::Foreign,
            ),
            (
                block,
                "compacted into X, which is archived",
                LeftOutKind::Compacted,
            ),
            ("wal", ASKED_FOR, LeftOutKind::AskedFor),
            ("chunks_head", "the WAL rebuilds it", LeftOutKind::Passing),
        ] {
            let left = LeftOut {
                name: name.to_owned(),
                reason: reason.to_owned(),
            };
            assert_eq!(left.kind(), kind, "{name}: {reason}");
        }
        let gone = LeftOut {
            name: block.to_owned(),
            reason: "gone since archive 12345678, which holds it".to_owned(),
        };
        assert_eq!(gone.gone_since(), Some("12345678"));
    }

    #[test]
    fn ids_are_all_different() {
        let mut ids: Vec<_> = LeftOutKind::ALL.iter().map(|kind| kind.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), LeftOutKind::ALL.len());
    }
}
