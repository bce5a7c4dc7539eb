//! What has been told so far.

use std::cell::RefCell;

use serde_json::Value as Json;

use crate::cli::exit::Ending;
use crate::cli::outlook::Outlook;
use crate::progress::Progress;
use crate::report::trouble::{TROUBLE, told};
use crate::restore::RestoreProblem;
use crate::trouble::Severity;

/// What is told beside what comes back: said on standard error at once, and kept for JSON. Problems
/// end the command with exit code 3.
pub(in crate::cli::commands::restore) struct Told<'p> {
    progress: &'p dyn Progress,
    all: RefCell<Vec<RestoreProblem>>,
}

impl<'p> Told<'p> {
    pub(in crate::cli::commands::restore) fn new(progress: &'p dyn Progress) -> Self {
        Told {
            progress,
            all: RefCell::default(),
        }
    }

    /// Says it.
    pub(in crate::cli::commands::restore) fn tell(&self, problem: RestoreProblem) {
        self.progress.remark(&problem);
        self.keep(problem);
    }

    /// Says something that is a problem here, or none.
    pub(super) fn say(&self, is_problem: bool, problem: RestoreProblem) {
        let severity = if is_problem {
            Severity::Problem
        } else {
            Severity::Note
        };
        self.tell(RestoreProblem {
            severity,
            ..problem
        });
    }

    /// Keeps what has been said already.
    pub(in crate::cli::commands::restore) fn keep(&self, problem: RestoreProblem) {
        self.all.borrow_mut().push(problem);
    }

    /// Everything, for JSON.
    pub(in crate::cli::commands::restore) fn json(&self) -> Json {
        TROUBLE.all(&told(&self.all.borrow())).json()
    }

    /// How the command ends by what was told alone.
    pub(in crate::cli::commands::restore) fn own_outcome(&self) -> Ending {
        let all = self.all.borrow();
        Ending::problems_if(all.iter().any(|it| it.severity == Severity::Problem))
    }

    pub(in crate::cli::commands::restore) fn outcome(&self, outlook: &Outlook) -> Ending {
        let all = self.all.borrow();
        Ending::problems_if(
            all.iter().any(|it| it.severity == Severity::Problem)
                || !outlook.takes_samples()
                || outlook.leaves_out(),
        )
    }
}
