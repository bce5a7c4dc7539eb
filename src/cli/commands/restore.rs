//! `narthex restore`: brings an archive, or a range of time, back into a directory.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde_json::json;

use crate::cli::args::{RepoArgs, local_path};
use crate::cli::logs::in_logs_only;
use crate::cli::outlook::Outlook;
use crate::cli::ownership::OwnershipArgs;
use crate::cli::selection::time_range;
use crate::cli::stored::{find, missed_text};
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::model::{Millis, TimeRange, Ulid};
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::report;
use crate::report::Value;
use crate::report::backup::{RESTORE, detour_json, gap_text};
use crate::repository::copies::Copies;
use crate::repository::lineage::{has_problems, stream};
use crate::repository::{
    Archive, Gap, LeftOutKind, Repository, SourceFilter, StoredBlock, StoredWal, learn_streams,
    read_meta,
};
use crate::restore::{
    self, Cut, Exact, Plan, Present, Salvage, StandIn, Target, Wanted, fetch_file,
};
use crate::select::{Selection, Selector};
use crate::units::{bytes_text, time_text};

/// What to restore, and where to.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("bounds").args(["since", "until", "matches"]).multiple(true))]
#[command(after_help = "\
Examples:
  narthex restore latest --repo /srv/backup/prometheus --target /var/lib/prometheus
  narthex restore 3f9a --repo /srv/backup/prometheus --target /tmp/then
  narthex restore latest --target /tmp/november --since 2026-11-01 --until 2026-12-01
  narthex restore latest --target /tmp/one --block 01M7ZTB71NJ67GWWE5SXTVHFTH

Give a colleague one job's samples of a day, and nothing else (the last hours of a server are in its log, which cannot be cut):
  narthex restore latest --target /tmp/api --since 2026-11-20 --until 2026-11-21 --exact --match '{job=\"api\"}'

Every file is proved before it becomes visible, nothing is overwritten, and what the target's file system has no room for is not begun. Without --since, --until, --block \
and --exact the archive comes back exactly as it is, with its WAL. What is damaged in the repository is named on \
standard error, and taken from wherever else in the repository it is sound; if it is nowhere, blocks with the same samples come in its place, \
and else the rest is restored, with exit code 3. Of blocks that were damaged when they were archived a sound copy is taken where an archive has one; others \
come back as they were. Both are named, with exit code 3; --as-archived takes what the archive has (not of a range of time). The last line says whether \
a Prometheus will start on the result, as it lies in the target; where it will and deletes or drops something, for its age for example, that is said before.

With --salvage, what can still be read of a block that comes back in no other way comes back as a new block with a new ULID: every series and \
chunk of sound groups of its packs, of sound parts of its files, and of other blocks of the archives that hold its samples. It is verified in full before it \
becomes visible. What it is short of is named with its time, and the exit code is 3. Without --salvage it is said how much it would bring back.

