//! TLS: TL and the L rows of the faults.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use rondel::{
    Error, ErrorKind, EventLoop, EventLoopHandle, Protocol, StreamReader, StreamWriter, TlsClientConfig,
    TlsClientOptions, TlsError, TlsServerConfig, TlsServerOptions, Transport,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fixture::{Trace, any_port, manual, real, small};

/// A certificate for `localhost` and `127.0.0.1`, that its own authority signs.
struct Identity {
    certified: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Identity {
    fn new() -> Self {
        Self::named("one of us")
    }

    fn named(issuer: &str) -> Self {
        let names = vec![String::from("localhost"), String::from("127.0.0.1")];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, issuer);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        Self { certified: rcgen::CertifiedKey { cert, signing_key } }
    }

    fn server(&self) -> TlsServerConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.certified.signing_key.serialize_der()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certified.cert.der().clone()], key)
            .unwrap();
        Arc::new(config).into()
    }

    fn client(&self) -> TlsClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certified.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Arc::new(config).into()
    }
}

/// Notes what a connection tells, and sends everything back.
struct Echo(Trace);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        let version = transport.tls_info().and_then(|info| info.version());
        self.0.push(format!("made, {}", version.map_or("plain", |_| "TLS")));
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.0.push(format!("lost: {:?}", error.map(Error::kind)));
        Ok(())
    }
}

/// Collects what it receives.
#[derive(Default)]
struct Collector {
    received: Rc<RefCell<Vec<u8>>>,
    trace: Trace,
}

impl Protocol for Collector {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
        self.received.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> rondel::Result<rondel::AfterEof> {
        self.trace.push("eof");
        Ok(rondel::AfterEof::Close)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(format!("lost: {:?}", error.map(Error::kind)));
        Ok(())
    }
}

fn run<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(EventLoopHandle) -> F) {
    let event_loop = real();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
}

