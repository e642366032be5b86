//! TLS with peers that are not rustls: OpenSSL's own programs, curl and asyncio.

use core::time::Duration;
use std::path::Path;
use std::process::Stdio;

use rondel::{
    Error, EventLoop, EventLoopHandle, Server, StreamReader, StreamWriter, TlsClientOptions, TlsServerOptions,
};

use crate::fixture::{Trace, any_port, small};
use crate::peer::{Peer, with_tool};
use crate::tls_fixture::{Directory, client, pki, server};

fn run<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(EventLoopHandle) -> F) {
    let event_loop = EventLoop::with_config(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
}

/// Writes the authority's certificate, and returns its path.
fn authority(directory: &Directory) -> String {
    let path = directory.0.join("authority.pem");
    std::fs::write(&path, pki().authority.text()).unwrap();
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Starts a server that answers one line with itself, and ends.
async fn serve_lines(event_loop: &EventLoopHandle) -> rondel::Result<Server> {
    serve_lines_by(event_loop, server().build().unwrap().into()).await
}

async fn serve_lines_by(event_loop: &EventLoopHandle, options: TlsServerOptions) -> rondel::Result<Server> {
    event_loop
        .start_server(any_port(), async |mut reader: StreamReader, mut writer: StreamWriter| {
            let line = reader.read_line().await?.to_vec();
            writer.write_all(&line).await?;
            writer.close();
            writer.wait_closed().await
        })
        .tls(options)
        .await
}

/// Starts a program; what it says on its standard error is among the test's.
fn start(program: &str, arguments: &[&str]) -> Peer {
    Peer::start(program, arguments, Stdio::null())
}

/// Connects `openssl s_client`, which says a line, and returns what it prints.
async fn s_client(event_loop: &EventLoopHandle, server: &Server, options: &[&str]) -> String {
    let addr = server.local_addr().to_string();
    let arguments = ["s_client", "-connect", &addr, "-servername", "localhost", "-ign_eof"];
    let peer = start("openssl", &[&arguments, options].concat());
    String::from_utf8_lossy(&peer.finished(event_loop, b"hello\n".into()).await).into_owned()
}

#[test]
fn openssl_talks_to_our_server_and_resumes_its_sessions() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("s-client");
            let authority = authority(&directory);
            let server = serve_lines(&event_loop).await?;
            for version in ["-tls1_2", "-tls1_3"] {
                let session = text(&directory.0.join(format!("session{version}")));
                let trusting = [version, "-CAfile", &authority, "-verify_return_error"];
                let first =
                    s_client(&event_loop, &server, &[&trusting[..], &["-sess_out", &session]].concat()).await;
                assert!(first.contains("hello\n") && first.contains("New, TLSv1."), "{first}");
                let again =
                    s_client(&event_loop, &server, &[&trusting[..], &["-sess_in", &session]].concat()).await;
                assert!(again.contains("hello\n") && again.contains("Reused, TLSv1."), "{again}");
            }
            assert_eq!(server.refused(), 0);
            Ok(())
        });
    });
}

#[test]
fn l09_openssl_resumes_a_session_of_tls12_as_often_as_it_likes() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("reconnect");
            let authority = authority(&directory);
            // By an identifier that the server remembers, and by a ticket that the client does.
            for serving in [server(), server().stateless_tickets()] {
                let server = serve_lines_by(&event_loop, serving.build().unwrap().into()).await?;
                let options = ["-tls1_2", "-CAfile", &authority, "-reconnect"];
                let printed = s_client(&event_loop, &server, &options).await;
                assert_eq!(printed.matches("New, TLSv1.2").count(), 1, "{printed}");
                assert_eq!(printed.matches("Reused, TLSv1.2").count(), 5, "{printed}");
                assert!(printed.contains("hello\n"), "{printed}");
                assert_eq!((server.accepted(), server.refused()), (6, 0));
            }
            Ok(())
        });
    });
}