With --exact a block that reaches beyond the wanted time, or holds series that are not wanted, is replaced by a new \
block with a new ULID: samples from --since on and before --until, of series that a --match selects, without deleted \
ones. Other blocks come back as they were. New blocks are verified in full before they become visible; until then \
their originals lie beside them, for which there must be room. Blocks that were damaged when they were archived are not cut but named, with exit code 3. Of \
blocks that are damaged in the repository only what is wanted need be sound; what of it is not is named, and the rest comes back with exit code 3. \
It needs an empty target. A write-ahead log cannot be cut and is left out: samples that are in no block yet do not come back. When nothing at \
all is left, the exit code is 1.")]
pub(crate) struct Args {
    /// The beginning of an archive's id, or `latest`
    archive: String,
    #[command(flatten)]
    repo: RepoArgs,
    /// Where to restore to: a directory that is empty or does not exist
    #[arg(long, value_name = "DIR", value_parser = local_path())]
    target: PathBuf,
    /// With `latest`: of this host
    #[arg(long)]
    host: Option<String>,
    /// With `latest`: of the source of this name
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only time from here on, out of all archives of the same source [e.g. 2026-11-21T19:00:00Z, 1795288080, 30d (ago)]
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "block"
    )]
    since: Option<String>,
    /// Only time before this, out of all archives of the same source; whole blocks come back, unless --exact is given
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "block"
    )]
    until: Option<String>,
    /// Cut blocks: bring back nothing but the time of --since and --until and the series of --match
    #[arg(long, requires = "bounds", conflicts_with_all = ["wal", "add_missing"])]
    exact: bool,
    /// Only these series, as a PromQL selector; may be repeated
    #[arg(short, long = "match", value_name = "SELECTOR", requires = "exact")]
    matches: Vec<Selector>,
    /// Bring back blocks that were damaged when they were archived as they are, even if the repository holds sound ones with the same samples
    #[arg(long)]
    as_archived: bool,
    /// Bring back what can still be read of blocks that do not come back as they were, as new blocks
    #[arg(long)]
    salvage: bool,
    /// Only this block of the archive; may be given several times
    #[arg(long, value_name = "ULID")]
    block: Vec<Ulid>,
    /// Restore WAL and WBL of the archive also with --since, --until or --block
    #[arg(long, conflicts_with = "no_wal")]
    wal: bool,
    /// Do not restore WAL and WBL
    #[arg(long)]
    no_wal: bool,
    /// Restore into a directory that is not empty what is not in it yet; blocks that are there are compared by the names and sizes of their files
    #[arg(long)]
    add_missing: bool,
    #[command(flatten)]
    ownership: OwnershipArgs,
    /// Say what would be restored, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn wanted(&self) -> Result<Wanted> {
        if !self.block.is_empty() {
            return Ok(Wanted::Blocks(self.block.iter().copied().collect()));
        }
        let range = time_range(self.since.as_deref(), self.until.as_deref())?;
        Ok(range.map_or(Wanted::Archive, Wanted::Range))
    }

    /// What blocks are to be cut down to, if they are.
    fn exact(&self, wanted: &Wanted, read_mode: ReadMode) -> Option<Exact> {
        let range = range(wanted);
        self.exact.then(|| Exact {
            part: Selection {
                selectors: self.matches.clone(),
                range,
            },
            read_mode,
        })
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let wanted = args.wanted()?;
    let repository = args.repo.open()?;
    let filter = SourceFilter {
        host: args.host.clone(),
        source_name: args.source.clone(),
    };
    let asked = match &wanted {
        Wanted::Blocks(_) => TimeRange::NONE,
        Wanted::Archive | Wanted::Range(_) => range(&wanted),
    };
    let (mut archive, doubtful) = find(&repository, &args.archive, &filter, asked, context)?;
    let told = Told {
        progress: context.progress,
        problems: Cell::new(doubtful),
    };
    let mut chain = match wanted {
        Wanted::Range(_) => chain(&repository, &archive, &filter, &told)?,
        Wanted::Archive | Wanted::Blocks(_)
            if !args.as_archived && archive.blocks.iter().any(has_problems) =>
        {
            chain(&repository, &archive, &filter, &told)?
        }
        Wanted::Archive | Wanted::Blocks(_) => Vec::new(),
    };
    let target = Target::new(&args.target, args.add_missing)?;
    for stale in target.stale_stages() {
        let dir = stale.display();
        told.note(&format_args!(
            "{dir} was left by an interrupted restore; remove it"
        ));
    }
    let with_wal = !args.no_wal && !args.exact && (args.wal || wanted == Wanted::Archive);
    let present = target.present()?;
    let copies = Copies::new(&repository)?;
    learn(
        &copies,
        &wanted,
        &mut archive,
        &mut chain,
        with_wal,
        &present,
        &told,
    )?;
    let mut plan = restore::plan(&wanted, &archive, &chain, with_wal, &present)?;
    plan.exact = args.exact(&wanted, context.read_mode);
    plan.salvage = Some(Salvage {
        asked: Selection::default(),
        bring: args.salvage,
        read_mode: context.read_mode,
    });
    plan.permissions = args.ownership.permissions();
    remark_wal(args, &wanted, &archive, (&chain, &plan), &told);
    remark_choice(&plan, &wanted, &told);
    remark_missed(&wanted, &archive, &chain, &plan, &told);
    remark_damaged(&plan, &wanted, &told);
    let stored = archive.blocks.iter();
    let stored = stored.chain(chain.iter().flat_map(|archive| &archive.blocks));
    remark_different(&target, &plan, stored, &told);
    remark_there(&plan, &wanted, &target, &told);
    remark_other_logs(&plan, &archive, &target, &told);
    if args.dry_run {
        let outlook = Outlook::of_plan(&plan);
        print_plan(&plan, &outlook, context)?;
        return Ok(told.outcome(&outlook));
    }
    target.refuse_without_room(&plan)?;
    let report = restore::apply(&plan, &copies, &target, context.progress)?;
    remark_report(&report, &wanted, &told);
    let outlook = Outlook::of_dir(&plan, &report, target.dir(), context);
    print_report(&archive, &plan, &report, &outlook, context)?;
    Ok(told.outcome(&outlook))
}

