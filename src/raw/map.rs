//! Files mapped into memory, and pages of them that cannot be read.
//!
//! This file and `processor.rs` are the only ones of the crate with `unsafe` in them.
//!
//! A page of a map is read when it is first touched. If the disk cannot read it, or the file has
//! become shorter, the kernel has no error to return: it sends SIGBUS, which ends the process. So
//! the first map installs a handler for that signal. For a page of one of our maps it puts a page
//! of zeros in the place of the one that cannot be read and notes which it was; the reader goes on,
//! finds zeros where checksums want something else, and [`Map::unreadable`] says why. Signals that
//! concern no map of ours go to whatever handled them before.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};

/// How many unreadable pages of one map are remembered by their place; the others are counted.
const PLACES: usize = 64;

/// Pages of a file that could not be read, and were taken for zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadablePages {
    /// The file.
    pub path: PathBuf,
    /// Offsets of such pages in the file, in bytes, ascending; the first 64 that were met.
    pub offsets: Vec<u64>,
    /// How often one was met.
    pub pages: u64,
    /// Size of a page, in bytes.
    pub page_bytes: u64,
}

impl UnreadablePages {
    /// Whether the byte at `offset` of the file lies in such a page.
    pub fn covers(&self, offset: u64) -> bool {
        let mut offsets = self.offsets.iter();
        offsets.any(|page| (*page..page.saturating_add(self.page_bytes)).contains(&offset))
    }
}

impl UnreadablePages {
    /// How much it is and where, from the first of them on.
    pub fn extent(&self) -> String {
        let bytes = self.page_bytes;
        match self.offsets.as_slice() {
            [_] => {
                format!(
                    "the disk cannot read {bytes} bytes from here on, which were taken for zeros"
                )
            }
            pages => format!(
                "the disk cannot read {} pages of {bytes} bytes, which were taken for zeros, up to offset {}",
                self.pages,
                pages.last().copied().unwrap_or(0).saturating_add(bytes)
            ),
        }
    }
}

impl std::fmt::Display for UnreadablePages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        let at = self.offsets.first().copied().unwrap_or(0);
        write!(f, "{path}: the disk cannot read the page at offset {at}")?;
        match self.pages.saturating_sub(1) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What was unreadable in maps that are closed.
static CLOSED: Mutex<Vec<UnreadablePages>> = Mutex::new(Vec::new());

/// What was unreadable in all maps of this process that were closed since this was asked last.
/// Whoever reports on files asks it at the end, so that nothing that was read as zeros is taken for
/// the truth.
pub fn take_unreadable() -> Vec<UnreadablePages> {
    let mut closed = CLOSED.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *closed)
}

/// A file in memory, mapped shared and read-only.
#[derive(Debug)]
pub(super) struct Map {
    // Dropped by `drop` below, after the watch.
    pages: memmap2::Mmap,
    watch: &'static Watch,
    path: PathBuf,
}

impl Map {
    /// Maps the whole of `file`, which is not empty; `path` is for messages.
    ///
    /// # Errors
    ///
    /// When it cannot be mapped.
    pub(super) fn new(file: &File, path: &Path) -> io::Result<Self> {
        install();
        #[expect(
            unsafe_code,
            reason = "a memory map cannot be made without; see SAFETY"
        )]
        // SAFETY: the map is read-only. What Rust cannot rule out is that the file changes or
        // shrinks under it, or that the disk fails: then a read sees other bytes than an earlier
        // one. Everything that is read passes through bounds checks at the moment it is
        // used, so that costs wrong results, which checksums find, and no
        // memory. Prometheus never changes a block: index and segments are written under a
        // temporary directory name and never modified afterwards; deletion unlinks, which
        // leaves open maps intact. meta.json and tombstones are replaced by rename, which
        // leaves the old inode to us. Files that are appended to in place (WAL) only grow.
        // For file systems that break these promises there is `ReadMode::Read`.
        let pages = unsafe { memmap2::Mmap::map(file) }?;
        let watch = watch(pages.as_ptr().addr(), pages.len());
        Ok(Map {
            pages,
            watch,
            path: path.to_owned(),
        })
    }

    /// Says that the bytes from `start` to `end` are not needed soon, so that their pages do not
    /// count as memory of this process.
    pub(super) fn release(&self, start: usize, end: usize) {
        let end = end.min(self.pages.len());
        let Some(len) = end.checked_sub(start).filter(|len| *len > 0) else {
            return;
        };
        #[expect(unsafe_code, reason = "memmap2 cannot know what is mapped; see SAFETY")]
        // SAFETY: MADV_DONTNEED may change what slices of the map hold if pages are anonymous, or
        // private and written to: they would come back as zeros, or as the file has them.
        // Every map is made by `Map::new`, of a file, shared, and read-only. Its pages are
        // those of the page cache, which dropping does not change: the next access, by
        // whoever holds a slice, maps the same page again. Pages that the handler below has
        // put in are anonymous, and all zeros before and after. Whole pages are dropped,
        // also what of them lies beside the range, to which the same applies. If the file is
        // changed or cut meanwhile, reads see what they would see without this, see
        // `Map::new`.
        let advised = unsafe {
            self.pages
                .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
        };
        // Advice that is not taken costs memory and nothing else.
        drop(advised);
    }

    /// The pages that could not be read so far.
    pub(super) fn unreadable(&self) -> Option<UnreadablePages> {
        let pages = self.watch.count.load(Ordering::Acquire);
        if pages == 0 {
            return None;
        }
        let places = self.watch.places.iter();
        let places = places.map(|place| place.load(Ordering::Acquire));
        // Each is kept one too large, so that zero can mean none.
        let mut offsets: Vec<u64> = places
            .filter_map(|place| place.checked_sub(1))
            .map(|offset| offset as u64)
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        Some(UnreadablePages {
            path: self.path.clone(),
            offsets,
            pages: pages as u64,
            page_bytes: page_bytes() as u64,
        })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if let Some(unreadable) = self.unreadable() {
            let mut closed = CLOSED.lock().unwrap_or_else(PoisonError::into_inner);
            closed.push(unreadable);
        }
        self.watch.end();
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages
    }
}

