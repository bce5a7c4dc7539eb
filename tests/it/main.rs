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

// What every member of the store port promises; the members are passed in.
mod store_contract;
