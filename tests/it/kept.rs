//! Repositories that earlier releases wrote: they restore for ever.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use narthex::progress::Silent;
use narthex::repository::copies::Copies;
use narthex::repository::{Digest, Repository};
use narthex::restore::{Target, TargetContent, Wanted, apply, plan};
use narthex::store::LocalStore;

use crate::fixtures::{fixture, tree};

/// What `sha256sum` says of every file below `dir`, in the order of their names, under `prefix`.
fn listing(dir: &Path, prefix: &str) -> String {
    let mut text = String::new();
    for (name, content) in tree(dir) {
        writeln!(text, "{}  {prefix}/{name}", Digest::of(&content)).unwrap();
    }
    text
}

#[test]
fn every_archive_of_every_kept_repository_restores_to_the_same_bytes() {
    let mut archives = 0;
    for entry in fs::read_dir(fixture("repositories")).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.is_dir() {
            continue;
        }
        let repository =
            Repository::open(Arc::new(LocalStore::new(dir.join("repository")))).unwrap();
        let mut found = String::new();
        for archive in repository.archives().unwrap().archives {
            let scratch = tempfile::tempdir().unwrap();
            let target = scratch.path().join("back");
            let wanted = plan(
                &Wanted::Archive,
                &archive,
                &[],
                true,
                &TargetContent::default(),
            )
            .unwrap();
            let report = apply(
                &wanted,
                &Copies::new(&repository).unwrap(),
                &Target::new(&target, false).unwrap(),
                &Silent,
            )
            .unwrap();
            assert!(report.failed.is_empty(), "{:?}", report.failed);
            found += &listing(&target, archive.id.as_str());
            archives += 1;
        }
        let wanted = fs::read_to_string(dir.join("files.sha256")).unwrap();
        // Archives are in the order of their times here, and of their file names there.
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (found, wanted) = (sorted(&found), sorted(&wanted));
        let differ: Vec<_> = found.symmetric_difference(&wanted).collect();
        assert!(differ.is_empty(), "{}: {differ:#?}", dir.display());
    }
    assert!(archives >= 8, "found {archives} archives");
}