/// What is said on standard error. Whatever of it is a problem ends the command with exit code 3.
struct Told<'p> {
    progress: &'p dyn Progress,
    problems: Cell<bool>,
}

impl Told<'_> {
    /// Says something that costs nothing of what was asked for.
    fn note(&self, what: &dyn fmt::Display) {
        self.progress.remark(what);
    }

    /// Says that something of what was asked for does not come back, or not as it was.
    fn problem(&self, what: &dyn fmt::Display) {
        self.problems.set(true);
        self.progress.remark(what);
    }

    /// Says something that is a problem or is none.
    fn say(&self, is_problem: bool, what: &dyn fmt::Display) {
        if is_problem {
            self.problem(what);
        } else {
            self.note(what);
        }
    }

    fn outcome(&self, outlook: &Outlook) -> Outcome {
        Outcome::problems_if(
            self.problems.get() || !outlook.takes_samples() || outlook.leaves_out(),
        )
    }
}

/// Says what came otherwise than it should, or not at all.
fn remark_report(report: &restore::Report, wanted: &Wanted, told: &Told<'_>) {
    for detour in &report.detours {
        told.note(&report::backup::detour(detour));
    }
    for failed in &report.failed {
        let (name, error) = (&failed.name, failed.error.chain());
        let hint = failed.hint();
        told.problem(&format_args!("{name} could not be restored{hint}: {error}"));
    }
    for ulid in &report.beside {
        told.problem(&format_args!(
            "block {ulid} comes in the place of what could not be restored, of which it holds a part"
        ));
    }
    for mixed in &report.mixed {
        told.problem(&report::backup::mixed(mixed));
    }
    if let Some(error) = &report.left_behind {
        let error = error.chain();
        told.note(&format_args!(
            "everything is restored, and a hidden directory is left, which may be removed: {error}"
        ));
    }
    for salvaged in &report.salvaged {
        for line in report::backup::salvaged(salvaged) {
            told.problem(&line);
        }
    }
    // Of an archive its own blocks are asked for, of a range of time its samples.
    let is_range = matches!(wanted, Wanted::Range(_));
    for (stand_in, reason) in report.stand_ins.iter().zip(&report.reasons) {
        let text = report::backup::stand_in(stand_in, reason);
        told.say(!is_range || stand_in.undeleted, &text);
    }
}

/// Names blocks that are in the target already, and are not what any of `stored` is.
fn remark_different<'a>(
    target: &Target,
    plan: &Plan<'_>,
    stored: impl Iterator<Item = &'a StoredBlock>,
    told: &Told<'_>,
) {
    let mut variants: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for block in stored {
        variants.entry(block.ulid).or_default().push(block);
    }
    // The samples of others are there in other blocks.
    let there: BTreeSet<Ulid> = plan.present.iter().map(|kin| kin.ulid).collect();
    let already = plan.already_there.iter();
    for ulid in already.filter(|ulid| there.contains(ulid)) {
        let mut variants = variants.get(ulid).into_iter().flatten();
        let differences: Option<Vec<_>> = variants.try_fold(Vec::new(), |mut all, block| {
            all.push(target.difference(block)?);
            Some(all)
        });
        let Some(difference) = differences.and_then(|them| them.into_iter().next()) else {
            continue;
        };
        told.problem(&format_args!(
            "block {ulid} is in {} already, but not as it was archived, and is not restored: {difference}; move it away and restore again",
            target.dir().display()
        ));
    }
}

