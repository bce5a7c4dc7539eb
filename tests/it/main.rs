//! The integration tests: one binary, one module per subject. Each module says what belongs there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test says what it expects by unwrapping; clippy.toml only knows the functions marked #[test]"
)]

mod architecture;

// Small repositories to try things on, shared by the modules below.
mod keeping;
// The portable codec: round trips, and hostile objects.
mod portable;
// Repositories as a whole: archives, crashes, races, and what `check` finds.
mod repository;
// What every member of the store port promises; the members are passed in.
mod store_contract;
