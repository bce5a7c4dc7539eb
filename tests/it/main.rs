//! The integration tests: one binary, one module per subject. Each module says what belongs there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::naive_bytecount,
    reason = "a test says what it expects by unwrapping; clippy.toml only knows the functions marked #[test]"
)]

mod analyze;
mod analyze_several;
mod architecture;
mod backup_command;
mod between_nights;
mod block_writer;
mod bounds;
mod by_hand;
mod cli_repository;
mod compare;
mod config;
mod copying;
#[cfg(feature = "encryption")]
mod crypt;
mod cut;
mod dense;
mod dump;
mod e2e;
mod effort;
mod encode;
mod encodings;
#[cfg(feature = "encryption")]
mod encrypted;
mod exact;
mod examples;
mod faults;
mod fixtures;
mod forecast;
mod harness;
mod heads;
mod healing;
mod hostile;
mod inspect;
mod keeping;
mod kept;
mod linear;
mod list;
mod log_pieces;
mod logs;
mod lost_parts;
mod meta_flips;
mod mistakes;
mod names;
mod nights;
mod outlook;
mod pack;
mod pack_bounds;
mod pages;
mod parts;
mod portable;
mod reading;
mod readme;
#[cfg(feature = "remote")]
mod remote;
mod replacing;
mod replay;
mod repository;
mod restoring;
mod retain;
mod salvage;
mod schemas;
mod seeds;
mod short_answers;
mod sick;
mod simulator;
mod sound;
mod splice;
mod spliced;
mod start;
mod statistics;
mod store_contract;
mod stored;
mod tables;
mod thanos;
mod vectors;
mod verify;
mod wal;
mod ways_back;
mod whatif;
