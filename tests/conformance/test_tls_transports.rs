//! TLS below protocols: marks, pauses, ends, and what may not happen at the switch.

use core::cell::RefCell;
use core::time::Duration;
use std::io::{Read, Write};
use std::rc::Rc;

use rondel::{
    AfterEof, BufferedProtocol, Config, Error, ErrorKind, EventLoop, EventLoopHandle, Protocol, StreamReader,
    StreamWriter, TlsClientOptions, TlsError, TlsServerOptions, Transport, WriteBufferLimits,
};

use crate::allocation::live_bytes;
use crate::fixture::{Trace, alone, any_port, log_lines, logged, manual_with, pair, real, small, turns};
use crate::tls_fixture::{client, server};

/// Notes all that it is told, and keeps what it receives.
#[derive(Clone, Default)]
struct Notes {
    trace: Trace,
    received: Rc<RefCell<Vec<u8>>>,
    after_eof: Option<AfterEof>,
    is_deaf: bool,
}

impl Protocol for Notes {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        self.trace.push("made");
        if self.is_deaf {
            transport.pause_reading();
        }
        Ok(())
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
        if self.received.borrow().is_empty() {
            self.trace.push("data");
        }
        self.received.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> rondel::Result<AfterEof> {
        self.trace.push("eof");
        Ok(self.after_eof.unwrap_or(AfterEof::Close))
    }

    fn pause_writing(&mut self, _: &Transport) -> rondel::Result<()> {
        self.trace.push("pause");
        Ok(())
    }

    fn resume_writing(&mut self, _: &Transport) -> rondel::Result<()> {
        self.trace.push("resume");
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(format!("lost: {:?}", error.map(Error::kind)));
        Ok(())
    }
}

fn options() -> TlsClientOptions {
    TlsClientOptions::from(client().build().unwrap()).server_hostname("localhost")
}

fn serving() -> TlsServerOptions {
    server().build().unwrap().into()
}

/// Connects two protocols by TLS: the client's, and that of an accepted socket.
async fn both(
    event_loop: &EventLoopHandle,
    (client, server): (Notes, Notes),
) -> rondel::Result<(Transport, Transport)> {
    let (ours, theirs) = pair();
    let accepting = event_loop.connect_accepted_socket(move || server, theirs).tls_server(serving());
    let connecting = event_loop.create_connection_with_sock(move || client, ours).tls(options());
    let (connected, accepted) =
        futures_lite::future::zip(connecting.into_future(), accepting.into_future()).await;
    Ok((connected?.0, accepted?.0))
}

fn run<F: Future<Output = Result<(), Error>>>(test: impl FnOnce(EventLoopHandle) -> F) {
    let event_loop = real();
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(&event_loop, 3);
    assert_eq!(event_loop.statistics().timers, 0);
    assert_eq!(event_loop.handle().write_buffers_size(), 0);
}

async fn until(event_loop: &EventLoopHandle, is_over: impl Fn() -> bool) -> rondel::Result<()> {
    while !is_over() {
        event_loop.sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

/// Waits until a protocol is told of the end.
async fn lost(event_loop: &EventLoopHandle, notes: &Notes) -> rondel::Result<Vec<String>> {
    let mut trace = Vec::new();
    while !trace.last().is_some_and(|last: &String| last.starts_with("lost")) {
        event_loop.sleep(Duration::from_millis(1)).await?;
        trace.extend(notes.trace.take());
    }
    Ok(trace)
}

#[test]
fn tl8_a_close_sends_what_was_written_and_then_the_end() {
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes::default());
        let (transport, _) = both(&event_loop, (left.clone(), right.clone())).await?;
        let message = vec![7; 2_000_000];
        transport.write(&message)?;
        transport.close();
        // Dropped: it is too late.
        transport.write(b"more")?;
        let trace = lost(&event_loop, &right).await?;
        assert_eq!(trace, ["made", "data", "eof", "lost: None"]);
        assert!(*right.received.borrow() == message);
        assert_eq!(lost(&event_loop, &left).await?.last().unwrap(), "lost: None");
        // Both stay readable to the end (TL-16).
        assert!(transport.tls_info().unwrap().version().is_some());
        Ok(())
    });
}

