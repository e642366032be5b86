//! With whom, and how, a server speaks TLS.

use core::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};

use super::certificates::{CertChain, Certificates, Sources};
use super::clients::{ClientVerifier, Clients};
use super::roots::Roots;
use super::{Common, Pem, common_methods, crypto};
use crate::Result;
use crate::tls::error::TlsError;

/// How a server speaks TLS: which certificates it shows, and whom it serves.
///
/// A clone costs nothing, and shares certificates and sessions. It can be used by
/// the loops of several threads.
///
/// ```no_run
/// use rondel::{Pem, TlsServerConfig};
///
/// let config = TlsServerConfig::builder(Pem::file("cert.pem"), Pem::file("key.pem"))
///     .set_alpn_protocols(["h2", "http/1.1"])
///     .load_cert_chain_for(["api.example.com"], Pem::file("api.pem"), Pem::file("api.key"))
///     .build()?;
/// // The files have changed; connections that stand go on:
/// config.reload()?;
/// # Ok::<(), rondel::Error>(())
/// ```
///
/// One that was made with rustls alone is taken as it is, but for early data:
/// `TlsServerConfig::from(arc)`.
///
/// # Python
/// `ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)`.
#[derive(Clone)]
pub struct TlsServerConfig {
    rustls: Arc<ServerConfig>,
    certificates: Option<Arc<Certificates>>,
    clients: Option<Arc<ClientVerifier>>,
}

impl TlsServerConfig {
    /// Begins with a certificate that is shown to all who don't ask for a name, or
    /// for one that has no other. The chain begins with the server's own; both may be
    /// in one text.
    ///
    /// # Python
    /// `context.load_cert_chain(certfile, keyfile)`.
    pub fn builder(chain: Pem, key: Pem) -> TlsServerConfigBuilder {
        TlsServerConfigBuilder {
            common: Common::default(),
            sources: Sources { default: CertChain { chain, key }, named: Vec::new() },
            clients: None,
            session_cache: 256,
            stateless_tickets: false,
            tickets_per_handshake: 2,
        }
    }

    /// Reads the files of all certificates of its own, and of all revocation lists,
    /// anew. New handshakes show the new certificates and heed the new lists;
    /// connections that stand go on, and sessions that are resumed show no
    /// certificates at all.
    ///
    /// # Errors
    /// Those of [`build`](TlsServerConfigBuilder::build), and nothing has changed then;
    /// `Tls` with [`TlsError::NotReloadable`] for a configuration from rustls.
    ///
    /// # Python
    /// `context.load_cert_chain(certfile, keyfile)`, once more, and
    /// `context.load_verify_locations(lists)`.
    pub fn reload(&self) -> Result<()> {
        self.reload_with(|_| {})
    }

    /// Shows another certificate instead of the default one, as [`reload`](Self::reload)
    /// does, which it includes.
    ///
    /// # Errors
    /// Those of [`reload`](Self::reload).
    ///
    /// # Python
    /// `context.load_cert_chain(certfile, keyfile)` once more.
    pub fn reload_cert_chain(&self, chain: Pem, key: Pem) -> Result<()> {
        self.reload_with(|sources| sources.default = CertChain { chain, key })
    }

    /// Shows another certificate for these names, as [`reload`](Self::reload) does,
    /// which it includes. A name that had none gets it.
    ///
    /// # Errors
    /// Those of [`reload`](Self::reload).
    ///
    /// # Python
    /// None: what an `sni_callback` does.
    pub fn reload_cert_chain_for(
        &self,
        names: impl IntoIterator<Item: Into<String>>,
        chain: Pem,
        key: Pem,
    ) -> Result<()> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        self.reload_with(|sources| {
            for (others, _) in &mut sources.named {
                others.retain(|other| !names.iter().any(|name| name.eq_ignore_ascii_case(other)));
            }
            sources.named.retain(|(others, _)| !others.is_empty());
            sources.named.push((names, CertChain { chain, key }));
        })
    }

    fn reload_with(&self, change: impl FnOnce(&mut Sources)) -> Result<()> {
        let certificates = self.certificates.as_ref().ok_or(TlsError::NotReloadable)?;
        certificates.reload(self.clients.as_deref(), change)
    }

    pub(crate) fn rustls(&self) -> Arc<ServerConfig> {
        self.rustls.clone()
    }
}

impl From<Arc<ServerConfig>> for TlsServerConfig {
    /// Takes rustls's configuration, but for early data (0-RTT), which is refused:
    /// anybody can send once more what they have recorded of it (RFC 8446, section 8).
    fn from(mut rustls: Arc<ServerConfig>) -> Self {
        if rustls.max_early_data_size > 0 {
            Arc::make_mut(&mut rustls).max_early_data_size = 0;
        }
        Self { rustls, certificates: None, clients: None }
    }
}

impl From<TlsServerConfig> for Arc<ServerConfig> {
    /// Returns rustls's configuration, for what is not said here.
    fn from(config: TlsServerConfig) -> Self {
        config.rustls()
    }
}

