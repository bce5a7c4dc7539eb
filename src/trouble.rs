//! How commands tell what is wrong, all alike: a kind that scripts can rely on, the place, what was
//! found there; and of the kind what it means, what comes of it and what to do.
//!
//! Each room has one table of its kinds, which `docs/findings.md` lists:
//! [`verify`](crate::verify::Kind), [`check`](crate::repository::check::Kind),
//! [`backup`](crate::archive::ProblemKind), [`restore`](crate::restore::ProblemKind) and whatever
//! [reads samples](crate::select::ReadKind). Ids are a promise to scripts: they are never renamed.
//!
//! ```
//! use narthex::archive::ProblemKind;
//! use narthex::trouble::{Kind as _, Severity};
//!
//! for kind in ProblemKind::ALL {
//!     println!("{} ({}): {} {}", kind.id(), kind.severity(), kind.sentence(), kind.remedy());
//! }
//! assert!(ProblemKind::ALL.iter().any(|kind| kind.severity() == Severity::Problem));
//! ```

use std::borrow::Cow;
use std::fmt;

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing: the exit code does not tell of it.
    Note,
    /// Something is lost, wrong or unproven: the command ends with exit code 3.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Note => "note",
            Severity::Problem => "problem",
        })
    }
}

/// A kind of trouble: one row of a room's table.
pub trait Kind: Copy + fmt::Debug + 'static {
    /// Every kind, in the order of the table.
    const ALL: &'static [Self];

    /// Its name in JSON, which does not change between versions.
    fn id(self) -> &'static str;
    /// How much it matters, as a rule.
    fn severity(self) -> Severity;
    /// What it means, in one sentence.
    fn sentence(self) -> &'static str;
    /// What comes of it, or what the command has done about it.
    fn consequence(self) -> Cow<'static, str>;
    /// What to do about it.
    fn remedy(self) -> &'static str;
}

/// Something of the kind `K` at one place. It prints as its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble<K> {
    /// What it is.
    pub kind: K,
    /// How much it matters here.
    pub severity: Severity,
    /// What is concerned, by its name in the directory or the repository; blocks by their ULIDs,
    /// with commas between them. Empty where it is the whole.
    pub place: String,
    /// What was found, as a sentence.
    pub detail: String,
}

impl<K: Kind> Trouble<K> {
    /// Trouble of this kind with `place`, as severe as the table says.
    pub(crate) fn new(kind: K, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Trouble {
            kind,
            severity: kind.severity(),
            place: place.into(),
            detail: detail.into(),
        }
    }
}

impl<K> fmt::Display for Trouble<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Trouble of any kind, with what the table says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyTrouble {
    /// [`Kind::id`].
    pub kind: &'static str,
    /// [`Trouble::severity`].
    pub severity: Severity,
    /// [`Trouble::place`].
    pub place: String,
    /// [`Trouble::detail`].
    pub detail: String,
    /// [`Kind::sentence`].
    pub sentence: &'static str,
    /// [`Kind::consequence`].
    pub consequence: Cow<'static, str>,
    /// [`Kind::remedy`].
    pub remedy: &'static str,
}

impl<K: Kind> From<&Trouble<K>> for AnyTrouble {
    fn from(trouble: &Trouble<K>) -> Self {
        AnyTrouble {
            kind: trouble.kind.id(),
            severity: trouble.severity,
            place: trouble.place.clone(),
            detail: trouble.detail.clone(),
            sentence: trouble.kind.sentence(),
            consequence: trouble.kind.consequence(),
            remedy: trouble.kind.remedy(),
        }
    }
}

/// A room's table of kinds: the name of the type, and of each kind variant, id, severity, meaning,
/// consequence and remedy.
macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident: $($variant:ident $id:literal $severity:ident $sentence:literal $consequence:expr, $remedy:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $sentence] $variant,)*
        }

        impl $name {
            /// Its name in JSON, which does not change between versions.
            pub fn id(self) -> &'static str {
                match self {
                    $($name::$variant => $id,)*
                }
            }

            /// How much it matters, as a rule.
            pub fn severity(self) -> $crate::trouble::Severity {
                match self {
                    $($name::$variant => $crate::trouble::Severity::$severity,)*
                }
            }

            /// What it means, in one sentence.
            pub fn sentence(self) -> &'static str {
                match self {
                    $($name::$variant => $sentence,)*
                }
            }

            /// What comes of it, or what the command has done about it.
            pub fn consequence(self) -> &'static str {
                match self {
                    $($name::$variant => $consequence,)*
                }
            }

            /// What to do about it.
            pub fn remedy(self) -> &'static str {
                match self {
                    $($name::$variant => $remedy,)*
                }
            }
        }

        impl $crate::trouble::Kind for $name {
            const ALL: &'static [Self] = &[$($name::$variant,)*];

            fn id(self) -> &'static str {
                self.id()
            }

            fn severity(self) -> $crate::trouble::Severity {
                self.severity()
            }

            fn sentence(self) -> &'static str {
                self.sentence()
            }

            fn consequence(self) -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(self.consequence())
            }

            fn remedy(self) -> &'static str {
                self.remedy()
            }
        }
    };
}

pub(crate) use kinds;
