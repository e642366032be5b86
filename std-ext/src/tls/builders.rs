//! TLS for the builders of connections and servers, and for connections that
//! stand already.

use core::fmt;
use core::future::Future;
use core::net::Ipv6Addr;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::net::client::{Connected, CreateConnection};
use crate::net::connection::{Connection, Until};
use crate::net::server::CreateServer;
use crate::tls::config::{TlsClientConfig, TlsServerConfig};
use crate::tls::info::TlsInfo;
use crate::tls::session::Session;
use crate::tls::state::{TlsState, TlsTerms};
use crate::transport::Transport;
use crate::{Error, EventLoopHandle, Result, StreamReader, StreamWriter};

/// The TLS of a client, beside its configuration.
///
/// ```
/// use rondel::{TlsClientConfig, TlsClientOptions};
///
/// # fn options(config: TlsClientConfig) -> TlsClientOptions {
/// TlsClientOptions::from(config).server_hostname("example.org").handshake_timeout(core::time::Duration::from_secs(5))
/// # }
/// ```
///
/// # Python
/// The arguments `ssl`, `server_hostname`, `ssl_handshake_timeout` and
/// `ssl_shutdown_timeout`.
#[derive(Clone, Debug)]
pub struct TlsClientOptions {
    config: TlsClientConfig,
    server_hostname: Option<String>,
    terms: Arc<TlsTerms>,
}

impl From<TlsClientConfig> for TlsClientOptions {
    fn from(config: TlsClientConfig) -> Self {
        Self { config, server_hostname: None, terms: Arc::default() }
    }
}

impl From<&TlsClientConfig> for TlsClientOptions {
    fn from(config: &TlsClientConfig) -> Self {
        config.clone().into()
    }
}

impl TlsClientOptions {
    /// Sets whose certificate the server has to present, a name or an IP address;
    /// at first the host that is connected to (contract TL-17). One that can be
    /// neither fails with `InvalidInput` before anything is connected.
    #[must_use]
    pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
        self.server_hostname = Some(name.into());
        self
    }

    /// Sets how long the handshake may take; 60 seconds at first (TL-6). Zero fails
    /// with `InvalidInput` before anything is connected.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).handshake = limit;
        self
    }

    /// Sets how long a close waits for the peer to end its side; 30 seconds at
    /// first (TL-6). Zero fails as that of the handshake does.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).shutdown = limit;
        self
    }

    /// Takes the end of the connection for the server's end of TLS where the server
    /// sends no `close_notify`, as some don't: reads end as if it had. An end within
    /// a record stays [`TlsError::Truncated`](crate::TlsError::Truncated), and a reset
    /// stays an error.
    ///
    /// Anybody on the way can end a connection so, and what was received is then a
    /// part only. Accept it where the data itself tells whether it is whole (FAULTS
    /// L-01).
    ///
    /// # Python
    /// `ssl.OP_IGNORE_UNEXPECTED_EOF`; asyncio takes any end for a clean one.
    #[must_use]
    pub fn accept_missing_close_notify(mut self) -> Self {
        Arc::make_mut(&mut self.terms).accepts_missing_close_notify = true;
        self
    }

    /// Begins a session with the server that was named, or else with `host`, if
    /// there can be one.
    fn begin(self, host: Option<String>, received: impl FnOnce() -> Vec<u8>) -> Result<Box<TlsState>> {
        self.terms.check()?;
        let name = self.server_hostname.or(host).ok_or_else(|| {
            let message = "TLS needs a server_hostname here: the host is not known";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let session = Session::client(self.config.rustls(), server_name(&name)?)?;
        Ok(TlsState::new(session, self.terms, received()))
    }
}

/// Returns what certificates call a host.
///
/// # Errors
/// `InvalidInput` if none can be for it.
fn server_name(host: &str) -> Result<ServerName<'static>> {
    // A zone is of this machine, and no certificate has one.
    let without_zone = host.split_once('%').map(|(addr, _)| addr);
    let plain = without_zone.filter(|addr| addr.parse::<Ipv6Addr>().is_ok()).unwrap_or(host);
    ServerName::try_from(plain.to_owned()).map_err(|_| {
        let message = format!("server_hostname {host:?} is neither a name of a host nor an address");
        io::Error::new(io::ErrorKind::InvalidInput, message).into()
    })
}

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

/// The TLS of a server, beside its configuration.
///
/// # Python
/// The arguments `ssl`, `ssl_handshake_timeout` and `ssl_shutdown_timeout`.
#[derive(Clone, Debug)]
pub struct TlsServerOptions {
    config: TlsServerConfig,
    terms: Arc<TlsTerms>,
}

impl From<TlsServerConfig> for TlsServerOptions {
    fn from(config: TlsServerConfig) -> Self {
        Self { config, terms: Arc::default() }
    }
}

impl From<&TlsServerConfig> for TlsServerOptions {
    fn from(config: &TlsServerConfig) -> Self {
        config.clone().into()
    }
}

impl TlsServerOptions {
    /// Sets how long a handshake may take; 60 seconds at first (contract TL-6). Zero
    /// fails with `InvalidInput` before anything is listened on.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).handshake = limit;
        self
    }

    /// Sets how long a close waits for the peer to end its side; 30 seconds at
    /// first (TL-6). Zero fails as that of the handshake does.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).shutdown = limit;
        self
    }

    /// Takes the end of the connection for a client's end of TLS where the client
    /// sends no `close_notify`, as
    /// [`TlsClientOptions::accept_missing_close_notify`] does (FAULTS L-01).
    #[must_use]
    pub fn accept_missing_close_notify(mut self) -> Self {
        Arc::make_mut(&mut self.terms).accepts_missing_close_notify = true;
        self
    }

    /// Begins a session with a client, if there can be one.
    fn begin(&self, received: impl FnOnce() -> Vec<u8>) -> Result<Box<TlsState>> {
        self.terms.check()?;
        let session = Session::server(self.config.rustls())?;
        Ok(TlsState::new(session, Arc::clone(&self.terms), received()))
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
/// Awaiting it fails with [`ErrorKind::Tls`](crate::ErrorKind), or `Io` if the
/// connection broke; the connection is closed then. Nothing has happened where it
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
                let unwanted = AbortOnDrop(&connection);
                // What is queued goes before all that the session sends, in the clear.
                connection.start_tls(tls)?;
                connection.until(Until::Open).await?;
                core::mem::forget(unwanted);
                Ok::<_, Error>(())
            };
            started.await.map_err(|error| error.during("start_tls"))
        })
    }
}

impl fmt::Debug for StartTls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartTls({:?})", self.connection)
    }
}

/// Ends a connection whose handshake nobody waits for any more.
struct AbortOnDrop<'a>(&'a Rc<Connection>);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl EventLoopHandle {
    /// Turns a connection into one with TLS, as its client. The transport stays
    /// the same; its protocol is told nothing.
    ///
    /// The name of the server has to be given.
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
