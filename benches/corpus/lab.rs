//! Timing, and keeping what comes out of packs.

use narthex::error::Result;
use narthex::pack::SegmentSink;

/// Keeps what was unpacked.
#[derive(Default)]
pub(crate) struct Segments(pub(crate) Vec<Vec<u8>>);

impl SegmentSink for Segments {
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        self.0.resize(position + 1, Vec::new());
        self.0[position].extend_from_slice(bytes);
        Ok(())
    }
}

/// Seconds of processor time that this process has used so far: other work on the machine does not
/// count. Only Linux tells.
fn cpu_seconds() -> f64 {
    let nanoseconds = |task: std::io::Result<std::fs::DirEntry>| -> u64 {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
        stat.ok()
            .and_then(|stat| stat.split(' ').next()?.parse().ok())
            .unwrap_or(0)
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.map(nanoseconds).sum::<u64>() as f64 / 1e9
}

/// What `work` returns when it runs for the last time of `runs`, and the median of the seconds it
/// takes.
pub(crate) fn timed<T>(runs: usize, mut work: impl FnMut() -> T) -> (T, f64) {
    let mut once = || {
        let start = cpu_seconds();
        let done = work();
        (done, cpu_seconds() - start)
    };
    let mut seconds: Vec<f64> = (1..runs).map(|_| once().1).collect();
    let (done, last) = once();
    seconds.push(last);
    seconds.sort_by(f64::total_cmp);
    (done, seconds[seconds.len() / 2])
}
