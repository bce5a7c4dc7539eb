//! Writes the newest hours of a data directory, which are in its logs only, as a block.
//!
//! ```text
//! cargo run --example head_block -- fixtures/night-1 target-directory
//! ```

use std::path::PathBuf;

use narthex::model::Ulid;
use narthex::raw::ReadMode;
use narthex::replay::Head;

fn main() -> narthex::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dir), Some(target)) = (arguments.next(), arguments.next()) else {
        return Err(narthex::Error::invalid(
            "expected a data directory and a directory for the block",
        ));
    };
    let head = Head::read(&dir, ReadMode::Map)?;
    println!("{:?}", head.facts());
    match head.write_block(&target, Ulid::generate())? {
        Some(block) => println!("{}", block.display()),
        None => println!("no samples"),
    }
    Ok(())
}
