//! Selectors applied to series entries of one block without looking up their labels' strings.

use std::collections::HashMap;

use super::selector::{Matcher, Selector};
use crate::index::{Series, SymbolRef, Symbols};
use crate::raw::Malformed;

/// Selectors, prepared for one block: names as symbols, and a memory of the values seen.
pub(crate) struct Filter<'a> {
    /// One list of tests per selector; a series passes when one list passes.
    selectors: Vec<Vec<Test<'a>>>,
}

/// One matcher.
struct Test<'a> {
    matcher: &'a Matcher,
    /// Symbols equal to the label's name: one, or none in a block without that label.
    names: Vec<SymbolRef>,
    accepts_missing: bool,
    /// Whether a value is accepted, once it is known.
    values: HashMap<SymbolRef, bool>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(selectors: &'a [Selector], symbols: &Symbols<'_>) -> Self {
        Filter::beside(selectors, symbols, &[])
    }

    /// As [`Filter::new`], for series that have the labels `added` beside those in the block.
    pub(super) fn beside(
        selectors: &'a [Selector],
        symbols: &Symbols<'_>,
        added: &[(&[u8], &[u8])],
    ) -> Self {
        let test = |matcher| Test::beside(matcher, added);
        let mut selectors: Vec<Vec<_>> = selectors
            .iter()
            .map(|selector| selector.matchers().iter().map(test).collect())
            .collect();
        let tests: Vec<_> = selectors.iter_mut().flatten().collect();
        find_names(tests, symbols);
        Filter { selectors }
    }

    /// Whether any selector selects the series, whose entry stands at offset `at`; without
    /// selectors all are selected.
    ///
    /// # Errors
    ///
    /// When a label's value is not in the symbol table.
    pub(crate) fn selects(
        &mut self,
        series: &Series,
        symbols: &Symbols<'_>,
        at: u64,
    ) -> Result<bool, Malformed> {
        let mut selected = self.selectors.is_empty();
        for tests in &mut self.selectors {
            let mut all = true;
            for test in tests {
                all = all && test.accepts(series, symbols, at)?;
            }
            selected = selected || all;
        }
        Ok(selected)
    }
}

impl<'a> Test<'a> {
    fn beside(matcher: &'a Matcher, added: &[(&[u8], &[u8])]) -> Self {
        let value = added.iter().find(|(name, _)| *name == matcher.name());
        Test {
            matcher,
            names: Vec::new(),
            accepts_missing: matcher.accepts(value.map_or(b"", |(_, value)| value)),
            values: HashMap::new(),
        }
    }

    fn accepts(
        &mut self,
        series: &Series,
        symbols: &Symbols<'_>,
        at: u64,
    ) -> Result<bool, Malformed> {
        let label = series
            .labels
            .iter()
            .find(|(name, _)| self.names.contains(name));
        let Some((_, value)) = label else {
            return Ok(self.accepts_missing);
        };
        if let Some(known) = self.values.get(value) {
            return Ok(*known);
        }
        let accepted = self.matcher.accepts(symbols.get(*value, at)?);
        self.values.insert(*value, accepted);
        Ok(accepted)
    }
}

/// Finds the symbols of all names in one walk, which unlike a search does not depend on their
/// order.
fn find_names(mut tests: Vec<&mut Test<'_>>, symbols: &Symbols<'_>) {
    if tests.is_empty() {
        return;
    }
    for (reference, string) in symbols.iter() {
        for test in &mut tests {
            if test.matcher.name() == string {
                test.names.push(reference);
            }
        }
    }
}