#[test]
fn tl7_data_that_comes_with_the_end_of_a_handshake_follows_connection_made() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let right = Notes::default();
        let noted = right.clone();
        let accepting = event_loop.connect_accepted_socket(move || noted, theirs).tls_server(serving());
        let client = async {
            let connected = event_loop.open_connection_with_sock(ours).tls(options()).await;
            let (reader, mut writer) = connected?;
            // The server has not read the end of the handshake yet, or only just.
            writer.write(b"at once")?;
            Ok::<_, Error>((reader, writer))
        };
        let (connected, accepted) = futures_lite::future::zip(client, accepting.into_future()).await;
        let ((_reader, mut writer), _accepted) = (connected?, accepted?);
        writer.close();
        assert_eq!(lost(&event_loop, &right).await?, ["made", "data", "eof", "lost: None"]);
        assert_eq!(*right.received.borrow(), b"at once");
        Ok(())
    });
}

#[test]
fn tl8_an_abort_sends_no_close_notify() {
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes::default());
        let (transport, _) = both(&event_loop, (left.clone(), right.clone())).await?;
        transport.abort();
        assert_eq!(lost(&event_loop, &left).await?, ["made", "lost: None"]);
        // TL-11, TL-12: it is told apart, and told once.
        assert_eq!(lost(&event_loop, &right).await?, ["made", "lost: Some(Tls)"]);
        Ok(())
    });
}

#[test]
fn tl9_l11_half_an_end_is_not_supported() {
    log_lines();
    run(async |event_loop| {
        let keeps = Notes { after_eof: Some(AfterEof::KeepWriting), ..Notes::default() };
        let (left, right) = (Notes::default(), keeps);
        let (transport, _) = both(&event_loop, (left, right.clone())).await?;
        assert!(!transport.can_write_eof());
        let error = transport.write_eof().unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::Unsupported);
        transport.close();
        assert_eq!(lost(&event_loop, &right).await?, ["made", "eof", "lost: None"]);
        Ok(())
    });
    assert!(logged(log::Level::Warn).iter().any(|line| line.contains("KeepWriting")));
}

#[test]
fn tl13_tl14_paused_reading_stops_the_peer_and_marks_count_ciphertext() {
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes { is_deaf: true, ..Notes::default() });
        let (transport, deaf) = both(&event_loop, (left.clone(), right.clone())).await?;
        transport.set_write_buffer_limits(WriteBufferLimits::new(Some(100_000), Some(0)).unwrap());
        let mut written = 0;
        while !left.trace.take().contains(&String::from("pause")) {
            transport.write(&[1; 10_000])?;
            written += 10_000;
            event_loop.sleep(Duration::ZERO).await?;
        }
        // It counts ciphertext, which is more than the plaintext.
        assert!(transport.write_buffer_size() > 100_000);
        assert!(transport.write_buffer_size() < 100_000 + 11_000);
        assert!(right.received.borrow().is_empty());
        // A close with reading paused gets through all the same.
        deaf.resume_reading();
        until(&event_loop, || right.received.borrow().len() == written).await?;
        until(&event_loop, || left.trace.take().contains(&String::from("resume"))).await?;
        deaf.pause_reading();
        transport.close();
        deaf.close();
        assert_eq!(lost(&event_loop, &left).await?.last().unwrap(), "lost: None");
        assert_eq!(lost(&event_loop, &right).await?.last().unwrap(), "lost: None");
        Ok(())
    });
}

#[test]
fn tl15_writes_to_a_closed_connection_are_dropped_and_warned_about_from_the_fifth_on() {
    log_lines();
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes::default());
        let (transport, _) = both(&event_loop, (left.clone(), right.clone())).await?;
        transport.abort();
        assert!(transport.is_closing());
        for _ in 0..6 {
            transport.write(b"nobody reads this")?;
        }
        lost(&event_loop, &left).await?;
        lost(&event_loop, &right).await.map(drop)
    });
    assert_eq!(logged(log::Level::Warn).len(), 2);
}

