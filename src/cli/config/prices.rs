//! What a service charges.

use super::document::Section;
use crate::report::traffic::Bill;
use crate::store::TrafficCounts;

/// Bytes of a gigabyte, as narthex counts disks.
const GIGABYTE: f64 = 1e9;

/// The price table of a repository; what is not said is free.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prices {
    currency: String,
    put: f64,
    get: f64,
    out: f64,
    month: f64,
}

impl Prices {
    pub(super) fn read(section: &Section<'_, '_>) -> Option<Self> {
        let amount = |name| section.amount(name).map_or(0.0, |amount| amount.value);
        let (put, get) = (amount("per-1000-put"), amount("per-1000-get"));
        let (out, month) = (amount("per-gb-out"), amount("per-gb-month"));
        let Some(currency) = section.text("currency") else {
            section.fault(
                &section.place,
                "",
                "expected the key currency, such as \"USD\", found none",
            );
            return None;
        };
        Some(Prices {
            currency: currency.value,
            put,
            get,
            out,
            month,
        })
    }

    /// What that traffic costs.
    pub(crate) fn bill(&self, counts: &TrafficCounts) -> Bill {
        Bill {
            cost: self.cost(counts),
            cost_per_month: self.cost_per_month(counts),
            currency: self.currency.clone(),
        }
    }

    fn cost(&self, counts: &TrafficCounts) -> f64 {
        let writes = counts.writes.saturating_add(counts.lists);
        let cost = writes as f64 * self.put / 1000.0
            + counts.reads as f64 * self.get / 1000.0
            + counts.received_bytes as f64 / GIGABYTE * self.out;
        rounded(cost)
    }

    /// What it costs to keep for a month what was sent.
    fn cost_per_month(&self, counts: &TrafficCounts) -> f64 {
        rounded(counts.sent_bytes as f64 / GIGABYTE * self.month)
    }
}

/// To a millionth: more is not known.
fn rounded(amount: f64) -> f64 {
    (amount * 1e6).round() / 1e6
}

/// An amount for people: two digits that count, two decimals at least.
pub(crate) fn amount_text(amount: f64) -> String {
    let mut decimals = 2;
    let mut least = 0.1;
    while amount > 0.0 && amount < least && decimals < 6 {
        decimals += 1;
        least /= 10.0;
    }
    format!("{amount:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_costs_what_the_table_says() {
        let prices = Prices {
            currency: "USD".to_owned(),
            put: 0.005,
            get: 0.0004,
            out: 0.09,
            month: 0.023,
        };
        let counts = TrafficCounts {
            writes: 1500,
            lists: 500,
            reads: 10_000,
            deletes: 1_000_000,
            sent_bytes: 2_000_000_000,
            received_bytes: 100_000_000,
        };
        assert!((prices.cost(&counts) - 0.023).abs() < 1e-9);
        assert!((prices.cost_per_month(&counts) - 0.046).abs() < 1e-9);
        assert!(prices.cost(&TrafficCounts::default()).abs() < 1e-9);
    }

    #[test]
    fn amounts_are_said_with_the_digits_that_count() {
        for (amount, text) in [
            (12.344, "12.34"),
            (0.5, "0.50"),
            (0.023, "0.023"),
            (0.0131, "0.013"),
            (0.000_041, "0.000041"),
            (0.0, "0.00"),
        ] {
            assert_eq!(amount_text(amount), text);
        }
    }
}
