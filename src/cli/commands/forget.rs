//! `narthex forget`: removes archives by a policy, or by their ids.

use clap::ArgGroup;
use serde_json::{Value as Json, json};

use super::prune::{self, GraceArgs};
use crate::cli::args::SourceArgs;
use crate::cli::cache::{no_longer_miss, remark_vanished};
use crate::cli::config::{self, policy_text};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::keep::KeepArgs;
use crate::cli::repo::{Elsewhere, RepoArgs};
use crate::cli::state::StateArgs;
use crate::cli::stored::{remark_hidden, remark_unseen};
use crate::error::{Error, ErrorKind, Result};
use crate::model::now;
use crate::report::Extent;
use crate::report::retain::DECISIONS;
use crate::repository::{Parts, Repository};
use crate::retain::{Decision, ForgetSelection, Forgotten, Leave, Policy, forget};

/// Which archives to keep, or to remove.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("policy").multiple(true).args([
    "keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within",
]))]
#[command(group = ArgGroup::new("what").multiple(true).args([
    "ids", "keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within",
    "all",
]))]
#[command(after_help = "\
Examples:
  narthex forget --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  narthex forget --keep-daily 7 --keep-within 1m --source prometheus-0 --prune
  narthex forget 4f1c 77ab
  narthex forget --source prometheus-0        # by the policy of /etc/narthex.toml

