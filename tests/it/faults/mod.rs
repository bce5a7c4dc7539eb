//! Every fault that occurs in the wild or that other tools overlook, made on purpose: each is
//! found, with the right kind and place, and nothing else is called a problem.

mod chunks;
mod directory;
mod index;
mod metadata;
mod segments;
mod series;

use std::collections::BTreeSet;
use std::path::Path;

use narthex::progress::Silent;
use narthex::verify::{Depth, Finding, FindingSeverity, VerifyOptions, verify_block};

use crate::fixtures;
use crate::sick::{Loose, Sick};

/// A block of Prometheus 3.14 with all kinds of chunks, and one of 2.42 with label indices.
const NEW: &str = "blocks/parents-three";
const OLD: &str = "blocks/promtool-2.42";
const SEGMENT: &str = "chunks/000001";

/// A kind that must be found, in which file, and where in it if that is asked.
type Expected<'a> = (&'a str, &'a str, Option<u64>);

fn findings(dir: &Path, depth: Depth) -> Vec<Finding> {
    let options = VerifyOptions {
        depth,
        ..VerifyOptions::default()
    };
    let verdict = verify_block(dir, options, &Silent).unwrap();
    verdict.findings.iter().cloned().collect()
}

fn is_problem(finding: &Finding) -> bool {
    finding.kind.severity() > FindingSeverity::Note
}

fn check(found: &[Finding], base: &Path, expected: &[Expected<'_>]) {
    let kinds: BTreeSet<_> = found
        .iter()
        .filter(|f| is_problem(f))
        .map(|f| f.kind.id())
        .collect();
    let wanted: BTreeSet<_> = expected.iter().map(|(kind, _, _)| *kind).collect();
    assert_eq!(kinds, wanted, "{found:#?}");
    for (kind, file, offset) in expected {
        let fits = |f: &&Finding| {
            f.kind.id() == *kind
                && f.path == base.join(file)
                && offset.is_none_or(|offset| f.offset == Some(offset))
        };
        assert!(
            found.iter().any(|f| fits(&f)),
            "{kind} in {file} at {offset:?}: {found:#?}"
        );
    }
}

/// The block has these problems and no others; what quick verification finds is among them.
fn assert_found(sick: &Sick, expected: &[Expected<'_>]) {
    check(&findings(&sick.dir, Depth::Full), &sick.dir, expected);
    for finding in findings(&sick.dir, Depth::Quick)
        .iter()
        .filter(|f| is_problem(f))
    {
        let id = finding.kind.id();
        assert!(
            expected.iter().any(|(kind, _, _)| *kind == id),
            "quick: {finding:#?}"
        );
    }
}

fn assert_noted(sick: &Sick, kind: &str) {
    let found = findings(&sick.dir, Depth::Full);
    assert!(!found.iter().any(is_problem), "{found:#?}");
    assert!(found.iter().any(|f| f.kind.id() == kind), "{found:#?}");
}

#[test]
fn healthy_blocks_have_no_problems() {
    for dir in fixtures::blocks() {
        for depth in [Depth::Full, Depth::Quick] {
            let found = findings(&dir, depth);
            assert!(
                !found.iter().any(is_problem),
                "{}: {found:#?}",
                dir.display()
            );
        }
    }
    assert_found(&Loose::healthy().write(), &[]);
}

#[test]
fn counts_are_those_of_the_metadata() {
    for dir in fixtures::blocks() {
        for depth in [Depth::Full, Depth::Quick] {
            let options = VerifyOptions {
                depth,
                ..VerifyOptions::default()
            };
            let verdict = verify_block(&dir, options, &Silent).unwrap();
            let stats = verdict.meta.unwrap().stats;
            let found = (
                verdict.stats.series,
                verdict.stats.chunks,
                verdict.stats.samples,
            );
            assert_eq!(
                found,
                (stats.num_series, stats.num_chunks, stats.num_samples)
            );
        }
    }
}
