//! asyncio's event loop on an operating system.

#[allow(dead_code, unused_imports, reason = "the rooms that use the seam come next")]
pub(crate) mod sys;
