//! The tables for people, in Markdown.

use super::cost::Workload;
use super::figures::{Figures, Run, Spread};
use super::keeper::{Design, Size};

/// Prints what was assumed, a summary, and a table for each simulation.
pub(crate) fn print(workload: &Workload, runs: &[Run]) {
    println!(
        "{} series, a scrape every {} s; {} B/sample and {} B/series in a pack; {} B/sample in chunks, {} B/series and {} B/chunk in an index, \
         {} of that after zstd -3; {} B/sample in a WAL",
        workload.series,
        workload.interval,
        workload.dense_sample,
        workload.dense_series,
        workload.raw_sample,
        workload.index_series,
        workload.index_chunk,
        workload.zstd,
        workload.wal_sample,
    );
    println!("\nTimes each sample is stored, and days of data in the worst night:\n");
    heading("retention, backup every");
    for run in runs {
        row(
            &format!("{} d, {} h", run.retention_days, run.every_hours),
            run,
            |figures| {
                format!(
                    "{:.2}, {:.1} d",
                    figures.times_stored, figures.worst_night_days
                )
            },
        );
    }
    for run in runs {
        print_run(run);
    }
}

fn print_run(run: &Run) {
    println!(
        "\n{} d of retention, {} backups, one every {} h; at the end {} blocks, {} on the server; of {} compacted blocks {} were fully known:\n",
        run.retention_days,
        run.nights,
        run.every_hours,
        run.blocks,
        bytes(run.directory_bytes),
        run.compacted,
        run.fully_known,
    );
    heading("");
    row("times each sample is stored", run, |figures| {
        format!("{:.3}", figures.times_stored)
    });
    row(
        "bytes of a night, WAL and manifest left out: median",
        run,
        |figures| bytes(figures.median_night_bytes),
    );
    row("… worst", run, |figures| {
        format!(
            "{}, {:.1} d of data",
            bytes(figures.worst_night_bytes),
            figures.worst_night_days
        )
    });
    row("objects put", run, |figures| figures.objects.to_string());
    row("… a night: median, most", run, |figures| {
        spread(figures.objects_per_night)
    });
    row("requests of a night: median, most", run, |figures| {
        spread(figures.requests_per_night)
    });
    row("packs of a block: median, most", run, |figures| {
        spread(figures.packs_per_block)
    });
    row(
        "restore of the newest: objects, requests, bytes without WAL",
        run,
        |figures| {
            let restore = figures.restore;
            format!(
                "{}, {}, {}",
                restore.objects,
                restore.requests,
                bytes(restore.bytes)
            )
        },
    );
    sizes("all archives kept", run, |figures| figures.kept_all);
    sizes("14 days, 8 weeks, 24 months", run, |figures| {
        figures.kept_some
    });
}

/// Rows for a repository's size. WALs are the same in all designs.
fn sizes(what: &str, run: &Run, size: impl Fn(&Figures) -> Size) {
    row(&format!("{what}: archives, blocks"), run, |figures| {
        let size = size(figures);
        format!("{}, {}", size.archives, bytes(size.blocks))
    });
    row("… manifests, WALs", run, |figures| {
        let size = size(figures);
        format!("{}, {}", bytes(size.manifests), bytes(size.wals))
    });
}

fn heading(what: &str) {
    let names = Design::ALL.map(name);
    println!("| {what} | {} |\n|---|--:|--:|--:|--:|", names.join(" | "));
}

fn name(design: Design) -> &'static str {
    match design {
        Design::Sources => "sources",
        Design::WholeBlocks => "whole blocks",
        Design::Ulids => "ULIDs",
        Design::UlidsPortable => "ULIDs, `zstd -3`",
    }
}

fn row(what: &str, run: &Run, cell: impl Fn(&Figures) -> String) {
    let cells: Vec<String> = run.designs.iter().map(cell).collect();
    println!("| {what} | {} |", cells.join(" | "));
}

fn spread(spread: Spread) -> String {
    format!("{}, {}", spread.median, spread.max)
}

/// Bytes with a unit, three digits or so.
fn bytes(bytes: f64) -> String {
    let (mut size, mut units) = (bytes, ["B", "KiB", "MiB", "GiB", "TiB"].iter());
    let mut unit = units.next();
    while size >= 999.5 {
        let Some(larger) = units.next() else { break };
        size /= 1024.0;
        unit = Some(larger);
    }
    let digits = if size < 9.995 {
        2
    } else {
        usize::from(size < 99.95)
    };
    format!("{size:.digits$} {}", unit.unwrap_or(&""))
}
