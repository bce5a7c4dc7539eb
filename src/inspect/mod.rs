//! What blocks and data directories hold, as numbers. Nothing here is formatted.
//!
//! [`Listing`] looks at `meta.json` and file sizes only, so that a thousand blocks take well under a second.

mod listing;

pub use listing::{Gap, ListedBlock, Listing, OtherEntry, Totals, UnreadableBlock};
