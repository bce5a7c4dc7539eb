//! Encrypted repositories: nights that come back, what can be read of them without a key, hosts
//! that write only, and whose word counts.

mod by_hand;
mod configured;
mod copied;
mod copied_by_program;
mod cover;
mod first_release;
mod flood;
mod parts;
mod program;
mod trust;
pub(crate) mod world;
mod write_only;