#[test]
fn l09_openssl_sends_no_early_data_as_no_ticket_allows_it() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("early-data");
            let authority = authority(&directory);
            let (session, early) = (directory.0.join("session"), directory.0.join("early"));
            std::fs::write(&early, "too early\n").unwrap();
            let (session, early) = (text(&session), text(&early));
            let server = serve_lines(&event_loop).await?;
            let trusting = ["-tls1_3", "-CAfile", &authority];
            s_client(&event_loop, &server, &[&trusting[..], &["-sess_out", &session]].concat()).await;
            let again = [&trusting[..], &["-sess_in", &session, "-early_data", &early]].concat();
            let printed = s_client(&event_loop, &server, &again).await;
            assert!(printed.contains("Reused, TLSv1.3"), "{printed}");
            assert!(printed.contains("Early data was not sent"), "{printed}");
            assert!(printed.contains("hello\n"), "{printed}");
            Ok(())
        });
    });
}

#[test]
fn l09_openssl_is_refused_to_negotiate_anew() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("renegotiation");
            let authority = authority(&directory);
            let ended = Trace::new();
            let noted = ended.clone();
            let server = event_loop
                .start_server(any_port(), move |mut reader: StreamReader, mut writer: StreamWriter| {
                    let noted = noted.clone();
                    async move {
                        writer.write_all(b"begin\n").await?;
                        let ending = reader.read_line().await;
                        noted.push(match ending {
                            Ok(line) => format!("{}", line.escape_ascii()),
                            Err(error) => format!("{:?}", error.kind()),
                        });
                        Ok::<(), Error>(())
                    }
                })
                .tls(server().build().unwrap())
                .await?;
            let addr = server.local_addr().to_string();
            // OpenSSL takes the refusal for an error of its own.
            let script = "openssl s_client -connect \"$0\" -CAfile \"$1\" -tls1_2 2>&1; exit 0";
            let mut peer = start("sh", &["-c", script, &addr, &authority]);
            let talk = move || {
                peer.wait_for("begin");
                peer.type_line("R\n");
                peer.wait_for("RENEGOTIATING");
                String::from_utf8_lossy(&peer.finish(Vec::new())).into_owned()
            };
            let printed = event_loop.run_in_executor(talk).unwrap().await.unwrap();
            assert!(printed.contains("no renegotiation"), "{printed}");
            while ended.count() == 0 {
                event_loop.sleep(Duration::from_millis(1)).await?;
            }
            assert_eq!(ended.take(), ["Tls"]);
            // Others are served as before.
            let (mut reader, _writer) =
                event_loop.open_connection(server.local_addr()).tls(client().build().unwrap()).await?;
            assert_eq!(reader.read_line().await?, b"begin\n");
            Ok(())
        });
    });
}

#[test]
fn openssl_updates_its_keys_and_ours() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("key-update");
            let authority = authority(&directory);
            let server = event_loop
                .start_server(any_port(), async |mut reader: StreamReader, mut writer: StreamWriter| {
                    writer.write_all(b"begin\n").await?;
                    while !reader.read_line().await?.is_empty() {
                        writer.write_all(b"heard\n").await?;
                    }
                    writer.close();
                    writer.wait_closed().await
                })
                .tls(server().build().unwrap())
                .await?;
            let addr = server.local_addr().to_string();
            // On one stream, so that the test sees each step.
            let script = "exec openssl s_client -connect \"$0\" -CAfile \"$1\" -tls1_3 2>&1";
            let mut peer = start("sh", &["-c", script, &addr, &authority]);
            let talk = move || {
                peer.wait_for("begin");
                // `k` changes its own keys, `K` asks us to change ours too.
                for command in ["k\n", "K\n"] {
                    peer.type_line(command);
                    peer.wait_for("KEYUPDATE");
                    peer.type_line("hello\n");
                    peer.wait_for("heard");
                }
                peer.finish(b"Q\n".into());
            };
            event_loop.run_in_executor(talk).unwrap().await.unwrap();
            assert_eq!(server.refused(), 0);
            Ok(())
        });
    });
}

