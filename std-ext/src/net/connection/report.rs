//! Calls of a connection's protocol, and what is reported of a connection.

use core::error::Error as StdError;
use std::rc::Rc;

use super::Connection;
use crate::exception::method::Method;
use crate::exception::reporter::Report;
use crate::exception::subject::{Callee, Subject};
use crate::protocol::AnyProtocol;

impl Connection {
    /// Runs a method of the protocol.
    #[inline]
    pub(super) fn call<R>(
        self: &Rc<Self>,
        method: Method,
        protocol: &dyn AnyProtocol,
        body: impl FnOnce() -> R,
    ) -> R {
        self.event_loop().call_method(|| self.callee(method, Some(protocol)), body)
    }

    /// Says who is called when a method runs, or a function that has to do with the connection.
    pub(crate) fn callee(self: &Rc<Self>, method: Method, protocol: Option<&dyn AnyProtocol>) -> Callee {
        Callee { method, subject: self.subject(protocol) }
    }

    /// Returns what a report about the connection names.
    pub(crate) fn subject(self: &Rc<Self>, protocol: Option<&dyn AnyProtocol>) -> Subject {
        Subject {
            protocol: protocol.map(|protocol| protocol.type_name()),
            transport: Some(Rc::<Self>::clone(self)),
            socket: Some(self.fd.as_raw()),
            location: Some(self.location()),
        }
    }

    pub(crate) fn report(
        self: &Rc<Self>,
        message: &str,
        protocol: Option<&dyn AnyProtocol>,
        error: &(dyn StdError + 'static),
    ) {
        self.event_loop().report_about(&self.subject(protocol), message, Some(error));
    }

    pub(super) fn warn(&self, what: &str) {
        let report = Report { level: log::Level::Warn, what, location: None };
        self.event_loop().report(report, format_args!("{what}: {self:?}"));
    }
}
