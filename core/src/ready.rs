//! The ready FIFO, and the links that every list of the scheduler is made of.
//!
//! Whatever can become runnable owns a node here from its creation on, and a
//! node is in one list at most: the ready queue, the callbacks of a pending
//! future, or a bucket of the timer wheel. So to make something runnable can't
//! fail (DESIGN invariant 1), and to take it out again costs no search.

use core::fmt;

use crate::defect;

/// Is the most nodes of one kind: indices are 30 bits wide.
pub(crate) const NODES_MAX: usize = (1 << 30) - 2;

/// Marks the nodes of tasks: an even one runs the task, an odd one waits for it.
/// A call's is its index and one, because zero is no node.
const TASK: u32 = 1 << 31;

/// Stands where a list has no further node.
const END: u32 = u32::MAX;

/// Names a node: a call's, a task's, or the one by which a task waits for the
/// completion of something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node(u32);

/// Tells what a node belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    Call(u32),
    Task(u32),
    Wait(u32),
}

impl Node {
    pub(crate) const fn call(index: u32) -> Self {
        Self(index + 1)
    }

    pub(crate) const fn task(index: u32) -> Self {
        Self((index << 1) | TASK)
    }

    pub(crate) const fn wait(index: u32) -> Self {
        Self((index << 1) | TASK | 1)
    }

    #[inline]
    pub(crate) const fn owner(self) -> Owner {
        if self.0 & TASK == 0 {
            return Owner::Call(self.0.wrapping_sub(1));
        }
        let index = (self.0 & !TASK) >> 1;
        if self.0 & 1 == 0 { Owner::Task(index) } else { Owner::Wait(index) }
    }
}

/// Joins a node to its neighbours: previous, next. All zero means "in no list",
/// so that fresh zeroed memory needs no initialization.
pub type Link = [u32; 2];

/// The links of all nodes.
pub(crate) struct Links {
    calls: &'static mut [Link],
    /// Has two for each task.
    tasks: &'static mut [Link],
}

impl Links {
    #[inline]
    fn link(&self, node: u32) -> Link {
        let link = if node & TASK == 0 {
            self.calls.get(node.wrapping_sub(1) as usize)
        } else {
            self.tasks.get((node & !TASK) as usize)
        };
        link.copied().unwrap_or([0; 2])
    }

    #[inline]
    fn link_mut(&mut self, node: u32) -> Option<&mut Link> {
        if node & TASK == 0 {
            self.calls.get_mut(node.wrapping_sub(1) as usize)
        } else {
            self.tasks.get_mut((node & !TASK) as usize)
        }
    }

    #[inline]
    pub(crate) fn is_linked(&self, node: Node) -> bool {
        self.link(node.0)[1] != 0
    }

    /// Notes `note` in a node that is in no list; false if it is in one. What
    /// puts it into a list overwrites the note.
    pub(crate) fn set_note(&mut self, node: Node, note: u32) -> bool {
        match self.link_mut(node.0) {
            Some(link) if link[1] == 0 => link[0] = note,
            _ => return false,
        }
        true
    }

    /// Takes the note out of a node that is in no list.
    pub(crate) fn take_note(&mut self, node: Node) -> u32 {
        let link = self.link_mut(node.0).filter(|link| link[1] == 0);
        link.map_or(0, |link| core::mem::take(&mut link[0]))
    }
}

/// A list of nodes, first in, first out, with removal from anywhere in O(1).
///
/// What the link of the first node says about a previous one has no meaning, so
/// that to take the first node touches no other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: END, tail: END };

    #[inline]
    pub(crate) const fn is_empty(self) -> bool {
        self.head == END
    }

    /// Appends `node`, unless it is in a list already.
    #[inline]
    pub(crate) fn push(&mut self, links: &mut Links, node: Node) -> bool {
        let tail = self.tail;
        match links.link_mut(node.0) {
            Some(link) if link[1] == 0 => *link = [tail, END],
            _ => return false,
        }
        if tail == END {
            self.head = node.0;
        } else if let Some(link) = links.link_mut(tail) {
            link[1] = node.0;
        }
        self.tail = node.0;
        true
    }

    /// Takes out `node`, which must be in this list or in none.
    #[inline]
    pub(crate) fn remove(&mut self, links: &mut Links, node: Node) -> bool {
        let previous = self.previous(links, node);
        let Some(link) = links.link_mut(node.0) else {
            return false;
        };
        let [_, next] = core::mem::take(link);
        if next == 0 {
            return false;
        }
        if previous == END {
            self.head = next;
        } else if let Some(link) = links.link_mut(previous) {
            link[1] = next;
        }
        if next == END {
            self.tail = previous;
        } else if let Some(link) = links.link_mut(next) {
            link[0] = previous;
        }
        true
    }

    /// Takes out the first node.
    #[inline]
    pub(crate) fn pop(&mut self, links: &mut Links) -> Option<Node> {
        let node = self.head;
        // `END` names no node either.
        let [_, next] = core::mem::take(links.link_mut(node)?);
        self.head = next;
        if next == END {
            self.tail = END;
        }
        Some(Node(node))
    }

    /// Returns what stands before `node`, [`END`] if it is the first.
    #[inline]
    fn previous(self, links: &Links, node: Node) -> u32 {
        if node.0 == self.head { END } else { links.link(node.0)[0] }
    }
}

