//! A request on its way to a worker.

use super::frame::RequestHead;
use super::job::Work;

/// What is still to be sent. The arguments are not copied.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Is the head, and the name of the function.
    head: Vec<u8>,
    arguments: Vec<u8>,
    /// Counts the bytes of both that are sent.
    sent: usize,
}

impl Outgoing {
    /// Makes the request for a job, whose arguments it takes.
    pub(super) fn request(work: &Work, answer_bytes_max: u64) -> Self {
        let arguments = work.arguments.take();
        let head = RequestHead {
            id: work.id,
            function_bytes: work.function.len() as u64,
            arguments_bytes: arguments.len() as u64,
            answer_bytes_max,
        };
        let head = [&head.encode(), work.function.as_bytes()].concat();
        Self { head, arguments, sent: 0 }
    }

    /// Returns what is left of both parts.
    pub(super) fn rest(&self) -> [&[u8]; 2] {
        let head = self.sent.min(self.head.len());
        let arguments = (self.sent - head).min(self.arguments.len());
        [&self.head[head..], &self.arguments[arguments..]]
    }

    /// Notes that so many bytes were sent; the memory goes with the last.
    pub(super) fn advance(&mut self, sent: usize) {
        self.sent = self.sent.saturating_add(sent);
        if self.sent >= self.head.len() + self.arguments.len() {
            *self = Self::default();
        }
    }
}
