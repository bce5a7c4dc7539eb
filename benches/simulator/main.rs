//! Two years of nightly archives of a Prometheus server, on metadata alone: how often each sample
//! is stored, and how many objects, bytes and requests that takes, for several designs of a
//! repository.
//!
//! ```sh
//! cargo bench --bench simulator
//! cargo bench --bench simulator -- --retention 15d,400d --every 2h,6h,1d,7d
//! ```
//!
//! The server cuts its head, merges blocks and deletes them as Prometheus 3 does; [`planner`] is
//! its planner. What it scrapes never changes, and there are no gaps, out-of-order samples or
//! deletions. Bytes follow from averages, which are options. The designs differ in how a block that
//! is new under its ULID is stored:
//!
//! * **sources**: packs of blocks in the archive before, whose sources are all among its own, by
//!   reference; the other sources as a new pack;
//! * **whole blocks**: by reference if that leaves nothing to store, else whole;
//! * **ULIDs**: whole, in the same codec; **ULIDs, `zstd -3`**: whole, as a compressed tar.

#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench that prints, with positions that it has just computed"
)]

mod cost;
mod cover;
mod figures;
mod forget;
mod keeper;
mod planner;
mod server;
mod table;

use clap::Parser;
use narthex::model::Millis;

use cost::Workload;
use figures::Run;
use planner::{DAY, HEAD_RANGE, HOUR};

#[derive(Parser, Debug)]
#[command(about = "Two years of nightly archives, on metadata alone")]
struct Args {
    /// How long the server keeps blocks
    #[arg(long, value_delimiter = ',', value_parser = span, default_value = "15d,30d,90d,400d")]
    retention: Vec<Millis>,
    /// Time from one backup to the next
    #[arg(long, value_delimiter = ',', value_parser = span, default_value = "1d")]
    every: Vec<Millis>,
    /// Hour of the first backup of a day, UTC
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..24), default_value_t = 3)]
    at: i64,
    /// How long all of it goes on
    #[arg(long, value_parser = span, default_value = "730d")]
    length: Millis,
    #[command(flatten)]
    workload: Workload,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), serde_json::Error> {
    let args = Args::parse();
    let mut runs = Vec::new();
    for &retention in &args.retention {
        for &every in &args.every {
            let clock = figures::Clock {
                retention,
                every,
                at: args.at * HOUR,
                length: args.length,
            };
            runs.push(Run::new(clock, &args.workload));
        }
    }
    if args.json {
        let all = serde_json::json!({ "assumptions": args.workload, "runs": runs });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        table::print(&args.workload, &runs);
    }
    Ok(())
}

/// Reads `2h` or `15d`, at least two hours and at most a hundred years.
fn span(text: &str) -> Result<Millis, String> {
    let wanted = || format!("expected hours or days, such as 2h or 15d, found {text:?}");
    let (number, unit) = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(number), _) => (number, HOUR),
        (_, Some(number)) => (number, DAY),
        _ => return Err(wanted()),
    };
    let number: Millis = number.parse().map_err(|_| wanted())?;
    let span = number.checked_mul(unit).ok_or_else(wanted)?;
    if (HEAD_RANGE..=36_500 * DAY).contains(&span) {
        Ok(span)
    } else {
        Err(format!("expected 2h to 36500d, found {text}"))
    }
}
