//! Series that come and go.

use std::collections::BTreeMap;

use super::analyzer::Analysis;
use super::lives::Lived;
use super::pairs::Values;
use crate::model::Millis;

/// Steps that a range of time is divided into, at most; one more where it does not begin with a
/// step.
const STEPS: u64 = 24;
/// Lengths of steps.
const LENGTHS: [u64; 12] = [
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

/// What happened in a part of the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChurnStep {
    /// Where it begins.
    pub start: Millis,
    /// Where it ends, exclusive.
    pub end: Millis,
    /// Series that were there when it began: those that live on from before, in the first step
    /// those that are there from the start.
    pub before: u64,
    /// Series whose first sample lies in it.
    pub born: u64,
    /// Series whose last sample lies in it.
    pub died: u64,
    /// Series that were there when it began and are there when it ends.
    pub survived: u64,
    /// Series that are there when it ends.
    pub after: u64,
}

/// What happened to the series of a job in a part of the range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobStep {
    /// The job; nothing for series without one.
    pub job: Option<String>,
    /// What happened.
    pub step: ChurnStep,
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
    /// Values that no series had from the start of the range.
    pub new_values: u64,
    /// Different series that were born later and carry the label.
    pub born: u64,
    /// Those of them with a value that was new.
    pub born_with_new: u64,
    /// Values of which no series lived until the end of the range.
    pub gone_values: u64,
    /// Different series with such a value.
    pub died_with_gone: u64,
}

impl Analysis {
    /// Different series of all blocks.
    pub fn series(&self) -> u64 {
        self.lives.all.len() as u64
    }

    /// Births and deaths in each part of the range: at most 25, of a round length. A series is
    /// there from the start if its first sample comes within three scrapes of it, five minutes
    /// at most; in the same way it is there at the end. Series of which no chunk could be read
    /// are not counted.
    pub fn steps(&self) -> Vec<ChurnStep> {
        self.steps_of(1, |_| Some(0)).pop().unwrap_or_default()
    }

    /// The same for each of the jobs with most births, at most `top`.
    pub fn job_steps(&self, top: usize) -> Vec<JobStep> {
        let mut jobs = self.ranked_jobs();
        jobs.truncate(top);
        let places: BTreeMap<u32, usize> = (0..)
            .zip(&jobs)
            .map(|(place, (number, _))| (*number, place))
            .collect();
        let steps = self.steps_of(jobs.len(), |lived| places.get(&lived.job).copied());
        let of_job = jobs.into_iter().zip(steps);
        of_job
            .flat_map(|((_, churn), steps)| {
                steps.into_iter().map(move |step| JobStep {
                    job: churn.job.clone(),
                    step,
                })
            })
            .collect()
    }

    /// The steps of `groups` groups of series.
    fn steps_of(
        &self,
        groups: usize,
        group: impl Fn(&Lived) -> Option<usize>,
    ) -> Vec<Vec<ChurnStep>> {
        let Some((min, max)) = self.lives.range.filter(|(min, max)| min < max) else {
            return Vec::new();
        };
        let Some(era) = self.lives.whole_era() else {
            return Vec::new();
        };
        let length = max.abs_diff(min);
        let fits = |step: &u64| length.div_ceil(*step) <= STEPS;
        let step = LENGTHS.into_iter().find(fits).unwrap_or(length / STEPS + 1);
        let step = Millis::try_from(step).unwrap_or(Millis::MAX);
        let first = min.div_euclid(step);
        let count = max.saturating_sub(1).div_euclid(step) - first + 1;
        let steps: Vec<ChurnStep> = (0..count)
            .map(|i| {
                let start = (first + i).saturating_mul(step);
                ChurnStep {
                    start: start.max(min),
                    end: start.saturating_add(step).min(max),
                    ..ChurnStep::default()
                }
            })
            .collect();
        let at = |time: Millis| {
            let last = steps_index(count - 1);
            steps_index(time.clamp(min, max - 1).div_euclid(step) - first).min(last)
        };
        // Beside the steps: series that are there at first, and series that came and went within
        // each step.
        let mut all = vec![(steps, 0u64, vec![0u64; steps_index(count)]); groups];
        for (_, lived) in &self.lives.all {
            let Some((steps, there, passed)) = group(lived).and_then(|at| all.get_mut(at)) else {
                continue;
            };
            let Some((first, last)) = lived.span() else {
                continue;
            };
            let born = (!era.is_from_start(first)).then(|| at(first));
            let died = (!era.is_to_end(last)).then(|| at(last));
            *there += u64::from(born.is_none());
            if let Some(step) = born.and_then(|at| steps.get_mut(at)) {
                step.born += 1;
            }
            if let Some(step) = died.and_then(|at| steps.get_mut(at)) {
                step.died += 1;
            }
            if let Some(passed) = born
                .filter(|_| born == died)
                .and_then(|at| passed.get_mut(at))
            {
                *passed += 1;
            }
        }
        all.into_iter()
            .map(|(mut steps, mut there, passed)| {
                for (step, passed) in steps.iter_mut().zip(passed) {
                    step.before = there;
                    step.survived = (there + passed).saturating_sub(step.died);
                    there = (there + step.born).saturating_sub(step.died);
                    step.after = there;
                }
                steps
            })
            .collect()
    }

    /// Births and deaths by job: those with most births first.
    pub fn job_churn(&self) -> Vec<JobChurn> {
        let jobs = self.ranked_jobs().into_iter();
        jobs.map(|(_, churn)| churn).collect()
    }

    /// Jobs with their numbers.
    fn ranked_jobs(&self) -> Vec<(u32, JobChurn)> {
        let Some(era) = self.lives.whole_era() else {
            return Vec::new();
        };
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
            job.series += 1;
            let Some((first, last)) = lived.span() else {
                continue;
            };
            let (start, end) = (era.is_from_start(first), era.is_to_end(last));
            job.from_start += u64::from(start);
            job.born += u64::from(!start);
            job.died += u64::from(!end);
            job.survived += u64::from(start && end);
            job.one_sample += u64::from(lived.samples == 1);
            lengths.push(last.saturating_sub(first));
        }
        let mut churn: Vec<_> = (0..)
            .zip(jobs)
            .map(|(number, (mut job, mut lengths))| {
                let middle = lengths.len().saturating_sub(1) / 2;
                if middle < lengths.len() {
                    job.median_life = *lengths.select_nth_unstable(middle).1;
                }
                (number, job)
            })
            .collect();
        churn.sort_by(|(_, a), (_, b)| (b.born, &a.job).cmp(&(a.born, &b.job)));
        churn
    }

    /// How the values of each label come and go: the label that brought most births with new values
    /// first. Labels without are left out.
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
        row.born += u64::from(tally.born);
        if tally.born == tally.fresh && tally.born > 0 {
            row.new_values += 1;
            row.born_with_new += u64::from(tally.born);
        }
        if tally.ends == 0 && tally.fresh > 0 {
            row.gone_values += 1;
            row.died_with_gone += u64::from(tally.fresh);
        }
    }
    row
}
