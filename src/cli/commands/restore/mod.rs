//! `narthex restore`: brings an archive, or a range of time, back into a directory.
//!
//! What it remarks depends on what was typed, so its files know its [`Args`] as it knows them.

mod print;
mod remarks;
mod replace;

use std::path::{Path, PathBuf};

use crate::cli::args::{SourceArgs, local_path};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::logs::has_head;
use crate::cli::outlook::Outlook;
use crate::cli::ownership::OwnershipArgs;
use crate::cli::repo::RepoArgs;
use crate::cli::selection::time_range;
use crate::cli::stored::find;
use crate::error::{Error, Result};
use crate::model::{TimeRange, Ulid, now};
use crate::raw::ReadMode;
use crate::repository::copies::Copies;
use crate::repository::lineage::has_problems;
use crate::restore::{self, Exact, ProblemKind, Salvage, Target, Wanted};
use crate::select::{Selection, Selector};
use print::{print_plan, print_report};
use remarks::{
    Told, chain, learn, range, remark_choice, remark_damaged, remark_different, remark_missed,
    remark_other_logs, remark_owner, remark_report, remark_room, remark_there, remark_wal,
};

/// What to restore, and where to.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("bounds").args(["since", "until", "matches"]).multiple(true))]
#[command(after_help = "\
Examples:
  narthex restore latest --repo /srv/backup/prometheus --target /var/lib/prometheus
  narthex restore 3f9a --repo /srv/backup/prometheus --target /tmp/then
  narthex restore latest --target /tmp/november --since 2026-11-01 --until 2026-12-01
  narthex restore latest --target /tmp/one --block 01M7ZTB71NJ67GWWE5SXTVHFTH

Mend a data directory in place, while its server is stopped:
  narthex restore latest --target /var/lib/prometheus --replace-damaged

Give a colleague one job's samples of a day, and nothing else:
  narthex restore latest --target /tmp/api --since 2026-11-20 --until 2026-11-21 --exact --match '{job=\"api\"}'

Every file is proved before it becomes visible, nothing is overwritten, and what the target's file system has no room for is not begun. Without --since, --until, --block \
and --exact the archive comes back exactly as it is, with its WAL. What is damaged in the repository is named on \
standard error, and taken from wherever else in the repository it is sound; if it is nowhere, blocks with the same samples come in its place, \
and else the rest is restored, with exit code 3. Of blocks that were damaged when they were archived a sound copy is taken where an archive has one; others \
come back as they were. Both are named, with exit code 3; --as-archived takes what the archive has (not of a range of time). The last line says whether \
a Prometheus will start on the result, as it lies in the target; where it will and deletes or drops something, for its age for example, that is said before.

Memory grows with the series of the largest block, by some 165 bytes each: 497 MiB at three million, with two threads. Blocks of native histograms come back at a tenth of the
speed of others.

With --salvage, what can still be read of a block that comes back in no other way comes back as a new block with a new ULID: every series and \
chunk of sound groups of its packs, of sound parts of its files, and of other blocks of the archives that hold its samples. It is verified in full before it \
becomes visible. What it is short of is named with its time, and the exit code is 3. Without --salvage it is said how much it would bring back.

With --exact a block that reaches beyond the wanted time, or holds series that are not wanted, is replaced by a new \
block with a new ULID: samples from --since on and before --until, of series that a --match selects, without deleted \
ones. Other blocks come back as they were. New blocks are verified in full before they become visible; until then \
their originals lie beside them, for which there must be room. Blocks that were damaged when they were archived are not cut but named, with exit code 3. Of \
blocks that are damaged in the repository only what is wanted need be sound; what of it is not is named, and the rest comes back with exit code 3. \
It needs an empty target. When nothing at all is left, the exit code is 1.

The newest hours are in the logs of the archive, and in no block yet. With the whole archive these logs come back as they were, so that a server goes on where it was; with \
--since, --until or --exact one block is made of them, as a start of Prometheus would replay them, verified and cut like the others. --head says it otherwise: \
log, block or none.

