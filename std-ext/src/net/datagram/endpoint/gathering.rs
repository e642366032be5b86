//! Replies to a batch, which go out together.
//!
//! Only between UDP sockets that are not connected: those hear no error of an
//! earlier datagram, which `sendmmsg` could swallow.

use std::io;
use std::rc::Rc;

use super::Endpoint;
use super::state::State;
use crate::net::address::Address;

/// Is the longest reply that is copied to be sent together with others.
const GATHERED_MAX: usize = 8 * 1024;

impl Endpoint {
    /// Keeps a reply until the batch is delivered; tells whether it did. If not,
    /// those before it have been sent.
    pub(super) fn gather(self: &Rc<Self>, data: &[u8], to: Option<&Address>) -> bool {
        let (Some(to), Some(replies)) = (to, self.event_loop.inner.datagrams.replies()) else {
            return false;
        };
        if data.len() > GATHERED_MAX || !self.queue.borrow().is_empty() {
            self.send_gathered();
            return false;
        }
        if !replies.borrow().has_room(data.len()) {
            self.send_gathered();
        }
        if !self.can_write() || self.charge(data.len()).is_err() {
            self.send_gathered();
            return false;
        }
        replies.borrow_mut().push(data, to);
        true
    }

    /// Sends what was gathered; what there is no room for joins the queue.
    pub(super) fn send_gathered(self: &Rc<Self>) {
        let Some(replies) = self.event_loop.inner.datagrams.replies() else { return };
        if !self.has(State::GATHERING) {
            return;
        }
        let mut replies = replies.borrow_mut();
        let mut next = 0;
        while next < replies.len() {
            match self.event_loop.inner.kernel.send_batch(self.opened.fd, &mut replies, next) {
                Ok(count) => {
                    for index in next..next + count {
                        let length = replies.get(index).0.len();
                        self.discharge(length);
                        self.note_sent(length);
                    }
                    next += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room();
                    let mut queue = self.queue.borrow_mut();
                    for index in next..replies.len() {
                        let (data, to) = replies.get(index);
                        queue.push(data, Some(to));
                    }
                    break;
                }
                Err(error) => {
                    self.discharge(replies.get(next).0.len());
                    self.send_failed(error.into());
                    next += 1;
                }
            }
        }
        replies.clear();
    }
}
