//! How much work something is, whatever else the machine does meanwhile; no tests of its own.

use rustix::time::{ClockId, clock_gettime};

/// Processor time in nanoseconds that `work` takes on one thread, threads it would use included.
pub(crate) fn effort<T: Send>(work: impl FnOnce() -> T + Send) -> (T, u64) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    alone.unwrap().install(|| {
        let before = now();
        let done = work();
        (done, now() - before)
    })
}

/// Eight times the input is not much more than eight times the work; work that grows with the
/// square is sixty-four times.
pub(crate) fn assert_grows_with<I: Send + Sync>(
    what: &str,
    input: impl Fn(usize) -> I,
    work: impl Fn(&I) + Sync,
) {
    const FEW: usize = 1000;
    let (few, many) = (input(FEW), input(8 * FEW));
    let least = |input: &I| {
        let tries = (0..2).map(|_| effort(|| work(input)).1);
        tries.min().unwrap().max(1)
    };
    let factor = least(&many) as f64 / least(&few) as f64;
    assert!(
        factor < 24.0,
        "{what}: {factor:.1} times the work for 8 times the input"
    );
}