/// A range of addresses that the handler answers for. Watches live for ever and are used again, so
/// that the handler may follow the chain of them at any moment.
#[derive(Debug)]
struct Watch {
    /// First address; zero when nothing is watched.
    start: AtomicUsize,
    len: AtomicUsize,
    /// How many pages were put in.
    count: AtomicUsize,
    /// Where the first of them were: offsets, each increased by one.
    places: [AtomicUsize; PLACES],
    next: AtomicPtr<Watch>,
}

/// All watches, the newest first.
static WATCHES: AtomicPtr<Watch> = AtomicPtr::new(ptr::null_mut());

/// Watches that nobody uses.
static IDLE: Mutex<Vec<&'static Watch>> = Mutex::new(Vec::new());

fn watch(start: usize, len: usize) -> &'static Watch {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let watch = idle.pop().unwrap_or_else(|| {
        let watch: &'static mut Watch = Box::leak(Box::new(Watch {
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            places: [const { AtomicUsize::new(0) }; PLACES],
            next: AtomicPtr::new(WATCHES.load(Ordering::Acquire)),
        }));
        // Only who holds the lock adds to the chain.
        WATCHES.store(watch, Ordering::Release);
        watch
    });
    watch.count.store(0, Ordering::Release);
    for place in &watch.places {
        place.store(0, Ordering::Release);
    }
    watch.len.store(len, Ordering::Release);
    watch.start.store(start, Ordering::Release);
    watch
}

impl Watch {
    fn end(&'static self) {
        self.start.store(0, Ordering::Release);
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(self);
    }

    /// Offset of `address` in what is watched, if it lies there. For the handler: loads and
    /// arithmetic only.
    fn offset_of(&self, address: usize) -> Option<usize> {
        let start = self.start.load(Ordering::Acquire);
        let len = self.len.load(Ordering::Acquire);
        let offset = address.checked_sub(start)?;
        let is_there = start != 0 && offset < len;
        // Given to another map meanwhile: then `len` may be that one's.
        (is_there && self.start.load(Ordering::Acquire) == start).then_some(offset)
    }

    fn note(&self, offset: usize) {
        let count = self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(place) = self.places.get(count) {
            place.store(offset.saturating_add(1), Ordering::Release);
        }
    }
}

/// Size of a page, in bytes.
fn page_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(rustix::param::page_size)
}

/// What handled the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handler, once. Where that fails, an unreadable page ends the process as it would
/// without.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        page_bytes();
        #[expect(
            unsafe_code,
            reason = "signal handlers are the C library's; see SAFETY"
        )]
        // SAFETY: `sigaction` is plain data, for which zeros are a valid value. The handler only
        // does what a signal handler may: atomic loads and stores, `mmap`, `sigaction`,
        // `raise`. It runs on the alternate stack where a thread has one, as the standard
        // library's handler for overflown stacks, which ours passes other signals on to, expects.
        // `BEFORE` is set before the handler can run.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before) != 0 {
                return;
            }
            let _ = BEFORE.set(before);
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = on_bus_error as *const () as libc::sighandler_t;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut ours.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut());
        }
    });
}