/// Waits until `is_over`, a turn at a time.
async fn until(event_loop: &EventLoopHandle, is_over: impl Fn() -> bool) -> rondel::Result<()> {
    while !is_over() {
        event_loop.sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

#[test]
fn tl1_tl2_protocols_talk_tls_and_learn_what_was_negotiated() {
    run(async |event_loop| {
        let (identity, trace) = (Identity::new(), Trace::new());
        let noted = trace.clone();
        let server =
            event_loop.create_server(move || Echo(noted.clone()), any_port()).tls(identity.server()).await?;
        let collector = Collector::default();
        let (received, ended) = (Rc::clone(&collector.received), collector.trace.clone());
        let (transport, _) = event_loop
            .create_connection(move || collector, server.local_addr())
            .tls(identity.client())
            .await?;
        assert!(transport.tls_info().unwrap().cipher().is_some());
        assert_eq!(transport.tls_info().unwrap().peer_certificates().len(), 1);
        let message: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        transport.write(&message)?;
        until(&event_loop, || received.borrow().len() >= message.len()).await?;
        assert!(*received.borrow() == message);
        transport.close();
        until(&event_loop, || ended.count() > 0 && trace.count() > 1).await?;
        assert_eq!(ended.take(), ["lost: None"]);
        assert_eq!(trace.take(), ["made, TLS", "lost: None"]);
        Ok(())
    });
}

#[test]
fn tl1_streams_talk_tls_over_unix_sockets_too() {
    run(async |event_loop| {
        let identity = Identity::new();
        let path = format!("\0rondel-tls-{}", std::process::id());
        let _server = event_loop
            .start_unix_server(&path, async |mut reader: StreamReader, mut writer: StreamWriter| {
                while !reader.at_eof() {
                    let line = reader.read_line().await?;
                    writer.write_all(line).await?;
                }
                writer.close();
                writer.wait_closed().await
            })
            .tls(identity.server())
            .await?;
        let options = TlsClientOptions::from(identity.client()).server_hostname("localhost");
        let (mut reader, mut writer) = event_loop.open_unix_connection(&path).tls(options).await?;
        for text in [&b"hello\n"[..], &[b'x'; 50_000], b"\n"] {
            writer.write_all(text).await?;
        }
        assert_eq!(reader.read_line().await?, b"hello\n");
        assert_eq!(reader.read_line().await?.len(), 50_001);
        writer.close();
        writer.wait_closed().await
    });
}

#[test]
fn tl3_a_server_that_is_not_trusted_is_refused_and_no_protocol_hears_of_it() {
    run(async |event_loop| {
        let (identity, stranger, trace) = (Identity::new(), Identity::named("a stranger"), Trace::new());
        let refusals = Trace::new();
        let (noted, refused) = (trace.clone(), refusals.clone());
        let server = event_loop
            .create_server(move || Echo(noted.clone()), any_port())
            .tls(identity.server())
            .on_refused(move |_, error| refused.push(format!("{:?}", error.kind())))
            .await?;
        let connected = event_loop
            .create_connection(Collector::default, server.local_addr())
            .tls(stranger.client())
            .await;
        let error = connected.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(matches!(error.as_tls(), Some(TlsError::UnknownIssuer)), "{error:?}");
        until(&event_loop, || refusals.count() > 0).await?;
        assert_eq!(refusals.take(), ["Tls"]);
        let named = TlsClientOptions::from(identity.client()).server_hostname("example.org");
        let error = event_loop.open_connection(server.local_addr()).tls(named).await.unwrap_err();
        assert!(matches!(error.as_tls(), Some(TlsError::WrongName { .. })), "{error:?}");
        until(&event_loop, || server.connections() == 0).await?;
        assert_eq!(trace.take(), Vec::<String>::new());
        assert_eq!(server.refused(), 2);
        Ok(())
    });
}

#[test]
fn l01_an_end_without_close_notify_is_no_clean_end() {
    run(async |event_loop| {
        let identity = Identity::new();
        let server = event_loop
            .start_server(any_port(), async |mut reader: StreamReader, mut writer: StreamWriter| {
                reader.read_line().await?;
                // The socket ends below TLS.
                writer.socket_options()?.set_linger(None)?;
                writer.abort();
                Ok::<(), Error>(())
            })
            .tls(identity.server())
            .await?;
        let (mut reader, mut writer) =
            event_loop.open_connection(server.local_addr()).tls(identity.client()).await?;
        writer.write_all(b"end\n").await?;
        let error = reader.read_line().await.unwrap_err();
        assert!(matches!(error.as_tls(), Some(TlsError::Truncated)), "{error:?}");
        Ok(())
    });
}

#[test]
fn l02_a_client_that_says_nothing_is_dropped_after_the_handshake_timeout() {
    let (event_loop, clock) = EventLoop::with_manual_clock(small()).unwrap();
    let handle = event_loop.handle();
    let silent = event_loop
        .run_until_complete(async {
            let identity = Identity::new();
            let refusals = Trace::new();
            let noted = refusals.clone();
            let server = handle
                .create_server(|| Echo(Trace::new()), any_port())
                .tls(TlsServerOptions::from(identity.server()))
                .on_refused(move |_, error| noted.push(format!("{:?}", error.as_tls())))
                .await?;
            let silent = std::net::TcpStream::connect(server.local_addr()).unwrap();
            until(&handle, || server.accepted() == 1).await?;
            let begun = clock.now();
            until(&handle, || refusals.count() == 1).await?;
            assert!(clock.now() - begun >= Duration::from_secs(59));
            assert_eq!(refusals.take(), ["Some(HandshakeTimeout)"]);
            assert_eq!(server.connections(), 0);
            Ok::<_, Error>(silent)
        })
        .unwrap();
    drop(silent);
}

#[test]
fn l06_a_stream_starts_tls_in_the_middle_and_nothing_is_lost() {
    run(async |event_loop| {
        let identity = Rc::new(Identity::new());
        let serving = Rc::clone(&identity);
        let server = event_loop
            .start_server(any_port(), move |mut reader: StreamReader, mut writer: StreamWriter| {
                let config = serving.server();
                async move {
                    assert_eq!(reader.read_line().await?, b"STARTTLS\n");
                    writer.write_all(b"go\n").await?;
                    reader.start_tls_server(&mut writer, config).await?;
                    let line = reader.read_line().await?.to_vec();
                    writer.write_all(&line).await?;
                    writer.close();
                    writer.wait_closed().await
                }
            })
            .await?;
        let (mut reader, mut writer) = event_loop.open_connection(server.local_addr()).await?;
        writer.write_all(b"STARTTLS\n").await?;
        assert_eq!(reader.read_line().await?, b"go\n");
        let options = TlsClientOptions::from(identity.client()).server_hostname("localhost");
        reader.start_tls(&mut writer, options).await?;
        assert!(writer.tls_info().is_some());
        writer.write_all(b"secret\n").await?;
        assert_eq!(reader.read_line().await?, b"secret\n");
        assert_eq!(reader.read_line().await?, b"");
        Ok(())
    });
}

#[test]
fn l06_plaintext_where_tls_must_begin_is_an_error() {
    run(async |event_loop| {
        let identity = Rc::new(Identity::new());
        let ended = Trace::new();
        let (serving, noted) = (Rc::clone(&identity), ended.clone());
        let server = event_loop
            .start_server(any_port(), move |mut reader: StreamReader, mut writer: StreamWriter| {
                let (config, noted) = (serving.server(), noted.clone());
                async move {
                    reader.read_line().await?;
                    let started = reader.start_tls_server(&mut writer, config).await;
                    noted.push(format!("{:?}", started.unwrap_err().kind()));
                    Ok::<(), Error>(())
                }
            })
            .await?;
        let (_reader, mut writer) = event_loop.open_connection(server.local_addr()).await?;
        writer.write_all(b"STARTTLS\nDELETE everything\n").await?;
        until(&event_loop, || ended.count() == 1).await?;
        assert_eq!(ended.take(), ["Tls"]);
        Ok(())
    });
}

/// Reads nothing from the moment on that it is made.
struct Deaf;

impl Protocol for Deaf {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        transport.pause_reading();
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) -> rondel::Result<()> {
        unreachable!("reading is paused");
    }
}

#[test]
fn l03_a_peer_that_never_ends_its_side_is_closed_after_the_shutdown_timeout() {
    let event_loop = manual();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let identity = Identity::new();
            let server = handle.create_server(|| Deaf, any_port()).tls(identity.server()).await?;
            let collector = Collector::default();
            let ended = collector.trace.clone();
            let (transport, _) = handle
                .create_connection(move || collector, server.local_addr())
                .tls(TlsClientOptions::from(identity.client()).shutdown_timeout(Duration::from_secs(7)))
                .await?;
            let begun = handle.time();
            transport.close();
            until(&handle, || ended.count() == 1).await?;
            assert!(handle.time() - begun >= Duration::from_secs(7));
            assert_eq!(ended.take(), ["lost: Some(TimedOut)"]);
            Ok::<(), Error>(())
        })
        .unwrap();
}
