//! How samples are written: a prefix per series, a body per sample.
//!
//! A prefix is made once and put before every body, so that a line costs two copies and the formatting of two
//! numbers.

mod bounds;
mod histogram;
mod json;
mod number;
mod openmetrics;
mod quote;
mod text;

pub(super) use quote::are_utf8;

use crate::model::Sample;
use crate::select::LabelSlices;

/// What dumped samples look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As `promtool tsdb dump` prints them: `{__name__="up", job="a"} 1 1700000000000`; histograms as
    /// promtool 3 prints them.
    #[default]
    Text,
    /// OpenMetrics, which `promtool tsdb create-blocks-from openmetrics` reads. It cannot say native
    /// histograms.
    OpenMetrics,
    /// One JSON object per sample, which says everything.
    Json,
}

impl Format {
    /// Appends what stands before every sample of the series.
    pub(super) fn prefix(self, labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Text => text::prefix(labels, out),
            Format::OpenMetrics => openmetrics::prefix(labels, out),
            Format::Json => json::prefix(labels, out),
        }
    }

    /// Appends the sample and a newline; `false` and nothing when the format has no words for it.
    #[inline]
    pub(super) fn body(self, sample: &Sample<'_>, out: &mut Vec<u8>) -> bool {
        match (self, sample) {
            (Format::Text, sample) => text::body(sample, out),
            (Format::OpenMetrics, Sample::Float(sample)) => openmetrics::body(*sample, out),
            (Format::OpenMetrics, _) => return false,
            (Format::Json, sample) => json::body(sample, out),
        }
        true
    }

    /// What stands after the last sample.
    pub(super) fn footer(self) -> &'static [u8] {
        match self {
            Format::OpenMetrics => b"# EOF\n",
            Format::Text | Format::Json => b"",
        }
    }

    /// Whether a stale marker differs from any other NaN.
    pub(super) fn tells_stale_markers(self) -> bool {
        self == Format::Json
    }

    /// Whether start timestamps are written.
    pub(super) fn tells_start_timestamps(self) -> bool {
        self == Format::Json
    }

    /// Whether label bytes that are not UTF-8 survive.
    pub(super) fn tells_any_bytes(self) -> bool {
        self == Format::Text
    }
}
