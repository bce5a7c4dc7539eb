//! One file per subcommand: from typed arguments to library calls, to a report and an outcome.

pub(super) mod analyze;
pub(super) mod archives;
pub(super) mod backup;
pub(super) mod check;
pub(super) mod config;
pub(super) mod copy;
pub(super) mod diff;
pub(super) mod dump;
pub(super) mod export;
pub(super) mod forecast;
pub(super) mod forget;
pub(super) mod generate;
pub(super) mod init;
pub(super) mod inspect;
#[cfg(feature = "encryption")]
pub(super) mod key;
pub(super) mod list;
pub(super) mod lock;
pub(super) mod prune;
pub(super) mod repair;
pub(super) mod restore;
pub(super) mod stats;
pub(super) mod verify;
pub(super) mod whatif;
#[cfg(feature = "encryption")]
pub(super) mod witness;
