//! The real thing: real Prometheus servers, the real `promtool`, the real `narthex` process, killed
//! for real.
//!
//! A test that needs a tool which is not there prints a line starting with `SKIPPED:` and passes;
//! with `NARTHEX_REQUIRE_E2E=1` it fails instead. Two releases of Prometheus are looked for:
//! the packaged one (`prometheus` and `promtool` on the PATH) and the current one
//! (`NARTHEX_PROMETHEUS3`, else `tests/prometheus/bin/prometheus`, which `.ci/run` builds;
//! `promtool` beside it).

mod analyze;
mod answer;
mod beside_a_server;
mod consequences;
mod deployment;
mod dump;
mod exact;
mod future;
mod gone;
mod hostile_machine;
mod http;
mod killed_backup;
mod killed_server;
mod late_target;
mod log_faults;
pub(crate) mod program;
mod read_only;
mod recorded;
mod replaced;
mod replay;
mod running_server;
mod samples_once;
mod server;
mod snapshots;
mod start;
pub(crate) mod tools;
mod tree;
mod trial;
mod unlistable;
mod whatif;
