//! Chunks of samples: framing, encodings, segments.
