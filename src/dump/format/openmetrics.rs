//! OpenMetrics text, without types and help, which a block does not hold.
//!
//! As `promtool tsdb dump-openmetrics` prints it, except that label values have the escapes of
//! OpenMetrics, not those of Go, and names beyond the classic alphabet are quoted, so that the
//! result can be read again.

use super::number::{push_float, push_seconds};
use super::quote::{is_plain_name, push_openmetrics};
use crate::model::FloatSample;
use crate::select::LabelSlices;
use crate::select::METRIC_NAME;

pub(super) fn prefix(labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
    let metric = labels.iter().find(|(name, _)| *name == METRIC_NAME);
    let metric = metric.map_or(&b""[..], |(_, value)| value);
    let plain = is_plain_metric(metric);
    if plain {
        out.extend_from_slice(metric);
    }
    out.push(b'{');
    let mut first = true;
    if !plain && !metric.is_empty() {
        push_openmetrics(out, metric);
        first = false;
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        if !first {
            out.push(b',');
        }
        first = false;
        if is_plain_name(name) {
            out.extend_from_slice(name);
        } else {
            push_openmetrics(out, name);
        }
        out.push(b'=');
        push_openmetrics(out, value);
    }
    out.extend_from_slice(b"} ");
}

/// Colons are legal in names of metrics, unlike in those of labels.
fn is_plain_metric(name: &[u8]) -> bool {
    let without_colons: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == b':' { b'_' } else { *byte })
        .collect();
    is_plain_name(&without_colons)
}

#[inline]
pub(super) fn body(sample: FloatSample, out: &mut Vec<u8>) {
    push_float(out, sample.bits);
    out.push(b' ');
    push_seconds(out, sample.time);
    out.push(b'\n');
}
