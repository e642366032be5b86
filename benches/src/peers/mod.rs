//! Who is compared: each does the work of each case its own way.

pub(crate) mod boxes;
pub(crate) mod calloop;
#[cfg(feature = "libuv")]
pub(crate) mod libuv;
#[cfg(not(feature = "libuv"))]
#[path = "no_libuv.rs"]
pub(crate) mod libuv;
pub(crate) mod monoio;
pub(crate) mod rondel;
pub(crate) mod smol;
pub(crate) mod tokio;

mod no_outside;
#[cfg(feature = "libuv")]
mod uv;
