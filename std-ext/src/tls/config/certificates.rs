//! Certificates of one's own, and which of them a server shows.

use core::fmt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::clients::ClientVerifier;
use super::pem::Pem;
use super::roots::own_certificate;
use crate::Result;
use crate::tls::error::TlsError;

/// A certificate with those that lead to its issuer, and its private key.
#[derive(Clone, Debug)]
pub(super) struct CertChain {
    pub(super) chain: Pem,
    pub(super) key: Pem,
}

impl CertChain {
    /// Loads both and checks that they belong together.
    ///
    /// # Errors
    /// Those of [`Pem`]; `Tls` if either is unusable, or the key is another's.
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>> {
        let chain = self.chain.certificates()?;
        let key = self.key.private_key()?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| TlsError::BadPrivateKey { origin: self.key.origin() })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key of a hardware's may not tell its public half.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Arc::new(certified))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: self.chain.origin(), key: self.key.origin() }.into())
            }
            Err(error) => Err(own_certificate(error, &self.chain).into()),
        }
    }
}

/// What a server was told to show, and to whom.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) default: CertChain,
    pub(super) named: Vec<(Vec<String>, CertChain)>,
}

/// The certificates of a server, which change while it serves.
pub(super) struct Certificates {
    provider: Arc<CryptoProvider>,
    /// Is locked while files are read, so that of two reloads none undoes the other.
    sources: Mutex<Sources>,
    /// Is read by each new handshake, and locked for one assignment by a reload.
    loaded: RwLock<Loaded>,
}

struct Loaded {
    default: Arc<CertifiedKey>,
    /// Has names in lower case; one that begins with `*.` stands for all with one label in its place.
    named: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(sources: Sources, provider: Arc<CryptoProvider>) -> Result<Self> {
        let loaded = RwLock::new(Loaded::new(&sources, &provider)?);
        Ok(Self { provider, sources: Mutex::new(sources), loaded })
    }

    /// Loads other certificates in place of these, and what is said of clients': all of them or, if
    /// there is an error, none.
    pub(super) fn reload(
        &self,
        clients: Option<&ClientVerifier>,
        change: impl FnOnce(&mut Sources),
    ) -> Result<()> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = sources.clone();
        change(&mut changed);
        let loaded = Loaded::new(&changed, &self.provider)?;
        if let Some(clients) = clients {
            clients.replace(clients.load()?);
        }
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        *sources = changed;
        Ok(())
    }
}

impl Loaded {
    fn new(sources: &Sources, provider: &CryptoProvider) -> Result<Self> {
        let default = sources.default.load(provider)?;
        let mut named = HashMap::new();
        for (names, chain) in &sources.named {
            let certified = chain.load(provider)?;
            for name in names {
                check_name(name, &certified, &chain.chain)?;
                named.insert(name.to_ascii_lowercase(), certified.clone());
            }
        }
        Ok(Self { default, named })
    }

    fn for_name(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if self.named.is_empty() {
            return None;
        }
        let name = name.to_ascii_lowercase();
        self.named.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        })
    }
}

/// Checks that a certificate is for a name, so that no client gets it in vain.
fn check_name(name: &str, certified: &CertifiedKey, pem: &Pem) -> Result<()> {
    let example = match name.strip_prefix("*.") {
        Some(parent) => format!("any.{parent}"),
        None => name.to_owned(),
    };
    let server_name = DnsName::try_from(example)
        .map_err(|_| TlsError::BadConfig(format!("{name:?} is no host name that a client could ask for")))?;
    let verified = certified
        .end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .and_then(|certificate| verify_server_name(&certificate, &ServerName::DnsName(server_name)));
    verified.map_err(|error| own_certificate(error, pem).into())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let named = hello.server_name().and_then(|name| loaded.for_name(name));
        Some(named.unwrap_or(&loaded.default).clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.sources).finish()
    }
}
