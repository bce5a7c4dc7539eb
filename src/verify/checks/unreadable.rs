//! Pages that the disk cannot read: what is found wrong in them has one cause, and is one finding.

use super::Subject;
use crate::raw::{FileBytes, UnreadablePages};
use crate::verify::{Consequence, FaultLoss, Finding, Findings, Kind};

/// Reports the pages of `content` that could not be read. Findings about what lies in them, or in a
/// chunk that reaches into them, are replaced by one, which has their losses. Says whether a start
/// reads there.
pub(in crate::verify) fn report(
    subject: &Subject<'_>,
    content: &FileBytes,
    findings: &mut Findings,
) -> bool {
    let Some(unreadable) = content.unreadable() else {
        return false;
    };
    let caused = findings.take(|finding| is_caused(finding, &unreadable));
    let ends_start =
        |finding: &Finding| finding.kind.consequence().worst() >= Consequence::DoesNotStart;
    let is_of_a_start = caused.iter().any(ends_start);
    let losses = caused.iter().filter_map(|finding| finding.loss);
    let loss = losses.reduce(FaultLoss::and);
    findings.add(Kind::PageUnreadable, || Finding {
        offset: unreadable.offsets.first().copied(),
        loss,
        ..subject
            .finding(Kind::PageUnreadable, unreadable.path.clone())
            .saying(unreadable.extent())
    });
    is_of_a_start
}

fn is_caused(finding: &Finding, unreadable: &UnreadablePages) -> bool {
    let Some(offset) = finding.offset.filter(|_| finding.path == unreadable.path) else {
        return false;
    };
    // A chunk's finding stands where the chunk begins, which may be in the page before.
    let in_segment = unreadable
        .path
        .parent()
        .is_some_and(|dir| dir.ends_with("chunks"));
    let reach = if in_segment { unreadable.page_bytes } else { 0 };
    unreadable.covers(offset) || unreadable.covers(offset.saturating_add(reach))
}
