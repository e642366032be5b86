//! The certificate that a server with TLS shows.

use std::path::PathBuf;

use rondel::{Error, Pem, TlsServerConfig};

/// Makes the configuration of a server: with the certificate and the key in these
/// files or, if none are named, with a new one for `localhost` that signs itself.
/// With it comes what a client has to trust.
pub(crate) fn tls_config(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> rondel::Result<(TlsServerConfig, Pem)> {
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (Pem::file(cert), Pem::file(key)),
        (None, None) => {
            let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
            let made = rcgen::generate_simple_self_signed(names).map_err(Error::new)?;
            (Pem::text(made.cert.pem()), Pem::text(made.signing_key.serialize_pem()))
        }
        _ => return Err("--cert and --key go together".into()),
    };
    Ok((TlsServerConfig::builder(cert.clone(), key).build()?, cert))
}
