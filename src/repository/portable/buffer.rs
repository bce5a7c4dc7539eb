//! Memory for frames, used again: fresh memory costs a page fault for each 4 KiB, which is a tenth
//! of the time of a restore.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::FRAME_BYTES;

/// How many buffers are kept while nobody uses them: about as many as are in use at a time.
const MAX_SPARE: usize = 32;

/// Largest buffer that is kept, in bytes: a frame that does not compress is a little longer than
/// raw.
const MAX_SPARE_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 16;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A byte vector whose memory is used again after it is dropped. It begins empty.
#[derive(Debug)]
pub(super) struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = spare.unwrap_or_default();
        bytes.clear();
        Buffer(bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MAX_SPARE && (1..=MAX_SPARE_BYTES).contains(&bytes.capacity()) {
            spare.push(bytes);
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}
