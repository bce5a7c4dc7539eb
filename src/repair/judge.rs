//! What is wrong with blocks of an archive that is made anew: what was found in them when they were
//! stored was in the lost manifest.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::model::Ulid;
use crate::progress::Silent;
use crate::raw::temporary_dir;
use crate::repository::copies::Copies;
use crate::repository::lineage::has_problems;
use crate::repository::{Archive, FindingCounts, Repository};
use crate::restore::{self, Target, TargetContent, Wanted};
use crate::verify::{Kind, VerifyOptions, verify_block};

/// Verifies the blocks `ulids` of `archive`, unpacked one by one into a temporary directory, and
/// writes down what is found. Gives what is to be said of those that are not sound.
///
/// A block that cannot be unpacked counts as unreadable: the next backup that has it looks at it
/// again.
pub(super) fn judge(
    repository: &Repository,
    archive: &mut Archive,
    ulids: &BTreeSet<Ulid>,
) -> Result<BTreeMap<Ulid, String>> {
    let copies = Copies::new(repository)?;
    let mut faulty = BTreeMap::new();
    for ulid in ulids {
        let findings = match verify(&copies, archive, *ulid) {
            Ok(findings) => findings,
            Err(error) => {
                let why = format!("block {ulid} could not be verified: {}", error.chain());
                faulty.insert(*ulid, why);
                FindingCounts::of([(
                    Kind::Unreadable.id(),
                    Kind::Unreadable.severity().to_string(),
                    1,
                )])
            }
        };
        let mut blocks = archive.blocks.iter_mut_where(|block| block.ulid == *ulid);
        let block = blocks.next();
        if let Some(block) = block {
            block.findings = findings;
            if has_problems(block) {
                let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
                let why = format!(
                    "block {ulid} has faults, and is in the archive as it is: {}",
                    kinds.join(", ")
                );
                faulty.entry(*ulid).or_insert(why);
            }
        }
    }
    archive.findings = FindingCounts::default();
    for block in &archive.blocks {
        archive.findings.add(&block.findings);
    }
    Ok(faulty)
}

fn verify(copies: &Copies, archive: &Archive, ulid: Ulid) -> Result<FindingCounts> {
    let dir = temporary_dir()?;
    let target = Target::new(dir.path(), false)?;
    let wanted = Wanted::Blocks(BTreeSet::from([ulid]));
    let mut plan = restore::plan(&wanted, archive, &[], false, &TargetContent::default())?;
    plan.kin_of = None;
    target.refuse_without_room(&plan)?;
    let report = restore::apply(&plan, copies, &target, &Silent)?;
    if let Some(failed) = report.failed.into_iter().next() {
        return Err(failed.error);
    }
    let verdict = verify_block(
        &dir.path().join(ulid.to_string()),
        VerifyOptions::default(),
        &Silent,
    )?;
    let counts = verdict.findings.counts();
    Ok(FindingCounts::of(counts.map(|(kind, count)| {
        (kind.id(), kind.severity().to_string(), count)
    })))
}
