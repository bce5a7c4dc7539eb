//! The format of `promtool tsdb dump` (Prometheus `cmd/promtool/tsdb.go`, `model/labels`).

use super::histogram::push_histogram;
use super::number::{push_float, push_int};
use super::quote::{is_plain_name, push_go};
use crate::model::Sample;
use crate::select::LabelSlices;

pub(super) fn prefix(labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        if is_plain_name(name) {
            out.extend_from_slice(name);
        } else {
            push_go(out, name);
        }
        out.push(b'=');
        push_go(out, value);
    }
    out.extend_from_slice(b"} ");
}

#[inline]
pub(super) fn body(sample: &Sample<'_>, out: &mut Vec<u8>) {
    match sample {
        Sample::Float(float) => push_float(out, float.bits),
        Sample::Histogram(histogram) => push_histogram(out, histogram),
        Sample::FloatHistogram(histogram) => push_histogram(out, histogram),
    }
    out.push(b' ');
    push_int(out, sample.time());
    out.push(b'\n');
}
