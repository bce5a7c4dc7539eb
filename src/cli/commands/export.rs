//! `narthex export`: a stored block as a plain tar.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use crate::cli::args::SourceArgs;
use crate::cli::context::{Context, output_error};
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::stored::find;
use crate::error::{Error, Result};
use crate::model::{TimeRange, Ulid, now};
use crate::report::backup as report;
use crate::repository::copies::Copies;
use crate::repository::lineage::is_damaged;
use crate::restore::{export_tar, no_block, sound_copy};

/// Which block, out of which archive.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex export 01M7ZTB71NJ67GWWE5SXTVHFTH --repo /srv/backup/prometheus > block.tar
  narthex export 01M7ZTB71NJ67GWWE5SXTVHFTH --archive 3f9a | tar -x -C /tmp

Writes the block as it was to standard output, whatever codec it is stored in: tar -x makes a directory that \
Prometheus and promtool open. Every file is proved. If an object of the block is damaged, its content is taken from wherever else in \
the repository it is sound, which is named on standard error; if it is nowhere, the exit code is 1. Of a block that was damaged when it was archived a sound copy is \
written where an archive has one, else the block as it was; both are named, with exit code 3.")]
pub(crate) struct Args {
    /// ULID of the block
    block: Ulid,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// The beginning of an archive's id, or `latest`
    #[arg(long, value_name = "ARCHIVE", default_value = "latest")]
    archive: String,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Write a block that was damaged when it was archived as it is, even if another archive has a
    /// sound copy
    #[arg(long)]
    as_archived: bool,
    /// What is written
    #[arg(long, value_enum, default_value_t = Format::Tar)]
    format: Format,
}

/// Formats of an exported block.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A tar stream with the files below a directory that is called as the block
    Tar,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    if io::stdout().is_terminal() {
        return Err(Error::invalid(
            "expected standard output to be a file or a pipe, found a terminal: add > block.tar",
        ));
    }
    let filter = args.sources.filter();
    let repository = args.repo.open()?.holding(&args.archive, &filter, now())?;
    let (archive, doubts) = find(
        &repository,
        &args.archive,
        &filter,
        TimeRange::NONE,
        context,
    )?;
    let doubtful = !doubts.is_empty();
    let block = archive.blocks.iter().find(|block| block.ulid == args.block);
    let block = block.ok_or_else(|| no_block(&archive, args.block))?;
    let copies = Copies::new(&repository)?;
    let copy = sound_copy(&copies, block).filter(|_| !args.as_archived);
    let is_faulty = copy.is_some() || is_damaged(block);
    let block = match copy {
        Some((copy, replaced)) => {
            let text = report::replaced(&replaced);
            let hint = "--as-archived writes it as it was";
            context.progress.remark(&format_args!("{text} ({hint})"));
            copy
        }
        None if is_damaged(block) => {
            let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
            context.progress.remark(&format_args!(
                "block {} was damaged when it was archived and is written as it was: {}",
                block.ulid,
                kinds.join(", ")
            ));
            block
        }
        None => block,
    };
    // Files are passed on by whichever thread has them, and standard output's lock belongs to one.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let stdout = File::from(stdout.map_err(output_error)?);
    let mut out = io::BufWriter::with_capacity(1 << 20, stdout);
    match args.format {
        Format::Tar => {
            if let Some(detour) = export_tar(&copies, block, &mut out, context.progress)? {
                context.progress.remark(&report::detour(&detour));
            }
        }
    }
    Ok(Ending::problems_if(doubtful || is_faulty))
}
