//! The TLS session of a connection.

use core::time::Duration;
use std::io::IoSlice;
use std::rc::Rc;

use rondel_core::Refusal;

use super::Connection;
use super::state::State;
use crate::exception::method::Method;
use crate::net::finally::Finally;
use crate::net::server::Membership;
use crate::sources::Direction;
use crate::tls::TlsState;
use crate::{Error, ErrorKind, EventLoopHandle, Result, TimerHandle};

impl Connection {
    /// Begins a session, whose handshake the loop drives; `Until::Open` is its
    /// end.
    ///
    /// # Errors
    /// If a table is full.
    pub(crate) fn start_tls(self: &Rc<Self>, mut tls: Box<TlsState>) -> Result<()> {
        let limit = tls.terms().handshake;
        let timer = self.arm(limit, |connection| connection.handshake_timed_out())?;
        // Last: a connection that is driven doesn't go by itself.
        if let Err(error) = self.drive() {
            timer.cancel();
            return Err(error);
        }
        tls.set_timer(timer);
        self.with_new_details(|details| details.tls = Some(tls));
        self.set(State::TLS | State::HANDSHAKING);
        self.listen_to_both();
        self.drive_soon();
        Ok(())
    }

    /// Calls `then` with the connection after a while, if it is still there.
    fn arm(self: &Rc<Self>, delay: Duration, then: fn(&Rc<Self>)) -> Result<TimerHandle> {
        let connection = Rc::downgrade(self);
        let expire = move |_: &EventLoopHandle| {
            if let Some(connection) = connection.upgrade() {
                then(&connection);
            }
        };
        Ok(self.event_loop().call_later_from(delay, expire, self.location())?)
    }

    /// Has the handler told of what there is to read, too.
    fn listen_to_both(&self) {
        if let Some(driver) = self.driver() {
            self.event_loop().listen(self.token, Direction::Read, driver);
        }
    }

    fn handshake_timed_out(self: &Rc<Self>) {
        if self.has(State::HANDSHAKING) && !self.has(State::ENDING) {
            let error = self.with_tls(|tls| tls.handshake_timeout());
            self.handshake_failed(error.unwrap_or_else(|| Refusal::Closed.into()));
        }
    }

