//! What scenarios leave of one block: a pass over its series for who stays, and one for how long
//! that is.

use std::collections::HashMap;

use super::collide::{Gathered, Groups, Identities, Shared};
use super::fate::{Fate, Judge, Selectors, label};
use super::layout::{Label, Layout, Piece};
use super::thin::Thinning;
use super::{BlockAmounts, Measured, Scenario};
use crate::block::Block;
use crate::capacity::{ChunkView, Costs, SeriesView, SymbolHashes, Walked, each_series};
use crate::error::{InFile as _, Result};
use crate::inspect::Faults;
use crate::model::TimeRange;
use crate::select::Selection;

/// Series of a block that are encoded anew, about.
const MEASURED: u64 = 500;

/// What one block adds.
pub(super) struct BlockShare {
    pub(super) present: BlockAmounts,
    /// One for each scenario.
    pub(super) shares: Vec<ScenarioShare>,
    pub(super) faults: Faults,
}

/// What one block adds to an outcome.
#[derive(Default)]
pub(super) struct ScenarioShare {
    pub(super) after: BlockAmounts,
    pub(super) groups: Groups,
    pub(super) measured: Measured,
}

/// Measures `scenarios` on `block`.
///
/// # Errors
///
/// When its symbol table cannot be read.
pub(super) fn measure(block: &Block, scenarios: &[Scenario]) -> Result<BlockShare> {
    let index = block.index()?;
    let mut faults = Faults::default();
    let costs = Costs::measure(&index, &mut faults).in_file(&block.files().index())?;
    let everything = Selection::default();
    // Chunks are not looked at; what is damaged is found again by the last pass.
    let labels_only = Selection {
        range: TimeRange::NONE,
        ..Selection::default()
    };
    let walked = Walked {
        block,
        index,
        costs: &costs,
        selection: &labels_only,
    };
    // Apart from the plans, because those borrow them.
    let selectors: Vec<Selectors> = scenarios.iter().map(Selectors::of).collect();
    let each = scenarios.iter().zip(&selectors);
    let mut plans: Vec<Plan<'_>> = each
        .map(|(scenario, selectors)| Plan::new(scenario, selectors, &costs))
        .collect();
    let present = look_at_labels(walked, &mut plans);
    let order = order(&costs);
    let layout = |gone: Option<&[u32]>| Layout::new(&index, &costs, labels(&order, &present, gone));
    let mut base = layout(None);
    for plan in &mut plans {
        let gone = std::mem::take(&mut plan.gone);
        plan.layout = Some(layout(Some(&gone)));
    }
    drop((order, present));
    let walked = Walked {
        selection: &everything,
        ..walked
    };
    let (mut number, mut done) = (0u32, Ok(()));
    each_series(walked, &mut faults, |view| {
        let pieces: Vec<Piece> = view.chunks.iter().map(piece).collect();
        if done.is_ok() {
            done = base.add(kept_all(view, &costs), &pieces);
        }
        for plan in &mut plans {
            if done.is_ok() {
                done = plan.lay_out(view, &costs, &pieces, number);
            }
        }
        number = number.saturating_add(1);
    });
    done?;
    let anew = base.finish(&costs);
    // What no series needs is there now and stays: symbols without a use, what nothing refers to,
    // damage.
    let present = BlockAmounts {
        chunk_bytes: block.chunk_bytes(),
        index_bytes: block.index_bytes(),
        ..anew
    };
    let shares = plans
        .into_iter()
        .map(|plan| plan.finish(&costs, anew, present));
    Ok(BlockShare {
        present,
        shares: shares.collect(),
        faults,
    })
}

