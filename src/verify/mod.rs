//! Proofs over the reading rooms: every fault, as typed findings.