#[test]
fn tl16_another_protocol_takes_over_the_session() {
    run(async |event_loop| {
        let (first, second, right) = (Notes::default(), Notes::default(), Notes::default());
        let (transport, other) = both(&event_loop, (first.clone(), right)).await?;
        transport.set_protocol(second.clone());
        other.write(b"for the second")?;
        until(&event_loop, || second.received.borrow().len() == 14).await?;
        other.close();
        assert_eq!(lost(&event_loop, &second).await?, ["data", "eof", "lost: None"]);
        assert!(first.received.borrow().is_empty());
        Ok(())
    });
}

/// Looks that an error says what was wrong.
fn assert_invalid(error: &Error, text: &str) {
    assert_eq!(error.as_io().map(std::io::Error::kind), Some(std::io::ErrorKind::InvalidInput), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn tl6_tl17_what_can_never_be_is_told_before_anything_is_connected() {
    run(async |event_loop| {
        let listener = std::net::TcpListener::bind(any_port()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let named = |name: &str| options().server_hostname(name);
        let wrong = [
            (named(""), r#"server_hostname "" is neither"#),
            (named("two words"), r#"server_hostname "two words" is neither"#),
            (named("-.example"), r#"server_hostname "-.example" is neither"#),
            // Only an address has a zone.
            (named("localhost%eth0"), r#"server_hostname "localhost%eth0" is neither"#),
            (options().handshake_timeout(Duration::ZERO), "handshake_timeout is zero"),
            (options().shutdown_timeout(Duration::ZERO), "shutdown_timeout is zero"),
        ];
        for (options, text) in wrong {
            let connecting = event_loop.open_connection(addr).tls(options.clone());
            assert_invalid(&connecting.await.unwrap_err(), text);
            let connecting = event_loop.create_connection(Notes::default, addr).tls(options.clone());
            assert_invalid(&connecting.await.unwrap_err(), text);
            let nobody = event_loop.open_unix_connection("/nowhere").tls(options);
            assert_invalid(&nobody.await.unwrap_err(), text);
        }
        let accepted = listener.accept().map(drop).unwrap_err();
        assert_eq!(accepted.kind(), std::io::ErrorKind::WouldBlock);
        // It would have heard of a connection.
        drop(event_loop.open_connection(addr).await?);
        listener.accept().unwrap();
        Ok(())
    });
}

#[test]
fn tl17_an_upgrade_that_can_never_be_leaves_the_connection_as_it_was() {
    run(async |event_loop| {
        let (ours, mut theirs) = pair();
        let (mut reader, mut writer) = event_loop.open_connection_with_sock(ours).await?;
        theirs.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(reader.read_line().await?, b"one\n");
        let unnamed = TlsClientOptions::from(client().build().unwrap());
        assert_invalid(&reader.start_tls(&mut writer, unnamed).await.unwrap_err(), "server_hostname");
        let hasty = serving().handshake_timeout(Duration::ZERO);
        assert_invalid(&reader.start_tls_server(&mut writer, hasty).await.unwrap_err(), "handshake_timeout");
        assert_eq!(reader.read_line().await?, b"two\n");
        writer.write_all(b"three").await?;
        let mut heard = [0; 5];
        theirs.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"three");
        Ok(())
    });
}

#[test]
fn tl6_a_timeout_of_nothing_is_refused() {
    run(async |event_loop| {
        let connect = |options| event_loop.open_connection_with_sock(pair().0).tls(options);
        for options in
            [options().handshake_timeout(Duration::ZERO), options().shutdown_timeout(Duration::ZERO)]
        {
            let error = connect(options).await.unwrap_err();
            assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::InvalidInput);
        }
        let accepting = event_loop.open_connection_with_sock(pair().0);
        let accepting = accepting.tls_server(serving().handshake_timeout(Duration::ZERO));
        assert!(accepting.await.is_err());
        let limited = serving().shutdown_timeout(Duration::ZERO);
        assert!(event_loop.create_server(Notes::default, any_port()).tls(limited).await.is_err());
        Ok(())
    });
}

#[test]
fn tl5_tl6_a_handshake_that_is_given_up_leaves_nothing() {
    let (event_loop, clock) = manual_with(small());
    let handle = event_loop.handle();
    for turns_before in 0..4 {
        let (ours, mut theirs) = pair();
        let connecting = handle.create_connection_with_sock(Notes::default, ours).tls(options());
        let task = handle.create_task(async move { connecting.await.map(drop) }).unwrap();
        turns(&event_loop, turns_before);
        task.cancel();
        turns(&event_loop, 3);
        assert!(task.done());
        let statistics = event_loop.statistics();
        assert_eq!((statistics.timers, statistics.ready), (0, 0), "after {turns_before} turns");
        // The socket is closed.
        let mut hello = Vec::new();
        theirs.read_to_end(&mut hello).unwrap();
        drop(task);
    }
    assert_eq!(clock.now(), handle.time());
}

#[test]
fn tl5_a_close_in_mid_handshake_ends_it_at_once() {
    run(async |event_loop| {
        for closes in [Transport::close, Transport::abort] {
            let (ours, mut theirs) = pair();
            let left = Notes::default();
            let noted = left.clone();
            let (transport, _) = event_loop.create_connection_with_sock(move || noted, ours).await?;
            let started = event_loop.start_tls(&transport, options());
            let task = event_loop.create_task(async move { started.await })?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            transport.write(b"waits for the end of the handshake")?;
            closes(&transport);
            assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(lost(&event_loop, &left).await?, ["made", "lost: None"]);
            let mut heard = Vec::new();
            // Nothing of it was sent in the clear.
            let _ = theirs.read_to_end(&mut heard);
            assert!(heard.starts_with(&[22, 3]) && !heard.ends_with(b"handshake"));
        }
        Ok(())
    });
}

#[test]
fn tl5_a_server_that_aborts_its_clients_ends_their_handshakes() {
    run(async |event_loop| {
        let refusals = Trace::new();
        let noted = refusals.clone();
        let server = event_loop
            .create_server(Notes::default, any_port())
            .tls(serving())
            .on_refused(move |_, error| noted.push(format!("{:?}", error.kind())))
            .await?;
        let mut silent = std::net::TcpStream::connect(server.local_addr()).unwrap();
        until(&event_loop, || server.accepted() == 1).await?;
        server.abort_clients();
        until(&event_loop, || server.connections() == 0).await?;
        server.close();
        let read = event_loop.run_in_executor(move || silent.read(&mut [0; 10])).unwrap().await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
        Ok(())
    });
}

#[test]
fn l02_silent_clients_that_fill_all_slots_give_them_back() {
    let (event_loop, _clock) = manual_with(small());
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let limited = serving().handshake_timeout(Duration::from_secs(5));
            let server =
                handle.create_server(Notes::default, any_port()).tls(limited).max_connections(4).await?;
            // Of each kind: says nothing, says a part, and waits in the backlog.
            let mut silent = Vec::new();
            for number in 0..10 {
                let mut stream = std::net::TcpStream::connect(server.local_addr()).unwrap();
                if number % 2 == 1 {
                    stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
                }
                silent.push(stream);
            }
            until(&handle, || server.refused() == 10).await?;
            let trusting = client().build().unwrap();
            let (_reader, writer) = handle.open_connection(server.local_addr()).tls(&trusting).await?;
            assert!(writer.tls_info().is_some());
            drop(silent);
            server.close();
            Ok::<_, Error>(())
        })
        .unwrap();
}

/// Reads into memory of its own.
struct Buffered {
    buffer: [u8; 10],
    received: Rc<RefCell<Vec<u8>>>,
}

impl BufferedProtocol for Buffered {
    fn buffer(&mut self, _: usize) -> &mut [u8] {
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &Transport, count: usize) -> rondel::Result<()> {
        self.received.borrow_mut().extend_from_slice(&self.buffer[..count]);
        Ok(())
    }
}

#[test]
fn tl1_a_buffered_protocol_gets_plaintext_a_buffer_at_a_time() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let received = Rc::new(RefCell::new(Vec::new()));
        let buffered = Buffered { buffer: [0; 10], received: Rc::clone(&received) };
        let accepting = event_loop.connect_accepted_socket(move || buffered, theirs).tls_server(serving());
        let connecting = event_loop.open_connection_with_sock(ours).tls(options());
        let (connected, accepted) =
            futures_lite::future::zip(connecting.into_future(), accepting.into_future()).await;
        let ((_reader, mut writer), _accepted) = (connected?, accepted?);
        let message: Vec<u8> = (0..100_000_u32).map(|n| (n % 253) as u8).collect();
        writer.write_all(&message).await?;
        until(&event_loop, || received.borrow().len() == message.len()).await?;
        assert!(*received.borrow() == message);
        writer.close();
        writer.wait_closed().await
    });
}

