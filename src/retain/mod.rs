//! Letting go: which archives are still wanted, and deleting what no archive needs.
//!
//! [`forget`] removes manifests by a [`Policy`] or by their ids; it frees nothing, because archives share objects. [`prune`] marks what
//! no manifest names, and deletes it in a later run if it is still not named. Neither locks anything: both run
//! beside backups and beside each other. `docs/repository-format.md` has the rules, `docs/design.md` why they suffice.

mod forget;
mod hold;
mod policy;
mod prune;

pub use crate::units::Span;
pub use forget::{Decision, Forgotten, Leave, Selection, forget};
pub use policy::{Keep, Policy};
pub use prune::{DEFAULT_GRACE, Fate, Item, Options, Pruned, prune};