/// Says so if the target has logs that are not those of `archive`: by the names and sizes of their files.
fn remark_other_logs(plan: &Plan<'_>, archive: &Archive, target: &Target, told: &Told<'_>) {
    let Some(wal) = archive.wal.as_ref().filter(|_| plan.has_wal) else {
        return;
    };
    let dir = target.dir();
    let differs = wal.files.iter().find(|file| {
        let there = std::fs::symlink_metadata(dir.join(file.name.as_str()));
        !there.is_ok_and(|there| there.is_file() && there.len() == file.bytes)
    });
    if let Some(file) = differs {
        told.problem(&format_args!(
            "there is a log in {} already, and it is not the one that was archived ({} is not there, or has another size): the archived one is not restored, \
             and what only it holds does not come back; move wal and wbl away and restore again, or say --no-wal",
            dir.display(),
            file.name
        ));
    }
}

/// Names blocks that were asked for by their ULIDs and are in the target already: nobody has looked whether they are sound.
fn remark_there(plan: &Plan<'_>, wanted: &Wanted, target: &Target, told: &Told<'_>) {
    if !matches!(wanted, Wanted::Blocks(_)) {
        return;
    }
    // The samples of others are there in other blocks.
    let there: BTreeSet<Ulid> = plan.present.iter().map(|kin| kin.ulid).collect();
    let already = plan.already_there.iter();
    for ulid in already.filter(|ulid| there.contains(ulid)) {
        told.problem(&format_args!(
            "block {ulid} is in {} already and is not restored: only the names and sizes of its files were compared; to have it anew, move it away first",
            target.dir().display()
        ));
    }
}

/// Names blocks that were damaged when they were archived, and what becomes of them.
fn remark_damaged(plan: &Plan<'_>, wanted: &Wanted, told: &Told<'_>) {
    let hint = match wanted {
        Wanted::Range(_) => "",
        Wanted::Archive | Wanted::Blocks(_) => " (--as-archived brings it as it was)",
    };
    for replaced in &plan.replaced {
        let text = report::backup::replaced(replaced);
        told.problem(&format_args!("{text}{hint}"));
    }
    for block in plan.damaged() {
        let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
        let then = if plan.cuts(block) {
            "cannot be cut"
        } else {
            "comes back as it was"
        };
        told.problem(&format_args!(
            "block {} was damaged when it was archived and {then}: {}",
            block.ulid,
            kinds.join(", ")
        ));
    }
}

/// Names what the backup could not archive, unless another archive holds it.
fn remark_missed(
    wanted: &Wanted,
    archive: &Archive,
    chain: &[Archive],
    plan: &Plan<'_>,
    told: &Told<'_>,
) {
    let is_range = match wanted {
        Wanted::Archive => false,
        Wanted::Range(_) => true,
        Wanted::Blocks(_) => return,
    };
    // By itself, or by a block that was made of it. That no time is without a block says nothing: blocks may overlap. Of what holds a part of its
    // sources, nobody knows whether it held more.
    let mut held = BTreeSet::new();
    for block in chain.iter().flat_map(|archive| &archive.blocks) {
        held.insert(block.ulid);
        let stream = stream(block);
        if !stream.is_aggregate() && !stream.selected && stream.shard().is_none() {
            held.extend(block.sources.iter().chain(&block.parents).copied());
        }
    }
    let uncovered = uncovered(plan, range(wanted));
    for left_out in archive.left_out.iter().filter(|left| left.is_missed()) {
        let name = &left_out.name;
        let of = name.split('/').next().unwrap_or(name);
        let may_lack = match of.parse() {
            Ok(ulid) => !is_range || !held.contains(&ulid),
            Err(_) => !is_range || plan.wal.is_some() || !uncovered.is_empty(),
        };
        if left_out.kind() == LeftOutKind::Unknown || may_lack {
            told.problem(&missed_text(left_out));
        }
    }
}

