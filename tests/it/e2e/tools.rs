//! Which Prometheus releases this machine has.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A release that tests want to run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The distribution's package: `prometheus` and `promtool` on the PATH.
    Packaged,
    /// A 3.x release: `NARTHEX_PROMETHEUS3`, or what `.ci/run` has built.
    Current,
}

impl Release {
    /// Its first two numbers.
    pub(crate) fn version(self) -> (u32, u32) {
        match self {
            Release::Packaged => (2, 42),
            Release::Current => (3, 16),
        }
    }
}

/// The programs of one release.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) release: Release,
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
}

impl Tools {
    /// The programs of `release`, or `None` after saying that the running test is skipped.
    pub(crate) fn find_or_skip(release: Release) -> Option<Self> {
        let found = match release {
            Release::Packaged => Self::on_path(),
            Release::Current => Self::built(),
        };
        found.map_err(|missing| skip(&missing)).ok()
    }

    fn on_path() -> Result<Self, String> {
        Ok(Self {
            release: Release::Packaged,
            prometheus: on_path("prometheus")?,
            promtool: on_path("promtool")?,
        })
    }

    fn built() -> Result<Self, String> {
        let prometheus = env::var_os("NARTHEX_PROMETHEUS3").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus/bin/prometheus"),
            PathBuf::from,
        );
        let promtool = prometheus.with_file_name("promtool");
        for program in [&prometheus, &promtool] {
            if !program.is_file() {
                return Err(format!("no {} (.ci/run builds it)", program.display()));
            }
        }
        Ok(Self {
            release: Release::Current,
            prometheus,
            promtool,
        })
    }

    /// Runs `promtool` and returns what it wrote to standard output; it must end well.
    pub(crate) fn promtool(&self, arguments: &[&str], directory: &Path) -> String {
        let output = Command::new(&self.promtool)
            .args(arguments)
            .arg(directory)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "promtool {arguments:?} {}: {}\n{}",
            directory.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

fn on_path(program: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| format!("no {program} on the PATH (apt-get install prometheus)"))
}

/// Says that the running test is skipped; fails it where that is not allowed.
pub(crate) fn skip(missing: &str) {
    assert!(
        env::var_os("NARTHEX_REQUIRE_E2E").is_none_or(|value| value != "1"),
        "NARTHEX_REQUIRE_E2E=1, but {missing}"
    );
    say_skipped(missing);
}

/// Says that the running test is skipped.
pub(crate) fn say_skipped(missing: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // The test harness swallows what the print macros of a passing test say, but not this.
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {missing}");
}
