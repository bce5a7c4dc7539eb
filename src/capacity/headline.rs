//! What is most worth knowing of an analysis, in a few lines: what costs most, what grows, what is
//! odd.

use super::analyzer::Analysis;
use super::groups::What;
use crate::inspect::FULL_CHUNK;
use crate::units::percent;

/// Fewer values than this are never odd, whatever series carry them.
const MANY_VALUES: u64 = 50;

/// Share of series, in percent, from which on a label with so many values tells nearly each series
/// from all others.
const NEARLY_ALL: u64 = 90;

/// Share of series, in percent, from which on those of one sample are odd.
const MANY_SINGLES: u64 = 5;

/// Fullness of float chunks, in percent, below which they are sparse, and above which they are
/// overfull: no release of Prometheus aims at so many samples.
const EMPTY: u64 = 50;
const OVERFULL: u64 = 250;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadlineKind {
    /// The metric with most bytes.
    Metric,
    /// The job with most bytes.
    Job,
    /// The label that costs most by itself, but for the names of metrics.
    Label,
    /// How many series there are when the first block begins and when the last one ends.
    Growth,
    /// Series that come later and series that end, and the job where most come.
    Churn,
    /// The label whose new values most new series have.
    Turnover,
    /// A label that has nearly as many values as there are series with it.
    Unique,
    /// A label with values that may never come back.
    Look,
    /// Series with one sample.
    Singles,
    /// Float chunks that are less than half full.
    Empty,
    /// Float chunks that hold far more samples than Prometheus aims at.
    Overfull,
    /// Blocks of which others hold samples too.
    Twice,
    /// Blocks, or parts of them, that could not be read.
    Unread,
}

/// One line. Which numbers there are depends on its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// What it is about.
    pub kind: HeadlineKind,
    /// The metric, job or label.
    pub name: Option<String>,
    /// An example of the label's values.
    pub example: Option<String>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// Share of all bytes, or of what is counted, in percent.
    pub share: Option<f64>,
    /// How many: series; values of a label; blocks.
    pub count: Option<u64>,
    /// Of how many, or beside how many.
    pub of: Option<u64>,
    /// How many have ended, or are new.
    pub more: Option<u64>,
}

impl HeadlineKind {
    /// Its name in JSON, which does not change between versions.
    pub fn id(self) -> &'static str {
        match self {
            HeadlineKind::Metric => "metric",
            HeadlineKind::Job => "job",
            HeadlineKind::Label => "label",
            HeadlineKind::Growth => "growth",
            HeadlineKind::Churn => "churn",
            HeadlineKind::Turnover => "turnover",
            HeadlineKind::Unique => "unique-values",
            HeadlineKind::Look => "passing-values",
            HeadlineKind::Singles => "single-samples",
            HeadlineKind::Empty => "empty-chunks",
            HeadlineKind::Overfull => "overfull-chunks",
            HeadlineKind::Twice => "counted-twice",
            HeadlineKind::Unread => "unread",
        }
    }
}

impl Headline {
    fn new(kind: HeadlineKind) -> Self {
        Headline {
            kind,
            name: None,
            example: None,
            bytes: None,
            share: None,
            count: None,
            of: None,
            more: None,
        }
    }
}

fn is_share(part: u64, whole: u64, percent: u64) -> bool {
    whole > 0 && part.saturating_mul(100) >= whole.saturating_mul(percent)
}

impl Analysis {
    /// What is most worth knowing: first what costs most, then what grows, then what is odd.
    pub fn headlines(&self) -> Vec<Headline> {
        let mut lines = self.unread_lines();
        lines.extend(self.costs_most());
        lines.extend(self.grows());
        lines.extend(self.is_odd());
        lines
    }

    fn unread_lines(&self) -> Vec<Headline> {
        let totals = self.totals();
        let is_any = totals.unreadable > 0 || totals.faults > 0;
        let line = is_any.then(|| Headline {
            count: Some(totals.unreadable),
            more: Some(totals.faults),
            ..Headline::new(HeadlineKind::Unread)
        });
        line.into_iter().collect()
    }

