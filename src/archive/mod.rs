//! Block → repository: plan what is new, then compress and publish it.
