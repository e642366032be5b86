//! Who is trusted.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::TrustAnchor;

use super::pem::Pem;
use crate::Result;
use crate::tls::error::TlsError;

/// Where trust comes from.
#[derive(Clone, Default)]
pub(super) struct Roots {
    pub(super) pems: Vec<Pem>,
    pub(super) system: bool,
    pub(super) anchors: Vec<TrustAnchor<'static>>,
}

impl Roots {
    pub(super) fn is_unspecified(&self) -> bool {
        self.pems.is_empty() && self.anchors.is_empty() && !self.system
    }

    /// Loads them all.
    ///
    /// # Errors
    /// If a text of the user's can't be loaded whole, or if there is nobody to trust.
    pub(super) fn load(&self) -> Result<Arc<RootCertStore>> {
        let mut store = RootCertStore { roots: self.anchors.clone() };
        for pem in &self.pems {
            for certificate in pem.certificates()? {
                store.add(certificate).map_err(|error| own_certificate(error, pem))?;
            }
        }
        if self.system {
            add_systems(&mut store);
        }
        if store.is_empty() {
            return Err(TlsError::NoTrustAnchors.into());
        }
        Ok(Arc::new(store))
    }
}

/// Adds what of the system's certificates can be used; a system has odd ones, too.
fn add_systems(store: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::warn!("a trusted certificate of the system's was not loaded: {error}");
    }
    let (added, ignored) = store.add_parsable_certificates(found.certs);
    log::debug!("{added} certificates of the system's are trusted, {ignored} were not usable");
}

/// Tells an error about a certificate of one's own from one about the peer's.
pub(super) fn own_certificate(error: rustls::Error, pem: &Pem) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            TlsError::BadOwnCertificate { origin: pem.origin(), error }
        }
        error => error.into(),
    }
}
