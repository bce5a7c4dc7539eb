//! Samples that are wanted and lie in logs that do not come back.

use super::super::Args;
use super::{Told, range, uncovered};
use crate::cli::logs::in_logs_only;
use crate::model::Millis;
use crate::repository::{Archive, StoredWal};
use crate::restore::{ProblemKind, RestorePlan, Wanted};
use crate::units::time_text;

/// Says so if samples that are wanted are in the logs of `archive` only, which are not restored, or
/// of another archive of the `chain`.
pub(in crate::cli::commands::restore) fn remark_wal(
    args: &Args,
    wanted: &Wanted,
    archive: &Archive,
    (chain, plan): (&[Archive], &RestorePlan<'_>),
    told: &Told<'_>,
) {
    let range = range(wanted);
    // Single blocks are what was asked for; of a whole archive the log comes along where nothing is
    // cut.
    let is_asked = match wanted {
        Wanted::Range(_) => true,
        Wanted::Archive => args.exact,
        Wanted::Blocks(_) => false,
    };
    if !is_asked {
        return;
    }
    let wanted_of = |spans: Vec<(Millis, Millis)>| {
        let inside = spans.into_iter().map(move |(first, last)| {
            let first = first.max(range.since);
            (first, last.min(range.until.saturating_sub(1)))
        });
        let inside: Vec<_> = inside.filter(|(first, last)| first <= last).collect();
        inside
    };
    let comes = plan.wal.is_some() || plan.head.is_some() || plan.has_wal;
    let own = if comes {
        Vec::new()
    } else {
        wanted_of(in_logs_only(archive))
    };
    for (first, last) in &own {
        told.tell(ProblemKind::LogOnly.at("wal", format!(
            "samples that are asked for, from {} to {}, are in the log of the archive only, and the target has logs of its own, beside which no block is made of it: restore into an empty directory, or leave it out on purpose with --head none",
            time_text(*first),
            time_text(*last)
        )));
    }
    if !matches!(wanted, Wanted::Range(_)) {
        return;
    }
    // What the logs of other archives hold is in blocks of later ones, but for times that no block
    // covers.
    let uncovered = uncovered(plan, range);
    let mut covered = own;
    covered.extend(archive.wal.iter().filter(|_| comes).filter_map(span));
    let mut others: Vec<_> = chain
        .iter()
        .filter(|other| other.id != archive.id)
        .collect();
    others.sort_by_key(|other| std::cmp::Reverse(other.time));
    for other in others {
        let spans = wanted_of(in_logs_only(other));
        let in_gaps = uncovered.iter().flat_map(|gap| {
            let cut = |(first, last): &(Millis, Millis)| {
                (
                    (*first).max(gap.min_time),
                    (*last).min(gap.max_time.saturating_sub(1)),
                )
            };
            spans.iter().map(cut).collect::<Vec<_>>()
        });
        let is_told = |(first, last): &(Millis, Millis)| {
            covered.iter().any(|(from, to)| from <= first && last <= to)
        };
        let news: Vec<_> = in_gaps
            .filter(|(first, last)| first <= last)
            .filter(|span| !is_told(span))
            .collect();
        for (first, last) in &news {
            let id = other.id.short();
            told.tell(ProblemKind::LogElsewhere.at(id, format!(
                "no block holds the time from {} to {}, and the log of archive {id} holds samples of it: restore that archive by its id to have them, or \
                 leave logs out on purpose with --head none",
                time_text(*first),
                time_text(*last)
            )));
        }
        covered.extend(news);
    }
}

/// Times of the first and the last sample of a log, as far as they are known.
fn span(wal: &StoredWal) -> Option<(Millis, Millis)> {
    wal.min_time.zip(wal.max_time)
}
