//! Calling the owners of our own descriptors together, when the loop is shut down.

use super::{Listener, Owner};
use crate::EventLoopHandle;

impl EventLoopHandle {
    /// Has the handlers of our own descriptors look how far the shutdown of the loop is:
    /// those of one owner, or all. Returns how many there are; a stream that its tasks
    /// hold has none, and ends with these.
    pub(crate) fn summon(&self, owner: Option<Owner>) -> usize {
        let mut summoned = 0;
        for (_, source) in &mut self.inner.sources.borrow_mut().slab {
            let is_meant = match owner {
                Some(owner) => source.owner == owner,
                None => matches!(source.owner, Owner::Stream | Owner::Server | Owner::Datagrams),
            };
            let mut sides = [source.reader, source.writer].into_iter();
            let handler = sides.find_map(|side| match side.listener() {
                Listener::Handler(handler) => Some(handler),
                _ => None,
            });
            if let (true, Some(handler)) = (is_meant, handler) {
                summoned += 1;
                source.is_summoned = true;
                self.inner.scheduler.make_ready(handler);
            }
        }
        summoned
    }
}
