//! The end of a connection.

use std::io;
use std::rc::Rc;

use rondel_core::Refusal;

use super::Connection;
use super::state::State;
use crate::exception::method::Method;
use crate::net::finally::Finally;
use crate::shutdown::{AbortedKind, Phase};
use crate::streams::holders;
use crate::sys::is_terminal_gone;
use crate::transport::Transport;
use crate::{Error, ErrorKind, Result};

impl Connection {
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        // A closed loop watches nothing: whoever waited would wait for ever.
        if self.has(State::ENDING | State::CLOSED) || self.event_loop().is_closed() {
            return Err(self.why_closed());
        }
        Ok(())
    }

    /// Fails if nothing new is sent or read.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check()?;
        if self.has(State::CLOSING) { Err(Refusal::Closed.into()) } else { Ok(()) }
    }

    #[cold]
    fn why_closed(&self) -> Error {
        // A protocol is told in `connection_lost`.
        let error = if self.protocol().is_none() { self.take_error() } else { None };
        error.unwrap_or_else(|| Refusal::Closed.into())
    }

    /// Takes out why the connection ended, if it is an error.
    pub(super) fn take_error(&self) -> Option<Error> {
        self.with_flow(|flow| flow.error.take()).flatten()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.has(State::CLOSING)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.has(State::CLOSED)
    }

    /// Stops reading, sends what is queued, and ends (TR-6).
    pub(crate) fn close(self: &Rc<Self>) {
        if self.set(State::CLOSING) {
            return;
        }
        if self.has(State::TLS) {
            self.close_tls();
        } else if !self.has(State::QUEUED) {
            self.end(None);
        }
    }

    /// Ends without sending what is queued (TR-7).
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end(None);
    }

    /// Does what the shutdown of the loop asks for.
    pub(super) fn heed_shutdown(self: &Rc<Self>) {
        if !self.has(State::SUMMONED) {
            return;
        }
        self.unset(State::SUMMONED);
        let shutdown = &self.event_loop().inner.shutdown;
        match shutdown.phase() {
            Phase::None => {}
            Phase::Draining => self.close(),
            Phase::Aborting => {
                let (peer, unsent) = (self.peer_addr(), self.queued());
                shutdown.aborted(AbortedKind::Connection, format_args!("{peer}, {unsent} bytes unsent"));
                self.abort();
            }
        }
    }

    /// Ends because of an error, which is reported unless it is one that peers
    /// cause every day (TR-8).
    pub(super) fn fail(self: &Rc<Self>, message: &str, error: Error) {
        if self.has(State::ENDING) {
            return;
        }
        if is_everyday(&error) || self.is_pipe() && is_of_terminal(&error) {
            self.set(State::BROKEN);
        } else {
            self.report(message, self.protocol().as_deref(), &error);
        }
        self.end(Some(error));
    }

    /// Notes whether an error that its user is told is one of every day.
    #[cold]
    pub(super) fn noted(&self, error: Error) -> Error {
        if is_everyday(&error) {
            self.set(State::BROKEN);
        }
        error
    }

    /// Begins the end: from the loop, never inline, if there is somebody to tell.
    pub(super) fn end(self: &Rc<Self>, error: Option<Error>) {
        self.set(State::CLOSING);
        if self.set(State::ENDING) {
            return;
        }
        self.forget_queued();
        self.with_tls(|tls| tls.stop_timer());
        if let Some(error) = error {
            self.with_new_flow(|flow| flow.error = Some(error));
        }
        let driver = self.driver();
        if !driver.is_some_and(|driver| self.event_loop().inner.scheduler.make_ready(driver)) {
            // Nobody drives it, or it will be driven already.
            if driver.is_none_or(|driver| !self.event_loop().inner.scheduler.is_scheduled(driver)) {
                self.lose();
            }
        }
    }

    /// Ends because the loop is closed.
    pub(super) fn abandon(self: &Rc<Self>) {
        self.forget_queued();
        if !self.set(State::ENDING) {
            self.with_new_flow(|flow| flow.error = Some(Refusal::Closed.into()));
        }
        self.lose();
    }

    /// Drops what was still to be sent. The connection is reset then, so that the
    /// peer doesn't take a part for the whole (N-05).
    pub(super) fn forget_queued(&self) {
        if self.queued() > 0 {
            self.forget_bytes();
            let _ = self.event_loop().inner.kernel.set_linger(self.fd, Some(0));
        }
        self.unset(State::QUEUED);
    }

    pub(super) fn forget_bytes(&self) {
        self.with_tls(|tls| tls.forget_early(self));
        self.with_flow(|flow| flow.clear(&self.event_loop().inner.write_budget));
    }

    /// Tells the protocol, and closes the socket.
    pub(super) fn lose(self: &Rc<Self>) {
        self.set(State::CLOSING | State::ENDING);
        let _closed = Finally(|| {
            // Whoever still holds it may ask.
            if !self.is_driven() || holders(self) > 0 {
                self.keep_local_addr();
            }
            self.finish();
        });
        let Some(protocol) = self.protocol.take() else { return };
        // One that never heard of the connection doesn't hear of its end (TR-1).
        if self.has(State::STARTING) {
            return;
        }
        let error = self.take_error();
        let transport = Transport { connection: Rc::clone(self) };
        let tell = || protocol.lost(&transport, error.as_ref());
        let lost = self.call(Method::ConnectionLost, &*protocol, tell);
        if let Err(error) = lost {
            self.report(Method::ConnectionLost.failed(), Some(&*protocol), &error);
        }
    }

    /// Closes the socket.
    pub(crate) fn finish(&self) {
        self.set(State::CLOSING | State::ENDING);
        if self.set(State::CLOSED) {
            return;
        }
        // Before the number can be used again (FAULTS P-06).
        self.event_loop().unwatch(self.token);
        let kernel = &self.event_loop().inner.kernel;
        if self.has(State::LENT) {
            kernel.give_back();
        }
        kernel.close(self.fd);
        self.event_loop().inner.meters.connections_closed.add(1);
        self.leave_server();
        self.wake_waiter();
    }
}

/// Tells whether it is the end of a terminal, which comes as an error (PI-4).
fn is_of_terminal(error: &Error) -> bool {
    error.as_io().is_some_and(is_terminal_gone)
}

/// Tells whether an error is one that any peer can cause, at any time.
pub(super) fn is_everyday(error: &Error) -> bool {
    error.as_io().is_some_and(is_reset) || error.kind() == ErrorKind::Tls
}

/// Tells whether an error of the system's says that the peer is gone.
pub(super) fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::BrokenPipe | Kind::ConnectionReset | Kind::ConnectionAborted)
}
