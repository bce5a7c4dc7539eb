//! Says which metrics the bytes of a data directory go to.
//!
//!     cargo run --example bytes_per_metric -- fixtures/night-1

#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use narthex::block::DataDir;
use narthex::capacity::{AnalyzeOptions, Analyzer, What};
use narthex::model::TimeRange;
use narthex::raw::ReadMode;
use narthex::select::SelectedBlocks;

fn main() -> narthex::Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("fixtures/night-1".to_owned());
    let sources =
        SelectedBlocks::open(&DataDir::scan(dir.as_ref())?, TimeRange::ALL, ReadMode::Map);
    let mut analyzer = Analyzer::new(AnalyzeOptions {
        several_blocks: sources.blocks.len() > 1,
        ..AnalyzeOptions::default()
    });
    for block in &sources.blocks {
        analyzer.add(block)?;
    }
    for metric in analyzer.finish().groups(b"__name__", Some(10)) {
        let share = metric.bytes() as f64 / metric.of_bytes.max(1) as f64;
        let name = match &metric.what {
            What::Value(name) => name.clone(),
            other => format!("({other:?})"),
        };
        println!(
            "{:>10} bytes {:>5.1} %  {name}",
            metric.bytes(),
            100.0 * share
        );
    }
    Ok(())
}
