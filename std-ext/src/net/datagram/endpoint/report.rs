//! Calls of an endpoint's protocol, and what is reported of them.

use std::rc::Rc;

use super::Endpoint;
use crate::Error;
use crate::exception::method::Method;
use crate::exception::subject::{Callee, Subject};
use crate::net::datagram::protocol::AnyDatagramProtocol;

impl Endpoint {
    /// Runs a method of the protocol.
    #[inline]
    pub(super) fn call<R>(
        self: &Rc<Self>,
        method: Method,
        protocol: &dyn AnyDatagramProtocol,
        body: impl FnOnce() -> R,
    ) -> R {
        self.event_loop.call_method(|| Callee { method, subject: self.subject(protocol) }, body)
    }

    fn subject(self: &Rc<Self>, protocol: &dyn AnyDatagramProtocol) -> Subject {
        Subject {
            protocol: Some(protocol.type_name()),
            transport: Some(Rc::<Self>::clone(self)),
            socket: Some(self.opened.fd.as_raw()),
            location: Some(self.location),
        }
    }

    /// Reports an error that a method came back with.
    pub(super) fn report(self: &Rc<Self>, method: Method, protocol: &dyn AnyDatagramProtocol, error: &Error) {
        self.event_loop.report_about(&self.subject(protocol), method.failed(), Some(error));
    }
}
