//! `narthex list`: blocks by time, from metadata and file sizes.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::block::{DataDir, DirKind};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::logs;
use crate::cli::stored::{Need, StoredArgs};
use crate::error::Result;
use crate::inspect::BlockListing;
use crate::model::now;
use crate::replay::ListedHead;
use crate::report::{blocks, safe_line};
use crate::wal::LogFacts;

/// What to list.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  narthex list /var/lib/prometheus
  narthex list --archive latest --repo /srv/backup/prometheus
  narthex list data --json | jq '.directories[].blocks[].ulid'

Reads metadata and file sizes of blocks; logs of up to 1 GiB are read whole, of longer ones the first and last segments; of an archive's logs its manifest says what they hold. The head is what is in the logs and in no block yet. Blocks whose metadata cannot be read are listed with the reason, those whose range of time cannot be true are marked, and the exit \
code is 3.")]
pub(crate) struct Args {
    /// Data directories, Prometheus snapshots or blocks
    #[arg(required_unless_present = "archive", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    #[command(flatten)]
    head: HeadArgs,
}

/// What is listed together: one directory, or the blocks of one that were named singly.
struct Group {
    path: PathBuf,
    place: DirKind,
    listings: Vec<BlockListing>,
    logs: Vec<LogFacts>,
    heads: Vec<ListedHead>,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let mut groups: Vec<Group> = Vec::new();
    let mut incomplete = false;
    let opened = args.stored.open(&args.paths, Need::Sizes, context)?;
    let now = now();
    for path in &opened.paths {
        let dir = DataDir::scan(path)?;
        let (logs, unread) = match &*opened.logs {
            [] => logs::glance(&dir, context),
            stored => (stored.to_vec(), false),
        };
        incomplete |= unread;
        let head = if args.head.no_head {
            None
        } else if args.stored.is_of_archive() {
            opened.head.clone()
        } else {
            let (head, unread) = logs::head_at_a_glance(&dir, &logs, context);
            incomplete |= unread;
            head
        };
        let heads = head.into_iter().collect();
        let mut listing = BlockListing::of(&dir);
        listing.judge(now);
        let (path, place) = (shown_path(&dir), dir.place());
        match groups
            .iter_mut()
            .find(|group| group.path == path && group.place == place)
        {
            Some(group) if place == DirKind::Block => group.listings.push(listing),
            _ => groups.push(Group {
                path,
                place,
                listings: vec![listing],
                logs,
                heads,
            }),
        }
    }
    let listed: Vec<_> = groups
        .into_iter()
        .map(|group| {
            (
                group.path,
                group.place,
                BlockListing::joined(group.listings),
                group.logs,
                group.heads,
            )
        })
        .collect();
    if context.json {
        let directories: Vec<_> = listed
            .iter()
            .map(|(path, place, listing, logs, heads)| {
                blocks::json(path, *place, listing, logs, heads)
            })
            .collect();
        context.print_json(&json!({ "directories": directories }))?;
    } else {
        for (i, (path, _, listing, logs, heads)) in listed.iter().enumerate() {
            if listed.len() > 1 {
                let blank = if i == 0 { "" } else { "\n" };
                context.print(format_args!(
                    "{blank}{}:\n",
                    safe_line(&path.to_string_lossy())
                ))?;
            }
            let text = blocks::text(listing, logs, heads, &context.view);
            context.print(text)?;
        }
    }
    let problems = opened.incomplete
        || incomplete
        || listed
            .iter()
            .any(|(_, _, listing, ..)| listing.has_problems());
    Ok(Ending::problems_if(problems))
}

/// Blocks that were named singly are listed under the directory they lie in.
fn shown_path(dir: &DataDir) -> PathBuf {
    match (dir.place(), dir.path().parent()) {
        (DirKind::Block, Some(parent)) if parent != Path::new("") => parent.to_owned(),
        (DirKind::Block, _) => PathBuf::from("."),
        _ => dir.path().to_owned(),
    }
}
