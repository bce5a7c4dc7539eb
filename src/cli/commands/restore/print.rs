//! What a restore prints: what it would do, or what it has done.

use serde_json::json;

use super::remarks::{Told, resolution_text};
use crate::cli::context::Context;
use crate::cli::outlook::Outlook;
use crate::error::Result;
use crate::model::Ulid;
use crate::report::backup::{RESTORE, detour_json, gap_text};
use crate::report::{self, Extent, Value};
use crate::repository::{Archive, StoredBlock};
use crate::restore::{self, CutBlock, CutOutcome, RestorePlan, StandIn, Target};
use crate::units::{bytes_text, count_text};

pub(super) fn print_plan(
    plan: &RestorePlan<'_>,
    target: &Target,
    (outlook, told): (&Outlook, &Told<'_>),
    context: &mut Context<'_>,
) -> Result<()> {
    let free = target.free();
    if context.json {
        let blocks: Vec<_> = plan.blocks.iter().map(|block| block.ulid).collect();
        let to_cut = plan.blocks.iter().filter(|block| plan.cuts(block));
        let to_cut: Vec<_> = to_cut.map(|block| block.ulid).collect();
        let mut said = json!({
            "blocks": blocks,
            "to_cut": to_cut,
            "already_there": plan.already_there,
            "wal": plan.wal.is_some(),
            "head": plan.head.is_some(),
            "bytes": plan.bytes(),
            "room": plan.room(),
            "free": free,
            "gaps": plan.gaps,
            "replaced": plan.replaced.iter().map(stand_in_json).collect::<Vec<_>>(),
            "aggregates": ulids(plan.aggregates()),
            "aggregates_left_out": ulids(plan.aggregates_left_out.iter().copied()),
            "doubtful": plan.doubtful,
            "excluded": ulids(plan.excluded.iter().copied()),
            "problems": told.json(),
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
    if let Some(head) = &plan.head {
        let bytes = bytes_text(head.wal.bytes());
        context.print(format_args!("make a block   head, of logs of {bytes}\n"))?;
    }
    print_rest(plan, context)?;
    let wal = match (&plan.wal, &plan.head) {
        (Some(_), _) => " and the WAL",
        (None, Some(_)) => " and the head",
        (None, None) => "",
    };
    let (count, bytes) = (plan.blocks.len(), bytes_text(plan.bytes()));
    let (room, dir) = (bytes_text(plan.room()), target.existing().display());
    let free = free.map_or_else(|| "an unknown number of bytes".to_owned(), bytes_text);
    context.print(format_args!(
        "total          {count} blocks{wal}, {bytes}; {room} must be free in {dir}, {free} are\n"
    ))?;
    outlook.print(context)
}

pub(super) fn print_report(
    archive: &Archive,
    plan: &RestorePlan<'_>,
    report: &restore::RestoreReport,
    (outlook, told): (&Outlook, &Told<'_>),
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
            "head": report.head.as_ref().and_then(|head| head.block).map(head_json),
            "bytes": report.bytes,
            "min_time": report.time.map(|time| time.0),
            "max_time": report.time.map(|time| time.1),
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
            "problems": told.json(),
            "taken": report.detours.iter().map(detour_json).collect::<Vec<_>>(),
        });
        outlook.add_to(&mut said);
        return context.print_json(&said);
    }
    let (id, source, time) = (
        archive.id.short(),
        Value::text(&archive.source_name),
        Value::Time(archive.time),
    );
    context.print(format_args!("archive {id} of {source}, {time}\n"))?;
    let view = &context.view;
    context.print(view.of(&RESTORE, report, Extent::All).told(view))?;
    for cut in &report.cut {
        let original = cut.original;
        match &cut.block {
            Some(made) => {
                let (series, samples) = (count_text(made.series), count_text(made.samples));
                let ulid = made.ulid;
                context.print(format_args!(
                    "cut            {original} to {ulid}: {samples} samples of {series} series\n"
                ))?;
            }
            None => context.print(format_args!("nothing of     {original}\n"))?,
        }
    }
    match report.head.as_ref().map(|head| (head.block, head.is_there)) {
        Some((Some(made), _)) => {
            let (series, samples) = (count_text(made.series), count_text(made.samples));
            let ulid = made.ulid;
            context.print(format_args!(
                "head           {ulid}: {samples} samples of {series} series\n"
            ))?;
        }
        Some((None, true)) => context.print("already there  the head\n")?,
        Some((None, false)) => context.print("nothing of     the head\n")?,
        None => {}
    }
    for salvaged in &report.salvaged {
        let original = salvaged.original;
        if let Some(made) = &salvaged.block {
            let (series, samples) = (count_text(made.series), count_text(made.samples));
            let ulid = made.ulid;
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
fn cut_json(cut: &CutOutcome) -> serde_json::Value {
    json!({
        "original": cut.original,
        "block": cut.block.map(|made| made.ulid),
        "series": cut.block.map(|made| made.series),
        "samples": cut.block.map(|made| made.samples),
    })
}

fn head_json(made: CutBlock) -> serde_json::Value {
    json!({"block": made.ulid, "series": made.series, "samples": made.samples})
}

fn print_rest(plan: &RestorePlan<'_>, context: &mut Context<'_>) -> Result<()> {
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
