//! How much is read more than once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that may be read again, for files in which many references lead to the same place.
///
/// A sound file names each of its parts once. In a hostile one a few bytes of reference can name
/// megabytes, and millions of them the same ones: without a limit, verifying it would take days.
/// The limit is a few times the file's size, so that every part of a merely disordered file is read
/// all the same.
#[derive(Debug)]
pub(in crate::verify) struct Budget(AtomicU64);

/// How many times the size of a file may be read again.
const TIMES: u64 = 8;
/// And so many bytes more, for small files.
const LEAST: u64 = 16 << 20;

impl Budget {
    /// For a file, or files, of `bytes`.
    pub(in crate::verify) fn of(bytes: u64) -> Self {
        Budget(AtomicU64::new(bytes.saturating_mul(TIMES) + LEAST))
    }

    /// Whether `bytes` more may be read; then they count as read.
    pub(in crate::verify) fn take(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        self.0.fetch_update(Relaxed, Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_a_few_times_and_then_no_more() {
        let budget = Budget::of(1 << 30);
        let times = (0..100).filter(|_| budget.take(1 << 30)).count();
        assert_eq!(times as u64, TIMES);
        assert!(budget.take(1), "what is small may still fit");
    }
}
