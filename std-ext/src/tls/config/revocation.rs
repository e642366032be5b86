//! Which certificates are not valid any more, though their time is not over.

use std::sync::Arc;

use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::{CertRevocationListError, RootCertStore};

use super::pem::Pem;
use crate::Result;
use crate::tls::error::TlsError;

/// Where revocation lists come from, and how strictly they are taken.
#[derive(Clone, Default)]
pub(super) struct Revocation {
    pub(super) pems: Vec<Pem>,
    /// Looks at the certificates between the peer's and the root, too.
    pub(super) covers_chain: bool,
    /// Accepts certificates whose issuer has no list.
    pub(super) allows_unknown: bool,
}

impl Revocation {
    pub(super) fn is_unspecified(&self) -> bool {
        self.pems.is_empty()
    }

    /// Loads all lists.
    ///
    /// # Errors
    /// If a text can't be loaded whole.
    pub(super) fn load(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let mut lists = Vec::new();
        for pem in &self.pems {
            lists.extend(pem.revocation_lists()?);
        }
        Ok(lists)
    }

    /// Explains why no verifier could be made with these lists.
    pub(super) fn explain(
        &self,
        error: VerifierBuilderError,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> TlsError {
        match error {
            VerifierBuilderError::InvalidCrl(error) => {
                TlsError::BadRevocationList { origin: self.origin_of_bad(roots, provider), error }
            }
            _ => TlsError::NoTrustAnchors,
        }
    }

    /// Looks for the text whose list can't be used.
    fn origin_of_bad(&self, roots: &Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> String {
        let is_bad = |pem: &&Pem| {
            let builder = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
            pem.revocation_lists().is_ok_and(|lists| builder.with_crls(lists).build().is_err())
        };
        self.pems.iter().find(is_bad).map_or_else(|| String::from(UNNAMED), Pem::origin)
    }
}

/// Tells where a list is from that was loaded, and found bad when it was used.
const UNNAMED: &str = "the revocation lists";

impl From<CertRevocationListError> for TlsError {
    fn from(error: CertRevocationListError) -> Self {
        Self::BadRevocationList { origin: UNNAMED.into(), error }
    }
}

/// Gives the lists to a builder of rustls: those of its two verifiers have the same
/// methods, and no trait in common.
macro_rules! with_revocation {
    ($builder:expr, $revocation:expr) => {{
        let (builder, revocation) = ($builder, $revocation);
        let mut builder = builder.with_crls(revocation.load()?).enforce_revocation_expiration();
        if !revocation.covers_chain {
            builder = builder.only_check_end_entity_revocation();
        }
        if revocation.allows_unknown {
            builder = builder.allow_unknown_revocation_status();
        }
        builder
    }};
}

pub(super) use with_revocation;