Words are those of restic: an archive is kept when any of them wants it, and every group of archives of one host and source is \
looked at by itself. --keep-daily 7 keeps the newest archive of each of the last seven days that have one; the oldest archive of all is kept while \
a word has some left to give. Hours, days, ISO weeks, months and years are those of UTC. No policy empties a group or removes the last archive in it that holds blocks. A \
manifest that cannot be read, and an archive from the future, is never removed by a policy nor taken for the newest: it is named, with exit code 3. \
Forgetting frees no bytes: prune does.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// Remove these archives (beginnings of their ids) instead of going by a policy
    #[arg(value_name = "ID", conflicts_with = "policy")]
    ids: Vec<String>,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Let a server go for good: a group may lose its last archive, and the last that holds
    /// blocks. Without a policy --host, --source or --label must say which. With --prune, data
    /// is deleted even if no archive is left
    #[arg(long = "unsafe-allow-remove-all", help_heading = "What is kept")]
    all: bool,
    /// Say which archives would be removed, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Run prune afterwards; with --dry-run it says what it would do with all archives still there
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    grace: GraceArgs,
    #[command(flatten)]
    state: StateArgs,
    /// What the configuration says, where nothing was typed, and where it stands.
    #[arg(skip)]
    configured: Option<Box<(Policy, String)>>,
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Takes the policy of the source that is named from the configuration, if none was typed.
    /// Returns what is to be said of that.
    pub(crate) fn complete(&mut self) -> Result<Vec<String>> {
        if self.all || !self.ids.is_empty() || self.keep.policy() != Policy::default() {
            return Ok(Vec::new());
        }
        let wanted = "expected a policy such as --keep-daily 7, or ids of archives, found neither";
        let Some(name) = self.sources.source() else {
            return Err(Error::invalid(wanted));
        };
        let config = config::active()?;
        let source = config.and_then(|config| config.source(name));
        let Some(policy) = source.and_then(|source| source.policy.as_ref()) else {
            let nor = config.map_or_else(String::new, |config| {
                format!(", and {} has no policy of source {name}", config.file)
            });
            return Err(Error::invalid(format!("{wanted}{nor}")));
        };
        let (place, words) = (policy.place.to_string(), policy_text(&policy.value));
        let remark = format!("policy of source {name} of {place}: {words}");
        self.configured = Some(Box::new((policy.value.clone(), place)));
        Ok(vec![remark])
    }

    fn selection(&self) -> ForgetSelection {
        if !self.ids.is_empty() {
            return ForgetSelection::Ids(self.ids.clone());
        }
        if let Some(configured) = &self.configured {
            return ForgetSelection::Policy(configured.0.clone());
        }
        ForgetSelection::Policy(self.keep.policy())
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let parts = args.repo.open_to_change(&args.state)?;
    let meant = args.meant(&parts)?;
    let is_all = args.ids.is_empty() && args.sources.source().is_none();
    let mut hidden = is_all && remark_unseen(&parts, context)?;
    let mut is_witness_lost = false;
    let mut elsewhere = Elsewhere::default();
    let (mut forgotten, mut unwitnessed) = (Forgotten::default(), false);
    // What is refused in one part is refused before anything is removed in another.
    for (part, selection) in meant.iter().filter(|_| parts.is_by_source()) {
        elsewhere.pass_over(args.forget(part, selection, true), part)?;
    }
    let is_unread = elsewhere.end(context)?;
    for (part, selection) in meant.iter().filter(|_| args.prune) {
        match args.refuse_unwitnessed(part, selection) {
            Err(error) if args.dry_run && error.kind() == ErrorKind::Refused => {
                let refused = format_args!("without --dry-run this is refused: {}", error.chain());
                context.progress.remark(&refused);
                hidden = true;
            }
            refused => refused.map_err(|error| error.context("nothing was removed"))?,
        }
    }
    let mut elsewhere = Elsewhere::default();
    let mut prunable = Vec::new();
    for (part, selection) in &meant {
        is_witness_lost |= remark_lost_witness(part, context)?;
        // Of these, prune says more.
        hidden |= !args.prune && remark_hidden(part, context)?;
        let Some(own) = elsewhere.pass_over(args.forget(part, selection, args.dry_run), part)?
        else {
            prunable.push((part.clone(), false));
            continue;
        };
        let is_empty = own.decisions.is_empty() && own.damaged.is_empty();
        hidden |= is_empty && remark_vanished(part, context)?;
        // What archives need that count for nothing can be read without a key.
        let mut unread = own.damaged.iter();
        if unread.all(|it| it.error.kind() == ErrorKind::Refused) {
            // Where nothing was removed, manifests that are not there may be out of sight.
            prunable.push((part.clone(), args.all && own.removed() > 0));
        }
        unwitnessed |= !args.dry_run && after_forgetting(part, &own, context)?;
        let mut decisions = own.decisions.iter();
        if !args.dry_run && own.removed() > 0 && !decisions.any(Decision::is_kept) {
            no_longer_miss(part, context);
        }
        forgotten.absorb(own, part);
    }
    for damaged in &forgotten.damaged {
        context.progress.remark(&damaged.error.chain());
    }
    for ahead in &forgotten.ahead {
        context
            .progress
            .remark(&format_args!("{ahead}; it stays and counts for nothing"));
    }
    for ulid in &forgotten.damaged_blocks {
        context.progress.remark(&format_args!(
            "block {ulid} is damaged in the archives that stay, or they missed it: the newest others with its samples stay as well, until the next narthex \
             backup has stored it anew or no archive needs it; --unsafe-allow-remove-all lets them go"
        ));
    }
    for (id, why) in &forgotten.held {
        context.progress.remark(&format_args!(
            "archive {} was named and stays: {why}; --unsafe-allow-remove-all lets it go",
            id.short()
        ));
    }
    let mut json = to_json(&forgotten, args.dry_run);
    if let (Some(configured), Json::Object(members)) = (&args.configured, &mut json) {
        let (policy, place) = &**configured;
        let said = json!({"place": place, "words": policy_text(policy)});
        members.insert("policy".to_owned(), said);
    }
    if !context.json {
        print(&forgotten, args.dry_run, context)?;
    }
    let (mut has_expired, mut unpruned) = (false, None);
    if args.prune && prunable.len() < meant.len() {
        let reason = "not pruned: what an archive needs whose manifest cannot be read is not known";
        context.progress.remark(&reason);
    }
    if args.prune && !prunable.is_empty() {
        let options = args.grace.options(args.dry_run, false);
        let (pruned, failed) = prune::run_prune(&parts, &prunable, options, context)?;
        unpruned = failed;
        has_expired = !pruned.expired_claims.is_empty();
        if context.json {
            if let Json::Object(members) = &mut json {
                members.insert("prune".to_owned(), prune::to_json(&pruned, options));
            }
        } else {
            context.print("\n")?;
            prune::print(&pruned, options, context)?;
        }
    }
    if context.json {
        context.print_json(&json)?;
    }
    if let Some(error) = unpruned {
        return Err(error);
    }
    Ok(Ending::problems_if(
        hidden
            || is_unread
            || unwitnessed
            || is_witness_lost
            || !forgotten.damaged.is_empty()
            || !forgotten.ahead.is_empty()
            || has_expired
            || !forgotten.held.is_empty()
            || !forgotten.damaged_blocks.is_empty(),
    ))
}

