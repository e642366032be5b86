//! With whom, and how, TLS is spoken.

mod certificates;
mod client;
mod clients;
mod crypto;
mod pem;
mod revocation;
mod roots;
mod server;

#[cfg(feature = "webpki-roots")]
mod bundled;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{KeyLog, KeyLogFile, NoKeyLog, SupportedProtocolVersion};

pub use self::client::{TlsClientConfig, TlsClientConfigBuilder};
pub use self::pem::Pem;
use self::revocation::Revocation;
pub use self::server::{TlsServerConfig, TlsServerConfigBuilder};
use crate::Result;
use crate::tls::error::TlsError;

/// A version of TLS. There are no older ones here.
///
/// # Python
/// `ssl.TLSVersion`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// What clients and servers choose alike.
#[derive(Clone)]
struct Common {
    alpn_protocols: Vec<Vec<u8>>,
    minimum_version: TlsVersion,
    maximum_version: TlsVersion,
    crypto_provider: Option<Arc<CryptoProvider>>,
    wall_clock: WallClock,
    logs_keys: bool,
    revocation: Revocation,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            alpn_protocols: Vec::new(),
            minimum_version: TlsVersion::Tls12,
            maximum_version: TlsVersion::Tls13,
            crypto_provider: None,
            wall_clock: WallClock(Arc::new(|| Some(SystemTime::now()))),
            logs_keys: false,
            revocation: Revocation::default(),
        }
    }
}

impl Common {
    fn crypto_provider(&self) -> Arc<CryptoProvider> {
        self.crypto_provider.clone().unwrap_or_else(crypto::default_provider)
    }

    fn time_provider(&self) -> Arc<dyn TimeProvider> {
        Arc::new(self.wall_clock.clone())
    }

    fn key_log(&self) -> Arc<dyn KeyLog> {
        if self.logs_keys { Arc::new(KeyLogFile::new()) } else { Arc::new(NoKeyLog {}) }
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>> {
        let all =
            [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)];
        let allowed = self.minimum_version..=self.maximum_version;
        if allowed.is_empty() {
            return Err(TlsError::BadConfig("minimum_version is above maximum_version".into()).into());
        }
        Ok(all.iter().filter(|(version, _)| allowed.contains(version)).map(|&(_, version)| version).collect())
    }

    fn alpn_protocols(&self) -> Result<Vec<Vec<u8>>> {
        for protocol in &self.alpn_protocols {
            if !(1..=255).contains(&protocol.len()) {
                let length = protocol.len();
                let reason = format!("the name of a protocol for ALPN has {length} bytes, not 1 to 255");
                return Err(TlsError::BadConfig(reason).into());
            }
        }
        Ok(self.alpn_protocols.clone())
    }
}

/// Adds the methods that both builders have.
macro_rules! common_methods {
    ($builder:ty) => {
        impl $builder {
            /// Names the application protocols to agree on, the preferred one first.
            ///
            /// Where both sides name some and none is common, the handshake fails with
            /// [`NoApplicationProtocol`](crate::TlsError::NoApplicationProtocol).
            ///
            /// # Python
            /// `context.set_alpn_protocols(protocols)`; there, a server without a common
            /// protocol goes on as if none had been named.
            pub fn set_alpn_protocols(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
                let protocols = protocols.into_iter();
                self.common.alpn_protocols = protocols.map(|name| name.as_ref().to_vec()).collect();
                self
            }

            /// Chooses the oldest version that is spoken; TLS 1.2 by default.
            ///
            /// # Python
            /// `context.minimum_version`.
            pub fn minimum_version(mut self, version: $crate::TlsVersion) -> Self {
                self.common.minimum_version = version;
                self
            }

            /// Chooses the newest version that is spoken; TLS 1.3 by default.
            ///
            /// # Python
            /// `context.maximum_version`.
            pub fn maximum_version(mut self, version: $crate::TlsVersion) -> Self {
                self.common.maximum_version = version;
                self
            }

            /// Chooses whose cryptography is used.
            ///
            /// By default it is the process' default one
            /// ([`CryptoProvider::install_default`](rustls::crypto::CryptoProvider::install_default)),
            /// or without it AWS-LC's with the feature `tls-aws-lc`, else ring's.
            ///
            /// # Python
            /// There is none: it is always OpenSSL's.
            pub fn crypto_provider(
                mut self,
                provider: std::sync::Arc<rustls::crypto::CryptoProvider>,
            ) -> Self {
                self.common.crypto_provider = Some(provider);
                self
            }

            /// Chooses the clock that certificates are verified by, and tickets aged;
            /// `None` is no time known, which fails with
            /// [`ClockUnset`](crate::TlsError::ClockUnset) where one is needed. By default it
            /// is the system's clock.
            ///
            /// It is asked on the thread of each loop that uses the configuration.
            ///
            /// # Python
            /// There is none: it is always the system's clock.
            pub fn wall_clock(
                mut self,
                clock: impl Fn() -> Option<std::time::SystemTime> + Send + Sync + 'static,
            ) -> Self {
                self.common.wall_clock = super::WallClock(std::sync::Arc::new(clock));
                self
            }

            /// Refuses peers whose certificate its issuer has revoked: those in these
            /// lists (RFC 5280, section 5), in PEM; several calls add up. A list is
            /// fetched by whoever runs the program: none is looked up.
            ///
            /// From the first list on there has to be one of each peer's issuer, and it
            /// may not be older than it says. A client with a newer list has a new
            /// configuration; a server reads its lists by
            /// [`reload`](crate::TlsServerConfig::reload). Whoever resumes a session shows
            /// no certificate: `session_cache(0)` looks at everybody.
            ///
            /// The handshake fails with [`Revoked`](crate::TlsError::Revoked),
            /// [`UnknownRevocationStatus`](crate::TlsError::UnknownRevocationStatus) or
            /// [`RevocationListExpired`](crate::TlsError::RevocationListExpired).
            ///
            /// # Python
            /// `context.load_verify_locations(lists)` and
            /// `context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF`.
            pub fn load_revocation_lists(mut self, lists: $crate::Pem) -> Self {
                self.common.revocation.pems.push(lists);
                self
            }

            /// Looks for the certificates between the peer's and the root in the lists, too.
            ///
            /// # Python
            /// `context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN`.
            pub fn check_revocation_of_chain(mut self) -> Self {
                self.common.revocation.covers_chain = true;
                self
            }

            /// Accepts certificates whose issuer has no list among those that were loaded.
            ///
            /// # Python
            /// There is none: a missing list is an error.
            pub fn allow_unknown_revocation_status(mut self) -> Self {
                self.common.revocation.allows_unknown = true;
                self
            }

            /// Writes the secrets of each connection to the file that the environment
            /// variable `SSLKEYLOGFILE` names, if it does: whoever has the file can read
            /// the connections. It is read when the configuration is built.
            ///
            /// # Python
            /// `context.keylog_filename`; `ssl.create_default_context` heeds the variable
            /// without being asked.
            pub fn log_keys_to_environments_file(mut self) -> Self {
                self.common.logs_keys = true;
                self
            }
        }
    };
}

use common_methods;

/// The clock that certificates are verified by.
#[derive(Clone)]
struct WallClock(Arc<dyn Fn() -> Option<SystemTime> + Send + Sync>);

impl TimeProvider for WallClock {
    /// A time before 1970 is none, where rustls's own way to the system's clock panics.
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch: Duration = (self.0)()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}
