//! The port to wherever objects are kept.
