//! Whose cryptography is used where a program doesn't choose.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
#[cfg(feature = "tls-aws-lc")]
use rustls::crypto::aws_lc_rs as chosen;
#[cfg(not(feature = "tls-aws-lc"))]
use rustls::crypto::ring as chosen;
use rustls::server::ProducesTickets;

/// Returns the process' provider, or else that of the crate's features.
pub(super) fn default_provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(chosen::default_provider()))
}

/// Returns what encrypts tickets, by keys that change every 6 hours.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    chosen::Ticketer::new()
}
