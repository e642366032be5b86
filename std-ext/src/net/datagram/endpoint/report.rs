//! Calls of an endpoint's protocol, and what is reported of them.

use std::rc::Rc;

use rondel_core::ExceptionContext;

use super::Endpoint;
use crate::Error;
use crate::method::{Callee, Method, ProtocolName};
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
        self.event_loop.call_protocol(|| self.callee(method, protocol), body)
    }

    pub(super) fn callee(self: &Rc<Self>, method: Method, protocol: &dyn AnyDatagramProtocol) -> Callee {
        let transport = Rc::<Self>::clone(self);
        Callee { method, protocol: protocol.type_name(), transport, socket: self.opened.fd.as_raw() }
    }

    /// Reports an error that a method came back with.
    pub(super) fn report(&self, method: Method, protocol: &dyn AnyDatagramProtocol, error: &Error) {
        let (socket, protocol) = (self.opened.fd.as_raw(), ProtocolName(protocol.type_name()));
        let mut context = ExceptionContext::new(method.failed()).with_exception(error);
        context.protocol = Some(&protocol);
        context.transport = Some(&self);
        context.socket = Some(&socket);
        self.event_loop.call_exception_handler(&context);
    }
}
