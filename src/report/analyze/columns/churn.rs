//! What is said of series that come and go.

use super::{name, percent};
use crate::capacity::{Analysis, ChurnStep, JobChurn, JobStep, Turnover};
use crate::report::{Column, Extent, InJson, Rows, Sheet, Unit, Value};

/// Jobs whose births and deaths are shown in time when nothing else is said.
const JOBS_IN_TIME: usize = 100;

/// One row for each part of the range of time.
pub(in crate::report) static STEPS: Sheet<Analysis, ChurnStep> = Sheet {
    name: "churn",
    title: "Series that come and go",
    row: "part of the range of time",
    json: InJson::List("churn"),
    rows: |analysis, _| Rows::made(analysis.steps()),
    columns: &[
        Column {
            key: "start",
            heading: "FROM",
            unit: Unit::Time,
            weight: 9,
            explanation: "Where it begins.",
            value: |s| Value::Time(s.start),
        },
        Column {
            key: "end",
            heading: "TO",
            unit: Unit::Time,
            weight: 5,
            explanation: "Where it ends, exclusive.",
            value: |s| Value::Time(s.end),
        },
        Column {
            key: "before",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that were there when it began; in the first part, from the start.",
            value: |s| Value::Count(s.before),
        },
        Column {
            key: "born",
            heading: "BORN",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series whose first sample lies in it.",
            value: |s| Value::Count(s.born),
        },
        Column {
            key: "died",
            heading: "DIED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series whose last sample lies in it, and not at the end of everything.",
            value: |s| Value::Count(s.died),
        },
        Column {
            key: "survived",
            heading: "SURVIVED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that were there when it began and are there when it ends.",
            value: |s| Value::Count(s.survived),
        },
        Column {
            key: "after",
            heading: "LEFT",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that are there when it ends.",
            value: |s| Value::Count(s.after),
        },
    ],
};

/// One row for each of these parts and each job.
pub(in crate::report) static JOB_STEPS: Sheet<Analysis, JobStep> = Sheet {
    name: "churn-time-job",
    title: "Series that come and go, by time and job",
    row: "part of the range of time and job",
    json: InJson::List("churn_by_time_and_job"),
    rows: job_steps,
    columns: &[
        Column {
            key: "job",
            heading: "JOB",
            unit: Unit::None,
            weight: 9,
            explanation: "The job; null for series without the label. Without --top these are the 100 jobs with most births.",
            value: |s| name(s.job.as_ref()),
        },
        Column {
            key: "start",
            heading: "FROM",
            unit: Unit::Time,
            weight: 9,
            explanation: "Where it begins.",
            value: |s| Value::Time(s.step.start),
        },
        Column {
            key: "end",
            heading: "TO",
            unit: Unit::Time,
            weight: 5,
            explanation: "Where it ends, exclusive.",
            value: |s| Value::Time(s.step.end),
        },
        Column {
            key: "before",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that were there when it began; in the first part, from the start.",
            value: |s| Value::Count(s.step.before),
        },
        Column {
            key: "born",
            heading: "BORN",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series whose first sample lies in it.",
            value: |s| Value::Count(s.step.born),
        },
        Column {
            key: "died",
            heading: "DIED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series whose last sample lies in it, and not at the end of everything.",
            value: |s| Value::Count(s.step.died),
        },
        Column {
            key: "survived",
            heading: "SURVIVED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that were there when it began and are there when it ends.",
            value: |s| Value::Count(s.step.survived),
        },
        Column {
            key: "after",
            heading: "LEFT",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that are there when it ends.",
            value: |s| Value::Count(s.step.after),
        },
    ],
};

/// One row for each job.
pub(in crate::report) static JOBS: Sheet<Analysis, JobChurn> = Sheet {
    name: "churn-job",
    title: "Series that come and go, by job",
    row: "job",
    json: InJson::List("churn_by_job"),
    rows: |analysis, extent| Rows::first_made(analysis.job_churn(), extent),
    columns: &[
        Column {
            key: "job",
            heading: "JOB",
            unit: Unit::None,
            weight: 9,
            explanation: "The job; null for series without the label.",
            value: |j| name(j.job.as_ref()),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different series, over all blocks.",
            value: |j| Value::Count(j.series),
        },
        Column {
            key: "from_start",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series that are there from the start.",
            value: |j| Value::Count(j.from_start),
        },
        Column {
            key: "born",
            heading: "BORN",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that begin later.",
            value: |j| Value::Count(j.born),
        },
        Column {
            key: "died",
            heading: "DIED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that end before the end.",
            value: |j| Value::Count(j.died),
        },
        Column {
            key: "survived",
            heading: "SURVIVED",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that are there from start to end.",
            value: |j| Value::Count(j.survived),
        },
        Column {
            key: "survived_share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Their share of the job's series.",
            value: |j| percent(j.survived, j.series),
        },
        Column {
            key: "one_sample_series",
            heading: "OF ONE SAMPLE",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series with one sample.",
            value: |j| Value::Count(j.one_sample),
        },
        Column {
            key: "median_life",
            heading: "MEDIAN LIFE",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The time between first and last sample that half of the series do not exceed.",
            value: |j| Value::Duration(j.median_life),
        },
    ],
};

/// One row for each label whose values come and go.
pub(in crate::report) static TURNOVER: Sheet<Analysis, Turnover> = Sheet {
    name: "turnover",
    title: "Series that come and go, by the label that turned over",
    row: "label whose values come and go",
    json: InJson::List("turnover"),
    rows: |analysis, extent| Rows::first_made(analysis.turnover(), extent),
    columns: &[
        Column {
            key: "label",
            heading: "LABEL",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the label.",
            value: |t| Value::text(&t.label),
        },
        Column {
            key: "values",
            heading: "VALUES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different values.",
            value: |t| Value::Count(t.values),
        },
        Column {
            key: "new_values",
            heading: "NEW",
            unit: Unit::Count,
            weight: 5,
            explanation: "Values that no series had from the start of the first block.",
            value: |t| Value::Count(t.new_values),
        },
        Column {
            key: "born",
            heading: "BORN SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different series that were born later and carry the label.",
            value: |t| Value::Count(t.born),
        },
        Column {
            key: "born_with_new",
            heading: "WITH A NEW VALUE",
            unit: Unit::Count,
            weight: 5,
            explanation: "Those of them whose value was new: the label's turnover.",
            value: |t| Value::Count(t.born_with_new),
        },
        Column {
            key: "gone_values",
            heading: "GONE",
            unit: Unit::Count,
            weight: 5,
            explanation: "Values of which no series lived until the last block ended.",
            value: |t| Value::Count(t.gone_values),
        },
        Column {
            key: "died_with_gone",
            heading: "DIED WITH IT",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different series with such a value.",
            value: |t| Value::Count(t.died_with_gone),
        },
    ],
};

fn job_steps(analysis: &Analysis, extent: Extent) -> Rows<'_, JobStep> {
    if matches!(extent, Extent::Glance(_)) {
        return Rows::none();
    }
    let jobs = extent.limit().unwrap_or(JOBS_IN_TIME);
    Rows::made(analysis.job_steps(jobs)).of_all(None)
}
