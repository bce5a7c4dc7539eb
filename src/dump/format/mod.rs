//! How samples are written: a prefix per series, a body per sample.
//!
//! A prefix is made once and put before every body, so that a line costs two copies and the
//! formatting of two numbers.

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
pub enum DumpFormat {
    /// As `promtool tsdb dump` prints them: `{__name__="up", job="a"} 1 1700000000000`; histograms
    /// as promtool 3 prints them.
    #[default]
    Text,
    /// OpenMetrics, which `promtool tsdb create-blocks-from openmetrics` reads. It cannot say
    /// native histograms.
    OpenMetrics,
    /// One JSON object per sample, which says everything.
    Json,
}

impl DumpFormat {
    /// Appends what stands before every sample of the series.
    pub(super) fn prefix(self, labels: &LabelSlices<'_>, out: &mut Vec<u8>) {
        match self {
            DumpFormat::Text => text::prefix(labels, out),
            DumpFormat::OpenMetrics => openmetrics::prefix(labels, out),
            DumpFormat::Json => json::prefix(labels, out),
        }
    }

    /// Appends the sample and a newline; `false` and nothing when the format has no words for it.
    #[inline]
    pub(super) fn body(self, sample: &Sample<'_>, out: &mut Vec<u8>) -> bool {
        match (self, sample) {
            (DumpFormat::Text, sample) => text::body(sample, out),
            (DumpFormat::OpenMetrics, Sample::Float(sample)) => openmetrics::body(*sample, out),
            (DumpFormat::OpenMetrics, _) => return false,
            (DumpFormat::Json, sample) => json::body(sample, out),
        }
        true
    }

    /// What stands after the last sample.
    pub(super) fn footer(self) -> &'static [u8] {
        match self {
            DumpFormat::OpenMetrics => b"# EOF\n",
            DumpFormat::Text | DumpFormat::Json => b"",
        }
    }

    /// Whether a stale marker differs from any other NaN.
    pub(super) fn tells_stale_markers(self) -> bool {
        self == DumpFormat::Json
    }

    /// Whether start timestamps are written.
    pub(super) fn tells_start_timestamps(self) -> bool {
        self == DumpFormat::Json
    }

    /// Whether label bytes that are not UTF-8 survive.
    pub(super) fn tells_any_bytes(self) -> bool {
        self == DumpFormat::Text
    }
}