impl fmt::Debug for TlsServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfig").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// Makes a [`TlsServerConfig`].
#[derive(Clone)]
#[must_use = "nothing is loaded before `build`"]
pub struct TlsServerConfigBuilder {
    common: Common,
    sources: Sources,
    clients: Option<Clients>,
    session_cache: usize,
    stateless_tickets: bool,
    tickets_per_handshake: usize,
}

common_methods!(TlsServerConfigBuilder);

impl TlsServerConfigBuilder {
    /// Shows another certificate to those who ask for one of these names (SNI). A name
    /// that begins with `*.` stands for all with one label in its place; one in full
    /// comes first.
    ///
    /// # Python
    /// `context.sni_callback`.
    pub fn load_cert_chain_for(
        mut self,
        names: impl IntoIterator<Item: Into<String>>,
        chain: Pem,
        key: Pem,
    ) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.sources.named.push((names, CertChain { chain, key }));
        self
    }

    /// Serves only clients with a certificate of one of these issuers; several calls
    /// add up.
    ///
    /// # Python
    /// `context.verify_mode = ssl.CERT_REQUIRED` and `load_verify_locations`.
    pub fn require_client_certificates(self, issuers: Pem) -> Self {
        self.ask_clients(issuers, true)
    }

    /// Asks clients for a certificate, and serves those without one, too; one that is
    /// shown has to be of one of these issuers.
    ///
    /// # Python
    /// `context.verify_mode = ssl.CERT_OPTIONAL` and `load_verify_locations`.
    pub fn request_client_certificates(self, issuers: Pem) -> Self {
        self.ask_clients(issuers, false)
    }

    /// The last call decides whether certificates are required.
    fn ask_clients(mut self, issuers: Pem, are_required: bool) -> Self {
        let clients = self.clients.get_or_insert_with(|| Clients { issuers: Roots::default(), are_required });
        clients.issuers.pems.push(issuers);
        clients.are_required = are_required;
        self
    }

    /// Chooses how many sessions the server keeps so that clients can resume them; 256
    /// by default, and 0 keeps none.
    ///
    /// # Python
    /// There is none; OpenSSL keeps 20,480.
    pub fn session_cache(mut self, sessions: usize) -> Self {
        self.session_cache = sessions;
        self
    }

    /// Lets clients keep their sessions, encrypted by keys that change every 6 hours
    /// and live in this configuration: no memory per session, whatever
    /// [`session_cache`](Self::session_cache) says.
    ///
    /// # Python
    /// The default, without `ssl.OP_NO_TICKET`.
    pub fn stateless_tickets(mut self) -> Self {
        self.stateless_tickets = true;
        self
    }

    /// Chooses how many tickets a client of TLS 1.3 gets, each for one resumption; 2 by
    /// default. None are sent if no sessions are kept.
    ///
    /// # Python
    /// `context.num_tickets`.
    pub fn tickets_per_handshake(mut self, tickets: usize) -> Self {
        self.tickets_per_handshake = tickets;
        self
    }

    /// Loads what was named.
    ///
    /// # Errors
    /// `Io` if a file can't be read. `Tls` with the [`TlsError`] that says what can't
    /// be used: a text, a certificate or a key; with [`TlsError::BadOwnCertificate`] if
    /// a certificate is not for the names that it is to be shown for; with
    /// [`TlsError::BadConfig`].
    pub fn build(self) -> Result<TlsServerConfig> {
        let provider = self.common.crypto_provider();
        let clients = self.client_verifier(&provider)?;
        let verifier: Arc<dyn ClientCertVerifier> = match &clients {
            Some(clients) => clients.clone(),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let certificates = Arc::new(Certificates::new(self.sources, provider.clone())?);
        let mut config = ServerConfig::builder_with_details(provider, self.common.time_provider())
            .with_protocol_versions(&self.common.versions()?)
            .map_err(TlsError::from)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = self.common.alpn_protocols()?;
        config.key_log = self.common.key_log();
        config.session_storage = match self.session_cache {
            0 => Arc::new(NoServerSessionStorage {}),
            sessions => ServerSessionMemoryCache::new(sessions),
        };
        if self.stateless_tickets {
            config.ticketer = crypto::ticketer().map_err(TlsError::from)?;
        }
        let are_kept = self.session_cache > 0 || self.stateless_tickets;
        config.send_tls13_tickets = if are_kept { self.tickets_per_handshake } else { 0 };
        Ok(TlsServerConfig { rustls: Arc::new(config), certificates: Some(certificates), clients })
    }

    fn client_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<ClientVerifier>>> {
        let revocation = &self.common.revocation;
        match &self.clients {
            Some(clients) => {
                let verifier = ClientVerifier::new(clients, revocation.clone(), provider.clone())?;
                Ok(Some(Arc::new(verifier)))
            }
            None if revocation.is_unspecified() => Ok(None),
            None => {
                let reason = "revocation lists are of no use where no client is asked for a certificate";
                Err(TlsError::BadConfig(reason.into()).into())
            }
        }
    }
}

impl fmt::Debug for TlsServerConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServerConfigBuilder").field("sources", &self.sources).finish_non_exhaustive()
    }
}