#[test]
fn l07_writes_to_a_peer_that_never_reads_are_refused_at_the_cap() {
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes { is_deaf: true, ..Notes::default() });
        let (transport, _) = both(&event_loop, (left.clone(), right.clone())).await?;
        let piece = vec![1; 1 << 20];
        let (mut most, mut refused) = (0, 0);
        for _ in 0..1024 {
            if let Err(error) = transport.write(&piece) {
                assert!(error.is_full(), "{error:?}");
                refused += 1;
            }
            most = most.max(event_loop.write_buffers_size());
            event_loop.yield_now().await?;
        }
        assert!(refused > 900, "{refused}");
        // The cap of a transport, and what encryption adds.
        assert!(most < rondel::Config::default().write_buffer_bytes * 102 / 100, "{most}");
        transport.abort();
        lost(&event_loop, &left).await?;
        assert_eq!(event_loop.write_buffers_size(), 0);
        Ok(())
    });
}

#[test]
fn l07_the_memory_of_a_process_is_flat_while_a_peer_never_reads_a_gigabyte() {
    const NAME: &str =
        "test_tls_transports::l07_the_memory_of_a_process_is_flat_while_a_peer_never_reads_a_gigabyte";
    const CAP: usize = 1 << 20;
    // Other tests would share the memory of the process.
    alone(NAME, 64, || {
        let event_loop = EventLoop::with_config(Config { write_buffer_bytes: CAP, ..small() }).unwrap();
        let handle = event_loop.handle();
        let test = async {
            let notes = || Notes { is_deaf: true, ..Notes::default() };
            let (transport, _deaf) = both(&handle, (notes(), notes())).await?;
            let piece = vec![1; 256 * 1024];
            let (allocated, resident) = (live_bytes(), resident_bytes());
            let (mut most_allocated, mut most_resident) = (0, 0);
            let mut refused = 0;
            for _ in 0..4096 {
                match transport.write(&piece) {
                    Ok(()) => {}
                    Err(error) if error.is_full() => refused += 1,
                    Err(error) => return Err(error),
                }
                most_allocated = most_allocated.max(live_bytes() - allocated);
                most_resident = most_resident.max(resident_bytes().saturating_sub(resident));
                handle.yield_now().await?;
            }
            assert!(refused > 4000, "{refused}");
            // The queue, which grows by doubling, and one part of ciphertext.
            assert!(most_allocated < 3 * CAP.cast_signed(), "{most_allocated}");
            assert!(most_resident < 16 << 20, "{most_resident}");
            Ok::<(), Error>(())
        };
        event_loop.run_until_complete(test).unwrap();
    });
}

