//! Repositories in object stores, against real servers.
//!
//! A server that is not there makes a test print a line that starts with `SKIPPED:`, or fail with
//! `NARTHEX_REQUIRE_E2E=1`. `.ci/run` builds them: see `tests/stores`.

#[cfg(feature = "encryption")]
mod by_hand;
mod config;
mod contract;
mod copying;
mod faults;
mod google;
mod guarded;
mod locks;
mod nights;
mod proxy;
mod servers;
mod sftp;
mod sftp_faults;
mod sshd;
mod storms;
#[cfg(feature = "encryption")]
mod thief;
mod web;
