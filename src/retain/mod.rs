//! Letting go: which archives are still wanted, and deleting what no archive needs.
//!
//! [`forget`] removes manifests by a [`Policy`] or by their ids; it frees nothing, because archives
//! share objects. [`prune`] marks what no manifest names, and deletes it in a later run if it is
//! still not named. Neither locks anything: both run beside backups and beside each other.
//! `docs/repository-format.md` has the rules, `docs/design.md` why they suffice.
//!
//! ```
//! use narthex::retain::{Keep, Policy};
//!
//! let policy = Policy { daily: Keep::Count(2), ..Policy::default() };
//! let hour = 3_600_000;
//! // The newest of each of the last two days is kept.
//! let reasons = policy.reasons(&[48 * hour, 24 * hour, 5 * hour, 0]);
//! let kept: Vec<bool> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
//! assert_eq!(kept, [true, true, false, false]);
//! ```

mod decision;
mod forget;
mod hold;
mod policy;
mod prune;

pub use crate::units::CalendarSpan;
pub use decision::Decision;
pub(crate) use forget::by_policy;
pub use forget::{ForgetSelection, Forgotten, Leave, forget};
pub use policy::{Keep, Policy};
pub use prune::{DEFAULT_GRACE, Item, ObjectFate, PruneOptions, Pruned, prune, prune_shared};
