//! Prints the samples of the series that a selector means, as a query over all blocks of a data
//! directory would see them.
//!
//!     cargo run --example samples_of_a_series -- fixtures/night-1 'up{job="node"}'

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example shows what it finds"
)]

use narthex::block::DataDir;
use narthex::model::{Millis, Sample, TimeRange};
use narthex::raw::ReadMode;
use narthex::select::{Samples, SelectedBlocks, Selection};

fn main() -> narthex::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or("fixtures/night-1".to_owned());
    let selector = arguments.next().unwrap_or("up".to_owned());
    let selection = Selection::new(Millis::MIN, Millis::MAX, vec![selector.parse()?]);
    let sources =
        SelectedBlocks::open(&DataDir::scan(dir.as_ref())?, TimeRange::ALL, ReadMode::Map);
    for block in &sources.unreadable {
        eprintln!("{}: {}", block.dir.display(), block.error.chain());
    }
    let mut samples = Samples::open(&sources.blocks, &selection)?;
    for series in &mut samples {
        println!("{}", series.labels);
        for sample in &series.samples {
            match sample.lend() {
                Sample::Float(float) => println!("  {} {}", float.time, float.value()),
                Sample::Histogram(histogram) => {
                    println!(
                        "  {} histogram of {} observations",
                        histogram.time, histogram.count
                    );
                }
                Sample::FloatHistogram(histogram) => {
                    let count = f64::from_bits(histogram.count);
                    println!("  {} histogram of {count} observations", histogram.time);
                }
            }
        }
    }
    // What is damaged is left out: absence is no proof where there are problems.
    for problem in samples.problems() {
        eprintln!("{problem}");
    }
    Ok(())
}
