//! Backs a data directory up into a new repository, restores the archive beside it, and verifies
//! what came back.
//!
//!     cargo run --example back_up_and_restore -- fixtures/night-1

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it finds"
)]

use std::sync::Arc;

use narthex::archive::{BackupOptions, Source, backup};
use narthex::model::now;
use narthex::progress::Silent;
use narthex::repository::Repository;
use narthex::repository::copies::Copies;
use narthex::restore::{Target, Wanted, apply, plan};
use narthex::store::LocalStore;
use narthex::verify;

fn main() -> narthex::Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("fixtures/night-1".to_owned());
    let place = tempfile::tempdir().map_err(|e| narthex::Error::io("make", dir.as_ref(), e))?;
    let store = LocalStore::new(place.path().join("repository"));
    let repository = Repository::open_or_init(Arc::new(store))?;

    let source = Source::new(dir.as_ref(), "my-host".to_owned(), None)?;
    let report = backup(
        &source,
        &repository,
        &BackupOptions::default(),
        now(),
        &Silent,
    )?;
    for problem in &report.problems {
        eprintln!("{}: {problem}", problem.kind.id());
    }
    let (blocks, bytes) = (report.archive.blocks.len(), report.stored_bytes);
    println!(
        "archive {} of {blocks} blocks: {bytes} bytes",
        report.archive.id
    );

    let target = Target::new(&place.path().join("restored"), false)?;
    let present = target.present()?;
    let plan = plan(&Wanted::Archive, &report.archive, &[], true, &present)?;
    let back = apply(&plan, &Copies::new(&repository)?, &target, &Silent)?;
    for failed in &back.failed {
        eprintln!(
            "{} did not come back: {}",
            failed.name,
            failed.error.chain()
        );
    }
    let verdict = verify::verify(target.dir(), verify::VerifyOptions::default(), &Silent)?;
    println!(
        "restored {} blocks, problems: {}",
        back.blocks.len(),
        verdict.has_problems()
    );
    Ok(())
}
