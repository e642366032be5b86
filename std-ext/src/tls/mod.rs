//! TLS on streams, by rustls.
//!
//! [`session`] drives rustls with memory that is the loop's, [`state`] is what a
//! connection with TLS has beside one without, [`builders`] is how a user asks for
//! it, [`options`] within which limits, and [`config`] with what keys and whom to trust.

mod builders;
pub(crate) mod config;
pub(crate) mod error;
mod info;
mod options;
mod session;
mod state;

pub use crate::tls::builders::StartTls;
pub use crate::tls::config::{
    Pem, TlsClientConfig, TlsClientConfigBuilder, TlsServerConfig, TlsServerConfigBuilder, TlsVersion,
};
pub use crate::tls::error::TlsError;
pub(crate) use crate::tls::error::{error_in, into_io};
pub use crate::tls::info::TlsInfo;
pub use crate::tls::options::{TlsClientOptions, TlsServerOptions};
pub(crate) use crate::tls::state::TlsState;