/// Fills in what blocks hold of their sources where manifests of earlier versions do not say and it matters: of blocks that may hold the same,
/// and of those that come back.
fn learn(
    copies: &Copies,
    wanted: &Wanted,
    archive: &mut Archive,
    chain: &mut [Archive],
    with_wal: bool,
    present: &Present,
    told: &Told<'_>,
) -> Result<()> {
    let read = |block: &StoredBlock| {
        read_meta(copies.store(), block).or_else(|error| {
            let mut files = block.files.iter();
            let meta = files.find(|file| file.name.as_str() == "meta.json");
            let found = meta.map(|meta| fetch_file(copies, block, meta, MAX_META));
            found.and_then(Result::ok).map(|found| found.0).ok_or(error)
        })
    };
    let mut asked = BTreeSet::new();
    let mut failed = BTreeSet::new();
    if !matches!(wanted, Wanted::Range(_)) {
        // Where there is a chain, its blocks may come in the place of damaged ones.
        let all = chain.iter().flat_map(|archive| &archive.blocks);
        asked.extend(all.map(|block| block.ulid));
    }
    loop {
        for archives in [&mut *chain, std::slice::from_mut(&mut *archive)] {
            for (ulid, error) in learn_streams(&read, archives, &asked) {
                if failed.insert(ulid) {
                    let error = error.chain();
                    told.problem(&format_args!(
                        "block {ulid}: cannot read what it holds of its sources: {error}"
                    ));
                }
            }
        }
        let plan = restore::plan(wanted, archive, chain, with_wal, present)?;
        let unknown = plan.blocks.iter().filter(|b| b.resolution.is_none());
        let before = asked.len();
        asked.extend(unknown.map(|block| block.ulid));
        if asked.len() == before {
            return Ok(());
        }
    }
}

/// Largest `meta.json` that is fetched, in bytes.
const MAX_META: u64 = 16 << 20;

/// Says what was chosen of blocks that hold the same, or do not go together.
fn remark_choice(plan: &Plan<'_>, wanted: &Wanted, told: &Told<'_>) {
    for block in &plan.aggregates_left_out {
        let (ulid, every) = (block.ulid, resolution_text(block));
        told.note(&format_args!(
            "block {ulid} holds aggregates of {every} and is left out: finer blocks hold its time"
        ));
    }
    for ulids in &plan.doubtful {
        let ulids: Vec<_> = ulids.iter().map(ToString::to_string).collect();
        let ulids = ulids.join(", ");
        told.note(&format_args!(
            "blocks of the same sources may be parts or copies, and all are taken: {ulids}"
        ));
    }
    for block in &plan.excluded {
        let ulid = block.ulid;
        told.problem(&format_args!(
            "block {ulid} holds samples that nothing else does and is left out: Prometheus would delete it, or its parent, \
             beside the others; restore it alone with --block {ulid}"
        ));
    }
    // The archive as it is is what was asked for.
    let is_archive = !matches!(wanted, Wanted::Range(_)) && plan.exact.is_none();
    for block in plan.aggregates() {
        let (ulid, every) = (block.ulid, resolution_text(block));
        let whole = match plan.exact {
            Some(_) => "; it is not cut and comes back whole",
            None => "",
        };
        told.say(!is_archive, &format_args!(
            "block {ulid} holds aggregates of {every}: a Prometheus starts with it, and cannot answer queries of its time{whole}"
        ));
    }
}

/// How far apart the samples of a block of aggregates are.
fn resolution_text(block: &StoredBlock) -> Value {
    Value::Duration(block.resolution.unwrap_or(0))
}

/// The time that is wanted.
fn range(wanted: &Wanted) -> TimeRange {
    match wanted {
        Wanted::Range(range) => *range,
        Wanted::Archive | Wanted::Blocks(_) => TimeRange::ALL,
    }
}

/// Says so if samples that are wanted are in the logs of `archive` only, which are not restored, or of another archive of the `chain`.
fn remark_wal(
    args: &Args,
    wanted: &Wanted,
    archive: &Archive,
    (chain, plan): (&[Archive], &Plan<'_>),
    told: &Told<'_>,
) {
    let range = range(wanted);
    // Single blocks are what was asked for; of a whole archive the log comes along where nothing is cut.
    let is_asked = match wanted {
        Wanted::Range(_) => true,
        Wanted::Archive => args.exact,
        Wanted::Blocks(_) => false,
    };
    if !is_asked || args.no_wal {
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
    let own = if plan.wal.is_some() {
        Vec::new()
    } else {
        wanted_of(in_logs_only(archive))
    };
    let what = if args.exact {
        "the WAL cannot be cut and is left out; restore without --exact and with --wal to have them"
    } else {
        "it is not restored; add it with --wal"
    };
    for (first, last) in &own {
        told.problem(&format_args!(
            "samples that are asked for, from {} to {}, are in the WAL of the archive only: {what}, or leave it out on purpose with --no-wal",
            time_text(*first),
            time_text(*last)
        ));
    }
    if !matches!(wanted, Wanted::Range(_)) {
        return;
    }
    // What the logs of other archives hold is in blocks of later ones, but for times that no block covers.
    let uncovered = uncovered(plan, range);
    let mut covered = own;
    covered.extend(
        archive
            .wal
            .iter()
            .filter(|_| plan.wal.is_some())
            .filter_map(span),
    );
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
            told.problem(&format_args!(
                "no block holds the time from {} to {}, and the log of archive {id} holds samples of it: restore that archive by its id to have them, or \
                 leave logs out on purpose with --no-wal",
                time_text(*first),
                time_text(*last)
            ));
        }
        covered.extend(news);
    }
}

