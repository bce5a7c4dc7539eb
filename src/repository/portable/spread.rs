//! Working on many objects at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::FRAME_BYTES;
use crate::error::Result;

/// Objects of up to this many raw bytes are worked on several at a time; a larger one has enough frames to keep
/// all cores busy by itself.
const SMALL_BYTES: u64 = 2 * FRAME_BYTES as u64;

/// How many small objects are in work at a time, at most: each holds its bytes in memory.
const MAX_SMALL: usize = 8;

/// Does `work` for every item, each about objects with `bytes` raw bytes, and returns what came of them in their
/// order. Items are spread over plain threads, because a call that writes or reads an object keeps rayon's
/// workers for itself.
///
/// # Errors
///
/// The first error of `work`; what has not begun by then is not begun.
pub fn spread<T: Sync, R: Send>(
    items: &[T],
    bytes: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (small, large): (Vec<_>, Vec<_>) = items
        .iter()
        .enumerate()
        .partition(|(_, item)| bytes(item) <= SMALL_BYTES);
    let workers = rayon::current_num_threads().min(MAX_SMALL);
    let mut done = on_threads(&large, 1, &work)?;
    done.append(&mut on_threads(&small, workers, &work)?);
    Ok(done.into_values().collect())
}

fn on_threads<T: Sync, R: Send>(
    items: &[(usize, &T)],
    workers: usize,
    work: &(impl Fn(&T) -> Result<R> + Sync),
) -> Result<BTreeMap<usize, R>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Ok(BTreeMap::new()));
    let worker = || {
        while let Some((at, item)) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(item);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *done, result) {
                (Ok(results), Ok(result)) => {
                    results.insert(*at, result);
                }
                (Ok(_), Err(error)) => *done = Err(error),
                (Err(_), _) => {}
            }
            if done.is_err() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(worker);
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_come_in_the_order_of_the_items_whatever_their_size() {
        let items: Vec<u64> = (0..100).collect();
        let size = |item: &u64| if item.is_multiple_of(3) { u64::MAX } else { 0 };
        let doubled = spread(&items, size, |item| Ok(item * 2)).unwrap();
        assert!(doubled.into_iter().eq((0..100).map(|item| item * 2)));
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let failed: Result<Vec<()>> = spread(
            &[(); 1000],
            |()| u64::MAX,
            |()| {
                begun.fetch_add(1, Ordering::Relaxed);
                Err(Error::invalid("no"))
            },
        );
        assert!(failed.is_err());
        assert_eq!(begun.into_inner(), 1);
    }
}
