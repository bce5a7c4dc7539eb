//! Series and their samples as numbers.

use super::merged::Walk;
use super::problem::ReadProblem;
use super::sink::Sink;
use super::tally::Tally;
use super::{LabelSlices, Selection};
use crate::block::Block;
use crate::chunk::OwnedSample;
use crate::error::Result;
use crate::model::{Label, Labels, Millis, Sample};

/// One series with the samples that were asked for, in order of their time.
#[derive(Clone, Debug)]
pub struct SeriesSamples {
    /// Labels, in the order of the index: by name.
    pub labels: Labels,
    /// Its samples, each time once.
    pub samples: Vec<OwnedSample>,
}

/// The series of several blocks one after another, in the order of their labels, with the samples
/// that a query over the same blocks would see: blocks merged, deleted ranges left out, each time
/// once. Where blocks hold different samples for the same time, the block that begins later wins.
///
/// What is damaged is left out, and named by [`Samples::problems`]: look there before an absence is
/// taken for the truth. Series of Thanos' aggregates come behind those of samples and bear
/// [`AGGREGATE_LABEL`](super::AGGREGATE_LABEL). Memory: the samples of one series.
///
/// ```
/// use narthex::block::Block;
/// use narthex::chunk::OwnedSample;
/// use narthex::model::Millis;
/// use narthex::raw::ReadMode;
/// use narthex::select::{Samples, Selection};
///
/// # fn main() -> narthex::error::Result<()> {
/// let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
/// let blocks = [Block::open(dir.as_ref(), ReadMode::Map)?];
/// let up = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse()?]);
/// let mut samples = Samples::open(&blocks, &up)?;
/// for series in &mut samples {
///     for sample in &series.samples {
///         if let OwnedSample::Float(float) = sample {
///             println!("{} {} {}", series.labels, float.time, float.value());
///         }
///     }
/// }
/// assert!(samples.problems().is_empty());
/// assert!(samples.tally().samples > 0);
/// # Ok(())
/// # }
/// ```
pub struct Samples<'a> {
    walk: Walk<'a, Gathered>,
    problems: Vec<ReadProblem>,
    is_over: bool,
}

impl std::fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples")
            .field("tally", self.tally())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

impl<'a> Samples<'a> {
    /// Stands before the first series of `blocks` that `selection` asks for.
    ///
    /// # Errors
    ///
    /// When an index cannot be opened at all.
    pub fn open(blocks: &'a [Block], selection: &'a Selection) -> Result<Self> {
        let mut problems = Vec::new();
        let walk = Walk::open(blocks, selection, Gathered::default(), &mut |problem| {
            problems.push(problem);
        })?;
        Ok(Samples {
            walk,
            problems,
            is_over: false,
        })
    }

    /// What was damaged of what was read so far; where everything was asked for, at the end also
    /// where counts differ from those that the metadata promise.
    pub fn problems(&self) -> &[ReadProblem] {
        &self.problems
    }

    /// What was read, left out and lost so far.
    pub fn tally(&self) -> &Tally {
        &self.walk.tally
    }
}

impl Iterator for Samples<'_> {
    type Item = SeriesSamples;

    fn next(&mut self) -> Option<SeriesSamples> {
        let problems = &mut self.problems;
        let mut report = |problem| problems.push(problem);
        while !self.is_over && self.walk.next_series(&mut report) {
            while self.walk.step(&mut report).is_some() {}
            let samples = std::mem::take(&mut self.walk.sink.samples);
            // All of them may be deleted, damaged, or of another time.
            if !samples.is_empty() {
                let label = |(name, value): &(&[u8], &[u8])| Label {
                    name: (*name).into(),
                    value: (*value).into(),
                };
                let labels = self.walk.labels().iter().map(label).collect();
                return Some(SeriesSamples {
                    labels: Labels(labels),
                    samples,
                });
            }
        }
        if !self.is_over {
            self.is_over = true;
            self.walk.check_promises(&mut report);
        }
        None
    }
}

/// The samples of the series at which a walk stands.
#[derive(Default)]
struct Gathered {
    samples: Vec<OwnedSample>,
    /// Samples that wait for earlier ones, by the number that is their body.
    waiting: Vec<OwnedSample>,
}

impl Sink for Gathered {
    fn begin(&mut self, _: &LabelSlices<'_>) {
        self.samples.clear();
        self.waiting.clear();
    }

    fn body(&mut self, sample: &Sample<'_>, body: &mut Vec<u8>) -> bool {
        body.extend(self.waiting.len().to_le_bytes());
        self.waiting.push(OwnedSample::from(sample));
        true
    }

    fn take(&mut self, _: Millis, body: &[u8]) {
        let number = body.try_into().map(usize::from_le_bytes);
        let waiting = number.ok().and_then(|number| self.waiting.get(number));
        self.samples.extend(waiting.cloned());
    }

    fn sample(&mut self, sample: &Sample<'_>) -> bool {
        self.samples.push(OwnedSample::from(sample));
        true
    }

    fn end(&mut self, _: &LabelSlices<'_>) {}
}