/// Lets each plan see the labels of all series, and returns how many series have each pair.
fn look_at_labels(walked: Walked<'_>, plans: &mut [Plan<'_>]) -> Vec<u32> {
    let costs = walked.costs;
    let mut present = vec![0; costs.pairs().len()];
    let any_labels = plans.iter().any(Plan::drops_labels);
    let hashes = any_labels.then(|| SymbolHashes::of(costs.symbols()));
    let mut number = 0u32;
    each_series(walked, &mut Faults::default(), |view| {
        for pair in view.pairs.iter().flatten() {
            count(&mut present, *pair);
        }
        for plan in &mut *plans {
            plan.look(view, costs, hashes.as_ref(), number);
        }
        number = number.saturating_add(1);
    });
    drop(hashes);
    for plan in &mut *plans {
        plan.shared = std::mem::take(&mut plan.identities).shared();
    }
    if plans.iter().any(|plan| !plan.shared.is_empty()) {
        let mut number = 0u32;
        each_series(walked, &mut Faults::default(), |view| {
            for plan in &mut *plans {
                plan.join(view, costs, number);
            }
            number = number.saturating_add(1);
        });
    }
    present
}

fn piece(chunk: &ChunkView<'_>) -> Piece {
    Piece {
        min_time: chunk.meta.min_time,
        max_time: chunk.meta.max_time,
        len: chunk.record.data.len(),
        samples: u64::from(chunk.samples),
    }
}

fn count(counts: &mut [u32], pair: u32) {
    if let Some(count) = counts.get_mut(pair as usize) {
        *count = count.saturating_add(1);
    }
}

/// The labels of a series; those that damaged postings lack are left out.
fn kept_all(view: &SeriesView<'_, '_>, costs: &Costs<'_>) -> impl Iterator<Item = Label> {
    view.pairs.iter().flatten().map(|pair| label(*pair, costs))
}

/// The pairs of a block in the order of their labels.
fn order(costs: &Costs<'_>) -> Vec<(Label, u32)> {
    let pairs = 0..u32::try_from(costs.pairs().len()).unwrap_or(u32::MAX);
    let mut order: Vec<_> = pairs.map(|pair| (label(pair, costs), pair)).collect();
    order.sort_unstable();
    order
}

/// How many series have each label when those that are `gone` are gone.
fn labels(order: &[(Label, u32)], present: &[u32], gone: Option<&[u32]>) -> Vec<(Label, u32)> {
    let left = |(label, pair): &(Label, u32)| {
        let of = |counts: &[u32]| counts.get(*pair as usize).copied().unwrap_or(0);
        let left = of(present).saturating_sub(gone.map_or(0, of));
        (left > 0).then_some((*label, left))
    };
    order.iter().filter_map(left).collect()
}

/// A scenario on one block, as its series go by.
struct Plan<'a> {
    scenario: &'a Scenario,
    judge: Judge<'a>,
    /// By pair, the series that lose it.
    gone: Vec<u32>,
    identities: Identities,
    shared: Shared,
    /// By group, whether one of its series has come by.
    met: Vec<bool>,
    /// Series whose interval may change.
    candidates: u64,
    layout: Option<Layout>,
    gathered: HashMap<u32, Gathered>,
    groups: Groups,
    thinning: Thinning,
}

impl<'a> Plan<'a> {
    fn new(scenario: &'a Scenario, selectors: &'a Selectors, costs: &Costs<'_>) -> Self {
        Plan {
            scenario,
            judge: Judge::new(scenario, selectors, costs),
            gone: vec![0; costs.pairs().len()],
            identities: Identities::default(),
            shared: Shared::default(),
            met: Vec::new(),
            candidates: 0,
            layout: None,
            gathered: HashMap::new(),
            groups: Groups::default(),
            thinning: Thinning::default(),
        }
    }

    fn drops_labels(&self) -> bool {
        !self.scenario.drop_labels.is_empty()
    }

