//! `narthex diff`: what two archives or directories do not share.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use crate::cli::args::{REPOSITORY_HEADING, SourceArgs};
use crate::cli::config::RepoName;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::logs;
use crate::cli::repo::{REPO_VARIABLE, choose_to_read, open_repository};
use crate::cli::selection::SelectionArgs;
use crate::cli::stored::{Need, Opened, find};
use crate::compare::{self, Comparison, Equality, Files, SideName, compare, same_files};
use crate::error::{Error, Result};
use crate::model::{TimeRange, now};
use crate::report::archives::CHANGES;
use crate::report::compare::{COUNTS, FILES, LISTS, SIDES, Side, equality_key, verdict};
use crate::report::trouble::TROUBLE;
use crate::report::{self, Extent, SheetOf};
use crate::repository::{Archive, Parts, Repository, diff};
use crate::select::{ReadKind, SelectedBlocks, Selection};
use crate::trouble::{AnyTrouble, Trouble};

/// What an archive is marked with, so that it is none of the files.
const ARCHIVE_PREFIX: &str = "archive:";

/// Which two, and how closely.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex diff 3f2a latest --repo /srv/backup/prometheus
  narthex diff latest /tmp/restored --repo /srv/backup/prometheus --prove
  narthex diff data-replica-0 data-replica-1 --prove=series
  narthex diff monday/data tuesday/data --match '{job=\"node\"}' --top 50

A and B are paths or archives. What exists as a path is a path; anything else is an archive of --repo: latest, or the beginning of \
an id. archive:latest is an archive whatever files there are, ./latest is a path.

Of two archives only the lists of blocks are compared, unless --content or another option about samples is given. Otherwise all samples are \
read as a query would see them: overlapping blocks merged, deleted ranges left out, however blocks are cut or compacted. Archives are \
unpacked into a temporary directory (TMPDIR), which must have room for them. The newest hours, which are in logs and in no block yet, are compared as well; --no-head leaves them out.

That A and B differ is a result: the exit code is 0. It is 3 if anything could not be read; with --prove also unless they are equal to the level \
asked for, and if neither has a series, because then nothing was proved.")]
pub(crate) struct Args {
    /// The first: a data directory, a Prometheus snapshot, a block; or an archive
    a: String,
    /// The second, likewise
    b: String,
    /// The repository archives are in, its directory or its name in the configuration;
    /// `NARTHEX_REPO` may say it instead
    #[arg(long, env = REPO_VARIABLE, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    repo: Option<RepoName>,
    #[command(flatten)]
    sources: SourceArgs,
    /// Compare the samples of two archives, not their lists of blocks
    #[arg(long, help_heading = "How closely")]
    content: bool,
    /// Exit with 3 unless A and B are equal: in all samples, or as the level says
    #[arg(
        long,
        value_name = "LEVEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "samples", help_heading = "How closely")]
    prove: Option<Level>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    head: HeadArgs,
    /// The most metrics, series and samples to name; all are counted. 0: all
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        help_heading = "How closely"
    )]
    top: usize,
}

/// How equal the sides must be.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// The same blocks, every file byte for byte
    Files,
    /// The same samples, bit for bit, whatever blocks they are in
    Samples,
    /// The same series, whatever their samples: as replicas that scrape the same targets
    Series,
}

impl From<Level> for Equality {
    fn from(level: Level) -> Self {
        match level {
            Level::Files => Equality::Files,
            Level::Samples => Equality::Samples,
            Level::Series => Equality::Series,
        }
    }
}

/// The most problems that are listed in JSON; all are printed and counted.
const PROBLEMS_KEPT: usize = 1_000;

/// What an argument stands for.
enum Named {
    Path(PathBuf),
    Archive(Box<NamedArchive>),
}

/// An archive that was named.
struct NamedArchive {
    archive: Archive,
    /// Where it lies.
    repository: Repository,
    /// Whether it may not be the one that was meant.
    is_doubtful: bool,
}

