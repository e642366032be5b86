//! How TLS ends without `close_notify`, where that was agreed on and where not
//! (FAULTS L-01).

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use rondel::{
    AfterEof, Error, EventLoopHandle, Protocol, StreamReader, StreamWriter, TlsClientOptions,
    TlsServerOptions, Transport,
};

use crate::fixture::{Oops, Trace, any_port, log_lines, logged, pair, real, reports};
use crate::tls_fixture::{client, server};

fn connecting() -> TlsClientOptions {
    TlsClientOptions::from(client().build().unwrap()).server_hostname("localhost")
}

/// Sends nothing that is not read: that would make a reset of an end.
fn serving() -> TlsServerOptions {
    server().tickets_per_handshake(0).build().unwrap().into()
}

fn run<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(EventLoopHandle) -> F) {
    let event_loop = real();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
}

/// Notes what it is told of the end, and keeps what it receives.
#[derive(Clone, Default)]
struct Notes {
    trace: Trace,
    received: Rc<RefCell<Vec<u8>>>,
}

impl Protocol for Notes {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
        self.received.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> rondel::Result<AfterEof> {
        self.trace.push("eof");
        Ok(AfterEof::Close)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(format!("lost: {:?}", error.and_then(Error::as_tls)));
        Ok(())
    }
}

/// Connects two protocols by TLS, and has the one say something and end below TLS;
/// returns what the other heard and was told.
async fn end_of_protocol(
    event_loop: &EventLoopHandle,
    (connecting, serving): (TlsClientOptions, TlsServerOptions),
    ends_at_server: bool,
) -> rondel::Result<(Vec<u8>, Vec<String>)> {
    let (ours, theirs) = pair();
    let notes = Notes::default();
    let (left, right) = (notes.clone(), notes.clone());
    let accepting = event_loop.connect_accepted_socket(move || right, theirs).tls_server(serving);
    let connecting = event_loop.create_connection_with_sock(move || left, ours).tls(connecting);
    let (connected, accepted) =
        futures_lite::future::zip(connecting.into_future(), accepting.into_future()).await;
    let ((client, _), (server, _)) = (connected?, accepted?);
    let ending = if ends_at_server { server } else { client };
    ending.write(b"last words")?;
    ending.abort();
    while notes.trace.count() < 2 || notes.received.borrow().len() < 10 {
        event_loop.sleep(Duration::from_millis(1)).await?;
    }
    // One is told of its own abort, the other of the end.
    for _ in 0..3 {
        event_loop.sleep(Duration::from_millis(1)).await?;
    }
    let mut trace = notes.trace.take();
    trace.sort();
    Ok((notes.received.take(), trace))
}

#[test]
fn l01_protocols_take_an_end_without_close_notify_for_a_clean_one_only_if_told_to() {
    run(async |event_loop| {
        for ends_at_server in [true, false] {
            let careful = (connecting(), serving());
            let (heard, told) = end_of_protocol(&event_loop, careful, ends_at_server).await?;
            assert_eq!(heard, b"last words");
            assert_eq!(told, ["lost: None", "lost: Some(Truncated)"]);
            let lenient = match ends_at_server {
                true => (connecting().accept_missing_close_notify(), serving()),
                false => (connecting(), serving().accept_missing_close_notify()),
            };
            let (heard, told) = end_of_protocol(&event_loop, lenient, ends_at_server).await?;
            assert_eq!(heard, b"last words");
            assert_eq!(told, ["eof", "lost: None", "lost: None"]);
        }
        Ok(())
    });
}

/// Connects streams by TLS, and has the one side say a line and end below TLS; the
/// other reads to the end, answers and closes.
async fn end_of_stream(
    event_loop: &EventLoopHandle,
    (connecting, serving): (TlsClientOptions, TlsServerOptions),
    ends_at_server: bool,
) -> rondel::Result<Vec<u8>> {
    let (ours, theirs) = pair();
    let accepting = event_loop.open_connection_with_sock(theirs).tls_server(serving);
    let connecting = event_loop.open_connection_with_sock(ours).tls(connecting);
    let (connected, accepted) =
        futures_lite::future::zip(connecting.into_future(), accepting.into_future()).await;
    let (client, server) = (connected?, accepted?);
    let (ending, reading) = if ends_at_server { (server, client) } else { (client, server) };
    let (_, mut writer): (StreamReader, StreamWriter) = ending;
    writer.write_all(b"a part").await?;
    writer.abort();
    let (mut reader, mut writer) = reading;
    let line = reader.read_line().await?.to_vec();
    assert_eq!(reader.read_line().await?, b"", "the end stays the end");
    assert!(reader.at_eof());
    writer.close();
    writer.wait_closed().await?;
    Ok(line)
}

#[test]
fn l01_streams_take_an_end_without_close_notify_for_a_clean_one_only_if_told_to() {
    run(async |event_loop| {
        for ends_at_server in [true, false] {
            let careful = (connecting(), serving());
            let error = end_of_stream(&event_loop, careful, ends_at_server).await.unwrap_err();
            assert_eq!(error.as_tls(), Some(&rondel::TlsError::Truncated));
            let lenient = match ends_at_server {
                true => (connecting().accept_missing_close_notify(), serving()),
                false => (connecting(), serving().accept_missing_close_notify()),
            };
            assert_eq!(end_of_stream(&event_loop, lenient, ends_at_server).await?, b"a part");
        }
        Ok(())
    });
}

#[test]
fn l01_a_handler_that_ends_with_a_truncation_is_logged_as_one_that_ends_with_a_reset() {
    run(async |event_loop| {
        log_lines();
        let told = reports(&event_loop);
        let ended = Trace::new();
        let noted = ended.clone();
        let server = event_loop
            .start_server(any_port(), move |mut reader: StreamReader, _writer: StreamWriter| {
                let noted = noted.clone();
                async move {
                    // Waits for the second line in vain.
                    let mut line = reader.read_line().await?;
                    let is_own = line == b"own\n";
                    if is_own {
                        line = reader.read_line().await.map_err(|_| noted.push("own")).unwrap_or_default();
                        assert!(line.is_empty());
                        return Err(Error::new(Oops(1)));
                    }
                    let next = reader.read_line().await;
                    noted.push("passed on");
                    next.map(drop)
                }
            })
            .tls(serving())
            .await?;
        for line in [&b"one\n"[..], b"own\n"] {
            let (_reader, mut writer) =
                event_loop.open_connection(server.local_addr()).tls(connecting()).await?;
            writer.write_all(line).await?;
            writer.socket_options()?.set_linger(None)?;
            writer.abort();
            while server.connections() > 0 {
                event_loop.sleep(Duration::from_millis(1)).await?;
            }
        }
        while ended.count() < 2 {
            event_loop.sleep(Duration::from_millis(1)).await?;
        }
        for _ in 0..3 {
            event_loop.yield_now().await?;
        }
        assert_eq!(told.take(), ["Unhandled exception in client_connected: oops 1"]);
        let lines = logged(log::Level::Debug);
        let ended = lines.iter().filter(|line| line.contains("the handler of a connection ended with it"));
        assert!(ended.clone().all(|line| line.contains("close_notify")), "{lines:?}");
        assert_eq!(ended.count(), 1);
        Ok(())
    });
}