impl List {
    /// Counts the nodes.
    pub(crate) fn count(self, links: &Links) -> usize {
        let following = |node: &u32| Some(links.link(*node)[1]).filter(|&next| next != END && next != 0);
        core::iter::successors(Some(self.head).filter(|&head| head != END), following).count()
    }

    /// Takes out who is to be called back next.
    #[inline]
    pub(crate) fn pop_waiter(&mut self, links: &mut Links) -> Option<Node> {
        if defect::WAITERS_REVERSED && !self.is_empty() {
            let last = Node(self.tail);
            self.remove(links, last);
            return Some(last);
        }
        self.pop(links)
    }
}

/// The queue of what runs next, in the order in which it became runnable.
pub(crate) struct Ready {
    pub(crate) links: Links,
    queue: List,
    /// Is the last node of the batch that is running, [`END`] if none is left.
    ///
    /// Invariant: when not `END` it is in the queue.
    batch_end: u32,
    len: u32,
}

impl Ready {
    pub(crate) fn new(calls: &'static mut [Link], tasks: &'static mut [[Link; 2]]) -> Self {
        let links = Links { calls, tasks: tasks.as_flattened_mut() };
        Self { links, queue: List::EMPTY, batch_end: END, len: 0 }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Makes `node` runnable; once is enough.
    #[inline]
    pub(crate) fn push(&mut self, node: Node) -> bool {
        let pushed = self.queue.push(&mut self.links, node);
        self.len += u32::from(pushed);
        if defect::HOP_TOO_FEW && pushed && self.batch_end != END {
            self.batch_end = node.0;
        }
        pushed
    }

    /// Takes `node` out of the queue, also out of the batch that is running
    /// (contract CS-5).
    pub(crate) fn remove(&mut self, node: Node) -> bool {
        if self.batch_end == node.0 {
            self.batch_end = self.queue.previous(&self.links, node);
        }
        let removed = self.queue.remove(&mut self.links, node);
        self.len -= u32::from(removed);
        removed
    }

    /// Fixes what runs in this iteration: all that is ready now (CS-3).
    #[inline]
    pub(crate) fn begin_batch(&mut self) {
        self.batch_end = self.queue.tail;
    }

    /// Takes the next node of the batch.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Node> {
        if self.batch_end == END {
            return None;
        }
        if defect::LIFO {
            let node = Node(self.batch_end);
            self.remove(node);
            return Some(node);
        }
        let node = self.queue.pop(&mut self.links)?;
        if node.0 == self.batch_end {
            self.batch_end = END;
        }
        self.len -= 1;
        Some(node)
    }

    /// Takes the next node whatever batch it belongs to.
    pub(crate) fn pop_any(&mut self) -> Option<Node> {
        self.batch_end = self.queue.tail;
        self.pop()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ready {{ len: {} }}", self.len)
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn ready(calls: usize) -> Ready {
        Ready::new(Box::leak(vec![[0; 2]; calls].into()), Box::leak(vec![[[0; 2]; 2]; 1].into()))
    }

    fn batch(ready: &mut Ready) -> Vec<Owner> {
        core::iter::from_fn(|| ready.pop()).map(Node::owner).collect()
    }

    #[test]
    fn a_node_is_queued_once_and_comes_out_in_order() {
        let mut ready = ready(3);
        assert!(ready.push(Node::call(2)));
        assert!(ready.push(Node::task(0)));
        assert!(!ready.push(Node::call(2)));
        ready.begin_batch();
        ready.push(Node::call(0));
        assert_eq!(batch(&mut ready), [Owner::Call(2), Owner::Task(0)], "0 came after the batch began");
        assert_eq!(ready.len(), 1);
    }

    #[test]
    fn a_node_that_became_the_first_can_be_removed() {
        let mut ready = ready(3);
        for index in 0..3 {
            ready.push(Node::call(index));
        }
        ready.begin_batch();
        assert_eq!(ready.pop(), Some(Node::call(0)));
        ready.remove(Node::call(1));
        assert_eq!(batch(&mut ready), [Owner::Call(2)]);
        ready.push(Node::call(0));
        ready.push(Node::call(1));
        ready.begin_batch();
        assert_eq!(ready.pop(), Some(Node::call(0)));
        ready.remove(Node::call(1));
        assert_eq!(batch(&mut ready), [], "the end of the batch was its first node too");
        assert!(ready.is_empty());
    }

    #[test]
    fn removing_the_end_of_a_batch_shortens_the_batch() {
        let mut ready = ready(4);
        for index in 0..3 {
            ready.push(Node::call(index));
        }
        ready.begin_batch();
        ready.push(Node::call(3));
        ready.remove(Node::call(2));
        ready.remove(Node::call(1));
        assert_eq!(batch(&mut ready), [Owner::Call(0)]);
        ready.begin_batch();
        ready.remove(Node::call(3));
        assert_eq!(batch(&mut ready), []);
        assert!(ready.is_empty());
    }
}
