//! Exit codes: a promise to scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// 0: done, and nothing wrong was seen.
    Healthy,
    /// 3: done, but problems were found or something was left out.
    Problems,
    /// 1: it could not be done.
    Failed,
    /// 2: wrong usage.
    Usage,
}

impl Outcome {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Healthy => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::Problems => 3,
        }
    }

    /// [`Outcome::Problems`] when there are any.
    pub fn problems_if(any: bool) -> Self {
        if any {
            Outcome::Problems
        } else {
            Outcome::Healthy
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome.code())
    }
}
