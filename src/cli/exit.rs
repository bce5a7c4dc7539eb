//! Exit codes: a promise to scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// 0: done, and nothing wrong was seen.
    Healthy,
    /// 3: done, but problems were found or something was left out.
    Problems,
    /// 1: it could not be done.
    Failed,
    /// 2: wrong usage.
    Usage,
}

impl Ending {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Ending::Healthy => 0,
            Ending::Failed => 1,
            Ending::Usage => 2,
            Ending::Problems => 3,
        }
    }

    /// [`Ending::Problems`] when there are any.
    pub fn problems_if(any: bool) -> Self {
        if any {
            Ending::Problems
        } else {
            Ending::Healthy
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(outcome: Ending) -> Self {
        ExitCode::from(outcome.code())
    }
}
