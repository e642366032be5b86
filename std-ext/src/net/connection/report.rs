//! Calls of a connection's protocol, and what is reported of a connection.

use core::error::Error as StdError;
use std::rc::Rc;

use rondel_core::ExceptionContext;

use super::Connection;
use crate::method::{Callee, Method, ProtocolName};
use crate::protocol::AnyProtocol;
use crate::reporter::Report;

impl Connection {
    /// Runs a method of the protocol.
    #[inline]
    pub(super) fn call<R>(
        self: &Rc<Self>,
        method: Method,
        protocol: &dyn AnyProtocol,
        body: impl FnOnce() -> R,
    ) -> R {
        self.event_loop().call_protocol(|| self.callee(method, protocol), body)
    }

    pub(super) fn callee(self: &Rc<Self>, method: Method, protocol: &dyn AnyProtocol) -> Callee {
        let transport = Rc::<Self>::clone(self);
        Callee { method, protocol: protocol.type_name(), transport, socket: self.fd.as_raw() }
    }

    pub(super) fn report(&self, message: &str, protocol: &dyn AnyProtocol, error: &(dyn StdError + 'static)) {
        self.report_of(message, Some(protocol), error);
    }

    pub(super) fn report_of(
        &self,
        message: &str,
        protocol: Option<&dyn AnyProtocol>,
        error: &(dyn StdError + 'static),
    ) {
        let socket = self.fd.as_raw();
        let protocol = protocol.map(|protocol| ProtocolName(protocol.type_name()));
        let mut context = ExceptionContext::new(message).with_exception(error);
        context.protocol = protocol.as_ref().map(|protocol| protocol as _);
        context.transport = Some(&self);
        context.socket = Some(&socket);
        self.event_loop().call_exception_handler(&context);
    }

    pub(super) fn warn(&self, what: &str) {
        let report = Report { level: log::Level::Warn, what, location: None };
        self.event_loop().report(report, format_args!("{what}: {self:?}"));
    }
}
