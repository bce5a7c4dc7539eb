//! How fast are samples written as text? Per format, on the fixtures or on the blocks below `NARTHEX_CORPUS`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench on blocks that do not open says nothing"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use divan::Bencher;
use divan::counter::ItemsCount;
use narthex::dump::{Format, Options, Selector, dump};
use narthex::progress::Silent;

fn main() {
    divan::main();
}

fn run(bencher: Bencher<'_, '_>, options: &Options) {
    let blocks = corpus::blocks();
    let dumped = || dump(&blocks, options, &mut std::io::sink(), &Silent, &mut |_| {}).unwrap();
    bencher
        .counter(ItemsCount::new(dumped().samples))
        .bench(dumped);
}

#[divan::bench(args = [Format::Text, Format::OpenMetrics, Format::Json])]
fn everything(bencher: Bencher<'_, '_>, format: Format) {
    let options = Options {
        format,
        ..Options::default()
    };
    run(bencher, &options);
}

#[divan::bench(args = ["up", "{job=~\".*n.*\"}"])]
fn selected(bencher: Bencher<'_, '_>, selector: &str) {
    let options = Options {
        selectors: vec![selector.parse::<Selector>().unwrap()],
        ..Options::default()
    };
    run(bencher, &options);
}
