//! Making a repository whole again, as far as anything in it still holds what is missing.
//!
//! Nothing is overwritten and nothing is deleted: what is made stands beside what is damaged, under a name of its own.

mod archive;
mod catalog;
mod judge;
mod mend;
mod run;
mod settle;

pub use catalog::Catalog;
pub use mend::{Mending, mend};
pub use run::{Outcome, Step, repair};
pub use settle::{leave_marks, settle};