    /// The first time a series goes by: its labels.
    fn look(
        &mut self,
        view: &SeriesView<'_, '_>,
        costs: &Costs<'_>,
        hashes: Option<&SymbolHashes>,
        number: u32,
    ) {
        let fate = self.judge.fate(view, costs);
        match fate {
            Fate::Goes => {
                let pairs = view.pairs.iter().flatten();
                pairs.for_each(|pair| count(&mut self.gone, *pair));
                return;
            }
            Fate::Changes | Fate::Thins => {
                self.candidates += 1;
                let lost = self.judge.lost(view.pairs, costs, fate);
                lost.for_each(|pair| count(&mut self.gone, pair));
            }
            Fate::Stays => {}
        }
        if let Some(hashes) = hashes.filter(|_| self.drops_labels()) {
            let kept = self.judge.kept(view.pairs, costs, fate);
            let ordinals =
                kept.map(|(_, (name, value))| (Some(name as usize), Some(value as usize)));
            let identity = hashes.identity(ordinals);
            self.identities.add(identity, number);
        }
    }

    /// The second time, if series share their labels: all but the first of a group are gone.
    fn join(&mut self, view: &SeriesView<'_, '_>, costs: &Costs<'_>, number: u32) {
        let Some(group) = self.shared.group(number) else {
            return;
        };
        let group = group as usize;
        if self.met.len() <= group {
            self.met.resize(group + 1, false);
        }
        let Some(met) = self.met.get_mut(group) else {
            return;
        };
        if std::mem::replace(met, true) {
            let fate = self.judge.fate(view, costs);
            let kept = self.judge.kept(view.pairs, costs, fate);
            kept.for_each(|(pair, _)| count(&mut self.gone, pair));
        }
    }

    /// The last time: its chunks.
    fn lay_out(
        &mut self,
        view: &SeriesView<'_, '_>,
        costs: &Costs<'_>,
        pieces: &[Piece],
        number: u32,
    ) -> Result<()> {
        let fate = self.judge.fate(view, costs);
        if fate == Fate::Goes {
            return Ok(());
        }
        let interval = self.scenario.interval.filter(|_| fate != Fate::Stays);
        let kept = self.judge.kept(view.pairs, costs, fate);
        let kept = kept.map(|(_, label)| label);
        let Some(layout) = &mut self.layout else {
            return Ok(());
        };
        let Some(number) = self.shared.group(number) else {
            if let Some(interval) = interval {
                let stride = self.candidates.div_ceil(MEASURED).max(1);
                self.thinning.add(interval, stride, pieces, view.chunks);
            }
            return layout.add(kept, pieces);
        };
        let (identity, members) = self.shared.of(number);
        let group = self.gathered.entry(number).or_default();
        if group.series == 0 {
            group.labels.extend(kept);
        }
        let string = |ordinal: u32| costs.symbols().at(ordinal as usize).unwrap_or_default();
        let strings = |(name, value): Label| (string(name), string(value));
        let lost = self.judge.lost(view.pairs, costs, fate);
        group.add(pieces, lost.map(|pair| strings(label(pair, costs))));
        if group.series < members {
            return Ok(());
        }
        let Some(mut group) = self.gathered.remove(&number) else {
            return Ok(());
        };
        let (pieces, lost) = group.merge();
        if let Some(interval) = interval {
            self.thinning.add(interval, u64::MAX, &pieces, &[]);
        }
        layout.add(group.labels.iter().copied(), &pieces)?;
        let text = selector_text(group.labels.iter().map(|label| strings(*label)));
        self.groups.add(identity, group, lost, text);
        Ok(())
    }

    fn finish(self, costs: &Costs<'_>, anew: BlockAmounts, present: BlockAmounts) -> ScenarioShare {
        let left = self.layout.map_or(anew, |layout| layout.finish(costs));
        let saved = anew.minus(left).plus(self.thinning.saved());
        ScenarioShare {
            after: present.minus(saved),
            groups: self.groups,
            measured: self.thinning.measured(),
        }
    }
}

/// Labels as a selector.
fn selector_text<'b>(labels: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> String {
    let (mut metric, mut matchers) = (String::new(), Vec::new());
    for (name, value) in labels {
        let (name, value) = (
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(value),
        );
        if name == "__name__" {
            metric = value.into_owned();
        } else {
            matchers.push(format!("{name}={value:?}"));
        }
    }
    format!("{metric}{{{}}}", matchers.join(","))
}
