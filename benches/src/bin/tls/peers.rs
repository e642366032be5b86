//! Who is compared: each sends back what it receives, its own way.

use std::net::TcpListener;
use std::sync::Arc;

use ::rondel::{EventLoop, Pem, TlsServerConfig, TlsServerOptions, TlsVersion};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::echoes::{Echo, echo};
use crate::sys;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) is_python: bool,
}

/// Is what all others are compared with.
pub(crate) const REFERENCE: &str = "tokio-rustls";

pub(crate) const PEERS: &[Peer] = &[
    Peer { name: REFERENCE, is_python: false },
    Peer { name: "rondel", is_python: false },
    Peer { name: "rondel-streams", is_python: false },
    Peer { name: "uvloop", is_python: true },
    Peer { name: "asyncio", is_python: true },
];

pub(crate) const PYTHON: &str = include_str!("../echo/peers/python.py");

/// Serves for ever.
pub(crate) fn serve(peer: &str, buffer: &str, cert: &str, key: &str) -> Result<(), String> {
    let buffer = buffer.parse().map_err(|_| format!("{buffer} is no size"))?;
    sys::raise_descriptor_limit();
    let listen = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        sys::set_backlog(&listener)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        std::io::Result::Ok((listener, address))
    };
    let (listener, address) = listen().map_err(|error| error.to_string())?;
    let ready = || println!("READY {address}");
    let served = match peer {
        REFERENCE => by_tokio(listener, config(cert, key)?, buffer, ready).map_err(|error| error.to_string()),
        "rondel" | "rondel-streams" => {
            by_rondel(listener, cert, key, peer == "rondel", ready).map_err(|error| error.to_string())
        }
        _ => Err(format!("no peer {peer}")),
    };
    served.map_err(|error| format!("{peer}: {error}"))
}

/// Is rustls's usual configuration, for TLS 1.3.
pub(crate) fn config(cert: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
    let cert = CertificateDer::from_pem_file(cert).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
    let config = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert], key));
    config.map(Arc::new).map_err(|error| error.to_string())
}

/// tokio, with a task and a buffer for each connection, on one thread.
fn by_tokio(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    buffer: usize,
    ready: impl Fn(),
) -> std::io::Result<()> {
    let acceptor = TlsAcceptor::from(config);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        ready();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut buffer = vec![0; buffer];
                loop {
                    let received = stream.read(&mut buffer).await?;
                    if received == 0 {
                        return std::io::Result::Ok(());
                    }
                    stream.write_all(&buffer[..received]).await?;
                    stream.flush().await?;
                }
            });
        }
    })
}

/// rondel with its usual configuration, by protocols or by streams.
fn by_rondel(
    listener: TcpListener,
    cert: &str,
    key: &str,
    is_by_protocols: bool,
    ready: impl Fn(),
) -> rondel::Result<()> {
    let config = TlsServerConfig::builder(Pem::file(cert), Pem::file(key));
    let options = TlsServerOptions::from(config.minimum_version(TlsVersion::Tls13).build()?);
    let event_loop = EventLoop::new()?;
    event_loop.run_until_complete(async {
        let server = if is_by_protocols {
            event_loop.create_server_with_sock(|| Echo, listener).tls(options).backlog(4096).await?
        } else {
            event_loop.start_server_with_sock(listener, echo).tls(options).backlog(4096).await?
        };
        ready();
        server.serve_forever().await
    })
}
