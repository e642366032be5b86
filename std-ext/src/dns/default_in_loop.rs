//! The resolver of a loop that was told nothing, in a static binary: the one in the loop.

use std::rc::Rc;

use crate::dns::InLoopConfig;
use crate::dns::resolver::{Resolve, Start};

/// Makes one with the system's files.
#[allow(clippy::unnecessary_wraps, reason = "its counterpart returns none")]
pub(super) fn start() -> Option<Rc<dyn Resolve>> {
    Some(InLoopConfig::default().start())
}
