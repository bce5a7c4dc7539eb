//! How fast are samples written as text? Per format, on the fixtures or on the blocks below
//! `NARTHEX_CORPUS`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench on blocks that do not open says nothing"
)]

#[path = "corpus/mod.rs"]
mod corpus;

use divan::Bencher;
use divan::counter::ItemsCount;
use narthex::dump::{DumpFormat, dump};
use narthex::progress::Silent;
use narthex::select::Selection;

fn main() {
    divan::main();
}

fn run(bencher: Bencher<'_, '_>, selection: &Selection, format: DumpFormat) {
    let blocks = corpus::blocks();
    let dumped = || {
        let mut out = std::io::sink();
        dump(&blocks, selection, format, &mut out, &Silent, &mut |_| {}).unwrap()
    };
    bencher
        .counter(ItemsCount::new(dumped().read.samples))
        .bench(dumped);
}

#[divan::bench(args = [DumpFormat::Text, DumpFormat::OpenMetrics, DumpFormat::Json])]
fn everything(bencher: Bencher<'_, '_>, format: DumpFormat) {
    run(bencher, &Selection::default(), format);
}

#[divan::bench(args = ["up", "{job=~\".*n.*\"}"])]
fn selected(bencher: Bencher<'_, '_>, selector: &str) {
    let selection = Selection {
        selectors: vec![selector.parse().unwrap()],
        ..Selection::default()
    };
    run(bencher, &selection, DumpFormat::default());
}
