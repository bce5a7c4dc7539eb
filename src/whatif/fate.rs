//! What a scenario does to each series of a block, told by its labels.

use super::layout::Label;
use super::{Pattern, SYNTHETIC, Scenario};
use crate::capacity::{Costs, SeriesView};
use crate::index::Series;
use crate::select::{Filter, Selector};

/// What becomes of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is dropped.
    Goes,
    /// It stays as it is.
    Stays,
    /// It stays, and loses labels or samples if there is anything to lose.
    Changes,
    /// It stays with all its labels, because relabeling never sees it, but can be scraped less
    /// often.
    Thins,
}

/// The selectors of a scenario, kept for as long as filters borrow them.
pub(super) struct Selectors {
    drop: Vec<Selector>,
    within: Vec<Selector>,
}

impl Selectors {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let selectors = |selected: &[super::Selected]| {
            let selectors = selected.iter().map(|selected| selected.selector.clone());
            selectors.collect()
        };
        Selectors {
            drop: selectors(&scenario.drop_series),
            within: selectors(&scenario.within),
        }
    }
}

/// A scenario, prepared for one block.
pub(super) struct Judge<'a> {
    /// By number of the label name, whether labels of that name are dropped.
    names: Vec<bool>,
    /// By number of the label pair, whether series of that metric are dropped; empty if no metrics
    /// are.
    metrics: Vec<bool>,
    /// By number of the label pair, whether series of that metric are made by Prometheus itself.
    synthetic: Vec<bool>,
    /// Whether series without a metric name are dropped.
    nameless: bool,
    drop: Option<Filter<'a>>,
    within: Option<Filter<'a>>,
    series: Series,
}

impl<'a> Judge<'a> {
    pub(super) fn new(scenario: &Scenario, selectors: &'a Selectors, costs: &Costs<'_>) -> Self {
        let any = |patterns: &[Pattern], text: &[u8]| patterns.iter().any(|it| it.matches(text));
        let symbols = costs.symbols();
        let names = costs.names().iter().map(|name| {
            let string = symbols.at(name.symbol as usize).unwrap_or_default();
            any(&scenario.drop_labels, string)
        });
        let metric = costs.find_name(b"__name__");
        let metrics = costs.pairs().iter().map(|pair| {
            let value = || symbols.at(pair.value as usize).unwrap_or_default();
            Some(pair.name) == metric && any(&scenario.drop_metrics, value())
        });
        let synthetic = costs.pairs().iter().map(|pair| {
            let value = || symbols.at(pair.value as usize).unwrap_or_default();
            Some(pair.name) == metric && SYNTHETIC.iter().any(|name| name.as_bytes() == value())
        });
        let filter = |selectors: &'a [Selector]| {
            (!selectors.is_empty()).then(|| Filter::new(selectors, symbols))
        };
        Judge {
            names: names.collect(),
            metrics: if scenario.drop_metrics.is_empty() {
                Vec::new()
            } else {
                metrics.collect()
            },
            synthetic: synthetic.collect(),
            nameless: any(&scenario.drop_metrics, b""),
            drop: filter(&selectors.drop),
            within: filter(&selectors.within),
            series: Series::default(),
        }
    }

    /// The fate of a series.
    pub(super) fn fate(&mut self, view: &SeriesView<'_, '_>, costs: &Costs<'_>) -> Fate {
        let is = |pairs: &[bool], pair: &u32| pairs.get(*pair as usize).copied().unwrap_or(false);
        let mut pairs = view.pairs.iter().flatten();
        let synthetic = pairs.any(|pair| is(&self.synthetic, pair));
        if !synthetic && self.is_dropped(view, costs) {
            return Fate::Goes;
        }
        match selects(&mut self.within, &mut self.series, view, costs) {
            Some(false) => Fate::Stays,
            _ if synthetic => Fate::Thins,
            _ => Fate::Changes,
        }
    }

    fn is_dropped(&mut self, view: &SeriesView<'_, '_>, costs: &Costs<'_>) -> bool {
        if self.nameless && !view.labels.iter().any(|(name, _)| is_metric(*name, costs)) {
            return true;
        }
        let dropped = |pair: &u32| self.metrics.get(*pair as usize).copied().unwrap_or(false);
        view.pairs.iter().flatten().any(dropped)
            || selects(&mut self.drop, &mut self.series, view, costs) == Some(true)
    }

    /// The labels that a series of this fate keeps; those that damaged postings lack are left out.
    pub(super) fn kept(
        &self,
        pairs: &[Option<u32>],
        costs: &Costs<'_>,
        fate: Fate,
    ) -> impl Iterator<Item = (u32, Label)> {
        pairs.iter().flatten().filter_map(move |id| {
            let pair = costs.pairs().get(*id as usize)?;
            let goes = self.names.get(pair.name as usize).copied().unwrap_or(false);
            (fate != Fate::Changes || !goes).then_some((*id, label(*id, costs)))
        })
    }

    /// The labels that a series of this fate loses.
    pub(super) fn lost(
        &self,
        pairs: &[Option<u32>],
        costs: &Costs<'_>,
        fate: Fate,
    ) -> impl Iterator<Item = u32> {
        let all = pairs.iter().flatten().copied();
        all.filter(move |_| fate == Fate::Changes)
            .filter(move |id| {
                let pair = costs.pairs().get(*id as usize);
                let name = pair.map_or(u32::MAX, |pair| pair.name);
                self.names.get(name as usize).copied().unwrap_or(false)
            })
    }
}

/// Whether a filter, if there is one, selects a series.
fn selects(
    filter: &mut Option<Filter<'_>>,
    series: &mut Series,
    view: &SeriesView<'_, '_>,
    costs: &Costs<'_>,
) -> Option<bool> {
    let filter = filter.as_mut()?;
    series.labels.clear();
    series.labels.extend_from_slice(view.labels);
    // A label that is no symbol has been reported by whoever read the series.
    let selected = filter.selects(series, costs.symbols(), view.reference.0);
    Some(selected.unwrap_or(false))
}

fn is_metric(name: crate::index::SymbolRef, costs: &Costs<'_>) -> bool {
    let symbols = costs.symbols();
    let ordinal = symbols.ordinal(name);
    ordinal.and_then(|ordinal| symbols.at(ordinal)) == Some(b"__name__")
}

/// A pair as ordinals of its symbols.
pub(super) fn label(pair: u32, costs: &Costs<'_>) -> Label {
    let pair = costs.pairs().get(pair as usize);
    pair.map_or((u32::MAX, u32::MAX), |pair| {
        let name = costs.names().get(pair.name as usize);
        (name.map_or(u32::MAX, |name| name.symbol), pair.value)
    })
}
