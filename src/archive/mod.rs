//! Block → repository: plan what is new, then compress and publish it.

mod fingerprint;
mod logs;
mod source;
