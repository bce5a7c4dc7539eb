//! Lists the blocks of a data directory and proves that they are sound.
//!
//!     cargo run --example list_and_verify -- fixtures/night-1

#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use narthex::progress::Silent;
use narthex::verify::{VerifyOptions, verify};

fn main() -> narthex::Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("fixtures/night-1".to_owned());
    let verdict = verify(dir.as_ref(), VerifyOptions::default(), &Silent)?;
    for block in &verdict.blocks {
        let ulid = block.ulid.map(|ulid| ulid.to_string()).unwrap_or_default();
        let word = if block.findings.has_problems() {
            "has problems"
        } else {
            "healthy"
        };
        println!(
            "{ulid} {} series, {} samples: {word}",
            block.stats.series, block.stats.samples
        );
    }
    for finding in verdict.all_findings() {
        println!("{finding}");
    }
    if verdict.has_problems() {
        std::process::exit(3);
    }
    Ok(())
}
