//! What was asked of object stores.

use super::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::store::TrafficCounts;

/// Where it was asked, and what.
pub type StoreTraffic = (String, TrafficCounts);

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
            value: |(store, _)| Value::text(store),
        },
        Column {
            key: "requests",
            heading: "REQUESTS",
            unit: Unit::Count,
            weight: 8,
            explanation: "Requests of all kinds; repeated ones count each time, as they are billed.",
            value: |(_, counts)| Value::Count(counts.requests()),
        },
        Column {
            key: "writes",
            heading: "WRITES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that write (`PUT`, `POST`).",
            value: |(_, counts)| Value::Count(counts.writes),
        },
        Column {
            key: "lists",
            heading: "LISTINGS",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that list names.",
            value: |(_, counts)| Value::Count(counts.lists),
        },
        Column {
            key: "reads",
            heading: "READS",
            unit: Unit::Count,
            weight: 6,
            explanation: "Others that read (`GET`, `HEAD`).",
            value: |(_, counts)| Value::Count(counts.reads),
        },
        Column {
            key: "deletes",
            heading: "DELETES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Those that delete.",
            value: |(_, counts)| Value::Count(counts.deletes),
        },
        Column {
            key: "sent_bytes",
            heading: "SENT",
            unit: Unit::Bytes,
            weight: 7,
            explanation: "What the bodies of requests held.",
            value: |(_, counts)| Value::Bytes(counts.sent_bytes),
        },
        Column {
            key: "received_bytes",
            heading: "RECEIVED",
            unit: Unit::Bytes,
            weight: 7,
            explanation: "What the bodies of answers held.",
            value: |(_, counts)| Value::Bytes(counts.received_bytes),
        },
    ],
};