/// One side, ready to be read.
struct Readable {
    sources: SelectedBlocks,
    incomplete: bool,
    /// The blocks that did not open.
    told: Vec<AnyTrouble>,
    _opened: Opened,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let selection = args.selection()?;
    let mut parts = None;
    let a = args.named(&args.a, &mut parts, context)?;
    let b = args.named(&args.b, &mut parts, context)?;
    if let (Named::Archive(a), Named::Archive(b)) = (&a, &b)
        && !args.wants_content()
    {
        let outcome = block_lists(&a.archive, &b.archive, context)?;
        let is_doubtful = a.is_doubtful || b.is_doubtful;
        return Ok(outcome.max(Ending::problems_if(is_doubtful)));
    }
    let (a, b) = (
        open(SideName::A, a, &selection, args.head, context)?,
        open(SideName::B, b, &selection, args.head, context)?,
    );
    let options = compare::CompareOptions {
        selection,
        // Of what is to be sorted, all is needed to know the first.
        named: if args.top == 0 || context.view.sort.is_some() {
            usize::MAX
        } else {
            args.top
        },
    };
    let (blocks_a, blocks_b) = (&a.sources.blocks, &b.sources.blocks);
    let files = if args.selection.is_everything() {
        Some(same_files(blocks_a, blocks_b)?)
    } else {
        None
    };
    let progress = context.progress;
    let mut told = [a.told, b.told].concat();
    let mut report = |side, problem| {
        progress.remark(&report::compare::problem(side, &problem));
        if told.len() < PROBLEMS_KEPT {
            told.push(told_of(side, Trouble::from(&problem)));
        }
    };
    let found = compare(blocks_a, blocks_b, &options, progress, &mut report)?;
    let complete = !(found.has_problems() || a.incomplete || b.incomplete);
    let equality = found.equality(files.as_ref());
    let is_empty = found.a.series == 0 && found.b.series == 0;
    args.print(&found, files, &told, complete, context)?;
    if is_empty {
        context
            .progress
            .remark(&"neither side has a series with samples: nothing was compared");
    }
    let refuted = args
        .prove
        .is_some_and(|level| is_empty || equality < level.into());
    Ok(Ending::problems_if(!complete || refuted))
}

/// Compares what two archives list.
fn block_lists(a: &Archive, b: &Archive, context: &mut Context<'_>) -> Result<Ending> {
    let diff = diff(a, b);
    for (ulid, found) in &diff.contradictions {
        context.progress.remark(&format_args!(
            "block {ulid} has the same index and chunks in both archives, and another meta.json: {found}; one of them was damaged"
        ));
    }
    if context.json {
        let changes = CHANGES.all(&diff).json();
        context.print_json(
            &json!({"a": a.id, "b": b.id, "shared": diff.shared, "changes": changes}),
        )?;
    } else {
        if !diff.changes.is_empty() {
            let view = &context.view;
            let text = view.of(&CHANGES, &diff, Extent::All).text(view);
            context.print(text)?;
        }
        context.print(format_args!(
            "{} blocks differ, {} are shared\n",
            diff.changes.len(),
            diff.shared
        ))?;
    }
    Ok(Ending::problems_if(!diff.contradictions.is_empty()))
}

/// Trouble of one side, which its place begins with.
fn told_of(side: SideName, mut trouble: Trouble<ReadKind>) -> AnyTrouble {
    let name = match side {
        SideName::A => "a",
        SideName::B => "b",
    };
    trouble.place = format!("{name}: {}", trouble.place);
    AnyTrouble::from(&trouble)
}

fn open(
    side: SideName,
    named: Named,
    selection: &Selection,
    head: HeadArgs,
    context: &Context<'_>,
) -> Result<Readable> {
    let opened = match named {
        Named::Archive(named) => {
            let (repository, archive) = (&named.repository, &named.archive);
            let logs = !head.no_head && logs::has_head(archive, selection.range);
            let need = Need::Blocks;
            let mut opened = Opened::of_archive(repository, archive, &[], need, logs, context)?;
            opened.incomplete |= named.is_doubtful;
            opened
        }
        Named::Path(path) => Opened::of_paths(vec![path]),
    };
    let opened = if head.no_head {
        opened
    } else {
        opened.with_heads(selection.range, context)?
    };
    let sources = SelectedBlocks::open(&opened.scan_first()?, selection.range, context.read_mode);
    let mut told = Vec::new();
    for block in &sources.unreadable {
        context.progress.remark(&report::dump::unreadable(block));
        told.push(told_of(side, report::dump::trouble(block)));
    }
    Ok(Readable {
        told,
        incomplete: opened.incomplete || sources.are_incomplete(),
        sources,
        _opened: opened,
    })
}