impl Args {
    /// The parts with archives that are meant, and which of them are to go there.
    fn meant(&self, parts: &Parts) -> Result<Vec<(Repository, ForgetSelection)>> {
        if self.ids.iter().any(|id| id == "latest") {
            return Err(Error::invalid(
                "expected the beginnings of ids, found latest: narthex archives lists ids, and what is removed is named by one",
            ));
        }
        let by_part = parts.by_part(&self.ids, &self.sources.filter(), now())?;
        let meant = by_part.into_iter().map(|(part, ids)| {
            let selection = if ids.is_empty() {
                self.selection()
            } else {
                ForgetSelection::Ids(ids)
            };
            (part, selection)
        });
        Ok(meant.collect())
    }

    /// Refuses to remove what a witness has seen and no new one can be written for, where the prune
    /// that comes after would then delete nothing.
    #[cfg(feature = "encryption")]
    fn refuse_unwitnessed(&self, part: &Repository, selection: &ForgetSelection) -> Result<()> {
        let Some(keys) = part.keys() else {
            return Ok(());
        };
        match self.forget(part, selection, true) {
            // Whatever is wrong is said by whoever forgets.
            Ok(forgotten) if forgotten.removed() > 0 => {
                keys.refuse_unwitnessed(&forgotten.removed_names()?)
            }
            _ => Ok(()),
        }
    }

    #[cfg(not(feature = "encryption"))]
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "with encryption it can fail"
    )]
    fn refuse_unwitnessed(&self, _part: &Repository, _selection: &ForgetSelection) -> Result<()> {
        Ok(())
    }

    /// Forgets in one part.
    fn forget(
        &self,
        part: &Repository,
        selection: &ForgetSelection,
        dry_run: bool,
    ) -> Result<Forgotten> {
        let leave = Leave {
            nothing: self.all,
            dry_run,
        };
        forget(part, selection, &self.sources.filter(), leave, now())
    }
}

/// Writes a new witness of what is left; whether that failed.
#[cfg(feature = "encryption")]
fn after_forgetting(
    part: &Repository,
    forgotten: &Forgotten,
    context: &Context<'_>,
) -> Result<bool> {
    super::witness::after_forgetting(part, &forgotten.removed_names()?, context)
}

/// Says so if a witness is gone that this machine has seen; whether one is.
#[cfg(feature = "encryption")]
fn remark_lost_witness(part: &Repository, context: &Context<'_>) -> Result<bool> {
    super::witness::remark_lost(part, context)
}

#[cfg(not(feature = "encryption"))]
#[expect(clippy::unnecessary_wraps, reason = "with encryption it can fail")]
fn remark_lost_witness(_part: &Repository, _context: &Context<'_>) -> Result<bool> {
    Ok(false)
}

#[cfg(not(feature = "encryption"))]
#[expect(clippy::unnecessary_wraps, reason = "with encryption it can fail")]
fn after_forgetting(
    _part: &Repository,
    _forgotten: &Forgotten,
    _context: &Context<'_>,
) -> Result<bool> {
    Ok(false)
}

fn to_json(forgotten: &Forgotten, dry_run: bool) -> Json {
    let damaged = forgotten.damaged.iter();
    let damaged: Vec<_> = damaged
        .map(|damaged| json!({"object": damaged.name, "error": damaged.error.chain()}))
        .collect();
    json!({
        "archives": DECISIONS.all(forgotten).json(),
        "damaged": damaged,
        "removed_damaged": forgotten.removed_damaged,
        "ahead": forgotten.ahead.iter().map(|ahead| json!(ahead.id)).collect::<Vec<_>>(),
        "damaged_blocks": forgotten.damaged_blocks,
        "held": forgotten.held.iter().map(|(id, _)| json!(id)).collect::<Vec<_>>(),
        "dry_run": dry_run,
    })
}

fn print(forgotten: &Forgotten, dry_run: bool, context: &mut Context<'_>) -> Result<()> {
    if !forgotten.decisions.is_empty() {
        let view = &context.view;
        let text = view.of(&DECISIONS, forgotten, Extent::All).text(view);
        context.print(text)?;
    }
    for name in &forgotten.removed_damaged {
        context.print(format_args!("remove  {name} (damaged)\n"))?;
    }
    let (removed, would) = (forgotten.removed(), if dry_run { "would be " } else { "" });
    let kept = forgotten.decisions.iter().filter(|made| made.is_kept());
    context.print(format_args!(
        "{removed} archives {would}removed, {} kept\n",
        kept.count()
    ))
}