With --replace-damaged every block of the target is verified, those of --block if any are given. Of a damaged one a sound copy is looked for, in this archive and then in all others; it is written beside, verified in full, and then takes the place of the damaged block, which stays as ULID.damaged: Prometheus passes over it. Sound blocks are not touched. meta.json and tombstones stay as they are where they are sound, and with them what was deleted since the backup. A block that is named with --block is replaced for warnings, too. Owner and permissions are those of the damaged block. It can be run again after it was interrupted. The exit code is 3 where something stays damaged.")]
pub(crate) struct Args {
    /// The beginning of an archive's id, or `latest`
    archive: String,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Where to restore to: a directory that is empty or does not exist
    #[arg(long, value_name = "DIR", value_parser = local_path(), help_heading = "Where it comes to")]
    target: PathBuf,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Only time from here on, out of all archives of the same source [e.g. 2026-11-21T19:00:00Z,
    /// "2026-11-21 19:00" (UTC, as everything without a zone), 1795288080, 30d (ago)]
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "block",
        help_heading = "What comes back"
    )]
    since: Option<String>,
    /// Only time before this, which is not included, out of all archives of the same source; whole
    /// blocks come back, unless --exact is given
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "block",
        help_heading = "What comes back"
    )]
    until: Option<String>,
    /// Cut blocks: bring back nothing but the time and the series that are asked for
    #[arg(long, requires = "bounds", conflicts_with_all = ["wal", "add_missing"], help_heading = "What comes back")]
    exact: bool,
    /// The newest hours, which are in the logs of the archive and in no block: as these logs, as a
    /// block that is made of them, or not at all [default: log of a whole archive, block for a time
    /// or for series, none beside single blocks]
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        help_heading = "What comes back"
    )]
    head: Option<HeadForm>,
    /// Only these series, as a PromQL selector; may be repeated
    #[arg(
        short,
        long = "match",
        value_name = "SELECTOR",
        requires = "exact",
        help_heading = "What comes back"
    )]
    matches: Vec<Selector>,
    /// Bring back blocks that were damaged when they were archived as they are, even if the
    /// repository holds sound ones with the same samples
    #[arg(long, help_heading = "Damaged blocks")]
    as_archived: bool,
    /// Bring back what can still be read of blocks that do not come back as they were, as new
    /// blocks
    #[arg(long, help_heading = "Damaged blocks")]
    salvage: bool,
    /// Only this block of the archive; may be given several times
    #[arg(long, value_name = "ULID", help_heading = "What comes back")]
    block: Vec<Ulid>,
    /// The same as --head log
    #[arg(long, conflicts_with_all = ["no_wal", "head"], help_heading = "What comes back")]
    wal: bool,
    /// The same as --head none
    #[arg(long, conflicts_with = "head", help_heading = "What comes back")]
    no_wal: bool,
    /// Restore into a directory that is not empty what is not in it yet; blocks that are there are
    /// compared by the names and sizes of their files
    #[arg(long, help_heading = "Where it comes to")]
    add_missing: bool,
    /// Put sound copies in the place of damaged blocks of the target, a data directory in which no
    /// server is at work; with --block of these alone
    #[arg(long, conflicts_with_all = ["bounds", "exact", "as_archived", "salvage", "head", "wal", "no_wal", "add_missing"], help_heading = "Damaged blocks")]
    replace_damaged: bool,
    #[command(flatten)]
    ownership: OwnershipArgs,
    /// Say what would be restored, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// In which form the newest hours come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HeadForm {
    /// As the logs that they are in
    Log,
    /// As one block, made of the logs
    Block,
    /// Not at all
    None,
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Where blocks come back to.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    fn wanted(&self) -> Result<Wanted> {
        if !self.block.is_empty() {
            return Ok(Wanted::Blocks(self.block.iter().copied().collect()));
        }
        let range = time_range(self.since.as_deref(), self.until.as_deref())?;
        Ok(range.map_or(Wanted::Archive, Wanted::Range))
    }

    /// In which form the newest hours come back.
    fn head(&self, wanted: &Wanted) -> Result<HeadForm> {
        let form = match self.head {
            Some(form) => form,
            None if self.no_wal => HeadForm::None,
            None if self.wal => HeadForm::Log,
            None => match wanted {
                Wanted::Archive if !self.exact => HeadForm::Log,
                Wanted::Archive | Wanted::Range(_) => HeadForm::Block,
                Wanted::Blocks(_) => HeadForm::None,
            },
        };
        if self.exact && form == HeadForm::Log {
            return Err(Error::invalid(
                "expected --head block or --head none beside --exact, found --head log: a log cannot be cut",
            ));
        }
        Ok(form)
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

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let wanted = args.wanted()?;
    let filter = args.sources.filter();
    let repository = args.repo.open()?.holding(&args.archive, &filter, now())?;
    let asked = match &wanted {
        _ if args.replace_damaged => TimeRange::NONE,
        Wanted::Blocks(_) => TimeRange::NONE,
        Wanted::Archive | Wanted::Range(_) => range(&wanted),
    };
    let (mut archive, doubts) = find(&repository, &args.archive, &filter, asked, context)?;
    let told = Told::new(context.progress);
    for doubt in doubts {
        told.keep(ProblemKind::LatestDoubtful.at(archive.id.short(), doubt));
    }
    if args.replace_damaged {
        let copies = Copies::new(&repository)?;
        return replace::run(args, &archive, &copies, &told, context);
    }
    let mut chain = match wanted {
        Wanted::Range(_) => chain(&repository, &archive, &filter, &told)?,
        Wanted::Archive | Wanted::Blocks(_)
            if !args.as_archived && archive.blocks.iter().any(has_problems) =>
        {
            chain(&repository, &archive, &filter, &told)?
        }
        Wanted::Archive | Wanted::Blocks(_) => Vec::new(),
    };
    args.repo.refuse_inside(&args.target)?;
    let target = Target::new(&args.target, args.add_missing)?;
    for stale in target.stale_stages() {
        let dir = stale.display();
        let detail = format!("{dir} was left by an interrupted restore; remove it");
        told.tell(ProblemKind::StageLeft.at(dir.to_string(), detail));
    }
    let head = args.head(&wanted)?;
    let present = target.present()?;
    let with_wal = match head {
        HeadForm::Log => true,
        // Beside logs of its own a target gets no block that may hold what they hold.
        HeadForm::Block => present.logs.is_empty() && has_head(&archive, range(&wanted)),
        HeadForm::None => false,
    };
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
    if head == HeadForm::Block {
        plan.take_head(&archive, context.read_mode);
    }
    plan.salvage = Some(Salvage {
        asked: Selection::default(),
        bring: args.salvage,
        read_mode: context.read_mode,
    });
    plan.permissions = args.ownership.permissions();
    if head != HeadForm::None {
        remark_wal(args, &wanted, &archive, (&chain, &plan), &told);
    }
    remark_choice(&plan, &wanted, &told);
    remark_missed(&wanted, &archive, &chain, &plan, &told);
    remark_damaged(&plan, &wanted, &told);
    let stored = archive.blocks.iter();
    let stored = stored.chain(chain.iter().flat_map(|archive| &archive.blocks));
    remark_different(&target, &plan, stored, &told);
    remark_there(&plan, &wanted, &target, &told);
    remark_other_logs(&plan, &archive, &target, &told);
    remark_owner(&target, plan.permissions, &told);
    if args.dry_run {
        let outlook = Outlook::of_plan(&plan);
        remark_room(&plan, &target, &told);
        print_plan(&plan, &target, (&outlook, &told), context)?;
        return Ok(told.outcome(&outlook));
    }
    target.refuse_without_room(&plan)?;
    let report = restore::apply(&plan, &copies, &target, context.progress)?;
    remark_report(&report, &wanted, &told);
    let outlook = Outlook::of_dir(&plan, &report, target.dir(), context);
    print_report(&archive, &plan, &report, (&outlook, &told), context)?;
    Ok(told.outcome(&outlook))
}