/// The gaps between the blocks of `plan`, and what of `range` lies before and behind all of them.
fn uncovered(plan: &Plan<'_>, range: TimeRange) -> Vec<Gap> {
    let begins = plan.blocks.iter().map(|block| block.min_time);
    let ends = plan.blocks.iter().map(|block| block.max_time);
    let (first, last) = (begins.min(), ends.max());
    let before = Gap {
        min_time: range.since,
        max_time: first.unwrap_or(range.until),
    };
    let behind = Gap {
        min_time: last.unwrap_or(range.until),
        max_time: range.until,
    };
    let edges = [before, behind].into_iter();
    let edges = edges.filter(|gap| gap.min_time < gap.max_time);
    plan.gaps.iter().copied().chain(edges).collect()
}

/// Times of the first and the last sample of a log, as far as they are known.
fn span(wal: &StoredWal) -> Option<(Millis, Millis)> {
    wal.min_time.zip(wal.max_time)
}

/// All archives of the same source as `archive` that fit `filter`. A name may have moved from one
/// host to another, with its blocks or without them: that is said.
fn chain(
    repository: &Repository,
    archive: &Archive,
    filter: &SourceFilter,
    told: &Told<'_>,
) -> Result<Vec<Archive>> {
    let mut all = repository.archives()?;
    for damaged in &all.damaged {
        told.problem(&damaged.error.chain());
    }
    all.archives
        .retain(|other| other.source_name == archive.source_name && filter.matches(other));
    let hosts: BTreeSet<_> = all.archives.iter().map(|other| &*other.host).collect();
    if hosts.len() > 1 {
        let hosts: Vec<_> = hosts.into_iter().collect();
        told.note(&format_args!(
            "{} was archived on several hosts ({}), whose archives are taken together: --host takes those of one",
            archive.source_name,
            hosts.join(", ")
        ));
    }
    Ok(all.archives)
}

fn print_plan(plan: &Plan<'_>, outlook: &Outlook, context: &mut Context<'_>) -> Result<()> {
    if context.json {
        let blocks: Vec<_> = plan.blocks.iter().map(|block| block.ulid).collect();
        let to_cut = plan.blocks.iter().filter(|block| plan.cuts(block));
        let to_cut: Vec<_> = to_cut.map(|block| block.ulid).collect();
        let mut said = json!({
            "blocks": blocks,
            "to_cut": to_cut,
            "already_there": plan.already_there,
            "wal": plan.wal.is_some(),
            "bytes": plan.bytes(),
            "gaps": plan.gaps,
            "replaced": plan.replaced.iter().map(stand_in_json).collect::<Vec<_>>(),
            "aggregates": ulids(plan.aggregates()),
            "aggregates_left_out": ulids(plan.aggregates_left_out.iter().copied()),
            "doubtful": plan.doubtful,
            "excluded": ulids(plan.excluded.iter().copied()),
        });
        outlook.add_to(&mut said);
        return context.print_json(&said);
    }
    for block in &plan.blocks {
        let (ulid, bytes) = (block.ulid, bytes_text(block.bytes()));
        let verb = if plan.cuts(block) { "cut" } else { "restore" };
        context.print(format_args!("{verb:<13}  {ulid}  {bytes}\n"))?;
    }
    if let Some(wal) = plan.wal {
        let bytes = bytes_text(wal.bytes());
        context.print(format_args!("restore        WAL  {bytes}\n"))?;
    }
    print_rest(plan, context)?;
    outlook.print(context)
}

