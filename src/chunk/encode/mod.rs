//! Encoders for all six encodings. They take the decisions of Prometheus' own encoders, bit for
//! bit: samples decoded from a chunk that Prometheus 3 wrote encode to the same bytes (Prometheus
//! before 3.0 sometimes left one zero byte more).
//!
//! They do not decide where a chunk ends. Cutting is the business of whoever appends;
//! [`float_chunks`] has the rule of the compactor.

mod chunk;
mod delta_column;
mod float_histogram;
mod histogram;
mod histogram_frame;
mod layout;
mod start;
mod varbit;
mod xor;
mod xor2;
mod xor_chunks;
mod xor_column;

pub use chunk::{ChunkEncoder, EncodedChunk, SAMPLES_PER_CHUNK, float_chunks};
pub use float_histogram::FloatHistogramEncoder;
pub use histogram::HistogramEncoder;
pub use xor::XorEncoder;
pub use xor_chunks::{TimeCodes, XorChunks};
pub use xor2::Xor2Encoder;

use crate::error::{Error, Result};
use crate::raw::BitWriter;

/// One more than `samples`, unless that exceeds what the header can say.
#[inline]
fn next_count(samples: u16, max: u16) -> Result<u16> {
    match samples.checked_add(1).filter(|count| *count <= max) {
        Some(count) => Ok(count),
        None => Err(too_many(max)),
    }
}

#[cold]
fn too_many(max: u16) -> Error {
    Error::invalid(format!("expected at most {max} samples in a chunk"))
}

/// The bytes of `out` with `header` put over their beginning.
fn with_header(out: BitWriter, header: &[u8]) -> Vec<u8> {
    let mut data = out.finish();
    for (to, from) in data.iter_mut().zip(header) {
        *to = *from;
    }
    data
}