fn no_repository() -> Error {
    Error::invalid(format!(
        "expected --repo or {REPO_VARIABLE} for an archive, found neither"
    ))
}

impl Args {
    /// Whether two archives are to be compared by their samples.
    fn wants_content(&self) -> bool {
        self.content || self.prove.is_some() || !self.selection.is_everything()
    }

    fn selection(&self) -> Result<Selection> {
        if matches!(self.prove, Some(Level::Files)) && !self.selection.is_everything() {
            return Err(Error::invalid(
                "expected --prove=samples or --prove=series beside --match, --since or --until, found --prove=files: part of a file is no file",
            ));
        }
        self.selection.selection()
    }

    fn named(
        &self,
        text: &str,
        opened: &mut Option<Parts>,
        context: &Context<'_>,
    ) -> Result<Named> {
        let selector = match text.strip_prefix(ARCHIVE_PREFIX) {
            Some(selector) => selector,
            None if Path::new(text).exists() => return Ok(Named::Path(text.into())),
            None if text.contains('/') => {
                return Err(Error::not_found(format!("there is no directory {text}")));
            }
            None => text,
        };
        let Some(location) = choose_to_read(self.repo.as_ref(), self.sources.source())? else {
            return Err(no_repository().context(format!("{text} is no directory")));
        };
        let parts = match opened.take() {
            Some(opened) => opened,
            None => open_repository(&location)?,
        };
        let filter = self.sources.filter();
        let holding = parts.holding(selector, &filter, now());
        *opened = Some(parts);
        let repository = holding?;
        let (archive, doubts) = find(&repository, selector, &filter, TimeRange::ALL, context)?;
        Ok(Named::Archive(Box::new(NamedArchive {
            archive,
            repository,
            is_doubtful: !doubts.is_empty(),
        })))
    }

    fn print(
        &self,
        found: &Comparison,
        files: Option<Files>,
        told: &[AnyTrouble],
        complete: bool,
        context: &mut Context<'_>,
    ) -> Result<()> {
        let side = |name, source: &str, totals: &compare::SideTotals| Side {
            name,
            source: source.to_owned(),
            totals: totals.clone(),
        };
        let sides = [side("a", &self.a, &found.a), side("b", &self.b, &found.b)];
        let top = if self.top == 0 { usize::MAX } else { self.top };
        let equality = found.equality(files.as_ref());
        if context.json {
            let mut object = Map::new();
            object.insert("equal".to_owned(), json!(equality_key(equality)));
            object.insert("complete".to_owned(), json!(complete));
            SIDES.add_to(&mut object, &sides, Extent::Document);
            COUNTS.add_to(&mut object, found, Extent::Document);
            object.insert("files".to_owned(), Json::Null);
            if let Some(files) = &files {
                FILES.add_to(&mut object, files, Extent::Document);
            }
            for sheet in LISTS {
                sheet.add_to(&mut object, found, Extent::Top(top));
            }
            TROUBLE.add_to(&mut object, told, Extent::Document);
            return context.print_json(&Json::Object(object));
        }
        let view = &context.view;
        let sides = view.of(&SIDES, &sides[..], Extent::All).text(view);
        context.print(sides)?;
        let view = &context.view;
        let counts = view.of(&COUNTS, found, Extent::All).told(view);
        context.print(format_args!("\n{counts}"))?;
        for sheet in LISTS {
            let view = &context.view;
            let table = view.of(*sheet, found, Extent::Top(top)).first(top);
            if table.is_empty() {
                continue;
            }
            let shown = table.len();
            let more = table.longer().map(|all| format!(" ({shown} of {all})"));
            let more = more.unwrap_or_default();
            let (title, table) = (sheet.title(), table.text(view));
            context.print(format_args!("\n{title}{more}:\n{table}"))?;
        }
        // Sides with other samples have other files, too.
        if equality >= Equality::Samples
            && let Some(difference) = files.and_then(|files| files.first_difference)
        {
            context.print(format_args!(
                "\nFiles differ: {}\n",
                report::safe_line(&difference)
            ))?;
        }
        context.print(format_args!("\n{}\n", verdict(equality, complete)))
    }
}
