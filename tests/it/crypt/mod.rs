//! Encrypted objects and signatures: what the program itself makes of them, and what the tools do
//! that everybody has, `age` and `ssh-keygen` of Debian. Without these tests say loudly what they
//! skip, and fail with `NARTHEX_REQUIRE_E2E=1`.

mod damage;
mod keys;
mod names;
mod objects;
mod sign;
mod store;
pub(crate) mod tools;