/// Returns how much memory the process has in use.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<usize>().ok()).expect("a number")
        * 1024
}

#[test]
fn l07_what_is_written_during_a_handshake_counts_and_is_encrypted() {
    run(async |event_loop| {
        let (ours, mut theirs) = pair();
        let left = Notes::default();
        let noted = left.clone();
        let (transport, _) = event_loop.create_connection_with_sock(move || noted, ours).await?;
        transport.write(b"in the clear")?;
        let started = event_loop.start_tls(&transport, options());
        let task = event_loop.create_task(async move { started.await })?;
        event_loop.sleep(Duration::ZERO).await?;
        event_loop.sleep(Duration::ZERO).await?;
        transport.write(b"a secret")?;
        assert_eq!((transport.write_buffer_size(), event_loop.write_buffers_size()), (8, 8));
        event_loop.sleep(Duration::ZERO).await?;
        let mut sent = [0; 4096];
        let count = theirs.read(&mut sent).unwrap();
        // A handshake record follows the plaintext at once.
        assert_eq!(sent[..14], *b"in the clear\x16\x03");
        assert!(!sent[..count].windows(8).any(|bytes| bytes == b"a secret"));
        theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.as_tls(), Some(&TlsError::NotTls));
        assert_eq!(lost(&event_loop, &left).await?, ["made", "lost: Some(Tls)"]);
        assert_eq!(event_loop.write_buffers_size(), 0);
        Ok(())
    });
}

