//! How far forecasts err: each history's last third, foretold from the first two.
//!
//! ```sh
//! NARTHEX_CORPUS=DIR cargo bench --bench forecast
//! ```
//!
//! prints the tables of `docs/performance.md`. `DIR` holds chains: directories with the blocks of
//! one server in `blocks/`. Without it only generated histories are tried, `SEEDS` (20) of each
//! kind.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench that prints, on histories that it has made"
)]

mod growth;

use std::fs;
use std::path::Path;

use growth::{GROWTHS, View, past};
use narthex::block::DataDir;
use narthex::forecast::{HeldBack, Past, held_back};
use narthex::inspect::BlockListing;

fn main() {
    let seeds = std::env::var("SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    println!(
        "| history | known from | model | error | worst | of the size then | mean of all before | last span | within bounds |"
    );
    println!("|---|---|---|--:|--:|--:|--:|--:|--:|");
    for growth in GROWTHS {
        for view in [View::Archives, View::Directory] {
            let tried: Vec<_> = (1..=seeds)
                .filter_map(|seed| held_back(&past(growth, view, seed), 2.0 / 3.0))
                .collect();
            row(growth.name, &format!("{view:?}").to_lowercase(), &tried);
        }
    }
    let Ok(corpus) = std::env::var("NARTHEX_CORPUS") else {
        return;
    };
    let mut chains: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    chains.sort();
    for chain in chains {
        let blocks = chain.join("blocks");
        if blocks.is_dir() {
            real(&chain, &blocks);
        }
    }
}

fn real(chain: &Path, blocks: &Path) {
    let listing = BlockListing::of(&DataDir::scan(blocks).unwrap());
    let name = chain.file_name().unwrap().to_string_lossy();
    let past = Past::of_listing(&listing, None);
    let at = |cuts: &[f64]| -> Vec<_> {
        let tried = cuts.iter().filter_map(|cut| held_back(&past, *cut));
        tried.collect()
    };
    row(&name, "archives", &at(&[2.0 / 3.0]));
    let cuts: Vec<_> = (8..=17)
        .map(|twentieth| f64::from(twentieth) / 20.0)
        .collect();
    row(
        &format!("{name}, cut at ten places"),
        "archives",
        &at(&cuts),
    );
}

fn row(name: &str, view: &str, tried: &[HeldBack]) {
    let count = tried.len().max(1) as f64;
    let mean = |of: fn(&HeldBack) -> f64| tried.iter().map(of).sum::<f64>() / count * 100.0;
    let worst = tried.iter().map(|t| t.error.abs()).fold(0.0, f64::max) * 100.0;
    let bounded: Vec<_> = tried
        .iter()
        .filter_map(|t| Some((t.error.abs(), t.error80?)))
        .collect();
    let within = bounded
        .iter()
        .filter(|(error, bound)| error <= bound)
        .count();
    let mut models: Vec<_> = tried.iter().map(|t| t.model.id()).collect();
    models.sort_unstable();
    let usual = models.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
    println!(
        "| {name} | {view} | {} | {:.1} % | {worst:.1} % | {:.1} % | {:.1} % | {:.1} % | {} |",
        usual.map_or("–", |same| same[0]),
        mean(|t| t.error.abs()),
        mean(|t| t.size_error.abs()),
        mean(|t| t.mean_error.abs()),
        mean(|t| t.last_error.abs()),
        if bounded.is_empty() {
            "–".to_owned()
        } else {
            format!("{within} of {}", bounded.len())
        },
    );
}
