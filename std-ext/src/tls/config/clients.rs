//! Which clients a server serves.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::revocation::{Revocation, with_revocation};
use super::roots::Roots;
use crate::Result;

/// Whose certificates clients have to show.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) issuers: Roots,
    pub(super) are_required: bool,
}

/// Verifies the certificates of clients. The revocation lists change while it
/// serves; whom it trusts doesn't.
pub(super) struct ClientVerifier {
    roots: Arc<RootCertStore>,
    are_required: bool,
    revocation: Revocation,
    provider: Arc<CryptoProvider>,
    hints: Vec<DistinguishedName>,
    /// Is read by each new handshake, and locked for one assignment by a reload.
    loaded: RwLock<Arc<dyn ClientCertVerifier>>,
}

impl ClientVerifier {
    pub(super) fn new(
        clients: &Clients,
        revocation: Revocation,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self> {
        let (roots, are_required) = (clients.issuers.load()?, clients.are_required);
        let loaded = load(&roots, are_required, &revocation, &provider)?;
        let hints = loaded.root_hint_subjects().to_vec();
        Ok(Self { roots, are_required, revocation, provider, hints, loaded: RwLock::new(loaded) })
    }

    /// Reads the lists anew, for [`replace`](Self::replace).
    pub(super) fn load(&self) -> Result<Arc<dyn ClientCertVerifier>> {
        load(&self.roots, self.are_required, &self.revocation, &self.provider)
    }

    pub(super) fn replace(&self, loaded: Arc<dyn ClientCertVerifier>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    fn loaded(&self) -> Arc<dyn ClientCertVerifier> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn load(
    roots: &Arc<RootCertStore>,
    are_required: bool,
    revocation: &Revocation,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let builder = if are_required { builder } else { builder.allow_unauthenticated() };
    let verifier = with_revocation!(builder, revocation).build();
    Ok(verifier.map_err(|error| revocation.explain(error, roots, provider))?)
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.are_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.loaded().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.loaded().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.loaded().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.loaded().supported_verify_schemes()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier").field("are_required", &self.are_required).finish_non_exhaustive()
    }
}
