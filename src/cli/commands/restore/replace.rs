//! `narthex restore --replace-damaged`: sound copies in the place of damaged blocks, where these
//! lie.

use std::collections::BTreeSet;

use serde_json::json;

use super::Args;
use super::remarks::Told;
use crate::cli::context::Context;
use crate::cli::exit::Ending as Exit;
use crate::error::Result;
use crate::report::replaced::REPLACED;
use crate::report::{self, Extent, SheetOf as _, shell_word};
use crate::repository::copies::Copies;
use crate::repository::{Archive, StoredBlock};
use crate::restore::{DataBlock, ProblemKind, ReplaceOutcome, Replaced, Replacer, candidates};
use crate::units::bytes_text;

/// A block, and what is to become of it.
enum Todo<'c> {
    /// It is left alone, for it is sound or must stay.
    Left(Replaced),
    /// One of these copies comes in its place.
    Replace(Box<DataBlock>, Vec<&'c StoredBlock>),
}

pub(super) fn run(
    args: &Args,
    archive: &Archive,
    copies: &Copies,
    told: &Told<'_>,
    context: &mut Context<'_>,
) -> Result<Exit> {
    let mut said = Vec::new();
    let opened = Replacer::open(&args.target, context.read_mode, args.dry_run, &mut said);
    for problem in said {
        told.tell(problem);
    }
    let replacer = opened?;
    for stale in replacer.stale_stages() {
        let dir = stale.display();
        let detail = format!("{dir} was left by an interrupted restore; remove it");
        told.tell(ProblemKind::StageLeft.at(dir.to_string(), detail));
    }
    let named: BTreeSet<_> = args.block.iter().copied().collect();
    let looked = replacer.look(&named, context.progress)?;
    let todo: Vec<_> = looked
        .into_iter()
        .map(|block| todo(block, !named.is_empty(), archive, copies))
        .collect();
    let room = todo.iter().map(room).fold(0, u64::saturating_add);
    if !args.dry_run {
        replacer.refuse_without_room(room)?;
    }
    let mut done = Vec::new();
    for todo in todo {
        let replaced = match todo {
            Todo::Left(replaced) => replaced,
            Todo::Replace(block, copies) if args.dry_run => planned(&block, &copies),
            Todo::Replace(block, found) => {
                let wishes = args.ownership.wishes();
                replacer.replace(&block, &found, copies, wishes, context.progress)?
            }
        };
        tell(&replaced, told);
        done.push(replaced);
    }
    print(args, archive, (&done, room), told, context)?;
    Ok(told.own_outcome())
}

/// What is to become of `block`. One that was named is replaced for anything that is wrong with it,
/// others where samples are lost.
fn todo<'c>(
    mut block: DataBlock,
    is_named: bool,
    archive: &'c Archive,
    copies: &'c Copies,
) -> Todo<'c> {
    if let Some(refused) = &block.refused {
        return Todo::Left(block.outcome(ReplaceOutcome::Stays(refused.clone())));
    }
    let found = candidates(block.ulid, archive, copies);
    let best = found.as_ref().ok().and_then(|found| found.first());
    let contradiction = best.and_then(|stored| block.contradiction(stored));
    let is_wanted = block.is_damaged() || (is_named && block.has_problems());
    if !is_wanted {
        return match contradiction {
            Some(_) if is_named => match found {
                Ok(found) => {
                    block.doubt();
                    Todo::Replace(Box::new(block), found)
                }
                Err(_) => Todo::Left(block.outcome(ReplaceOutcome::Sound)),
            },
            Some(why) => {
                let ulid = block.ulid;
                let mut replaced = block.outcome(ReplaceOutcome::Sound);
                replaced.told.push(ProblemKind::MetaDoubtful.at(
                    ulid.to_string(),
                    format!("block {ulid} is not touched, but its meta.json is not what was archived ({why}): --block {ulid} replaces it"),
                ));
                Todo::Left(replaced)
            }
            None => Todo::Left(block.outcome(ReplaceOutcome::Sound)),
        };
    }
    match found {
        Ok(found) => Todo::Replace(Box::new(block), found),
        Err(why) => Todo::Left(block.outcome(ReplaceOutcome::Stays(why))),
    }
}

fn planned(block: &DataBlock, copies: &[&StoredBlock]) -> Replaced {
    let bytes = copies.first().map(|copy| copy.bytes());
    Replaced {
        bytes,
        ..block.outcome(ReplaceOutcome::WouldBe)
    }
}

/// The room that a copy needs beside the damaged block, which stays.
fn room(todo: &Todo<'_>) -> u64 {
    match todo {
        Todo::Left(_) => 0,
        Todo::Replace(_, copies) => copies.first().map_or(0, |copy| copy.bytes()),
    }
}

/// Says what somebody should know of a block.
fn tell(replaced: &Replaced, told: &Told<'_>) {
    for detour in &replaced.detours {
        told.tell(ProblemKind::Detour.at(detour.name.as_str(), report::backup::detour(detour)));
    }
    for problem in &replaced.told {
        told.tell(problem.clone());
    }
    if let ReplaceOutcome::Stays(why) = &replaced.outcome {
        let ulid = replaced.ulid;
        told.tell(ProblemKind::BlockStays.at(
            ulid.to_string(),
            format!("block {ulid} stays as it is: {why}"),
        ));
    }
}

fn print(
    args: &Args,
    archive: &Archive,
    (done, room): (&[Replaced], u64),
    told: &Told<'_>,
    context: &mut Context<'_>,
) -> Result<()> {
    let target = args.target.display();
    if context.json {
        let mut object = serde_json::Map::new();
        object.insert("archive".to_owned(), json!(archive.id));
        object.insert("dry_run".to_owned(), json!(args.dry_run));
        object.insert("room".to_owned(), json!(room));
        REPLACED.add_to(&mut object, done, Extent::Document);
        object.insert("problems".to_owned(), told.json());
        return context.print_json(&object);
    }
    if !done.is_empty() {
        let table = context.view.of(&REPLACED, done, Extent::Document);
        context.print(table.text(&context.view))?;
    }
    let count = |wanted: &dyn Fn(&ReplaceOutcome) -> bool| {
        done.iter().filter(|it| wanted(&it.outcome)).count()
    };
    let sound = count(&|it| *it == ReplaceOutcome::Sound);
    let stay = count(&|it| matches!(it, ReplaceOutcome::Stays(_)));
    let replaced = count(&|it| *it == ReplaceOutcome::Replaced);
    let planned = count(&|it| *it == ReplaceOutcome::WouldBe);
    let changed = if args.dry_run {
        format!(
            "{planned} would be replaced, which needs {}",
            bytes_text(room)
        )
    } else {
        format!("{replaced} replaced")
    };
    context.print(format_args!(
        "{target}: {changed}; {sound} sound and not touched; {stay} damaged that stay\n"
    ))?;
    let kept: Vec<_> = done.iter().filter_map(|it| it.kept.as_ref()).collect();
    if !kept.is_empty() {
        let words = kept.iter().map(|path| path.display().to_string());
        let words: Vec<_> = words.map(|word| shell_word(&word).into_owned()).collect();
        context.print(format_args!(
            "The damaged blocks are kept beside, where Prometheus passes over them. Once nobody needs them: rm -r {}\n",
            words.join(" ")
        ))?;
    }
    Ok(())
}
