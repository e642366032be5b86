//! TLS, by rustls.

pub(crate) mod config;
pub(crate) mod error;

pub use crate::tls::config::{
    Pem, TlsClientConfig, TlsClientConfigBuilder, TlsServerConfig, TlsServerConfigBuilder, TlsVersion,
};
pub use crate::tls::error::TlsError;