#[expect(
    unsafe_code,
    reason = "what a signal handler is given are C pointers; see SAFETY"
)]
extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel hands over a valid `siginfo_t`; its address field means something when the
    // kernel itself has sent the signal (positive codes). `errno` belongs to the thread that
    // was interrupted and is put back.
    unsafe {
        let errno = *libc::__errno_location();
        let from_kernel = (*info).si_code > 0;
        if !(from_kernel && put_zeros((*info).si_addr().addr())) {
            pass_on(signal, info, context);
        }
        *libc::__errno_location() = errno;
    }
}

/// Puts a page of zeros where `address` is, if that is in one of our maps.
fn put_zeros(address: usize) -> bool {
    let mut next = WATCHES.load(Ordering::Acquire);
    #[expect(unsafe_code, reason = "the chain is one of pointers; see SAFETY")]
    // SAFETY: watches are never freed, and the chain only grows at its beginning.
    while let Some(watch) = unsafe { next.as_ref() } {
        if let Some(offset) = watch.offset_of(address) {
            let into_page = offset % page_bytes();
            let page = ptr::without_provenance_mut(address - into_page);
            #[expect(unsafe_code, reason = "memory is mapped; see SAFETY")]
            // SAFETY: maps begin at a page's beginning, so the page is wholly inside one of ours,
            // which is in use: the thread that was interrupted is reading from it. It
            // has read nothing there before, or what it has read was lost since, which is
            // as if the file had changed (see `Map::new`). Reads see zeros from here on, until the
            // whole map goes.
            let put = unsafe {
                libc::mmap(
                    page,
                    page_bytes(),
                    libc::PROT_READ,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if put == libc::MAP_FAILED {
                return false;
            }
            watch.note(offset - into_page);
            return true;
        }
        next = watch.next.load(Ordering::Acquire);
    }
    false
}

/// Does with the signal what would have been done without us.
#[expect(unsafe_code, reason = "the handler before is a C function; see SAFETY")]
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE.get();
    let handler = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
    // SAFETY: what `sigaction` returned as a handler is one, of the kind that its flags say.
    // Without one the default takes effect: at once for signals that were sent, and when the
    // faulty instruction is tried again for all others.
    unsafe {
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        } else if before.is_some_and(|before| before.sa_flags & libc::SA_SIGINFO != 0) {
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                std::mem::transmute(handler);
            handler(signal, info, context);
        } else {
            let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(pages: usize) -> (tempfile::NamedTempFile, Map) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; pages * page_bytes()]).unwrap();
        let map = Map::new(&File::open(file.path()).unwrap(), file.path()).unwrap();
        (file, map)
    }

    /// Pages behind the end of a file cannot be read, whoever tries.
    fn cut(file: &tempfile::NamedTempFile, pages: usize) {
        let length = (pages * page_bytes()) as u64;
        file.as_file().set_len(length).unwrap();
    }

    #[test]
    fn a_page_that_cannot_be_read_is_zeros_and_named() {
        let (file, map) = map_of(4);
        cut(&file, 2);
        let page = page_bytes();
        assert_eq!(map[2 * page - 1], 7);
        assert!(map.unreadable().is_none(), "nothing was touched");
        assert_eq!(map[3 * page + 5], 0);
        assert_eq!(map[2 * page], 0);
        assert_eq!(map[3 * page + 6], 0, "the page is touched again");
        let unreadable = map.unreadable().unwrap();
        assert_eq!(unreadable.offsets, [2 * page as u64, 3 * page as u64]);
        assert_eq!(unreadable.pages, 2);
        assert!(unreadable.covers(4 * page as u64 - 1) && !unreadable.covers(2 * page as u64 - 1));
        map.release(0, map.len());
        assert_eq!(
            (map[page], map[2 * page]),
            (7, 0),
            "released and read again"
        );
        let path = file.path().to_owned();
        drop(map);
        let closed = take_unreadable();
        assert!(
            closed
                .iter()
                .any(|gone| gone.path == path && gone.pages == 2)
        );
    }

    #[test]
    fn maps_on_many_threads_are_told_apart() {
        std::thread::scope(|scope| {
            for cut_at in 0..8 {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let (file, map) = map_of(8);
                        cut(&file, cut_at);
                        let sum: u64 = map.iter().map(|byte| u64::from(*byte)).sum();
                        assert_eq!(sum, (7 * cut_at * page_bytes()) as u64);
                        assert_eq!(map.unreadable().unwrap().pages, 8 - cut_at as u64);
                    }
                });
            }
        });
    }

    #[test]
    fn an_intact_file_has_no_unreadable_page() {
        let (_file, map) = map_of(3);
        assert!(map.iter().all(|byte| *byte == 7));
        assert_eq!(map.unreadable(), None);
    }
}