    /// Fails unless a session can begin on a connection that stands already.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn check_upgrade(&self) -> Result<()> {
        self.check_open()?;
        let in_the_way = if self.has(State::TLS) {
            "the connection talks TLS already"
        } else if self.has(State::WRITE_EOF) {
            "our side of the connection has ended"
        } else if self.has(State::READ_EOF) {
            "the peer's side of the connection has ended"
        } else if self.with_flow(|flow| flow.before_file.is_some()) == Some(true) {
            "a file is being sent"
        } else {
            return Ok(());
        };
        Err(Error::of(ErrorKind::InvalidState, in_the_way))
    }

    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.has(State::HANDSHAKING)
    }

    pub(super) fn shake_hands(self: &Rc<Self>) {
        self.look();
        let panicked = Finally(|| {
            // Reported by whoever catches it.
            self.handshake_failed(Error::of(ErrorKind::Panicked, "the handshake panicked"));
        });
        let callee = || self.callee(Method::Handshake, self.protocol().as_deref());
        let over = self.event_loop().call_method(callee, || self.go_on_with_handshake());
        core::mem::forget(panicked);
        match over {
            Some(Ok(true)) => {}
            Some(Err(error)) => return self.handshake_failed(error),
            _ => return self.flush(),
        }
        self.unset(State::HANDSHAKING);
        self.note_decrypted();
        if self.protocol().is_none() {
            // From now on tasks wait for it.
            self.event_loop().unlisten(self.token, Direction::Read);
        }
        self.make_of_server();
        self.wake_waiter();
        self.flush();
        self.weigh();
        self.drive_soon();
    }

    /// Goes on with the handshake; tells whether it is over.
    fn go_on_with_handshake(&self) -> Option<Result<bool>> {
        self.with_tls(|tls| {
            if !tls.shake_hands(self)? {
                return Ok(false);
            }
            tls.begin_open(self)?;
            Ok(true)
        })
    }

    fn handshake_failed(self: &Rc<Self>, error: Error) {
        if let Some(server) = self.server().filter(|_| self.membership.get() != Membership::Made) {
            server.refuse(&self.subject(None), &error);
        }
        // An alert may be on its way: the peer is to read it, so no reset follows.
        if let Some(flow) = self.take_flow() {
            let _ = self.try_send(flow.as_slice());
            self.put_flow(flow);
        }
        self.forget_bytes();
        self.unset(State::QUEUED);
        self.with_tls(|tls| tls.note_failure(&error));
        self.end(Some(error));
    }

    pub(super) fn try_receive_tls(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.check()?;
        if self.has(State::AWAITING_END) {
            return Err(Refusal::Closed.into());
        }
        let received = self.with_tls(|tls| tls.receive(self, buffer)).unwrap_or(Ok(None));
        self.note_decrypted();
        received.map_err(|error| self.noted(error))
    }

    /// Tells whether a session gives way to others, though there is more to read.
    pub(crate) fn has_more_at_once(&self, direction: Direction) -> bool {
        direction == Direction::Read && self.has(State::TLS) && self.has(State::READABLE)
    }

    /// Notes whether something can be read without the socket.
    fn note_decrypted(&self) {
        if self.with_tls(|tls| tls.has_plain()) == Some(true) {
            self.set(State::DECRYPTED);
        } else {
            self.unset(State::DECRYPTED);
        }
    }

    pub(super) fn write_tls(self: &Rc<Self>, bufs: &[IoSlice<'_>]) {
        // All at once: nobody who is told of it may end the session in between.
        let written = self.with_tls(|tls| bufs.iter().try_for_each(|buf| tls.write(self, buf)));
        match written {
            Some(Err(error)) => self.write_failed(error),
            _ => {
                self.weigh_up();
                self.tell_writing();
            }
        }
    }

    /// Sends ciphertext, and queues what the kernel doesn't take.
    ///
    /// # Errors
    /// If the connection broke.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "only TLS uses it"))]
    pub(crate) fn push(&self, data: &[u8]) -> Result<()> {
        let sent = if self.has(State::QUEUED) { 0 } else { self.try_send(data)?.unwrap_or(0) };
        if sent < data.len() {
            self.set(State::QUEUED);
            self.with_new_flow(|flow| flow.push(&data[sent..], &self.event_loop().inner.write_budget));
            if self.is_ready(Direction::Write) {
                self.drive_soon();
            }
        }
        Ok(())
    }

    /// Announces our end, and waits for the peer's within a limit (TL-8).
    pub(super) fn close_tls(self: &Rc<Self>) {
        if self.has(State::HANDSHAKING) {
            return self.end(None);
        }
        let limit = self.with_tls(|tls| {
            tls.close(self)?;
            Ok::<_, Error>((tls.terms().shutdown, tls.is_peer_closed()))
        });
        match limit {
            Some(Ok((limit, has_peer_closed))) => {
                // Without room for a timer nobody is waited for.
                if let Ok(timer) = self.arm(limit, |connection| connection.shutdown_timed_out()) {
                    self.with_tls(|tls| tls.set_timer(timer));
                    if !has_peer_closed {
                        self.set(State::AWAITING_END);
                        self.listen_to_both();
                    }
                }
                self.drive_soon();
            }
            Some(Err(error)) => self.end(Some(error)),
            None => {}
        }
    }

    fn shutdown_timed_out(self: &Rc<Self>) {
        self.end(self.with_tls(|tls| tls.shutdown_timeout()));
    }

    /// Ends, unless the peer's end is still to come.
    pub(super) fn end_if_peer_has(self: &Rc<Self>) {
        if self.has(State::AWAITING_END) && self.with_tls(|tls| tls.discard(self)) == Some(false) {
            // There may be more to drop, when others have had their turn.
            if self.has(State::READABLE) {
                self.drive_soon();
            }
            return;
        }
        self.end(None);
    }

    /// Tells whether everything passes through a session.
    pub(crate) fn has_tls(&self) -> bool {
        self.has(State::TLS)
    }
}
