//! Series that come and go.

use std::collections::BTreeMap;

use super::analyzer::Analysis;
use super::costs::Costs;
use super::pairs::Values;
use super::tally::{Life, Tally, Window};
use crate::model::Millis;

/// Steps that a range of time is divided into, at most.
const STEPS: i64 = 24;
/// Lengths of steps.
const LENGTHS: [Millis; 12] = [
    60_000,
    300_000,
    900_000,
    1_800_000,
    3_600_000,
    7_200_000,
    21_600_000,
    43_200_000,
    86_400_000,
    604_800_000,
    2_592_000_000,
    31_536_000_000,
];

/// The series of all blocks, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    several: bool,
    /// Sorted by their ids, if there are several blocks.
    all: Vec<(u128, Lived)>,
    jobs: Vec<Vec<u8>>,
    known_jobs: BTreeMap<Vec<u8>, u32>,
    range: Option<(Millis, Millis)>,
    slack: Millis,
}

/// When a series lived.
#[derive(Clone, Copy, Debug)]
struct Lived {
    first: Millis,
    last: Millis,
    job: u32,
    samples: u32,
}

/// What happened in a part of the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Where it begins.
    pub start: Millis,
    /// Where it ends, exclusive.
    pub end: Millis,
    /// Series that were there when it began: those that live on from before, in the first step those that are there from the start.
    pub before: u64,
    /// Series whose first sample lies in it.
    pub born: u64,
    /// Series whose last sample lies in it.
    pub died: u64,
    /// Series that are there when it ends.
    pub after: u64,
}

/// What happened to the series of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobChurn {
    /// The job; nothing for series without one.
    pub job: Option<String>,
    /// Different series.
    pub series: u64,
    /// Series that are there from the start of the range.
    pub from_start: u64,
    /// Series that begin later.
    pub born: u64,
    /// Series that end before the range does.
    pub died: u64,
    /// Series that are there from start to end.
    pub survived: u64,
    /// Series with one sample.
    pub one_sample: u64,
    /// The time between first and last sample that half of the series do not exceed.
    pub median_life: Millis,
}

/// How a label's values come and go with the series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Its name.
    pub label: String,
    /// Different values.
    pub values: u64,
    /// Values that no series had when its block began.
    pub new_values: u64,
    /// Series that were born in a block and carry the label.
    pub born: u64,
    /// Those of them with a value that was new.
    pub born_with_new: u64,
    /// Values of which no series lived until its block ended.
    pub gone_values: u64,
    /// Series that died in a block with such a value.
    pub died_with_gone: u64,
}

impl Lives {
    pub(super) fn new(several: bool) -> Self {
        Lives {
            several,
            ..Lives::default()
        }
    }

    pub(super) fn add(&mut self, costs: &Costs<'_>, tally: &mut Tally, window: Window) {
        let range = self.range.unwrap_or((window.min, window.max));
        self.range = Some((range.0.min(window.min), range.1.max(window.max)));
        self.slack = self.slack.max(window.slack);
        let lives = std::mem::take(&mut tally.lives);
        let mut numbers = BTreeMap::new();
        let mut more: Vec<(u128, Lived)> = Vec::with_capacity(lives.len());
        let ids = std::mem::take(&mut tally.ids);
        let mut ids = ids.into_iter();
        for life in lives {
            let job = *numbers
                .entry(life.job)
                .or_insert_with(|| self.job(costs, &life));
            let id = ids.next().unwrap_or_default();
            let lived = Lived {
                first: life.first,
                last: life.last,
                job,
                samples: life.samples,
            };
            more.push((id, lived));
        }
        if !self.several {
            self.all.append(&mut more);
            return;
        }
        more.sort_unstable_by_key(|(id, _)| *id);
        self.join(more);
    }

    fn job(&mut self, costs: &Costs<'_>, life: &Life) -> u32 {
        let pair = life.job.and_then(|pair| costs.pairs().get(pair as usize));
        let name = pair.and_then(|pair| costs.symbols().at(pair.value as usize));
        let name = name.unwrap_or_default().to_vec();
        let next = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        *self.known_jobs.entry(name.clone()).or_insert_with(|| {
            self.jobs.push(name);
            next
        })
    }

    /// Adds the series of another block; both are sorted.
    fn join(&mut self, more: Vec<(u128, Lived)>) {
        let known = std::mem::take(&mut self.all);
        if known.is_empty() {
            self.all = more;
            return;
        }
        let mut all = Vec::with_capacity(known.len().max(more.len()));
        let (mut a, mut b) = (known.into_iter().peekable(), more.into_iter().peekable());
        loop {
            let mine = match (a.peek(), b.peek()) {
                (Some((a, _)), Some((b, _))) => a <= b,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let next = if mine { a.next() } else { b.next() };
            let Some((id, lived)) = next else { break };
            match all.last_mut() {
                Some((last, known)) if *last == id => Lived::join(known, lived),
                _ => all.push((id, lived)),
            }
        }
        self.all = all;
    }
}

impl Lived {
    fn join(known: &mut Lived, other: Lived) {
        known.first = known.first.min(other.first);
        known.last = known.last.max(other.last);
        known.samples = known.samples.saturating_add(other.samples);
    }
}

impl Analysis {
    /// Different series of all blocks.
    pub fn series(&self) -> u64 {
        self.lives.all.len() as u64
    }