#[test]
fn our_client_talks_to_openssl() {
    with_tool("openssl", || {
        run(async |event_loop| {
            let directory = Directory::new("s-server");
            let (chain, key) = pki().server.write_to(&directory.0, "server");
            for version in ["-tls1_2", "-tls1_3"] {
                let (chain, key) = (text(&chain), text(&key));
                let mut peer = start(
                    "openssl",
                    &["s_server", "-accept", "127.0.0.1:0", version, "-rev", "-naccept", "1"]
                        .into_iter()
                        .chain(["-cert", &chain, "-key", &key])
                        .collect::<Vec<_>>(),
                );
                let port = loop {
                    let line = peer.line();
                    if let Some(addr) = line.strip_prefix("ACCEPT ") {
                        break addr.rsplit(':').next().unwrap().parse::<u16>().unwrap();
                    }
                };
                let options = TlsClientOptions::from(client().build().unwrap()).server_hostname("localhost");
                let (mut reader, mut writer) =
                    event_loop.open_connection(("127.0.0.1", port)).tls(options).await?;
                writer.write_all(b"hello\n").await?;
                assert_eq!(reader.read_line().await?, b"olleh\n");
                writer.close();
                writer.wait_closed().await?;
                peer.finished(&event_loop, Vec::new()).await;
            }
            Ok(())
        });
    });
}

#[test]
fn curl_reads_a_page_of_ours() {
    with_tool("curl", || {
        run(async |event_loop| {
            let directory = Directory::new("curl");
            let authority = authority(&directory);
            let serving = server().set_alpn_protocols(["http/1.1"]).build().unwrap();
            let server = event_loop
                .start_server(any_port(), async |mut reader: StreamReader, mut writer: StreamWriter| {
                    while reader.read_line().await?.len() > 2 {}
                    assert_eq!(writer.tls_info().unwrap().alpn_protocol(), Some(&b"http/1.1"[..]));
                    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nround\n").await?;
                    writer.close();
                    writer.wait_closed().await
                })
                .tls(serving)
                .await?;
            let url = format!("https://127.0.0.1:{}/", server.local_addr().port());
            let peer = start("curl", &["--silent", "--show-error", "--cacert", &authority, &url]);
            assert_eq!(peer.finished(&event_loop, Vec::new()).await, b"round\n");
            Ok(())
        });
    });
}

/// Says a line to a server of ours, and reads it back to the end.
const ASYNCIO_CLIENT: &str = "
import asyncio, ssl, sys
async def main():
    context = ssl.create_default_context(cafile=sys.argv[2])
    reader, writer = await asyncio.open_connection('127.0.0.1', int(sys.argv[1]), ssl=context)
    writer.write(b'x' * 50000 + b'\\n')
    assert await reader.read() == b'x' * 50000 + b'\\n'
    writer.close()
    await writer.wait_closed()
    print('fine')
asyncio.run(main())
";

/// Answers a client of ours with the same line.
const ASYNCIO_SERVER: &str = "
import asyncio, ssl, sys
async def main():
    over = asyncio.get_running_loop().create_future()
    async def serve(reader, writer):
        writer.write(await reader.readline())
        assert await reader.read() == b''
        writer.close()
        over.set_result(None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(serve, '127.0.0.1', 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await over
    print('fine')
asyncio.run(main())
";

#[test]
fn asyncio_talks_to_our_server() {
    with_tool("python3", || {
        run(async |event_loop| {
            let directory = Directory::new("asyncio-client");
            let authority = authority(&directory);
            let server = serve_lines(&event_loop).await?;
            let port = server.local_addr().port().to_string();
            let peer = start("python3", &["-c", ASYNCIO_CLIENT, &port, &authority]);
            assert_eq!(peer.finished(&event_loop, Vec::new()).await, b"fine\n");
            Ok(())
        });
    });
}

#[test]
fn our_client_talks_to_asyncio() {
    with_tool("python3", || {
        run(async |event_loop| {
            let directory = Directory::new("asyncio-server");
            let (chain, key) = pki().server.write_to(&directory.0, "server");
            let mut peer = start("python3", &["-c", ASYNCIO_SERVER, &text(&chain), &text(&key)]);
            let port = peer.line().parse::<u16>().unwrap();
            let trusting = client().build().unwrap();
            let (mut reader, mut writer) =
                event_loop.open_connection(("127.0.0.1", port)).tls(trusting).await?;
            writer.write_all(b"hello\n").await?;
            assert_eq!(reader.read_line().await?, b"hello\n");
            writer.close();
            writer.wait_closed().await?;
            assert_eq!(peer.finished(&event_loop, Vec::new()).await, b"fine\n");
            Ok(())
        });
    });
}
