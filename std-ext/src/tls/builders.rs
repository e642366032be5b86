//! TLS for the builders of connections and servers, and for connections that
//! stand already.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::rc::Rc;

use crate::net::client::{Connected, CreateConnection};
use crate::net::connection::Connection;
use crate::net::server::CreateServer;
use crate::tls::info::TlsInfo;
use crate::tls::options::{TlsClientOptions, TlsServerOptions};
use crate::tls::state::TlsState;
use crate::transport::Transport;
use crate::{Error, EventLoopHandle, Result, StreamReader, StreamWriter};

impl<T, M> CreateConnection<T, M> {
    /// Talks TLS: the connection is there when the handshake is over.
    ///
    /// # Python
    /// The arguments `ssl=context`, `server_hostname`, `ssl_handshake_timeout`,
    /// `ssl_shutdown_timeout`.
    pub fn tls(mut self, options: impl Into<TlsClientOptions>) -> Self {
        let options = options.into();
        self.begin_tls = Some(Box::new(move |host| options.begin(host, Vec::new)));
        self
    }
}

impl<M> CreateConnection<Connected, M> {
    /// Talks TLS as the server of a socket that was accepted elsewhere: the
    /// connection is there when the handshake is over.
    ///
    /// # Python
    /// `loop.connect_accepted_socket(factory, sock, ssl=context)`.
    pub fn tls_server(mut self, options: impl Into<TlsServerOptions>) -> Self {
        let options = options.into();
        self.begin_tls = Some(Box::new(move |_| options.begin(Vec::new)));
        self
    }
}

impl<T, M> CreateServer<T, M> {
    /// Talks TLS: a protocol or a task is made for a connection when its handshake
    /// is over. One that fails is counted, and told to the hook of `on_refused`
    /// (contract SV-9).
    ///
    /// # Python
    /// The arguments `ssl=context`, `ssl_handshake_timeout`, `ssl_shutdown_timeout`.
    pub fn tls(mut self, options: impl Into<TlsServerOptions>) -> Self {
        let options = options.into();
        self.begin_tls = Some(Box::new(move || options.begin(Vec::new)));
        self
    }
}

/// A connection that is to talk TLS from now on; await it for the handshake.
///
/// What was written before is sent first, in the clear. What the peer sends from
/// now on must be TLS: anything else is an error (FAULTS L-06).
///
/// # Errors
/// Awaiting it fails with [`ErrorKind::Tls`](crate::ErrorKind), with `TimedOut` if the
/// handshake takes too long, or `Io` if the connection broke; the connection is closed
/// then. Nothing has happened where it
/// fails with `InvalidState`, as the connection talks TLS already, a side of it has
/// ended, or a file is being sent; or with `InvalidInput` in an `Io`, as the name of
/// the server or a timeout can't be used.
///
/// # Cancellation
/// The connection is aborted: nobody could tell where it stands.
#[must_use = "does nothing until it is awaited"]
pub struct StartTls<'a> {
    connection: Rc<Connection>,
    begin: Box<dyn FnOnce() -> Result<Box<TlsState>> + 'a>,
}

impl<'a> IntoFuture for StartTls<'a> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { connection, begin } = self;
        Box::pin(async move {
            let started = async {
                connection.check_upgrade()?;
                let tls = begin()?;
                // What is queued goes before all that the session sends, in the clear.
                connection.begin_tls(tls).await
            };
            started.await.map_err(|error: Error| error.during("start_tls"))
        })
    }
}

impl fmt::Debug for StartTls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartTls({:?})", self.connection)
    }
}

impl EventLoopHandle {
    /// Turns a connection into one with TLS, as its client. The transport stays
    /// the same; its protocol is told nothing.
    ///
    /// The name of the server has to be given.
    ///
    /// # Errors
    /// Those of [`StartTls`].
    ///
    /// # Cancellation
    /// As of [`StartTls`].
    ///
    /// # Python
    /// `loop.start_tls(transport, protocol, context, server_hostname=name)`, which
    /// returns another transport.
    pub fn start_tls(
        &self,
        transport: &Transport,
        options: impl Into<TlsClientOptions>,
    ) -> StartTls<'static> {
        let options = options.into();
        let connection = Rc::clone(&transport.connection);
        StartTls { connection, begin: Box::new(move || options.begin(None, Vec::new)) }
    }

    /// Turns a connection into one with TLS, as its server.
    ///
    /// # Errors
    /// Those of [`StartTls`].
    ///
    /// # Cancellation
    /// As of [`StartTls`].
    ///
    /// # Python
    /// `loop.start_tls(transport, protocol, context, server_side=True)`.
    pub fn start_tls_server(
        &self,
        transport: &Transport,
        options: impl Into<TlsServerOptions>,
    ) -> StartTls<'static> {
        let options = options.into();
        let connection = Rc::clone(&transport.connection);
        StartTls { connection, begin: Box::new(move || options.begin(Vec::new)) }
    }
}

impl StreamReader {
    /// Turns the connection into one with TLS, as its client. What was received
    /// and not read belongs to TLS.
    ///
    /// # Errors
    /// Those of [`StartTls`].
    ///
    /// # Cancellation
    /// As of [`StartTls`].
    ///
    /// # Python
    /// `await writer.start_tls(context, server_hostname=name)`.
    pub fn start_tls<'a>(
        &'a mut self,
        writer: &'a mut StreamWriter,
        options: impl Into<TlsClientOptions>,
    ) -> StartTls<'a> {
        let (options, connection) = (options.into(), writer.connection());
        StartTls { connection, begin: Box::new(move || options.begin(None, || self.take_buffered())) }
    }

    /// Turns the connection into one with TLS, as its server. What was received
    /// and not read belongs to TLS.
    ///
    /// # Errors
    /// Those of [`StartTls`].
    ///
    /// # Cancellation
    /// As of [`StartTls`].
    ///
    /// # Python
    /// `await writer.start_tls(context)` on a server's stream.
    pub fn start_tls_server<'a>(
        &'a mut self,
        writer: &'a mut StreamWriter,
        options: impl Into<TlsServerOptions>,
    ) -> StartTls<'a> {
        let (options, connection) = (options.into(), writer.connection());
        StartTls { connection, begin: Box::new(move || options.begin(|| self.take_buffered())) }
    }
}

impl Transport {
    /// Returns what the handshake has negotiated; `None` without TLS.
    ///
    /// # Python
    /// `transport.get_extra_info('ssl_object')`.
    #[must_use]
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.connection.with_tls(|tls| tls.info())
    }
}

impl StreamWriter {
    /// Returns what the handshake has negotiated; `None` without TLS.
    ///
    /// # Python
    /// `writer.get_extra_info('ssl_object')`.
    #[must_use]
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.connection().with_tls(|tls| tls.info())
    }
}
