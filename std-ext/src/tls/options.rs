//! What a side of TLS is given, beside its configuration.

use core::net::Ipv6Addr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::Result;
use crate::tls::config::{TlsClientConfig, TlsServerConfig};
use crate::tls::session::Session;
use crate::tls::state::{TlsState, TlsTerms};

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
    /// by default the host that is connected to (contract TL-17). One that can be
    /// neither fails with `InvalidInput` before anything is connected.
    #[must_use]
    pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
        self.server_hostname = Some(name.into());
        self
    }

    /// Sets how long the handshake may take; 60 seconds by default (TL-6). Zero fails
    /// with `InvalidInput` before anything is connected.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).handshake = limit;
        self
    }

    /// Sets how long a close waits for the peer to end its side; 30 seconds by
    /// default (TL-6). Zero fails as that of the handshake does.
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
    pub(super) fn begin(
        self,
        host: Option<String>,
        received: impl FnOnce() -> Vec<u8>,
    ) -> Result<Box<TlsState>> {
        self.terms.check()?;
        let name = self.server_hostname.or(host).ok_or_else(|| {
            let message = "TLS needs a server_hostname here: the host is not known";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let session = Session::client(self.config.rustls(), server_name(&name)?)?;
        Ok(TlsState::new(session, self.terms, received()))
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
    /// Sets how long a handshake may take; 60 seconds by default (contract TL-6). Zero
    /// fails with `InvalidInput` before anything is listened on.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.terms).handshake = limit;
        self
    }

    /// Sets how long a close waits for the peer to end its side; 30 seconds by
    /// default (TL-6). Zero fails as that of the handshake does.
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
    pub(super) fn begin(&self, received: impl FnOnce() -> Vec<u8>) -> Result<Box<TlsState>> {
        self.terms.check()?;
        let session = Session::server(self.config.rustls())?;
        Ok(TlsState::new(session, Arc::clone(&self.terms), received()))
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