fn print_report(
    archive: &Archive,
    plan: &Plan<'_>,
    report: &restore::Report,
    outlook: &Outlook,
    context: &mut Context<'_>,
) -> Result<()> {
    if context.json {
        let failed = report.failed.iter();
        let failed = failed.map(|f| {
            json!({
                "name": f.name,
                "error": f.error.chain(),
                "salvageable": f.salvageable,
            })
        });
        let mut said = json!({
            "archive": archive.id,
            "blocks": report.blocks,
            "cut": report.cut.iter().map(cut_json).collect::<Vec<_>>(),
            "already_there": plan.already_there,
            "wal": report.wal,
            "bytes": report.bytes,
            "gaps": plan.gaps.iter().chain(&report.holes).collect::<Vec<_>>(),
            "beside": report.beside,
            "replaced": plan.replaced.iter().chain(&report.stand_ins).map(stand_in_json).collect::<Vec<_>>(),
            "aggregates": ulids(plan.aggregates()),
            "aggregates_left_out": ulids(plan.aggregates_left_out.iter().copied()),
            "doubtful": plan.doubtful,
            "excluded": ulids(plan.excluded.iter().copied()),
            "failed": failed.collect::<Vec<_>>(),
            "mixed": report.mixed.iter().map(|m| json!({"name": m.name, "error": m.error.chain()})).collect::<Vec<_>>(),
            "salvaged": report.salvaged.iter().map(report::backup::salvaged_json).collect::<Vec<_>>(),
            "taken": report.detours.iter().map(detour_json).collect::<Vec<_>>(),
        });
        outlook.add_to(&mut said);
        return context.print_json(&said);
    }
    let (id, source, time) = (
        archive.id.short(),
        Value::text(&archive.source_name),
        Value::Stamp(archive.time),
    );
    context.print(format_args!("archive {id} of {source}, {time}\n"))?;
    context.print(RESTORE.all(report).lines())?;
    for cut in &report.cut {
        let original = cut.original;
        match &cut.block {
            Some(made) => {
                let (ulid, series, samples) = (made.ulid, made.series, made.samples);
                context.print(format_args!(
                    "cut            {original} to {ulid}: {samples} samples of {series} series\n"
                ))?;
            }
            None => context.print(format_args!("nothing of     {original}\n"))?,
        }
    }
    for salvaged in &report.salvaged {
        let original = salvaged.original;
        if let Some(made) = &salvaged.block {
            let (ulid, series, samples) = (made.ulid, made.series, made.samples);
            context.print(format_args!(
                "salvaged       {original} to {ulid}: {samples} samples of {series} series\n"
            ))?;
        }
    }
    print_rest(plan, context)?;
    for hole in &report.holes {
        context.print(format_args!("no block for   {}\n", gap_text(hole)))?;
    }
    outlook.print(context)
}

fn stand_in_json(stand_in: &StandIn) -> serde_json::Value {
    json!({"block": stand_in.ulid, "by": stand_in.by, "undeleted": stand_in.undeleted, "sources": stand_in.sources})
}

fn ulids<'a>(blocks: impl Iterator<Item = &'a StoredBlock>) -> Vec<Ulid> {
    blocks.map(|block| block.ulid).collect()
}

/// A block that was to be cut; `block`, `series` and `samples` are null when nothing is left of it.
fn cut_json(cut: &Cut) -> serde_json::Value {
    json!({
        "original": cut.original,
        "block": cut.block.map(|made| made.ulid),
        "series": cut.block.map(|made| made.series),
        "samples": cut.block.map(|made| made.samples),
    })
}

fn print_rest(plan: &Plan<'_>, context: &mut Context<'_>) -> Result<()> {
    for ulid in &plan.already_there {
        context.print(format_args!("already there  {ulid}\n"))?;
    }
    if plan.has_wal {
        context.print("already there  WAL\n")?;
    }
    for block in plan.aggregates() {
        let (ulid, every) = (block.ulid, resolution_text(block));
        context.print(format_args!("aggregates     {ulid}  of {every}\n"))?;
    }
    let left_out = plan.aggregates_left_out.iter().chain(&plan.excluded);
    for block in left_out {
        context.print(format_args!("left out       {}\n", block.ulid))?;
    }
    for gap in &plan.gaps {
        context.print(format_args!("no block for   {}\n", gap_text(gap)))?;
    }
    Ok(())
}
