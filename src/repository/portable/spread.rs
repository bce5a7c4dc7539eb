//! Working on many objects at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::FRAME_BYTES;
use crate::error::Result;

/// Objects of more raw bytes than this are large: such a one has enough frames to keep all cores
/// busy by itself, most of the time.
const SMALL_BYTES: u64 = 2 * FRAME_BYTES as u64;

/// How many objects are in work at a time, at most: each holds some of its bytes in memory.
const MAX_OBJECTS: usize = 6;

/// How many of them are large, at most: while one waits for the disk, the other computes.
const MAX_LARGE: usize = 2;

/// Does `work` for every item, each about objects with `bytes` raw bytes, and returns what came of
/// them in their order. Items are spread over plain threads, because a call that writes or reads an
/// object keeps rayon's workers for itself.
///
/// # Errors
///
/// The first error of `work`; what has not begun by then is not begun.
pub fn spread<T: Sync, R: Send>(
    items: &[T],
    bytes: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let mut queue: Vec<_> = items.iter().enumerate().collect();
    queue.sort_by_cached_key(|(_, item)| std::cmp::Reverse(bytes(item)));
    let is_large = |(_, item): &(usize, &T)| bytes(item) > SMALL_BYTES;
    let small = queue.split_off(queue.partition_point(is_large));
    let queues = [Queue::new(queue), Queue::new(small)];
    let done = Mutex::new(Ok(BTreeMap::new()));
    let worker = |queues: &[Queue<'_, T>]| {
        while let Some((at, item)) = queues.iter().find_map(Queue::next) {
            let result = work(item);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *done, result) {
                (Ok(results), Ok(result)) => {
                    results.insert(at, result);
                }
                (Ok(_), Err(error)) => *done = Err(error),
                (Err(_), _) => {}
            }
            if done.is_err() {
                break;
            }
        }
    };
    let workers = rayon::current_num_threads().min(MAX_OBJECTS);
    std::thread::scope(|scope| {
        for number in 0..workers.min(items.len()) {
            let (worker, both) = (&worker, &queues[..]);
            let only_small = both.get(1..).unwrap_or_default();
            scope.spawn(move || worker(if number < MAX_LARGE { both } else { only_small }));
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    Ok(done.into_values().collect())
}

/// Items that wait, with their places in the order.
struct Queue<'a, T> {
    items: Vec<(usize, &'a T)>,
    next: AtomicUsize,
}

impl<'a, T> Queue<'a, T> {
    fn new(items: Vec<(usize, &'a T)>) -> Self {
        Queue {
            items,
            next: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> Option<(usize, &'a T)> {
        self.items
            .get(self.next.fetch_add(1, Ordering::Relaxed))
            .copied()
    }
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
        assert!(begun.into_inner() <= MAX_LARGE);
    }
}