    /// Births and deaths in each part of the range: at most 24, of a round length. A series is there from the start if its first sample comes
    /// within three scrapes of it, five minutes at most; in the same way it is there at the end.
    pub fn steps(&self) -> Vec<Step> {
        let Some((min, max)) = self.lives.range.filter(|(min, max)| min < max) else {
            return Vec::new();
        };
        let length = max.saturating_sub(min);
        let fits = |step: &Millis| length / step < STEPS;
        let step = LENGTHS.into_iter().find(fits).unwrap_or(length / STEPS + 1);
        let first = min.div_euclid(step);
        let count = max.saturating_sub(1).div_euclid(step) - first + 1;
        let mut steps: Vec<Step> = (0..count)
            .map(|i| {
                let start = (first + i).saturating_mul(step);
                Step {
                    start: start.max(min),
                    end: start.saturating_add(step).min(max),
                    ..Step::default()
                }
            })
            .collect();
        let at = |time: Millis| {
            let last = steps_index(count - 1);
            steps_index(time.clamp(min, max - 1).div_euclid(step) - first).min(last)
        };
        let mut there = 0u64;
        for (_, lived) in &self.lives.all {
            if self.is_from_start(lived) {
                there += 1;
            } else if let Some(step) = steps.get_mut(at(lived.first)) {
                step.born += 1;
            }
            if !self.is_to_end(lived)
                && let Some(step) = steps.get_mut(at(lived.last))
            {
                step.died += 1;
            }
        }
        for step in &mut steps {
            step.before = there;
            there = (there + step.born).saturating_sub(step.died);
            step.after = there;
        }
        steps
    }

    /// Births and deaths by job: those with most births first.
    pub fn job_churn(&self) -> Vec<JobChurn> {
        let mut jobs: Vec<(JobChurn, Vec<Millis>)> = self
            .lives
            .jobs
            .iter()
            .map(|job| {
                let name = (!job.is_empty()).then(|| String::from_utf8_lossy(job).into_owned());
                let churn = JobChurn {
                    job: name,
                    ..JobChurn::default()
                };
                (churn, Vec::new())
            })
            .collect();
        for (_, lived) in &self.lives.all {
            let Some((job, lengths)) = jobs.get_mut(lived.job as usize) else {
                continue;
            };
            let (start, end) = (self.is_from_start(lived), self.is_to_end(lived));
            job.series += 1;
            job.from_start += u64::from(start);
            job.born += u64::from(!start);
            job.died += u64::from(!end);
            job.survived += u64::from(start && end);
            job.one_sample += u64::from(lived.samples == 1);
            lengths.push(lived.last.saturating_sub(lived.first));
        }
        let mut churn: Vec<_> = jobs
            .into_iter()
            .map(|(mut job, mut lengths)| {
                let middle = lengths.len().saturating_sub(1) / 2;
                if middle < lengths.len() {
                    job.median_life = *lengths.select_nth_unstable(middle).1;
                }
                job
            })
            .collect();
        churn.sort_by(|a, b| (b.born, &a.job).cmp(&(a.born, &b.job)));
        churn
    }

    /// How the values of each label come and go: the label that brought most births with new values first. Labels without are left out.
    pub fn turnover(&self) -> Vec<Turnover> {
        let names = self.pairs.names.iter();
        let mut rows: Vec<_> = names
            .map(|(name, values)| turnover(name, values))
            .filter(|row| row.new_values > 0 || row.gone_values > 0)
            .collect();
        rows.sort_by(|a, b| {
            let key = |row: &Turnover| (row.born_with_new, row.died_with_gone);
            key(b).cmp(&key(a)).then_with(|| a.label.cmp(&b.label))
        });
        rows
    }

    fn is_from_start(&self, lived: &Lived) -> bool {
        let (min, _) = self.lives.range.unwrap_or_default();
        lived.first.saturating_sub(min) <= self.lives.slack
    }

    fn is_to_end(&self, lived: &Lived) -> bool {
        let (_, max) = self.lives.range.unwrap_or_default();
        max.saturating_sub(lived.last) <= self.lives.slack
    }
}

fn steps_index(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn turnover(name: &[u8], values: &Values) -> Turnover {
    let mut row = Turnover {
        label: String::from_utf8_lossy(name).into_owned(),
        values: values.len() as u64,
        ..Turnover::default()
    };
    for pair in values.iter() {
        let tally = pair.tally;
        row.born += u64::from(tally.births);
        if tally.starts == 0 && tally.births > 0 {
            row.new_values += 1;
            row.born_with_new += u64::from(tally.births);
        }
        if tally.deaths == tally.series && tally.deaths > 0 {
            row.gone_values += 1;
            row.died_with_gone += u64::from(tally.deaths);
        }
    }
    row
}
