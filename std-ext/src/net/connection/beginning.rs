//! The beginning of a connection, for as long as somebody waits for it.

use std::rc::Rc;

use super::{Connection, Until};
use crate::Result;
use crate::protocol::AnyProtocol;
use crate::tls::TlsState;

impl Connection {
    /// Gives the connection a protocol, and waits until `connection_made` has returned.
    pub(crate) async fn begin_protocol(self: &Rc<Self>, protocol: Rc<dyn AnyProtocol>) -> Result<()> {
        let unwanted = AbortOnDrop(self);
        self.start(protocol)?;
        self.until(Until::Made).await?;
        core::mem::forget(unwanted);
        Ok(())
    }

    /// Begins a session of TLS, and waits until its handshake is over.
    pub(crate) async fn begin_tls(self: &Rc<Self>, tls: Box<TlsState>) -> Result<()> {
        let unwanted = AbortOnDrop(self);
        self.start_tls(tls)?;
        self.until(Until::Open).await?;
        core::mem::forget(unwanted);
        Ok(())
    }
}

/// Ends a connection that could not begin, or whose caller went away before it had (CC-10).
struct AbortOnDrop<'a>(&'a Rc<Connection>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
