//! One JSON object per line and sample. Keys are explained in `docs/report-columns.md`.

use super::histogram::Buckets;
use super::number::{push_float, push_int, push_uint};
use super::quote::push_json;
use crate::model::{CounterReset, FloatSample, HistogramSample, STALE_NAN, Sample, Span};
use crate::select::LabelSlices;

/// Go's `math.NaN()`, which PromQL and exposition formats mean by NaN.
const ORDINARY_NAN: u64 = 0x7ff8_0000_0000_0001;

pub(super) fn prefix(labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"labels\":{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_json(out, name);
        out.push(b':');
        push_json(out, value);
    }
    out.push(b'}');
}

pub(super) fn body(sample: &Sample<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"time\":");
    push_int(out, sample.time());
    match sample {
        Sample::Float(sample) => push_float_sample(out, *sample),
        Sample::Histogram(sample) => push_histogram(out, sample, "integer"),
        Sample::FloatHistogram(sample) => push_histogram(out, sample, "float"),
    }
    out.extend_from_slice(b"}\n");
}

fn push_float_sample(out: &mut Vec<u8>, sample: FloatSample) {
    push_start(out, sample.start);
    out.extend_from_slice(b",\"value\":");
    push_value(out, sample.bits);
    let odd =
        f64::from_bits(sample.bits).is_nan() && ![STALE_NAN, ORDINARY_NAN].contains(&sample.bits);
    if odd {
        out.extend_from_slice(format!(",\"bits\":\"{:016x}\"", sample.bits).as_bytes());
    }
}

fn push_start(out: &mut Vec<u8>, start: i64) {
    if start != 0 {
        out.extend_from_slice(b",\"start\":");
        push_int(out, start);
    }
}

/// A JSON number, or a string for what JSON has no number for.
fn push_value(out: &mut Vec<u8>, bits: u64) {
    if bits == STALE_NAN {
        out.extend_from_slice(b"\"stale\"");
    } else if f64::from_bits(bits).is_finite() {
        push_float(out, bits);
    } else {
        out.push(b'"');
        push_float(out, bits);
        out.push(b'"');
    }
}

fn push_histogram<B: Buckets>(out: &mut Vec<u8>, sample: &HistogramSample<'_, B>, kind: &str) {
    push_start(out, sample.start);
    let layout = sample.layout;
    out.extend_from_slice(b",\"histogram\":{\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"counter_reset\":\"");
    out.extend_from_slice(match sample.counter_reset {
        CounterReset::Unknown => b"unknown",
        CounterReset::NotReset => b"no",
        CounterReset::Reset => b"yes",
        CounterReset::Gauge => b"gauge",
    });
    out.extend_from_slice(b"\",\"sum\":");
    push_value(out, sample.sum);
    out.extend_from_slice(b",\"count\":");
    B::push_count(out, sample.count, push_value);
    out.extend_from_slice(b",\"schema\":");
    push_int(out, layout.schema);
    out.extend_from_slice(b",\"zero_threshold\":");
    push_value(out, layout.zero_threshold);
    out.extend_from_slice(b",\"zero_count\":");
    B::push_count(out, sample.zero_count, push_value);
    if !layout.custom_bounds.is_empty() {
        out.extend_from_slice(b",\"custom_bounds\":");
        push_list(out, layout.custom_bounds.iter().copied(), push_value);
    }
    for (side, spans, buckets) in [
        ("positive", &layout.positive, sample.positive),
        ("negative", &layout.negative, sample.negative),
    ] {
        if spans.is_empty() {
            continue;
        }
        out.extend_from_slice(format!(",\"{side}_spans\":").as_bytes());
        push_list(out, spans.iter(), push_span);
        out.extend_from_slice(format!(",\"{side}_buckets\":").as_bytes());
        push_list(out, B::absolute(buckets), |out, count| {
            B::push_count(out, count, push_value);
        });
    }
    out.push(b'}');
}

fn push_span(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"offset\":");
    push_int(out, span.offset);
    out.extend_from_slice(b",\"length\":");
    push_uint(out, span.length);
    out.push(b'}');
}

fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}
