//! Where a protocol sits: its transport tells it there, and its user looks at it.

use core::any::Any;
use core::cell::{RefCell, RefMut};
use core::fmt;
use core::marker::PhantomData;
use std::rc::Rc;

use super::sealed::Sealed;
use super::{AfterEof, Received};
use crate::exception::method::Method;
use crate::transport::Transport;
use crate::{Error, ErrorKind, Result};

/// A protocol of any type, as its transport sees it.
pub(crate) trait AnyProtocol: 'static {
    fn made(&self, transport: &Transport) -> Result<()>;
    fn receive(&self, transport: &Transport) -> Received;
    fn eof(&self, transport: &Transport) -> Result<AfterEof>;
    /// Tells whether to write; `None` if one of its methods runs.
    fn tell_writing(&self, transport: &Transport, is_paused: bool) -> Option<Result<()>>;
    fn lost(&self, transport: &Transport, error: Option<&Error>) -> Result<()>;
    /// Is the method that is told what was received.
    fn receives(&self) -> Method;
    /// Is the name of its type.
    fn type_name(&self) -> &'static str;
    fn as_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// A protocol in its place.
pub(crate) struct Seat<P, Kind> {
    /// Invariant: borrowed while a method of the protocol runs, and by
    /// `ProtocolRef::with`.
    protocol: RefCell<P>,
    kind: PhantomData<fn() -> Kind>,
}

impl<P, Kind> Seat<P, Kind> {
    pub(crate) fn new(protocol: P) -> Rc<Self> {
        Rc::new(Self { protocol: RefCell::new(protocol), kind: PhantomData })
    }

    /// Borrows the protocol for one of its methods. Refused only if user code
    /// holds it, in `ProtocolRef::with`, and from there nothing is delivered.
    pub(crate) fn enter(&self) -> Result<RefMut<'_, P>> {
        self.protocol.try_borrow_mut().map_err(|_| busy())
    }
}

impl<P: Sealed<Kind>, Kind: 'static> AnyProtocol for Seat<P, Kind> {
    fn made(&self, transport: &Transport) -> Result<()> {
        self.enter()?.made(transport)
    }

    fn receive(&self, transport: &Transport) -> Received {
        match self.enter() {
            Ok(mut protocol) => protocol.receive(transport),
            Err(error) => Received::Error(error),
        }
    }

    fn eof(&self, transport: &Transport) -> Result<AfterEof> {
        self.enter()?.eof(transport)
    }

    fn tell_writing(&self, transport: &Transport, is_paused: bool) -> Option<Result<()>> {
        let mut protocol = self.protocol.try_borrow_mut().ok()?;
        Some(if is_paused { protocol.pause(transport) } else { protocol.resume(transport) })
    }

    fn lost(&self, transport: &Transport, error: Option<&Error>) -> Result<()> {
        self.enter()?.lost(transport, error)
    }

    fn receives(&self) -> Method {
        P::RECEIVES
    }

    fn type_name(&self) -> &'static str {
        core::any::type_name::<P>()
    }

    fn as_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

/// What has a protocol of this type in it.
trait HasProtocol<P> {
    fn protocol(&self) -> &RefCell<P>;
}

impl<P, Kind> HasProtocol<P> for Seat<P, Kind> {
    fn protocol(&self) -> &RefCell<P> {
        &self.protocol
    }
}

fn busy() -> Error {
    Error::of(ErrorKind::Busy, "a method of the protocol is running")
}

/// Refers to the protocol of a transport, which may be looked at between two of
/// its methods.
///
/// # Python
/// The second of the pair that `create_connection` returns.
pub struct ProtocolRef<P> {
    seat: Rc<dyn HasProtocol<P>>,
}

impl<P: 'static> ProtocolRef<P> {
    pub(crate) fn new<Kind: 'static>(seat: Rc<Seat<P, Kind>>) -> Self {
        Self { seat }
    }

    /// Calls `look` with the protocol.
    ///
    /// # Errors
    /// `Busy` while one of its methods runs, or another `with`.
    pub fn with<R>(&self, look: impl FnOnce(&mut P) -> R) -> Result<R> {
        let mut protocol = self.seat.protocol().try_borrow_mut().map_err(|_| busy())?;
        Ok(look(&mut protocol))
    }
}

impl<P> Clone for ProtocolRef<P> {
    fn clone(&self) -> Self {
        Self { seat: Rc::clone(&self.seat) }
    }
}

impl<P> fmt::Debug for ProtocolRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProtocolRef<{}>", core::any::type_name::<P>())
    }
}
