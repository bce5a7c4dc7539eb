//! What was asked of object stores.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::store::TrafficCounts;

/// Where it was asked, what, and what that costs.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreTraffic {
    /// The place.
    pub store: String,
    /// What was asked.
    pub counts: TrafficCounts,
    /// What it costs, where a price table says so.
    pub bill: Option<Bill>,
}

/// What traffic costs by a price table.
#[derive(Clone, Debug, PartialEq)]
pub struct Bill {
    /// The requests, and what was received.
    pub cost: f64,
    /// What was sent, for each month that it is kept.
    pub cost_per_month: f64,
    /// What these are in.
    pub currency: String,
}

/// One row for each store over a network that a command has used.
pub static TRAFFIC: Sheet<[StoreTraffic], StoreTraffic> = Sheet {
    name: "traffic",
    title: "Requests to stores",
    row: "store",
    json: InJson::List("traffic"),
    rows: |stores, _| Rows::of(stores),
    columns: &[
        Column {
            key: "store",
            heading: "STORE",
            unit: Unit::None,
            weight: 9,
            explanation: "Where it is, as typed.",
            value: |traffic| Value::text(&traffic.store),
        },
        Column {
            key: "requests",
            heading: "REQUESTS",
            unit: Unit::Count,
            weight: 8,
            explanation: "Requests of all kinds; repeated ones count each time, as they are billed.",
            value: |traffic| Value::Count(traffic.counts.requests()),
        },
        Column {
            key: "writes",
            heading: "WRITES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that write (`PUT`, `POST`).",
            value: |traffic| Value::Count(traffic.counts.writes),
        },
        Column {
            key: "lists",
            heading: "LISTINGS",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that list names.",
            value: |traffic| Value::Count(traffic.counts.lists),
        },
        Column {
            key: "reads",
            heading: "READS",
            unit: Unit::Count,
            weight: 6,
            explanation: "Others that read (`GET`, `HEAD`).",
            value: |traffic| Value::Count(traffic.counts.reads),
        },
        Column {
            key: "deletes",
            heading: "DELETES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that delete.",
            value: |traffic| Value::Count(traffic.counts.deletes),
        },
        Column {
            key: "sent_bytes",
            heading: "SENT",
            unit: Unit::Bytes,
            weight: 7,
            explanation: "What the bodies of requests held.",
            value: |traffic| Value::Bytes(traffic.counts.sent_bytes),
        },
        Column {
            key: "received_bytes",
            heading: "RECEIVED",
            unit: Unit::Bytes,
            weight: 7,
            explanation: "What the bodies of answers held.",
            value: |traffic| Value::Bytes(traffic.counts.received_bytes),
        },
        Column {
            key: "cost",
            heading: "COST",
            unit: Unit::Money,
            weight: 6,
            explanation: "What the requests and the bytes received cost by the price table of the configuration, where it has one.",
            value: |traffic| Value::number(traffic.bill.as_ref().map(|bill| bill.cost)),
        },
        Column {
            key: "cost_per_month",
            heading: "COST/MONTH",
            unit: Unit::Money,
            weight: 4,
            explanation: "What it costs by the price table to keep the bytes sent for a month.",
            value: |traffic| Value::number(traffic.bill.as_ref().map(|bill| bill.cost_per_month)),
        },
        Column {
            key: "currency",
            heading: "CURRENCY",
            unit: Unit::None,
            weight: 5,
            explanation: "What costs are in.",
            value: |traffic| {
                let bill = traffic.bill.as_ref();
                bill.map_or(Value::None, |bill| Value::text(&bill.currency))
            },
        },
    ],
};