    fn costs_most(&self) -> Vec<Headline> {
        let mut lines = Vec::new();
        for (label, kind) in [
            (&b"__name__"[..], HeadlineKind::Metric),
            (b"job", HeadlineKind::Job),
        ] {
            let groups = self.groups(label, Some(1)).into_iter();
            let mut named = groups.filter_map(|group| match &group.what {
                What::Value(value) => Some((value.clone(), group)),
                _ => None,
            });
            lines.extend(named.next().map(|(name, group)| Headline {
                name: Some(name),
                bytes: Some(group.bytes()),
                share: percent(group.bytes() as f64, group.of_bytes),
                count: Some(group.series),
                ..Headline::new(kind)
            }));
        }
        // Names of metrics have their line.
        let labels = self.labels().into_iter();
        let labels = labels.filter(|label| label.name != "__name__");
        let label = labels.max_by_key(|label| label.own_bytes);
        lines.extend(label.map(|label| Headline {
            bytes: Some(label.own_bytes),
            share: percent(label.own_bytes as f64, label.of_bytes),
            count: Some(label.values),
            name: Some(label.name),
            ..Headline::new(HeadlineKind::Label)
        }));
        lines
    }

    fn grows(&self) -> Vec<Headline> {
        let mut lines = Vec::new();
        let steps = self.steps();
        if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
            lines.push(Headline {
                of: Some(first.before),
                count: Some(last.after),
                ..Headline::new(HeadlineKind::Growth)
            });
        }
        let jobs = self.job_churn();
        let sum =
            |of: fn(&super::JobChurn) -> u64| jobs.iter().map(of).fold(0, u64::saturating_add);
        let (born, died) = (sum(|job| job.born), sum(|job| job.died));
        if born == 0 && died == 0 {
            return lines;
        }
        let most = jobs.first().filter(|job| job.born > 0);
        lines.push(Headline {
            name: most.map(|job| job.job.clone().unwrap_or_default()),
            share: most.and_then(|job| percent(job.born as f64, born)),
            count: Some(born),
            more: Some(died),
            of: Some(self.totals().series),
            ..Headline::new(HeadlineKind::Churn)
        });
        let turnover = self.turnover().into_iter().next();
        lines.extend(
            turnover
                .filter(|it| it.born_with_new > 0)
                .map(|it| Headline {
                    name: Some(it.label),
                    count: Some(it.born_with_new),
                    of: Some(it.born),
                    more: Some(it.new_values),
                    ..Headline::new(HeadlineKind::Turnover)
                }),
        );
        lines
    }

    fn is_odd(&self) -> Vec<Headline> {
        let totals = self.totals();
        let mut lines = Vec::new();
        // A series that is in several blocks counts in each.
        let blocks = totals.blocks.max(1);
        let labels = self.labels().into_iter();
        let unique = labels.filter(|label| {
            label.name != "__name__"
                && label.values >= MANY_VALUES
                && is_share(
                    label.values.saturating_mul(blocks),
                    label.series,
                    NEARLY_ALL,
                )
        });
        lines.extend(unique.map(|label| Headline {
            count: Some(label.values),
            of: Some(label.series),
            name: Some(label.name),
            ..Headline::new(HeadlineKind::Unique)
        }));
        let looks = self.looks().into_iter();
        let look = looks
            .filter(|it| it.values >= MANY_VALUES)
            .max_by_key(|it| it.values);
        lines.extend(look.map(|it| Headline {
            count: Some(it.values),
            of: Some(it.of_values),
            bytes: Some(it.own_bytes),
            example: Some(it.example),
            name: Some(it.label),
            ..Headline::new(HeadlineKind::Look)
        }));
        if is_share(totals.one_sample, totals.series_entries, MANY_SINGLES) {
            lines.push(Headline {
                count: Some(totals.one_sample),
                of: Some(totals.series_entries),
                share: percent(totals.one_sample as f64, totals.series_entries),
                ..Headline::new(HeadlineKind::Singles)
            });
        }
        let full = totals.float_chunks.saturating_mul(FULL_CHUNK);
        let fullness = |kind| Headline {
            share: percent(totals.float_samples as f64, full),
            count: Some(totals.float_chunks),
            ..Headline::new(kind)
        };
        if full > 0 && !is_share(totals.float_samples, full, EMPTY) {
            lines.push(fullness(HeadlineKind::Empty));
        } else if is_share(totals.float_samples, full, OVERFULL) {
            lines.push(fullness(HeadlineKind::Overfull));
        }
        let doubled = self.doubled();
        if doubled > 0 {
            lines.push(Headline {
                count: Some(doubled),
                of: Some(totals.blocks),
                ..Headline::new(HeadlineKind::Twice)
            });
        }
        lines
    }
}