#[test]
fn l06_transports_start_tls_in_place_and_only_once() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let (left, right) = (Notes::default(), Notes::default());
        let (noted, other) = (left.clone(), right.clone());
        let (client, _) = event_loop.create_connection_with_sock(move || noted, ours).await?;
        let (server, _) = event_loop.create_connection_with_sock(move || other, theirs).await?;
        let both = futures_lite::future::zip(
            event_loop.start_tls(&client, options()).into_future(),
            event_loop.start_tls_server(&server, serving()).into_future(),
        );
        let (started, served) = both.await;
        started?;
        served?;
        let error = event_loop.start_tls(&client, options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        client.write(b"hello")?;
        until(&event_loop, || right.received.borrow().len() == 5).await?;
        client.close();
        assert_eq!(lost(&event_loop, &right).await?, ["made", "data", "eof", "lost: None"]);
        let error = event_loop.start_tls(&client, options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        Ok(())
    });
}

#[test]
fn tl8_a_peer_that_never_stops_sending_neither_blocks_the_loop_nor_the_end() {
    run(async |event_loop| {
        let server = event_loop
            .start_server(any_port(), async |_reader: StreamReader, mut writer: StreamWriter| {
                loop {
                    writer.write_all(&[0; 100_000]).await?;
                }
                #[allow(unreachable_code, reason = "names the type")]
                Ok::<(), Error>(())
            })
            .tls(serving())
            .await?;
        let notes = Notes::default();
        let noted = notes.clone();
        let limited = options().shutdown_timeout(Duration::from_millis(50));
        let (transport, _) =
            event_loop.create_connection(move || noted, server.local_addr()).tls(limited).await?;
        transport.close();
        assert_eq!(lost(&event_loop, &notes).await?, ["made", "lost: Some(TimedOut)"]);
        until(&event_loop, || server.connections() == 0).await
    });
}

#[test]
fn tl17_the_host_is_verified_by_name_or_by_address() {
    run(async |event_loop| {
        let server = event_loop.create_server(Notes::default, any_port()).tls(serving()).await?;
        let (address, port) = (server.local_addr(), server.local_addr().port());
        let trusting = client().build().unwrap();
        drop(event_loop.open_connection(("localhost", port)).tls(&trusting).await?);
        drop(event_loop.open_connection(address).tls(&trusting).await?);
        drop(event_loop.open_connection(("127.0.0.1", port)).tls(&trusting).await?);
        for wrong in ["127.0.0.2", "other.example", "::2"] {
            let options = TlsClientOptions::from(&trusting).server_hostname(wrong);
            let error = event_loop.open_connection(address).tls(options).await.unwrap_err();
            assert!(matches!(error.as_tls(), Some(TlsError::WrongName { .. })), "{error:?}");
        }
        let error = event_loop.open_connection_with_sock(pair().0).tls(&trusting).await.unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::InvalidInput);
        until(&event_loop, || server.connections() == 0).await
    });
}

#[test]
fn tl1_a_file_is_encrypted_as_everything_is() {
    run(async |event_loop| {
        let (left, right) = (Notes::default(), Notes::default());
        let (transport, _) = both(&event_loop, (left.clone(), right.clone())).await?;
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let error = event_loop.sendfile(&transport, &file, 0, Some(10)).fallback(false).await.unwrap_err();
        assert!(format!("{error}").contains("TLS"), "{error}");
        let sent = event_loop.sendfile(&transport, &file, 100, Some(300_000)).await.unwrap();
        assert_eq!(sent, 300_000);
        until(&event_loop, || right.received.borrow().len() == 300_000).await?;
        let mut expected = vec![0; 300_100];
        std::fs::File::open("/proc/self/exe").unwrap().read_exact(&mut expected).unwrap();
        assert!(*right.received.borrow() == expected[100..]);
        transport.close();
        lost(&event_loop, &left).await.map(drop)
    });
}
