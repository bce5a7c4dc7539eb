//! Writes the newest hours of a data directory, which are in its logs only, as a block.
//!
//!     cargo run --example head_block -- fixtures/night-1 target-directory

#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use std::path::PathBuf;

use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::raw::ReadMode;
use narthex::replay::Head;

fn main() -> narthex::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dir), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err(narthex::Error::invalid(
            "expected a data directory and a directory for the block",
        ));
    };
    let head = Head::read(&dir, ReadMode::Map, &Silent)?;
    println!(
        "{} samples of {} series",
        head.facts().samples,
        head.facts().series
    );
    match head.write_block(&target, Ulid::generate())? {
        Some(block) => println!("{}", block.display()),
        None => println!("no samples"),
    }
    Ok(())
}
