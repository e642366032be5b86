//! What connections make of answers that only a script gives: failures of any
//! call, short transfers, spurious readiness.

use core::cell::RefCell;
use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;

use rondel::{Config, Error, EventLoop, EventLoopHandle, Operation, Protocol, Transport};

use crate::fixture::{
    Trace, alone, any_port, descriptors, never, reports, run_with_faults, settle, small, turns,
};

/// Keeps what it receives, and notes its end.
#[derive(Clone, Default)]
struct Kept {
    bytes: Rc<RefCell<Vec<u8>>>,
    trace: Trace,
}

impl Protocol for Kept {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
        assert!(!data.is_empty());
        self.bytes.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(error.map_or_else(|| "lost".to_owned(), |error| format!("lost: {error}")));
        Ok(())
    }
}

/// Makes a connection with a protocol, and the socket of its peer.
async fn connected(event_loop: &EventLoopHandle) -> Result<(Transport, Kept, UnixStream), Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let kept = Kept::default();
    let protocol = kept.clone();
    let (transport, _) = event_loop.create_connection_with_sock(move || protocol, ours).await?;
    Ok((transport, kept, theirs))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn p12_a_registration_that_fails_is_a_typed_error_and_the_next_one_works() {
    run_with_faults(async |event_loop, faults| {
        let listener = TcpListener::bind(any_port())?;
        let addr = listener.local_addr()?;
        for errno in [libc::ENOSPC, libc::ENOMEM, libc::EBADF] {
            let (socket, _peer) = UnixStream::pair()?;
            let kind = std::io::Error::from_raw_os_error(errno).kind();
            let is_it = |error: &Error| error.as_io().unwrap().kind() == kind;
            faults.fail(Operation::Register, errno);
            let refused = event_loop.add_reader(&socket, never).unwrap_err();
            assert!(is_it(refused.error()), "{refused:?}");
            faults.fail(Operation::Register, errno);
            assert!(is_it(&event_loop.open_connection(addr).await.unwrap_err()));
            faults.fail(Operation::Register, errno);
            let streams = event_loop.open_connection_with_sock(socket.try_clone()?).await;
            assert!(is_it(&streams.unwrap_err()));
            assert_eq!(event_loop.watched_descriptors(), 0);
            event_loop.add_reader(&socket, never)?;
            assert!(event_loop.remove_reader(&socket));
            drop(event_loop.open_connection(addr).await?);
        }
        Ok(())
    });
}

#[test]
fn p12_a_registration_that_can_not_be_changed_ends_that_connection_only() {
    run_with_faults(async |event_loop, faults| {
        let told = reports(&event_loop);
        let (transport, kept, theirs) = connected(&event_loop).await?;
        let (other, others, mut peer) = connected(&event_loop).await?;
        faults.fail(Operation::Reregister, libc::ENOMEM);
        // More than the kernel takes: it is to tell when there is room.
        transport.write(&vec![0; 1 << 20])?;
        settle(&event_loop).await;
        assert!(transport.is_closing());
        let lost = kept.trace.take();
        assert!(lost.len() == 1 && lost[0].starts_with("lost: "), "{lost:?}");
        assert_eq!(told.count(), 1, "{told:?}");
        peer.write_all(b"x")?;
        settle(&event_loop).await;
        assert_eq!((&*others.bytes.borrow(), others.trace.count()), (&b"x".to_vec(), 0));
        other.close();
        settle(&event_loop).await;
        drop(theirs);
        Ok(())
    });
}

#[test]
fn p12_a_registration_that_can_not_be_undone_keeps_nobody_from_closing() {
    run_with_faults(async |event_loop, faults| {
        for errno in [libc::EBADF, libc::ENOENT, libc::ENOMEM] {
            let (transport, kept, mut theirs) = connected(&event_loop).await?;
            faults.fail(Operation::Deregister, errno);
            transport.close();
            settle(&event_loop).await;
            assert_eq!(kept.trace.take(), ["lost"]);
            assert_eq!(theirs.read(&mut [0])?, 0);
        }
        Ok(())
    });
}

#[test]
fn p12_a_wait_that_fails_ends_the_run_and_the_next_one_goes_on() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let trace = Trace::new();
    faults.fail(Operation::Wait, libc::EBADF);
    let failed = event_loop.run_forever().unwrap_err();
    assert_eq!(failed.as_io().unwrap().raw_os_error(), Some(libc::EBADF));
    event_loop.call_soon(trace.note("called")).unwrap();
    turns(&event_loop, 1);
    assert_eq!(trace.take(), ["called"]);
}

fn no_descriptors() {
    let before = descriptors();
    // With none, one, two, ... to spare.
    for spare in 0..3 {
        let mut kept: Vec<_> = (0..).map_while(|_| std::fs::File::open("/proc/self/exe").ok()).collect();
        kept.truncate(kept.len() - spare);
        let failed = EventLoop::with_config(small()).unwrap_err();
        assert_eq!(failed.as_io().unwrap().raw_os_error(), Some(libc::EMFILE), "{failed}");
        drop(kept);
        assert_eq!(descriptors(), before);
    }
    drop(EventLoop::with_config(small()).unwrap());
    assert_eq!(descriptors(), before);
}

#[test]
fn p12_a_loop_that_can_not_be_made_leaks_no_descriptor() {
    alone("injected::p12_a_loop_that_can_not_be_made_leaks_no_descriptor", 32, no_descriptors);
}

#[test]
fn n02_short_writes_and_reads_are_byte_exact() {
    run_with_faults(async |event_loop, faults| {
        for (send, recv, length) in
            [(1, 4096, 3_000), (4096, 1, 3_000), (7, 5, 10_000), (4095, 4097, 1 << 20)]
        {
            faults.limit(Operation::Send, send);
            faults.limit(Operation::Recv, recv);
            let data = pattern(length);
            let (from, sender, theirs) = connected(&event_loop).await?;
            let receiver = Kept::default();
            let protocol = receiver.clone();
            let (to, _) = event_loop.create_connection_with_sock(move || protocol, theirs).await?;
            // In one piece, in several at once, and behind what is queued.
            let (first, rest) = data.split_at(length / 3);
            let (second, third) = rest.split_at(length / 3);
            from.write(first)?;
            from.writelines(&[IoSlice::new(&[]), IoSlice::new(&second[..1]), IoSlice::new(&second[1..])])?;
            from.write(third)?;
            from.close();
            while receiver.trace.count() == 0 {
                event_loop.yield_now().await?;
            }
            assert!(*receiver.bytes.borrow() == data, "{send} {recv}");
            assert_eq!(
                (receiver.trace.take(), sender.trace.take()),
                (vec!["lost".into()], vec!["lost".into()])
            );
            drop(to);
        }
        Ok(())
    });
}

#[test]
fn n02_a_first_write_of_several_buffers_may_be_short_at_any_byte() {
    run_with_faults(async |event_loop, faults| {
        let data = pattern(12);
        for limit in 1..=12 {
            faults.limit(Operation::Send, limit);
            let (transport, _, mut theirs) = connected(&event_loop).await?;
            let bufs = [&data[..5], &[], &data[5..6], &data[6..]].map(IoSlice::new);
            transport.writelines(&bufs)?;
            transport.write_eof()?;
            settle(&event_loop).await;
            let mut all = Vec::new();
            theirs.read_to_end(&mut all)?;
            assert_eq!(all, data, "{limit}");
            transport.close();
            settle(&event_loop).await;
        }
        Ok(())
    });
}

#[test]
fn n02_streams_are_byte_exact_too() {
    run_with_faults(async |event_loop, faults| {
        const LENGTH: usize = 5_000;
        faults.limit(Operation::Send, 3);
        faults.limit(Operation::Recv, 2);
        let data = pattern(LENGTH);
        let (ours, mut theirs) = UnixStream::pair()?;
        let sent = data.clone();
        let peer = thread::spawn(move || {
            theirs.write_all(&sent).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all
        });
        let (mut reader, mut writer) = event_loop.open_connection_with_sock(ours).await?;
        let mut all = vec![0; LENGTH];
        reader.read_exactly(&mut all).await?;
        assert!(all == data && reader.read(&mut [0]).await? == 0);
        writer.write_all(&data).await?;
        writer.write_eof()?;
        assert!(peer.join().unwrap() == data);
        drop((reader, writer));
        Ok(())
    });
}

#[test]
fn spurious_readiness_delivers_nothing_and_loses_nothing() {
    run_with_faults(async |event_loop, faults| {
        let told = reports(&event_loop);
        let (transport, kept, mut theirs) = connected(&event_loop).await?;
        let (ours, _peer) = UnixStream::pair()?;
        let (mut reader, writer) = event_loop.open_connection_with_sock(ours).await?;
        let reading = event_loop.create_task(async move {
            let ended = reader.read_line().await.map(<[u8]>::len);
            (ended, reader)
        })?;
        for _ in 0..5 {
            faults.wake_all();
            event_loop.yield_now().await?;
        }
        assert!(kept.bytes.borrow().is_empty() && !reading.done());
        // The data is there, and yet the first tries find none.
        for expected in 1..=3_usize {
            faults.block(Operation::Recv);
            faults.block(Operation::Recv);
            theirs.write_all(b"x")?;
            settle(&event_loop).await;
            assert_eq!(kept.bytes.borrow().len(), expected);
        }
        // There is room, and yet the first tries find none.
        for _ in 0..3 {
            faults.block(Operation::Send);
            faults.block(Operation::Send);
            transport.write(b"y")?;
            assert_eq!(transport.write_buffer_size(), 1);
            settle(&event_loop).await;
            assert_eq!(transport.write_buffer_size(), 0);
            theirs.read_exact(&mut [0])?;
        }
        assert_eq!((kept.trace.count(), told.count()), (0, 0));
        assert!(reading.cancel());
        drop((reading, writer));
        transport.close();
        settle(&event_loop).await;
        Ok(())
    });
}

#[test]
fn a_transfer_that_fails_ends_its_connection_once_and_everyday_errors_are_not_reported() {
    // FAULTS N-07
    run_with_faults(async |event_loop, faults| {
        let told = reports(&event_loop);
        for (operation, errno, is_everyday) in [
            (Operation::Recv, libc::ECONNRESET, true),
            (Operation::Recv, libc::ECONNABORTED, true),
            (Operation::Recv, libc::ETIMEDOUT, false),
            (Operation::Recv, libc::EHOSTUNREACH, false),
            (Operation::Recv, libc::ENOMEM, false),
            (Operation::Send, libc::EPIPE, true),
            (Operation::Send, libc::ECONNRESET, true),
            (Operation::Send, libc::ENOBUFS, false),
            (Operation::Send, libc::ENETDOWN, false),
        ] {
            let (transport, kept, mut theirs) = connected(&event_loop).await?;
            faults.fail(operation, errno);
            if operation == Operation::Recv {
                theirs.write_all(b"x")?;
            } else {
                transport.write(b"x")?;
                transport.write(b"y")?;
                assert_eq!(transport.write_buffer_size(), 0);
            }
            settle(&event_loop).await;
            let lost = kept.trace.take();
            assert!(lost.len() == 1 && lost[0].starts_with("lost: "), "{errno}: {lost:?}");
            assert_eq!(told.take().len(), usize::from(!is_everyday), "{errno}");
            assert!(kept.bytes.borrow().is_empty());
            assert!(transport.is_closing());
        }
        Ok(())
    });
}

#[test]
fn a_failure_while_the_rest_is_sent_ends_the_connection_also_when_it_is_closing() {
    run_with_faults(async |event_loop, faults| {
        let (transport, kept, theirs) = connected(&event_loop).await?;
        transport.write(&vec![0; 1 << 20])?;
        assert!(transport.write_buffer_size() > 0);
        transport.close();
        faults.fail_every(Operation::Send, libc::EPIPE);
        let mut buffer = vec![0; 1 << 16];
        { &theirs }.read_exact(&mut buffer)?;
        faults.wake_all();
        settle(&event_loop).await;
        faults.heal(Operation::Send);
        assert_eq!(kept.trace.take().len(), 1);
        assert_eq!((transport.write_buffer_size(), event_loop.write_buffers_size()), (0, 0));
        Ok(())
    });
}

#[test]
fn an_end_of_the_stream_that_can_not_be_sent_is_silent_if_the_peer_is_gone() {
    run_with_faults(async |event_loop, faults| {
        let told = reports(&event_loop);
        for (errno, is_reported) in [(libc::ENOTCONN, false), (libc::ENOBUFS, true)] {
            let (transport, kept, theirs) = connected(&event_loop).await?;
            faults.fail(Operation::ShutdownWrite, errno);
            transport.write_eof()?;
            settle(&event_loop).await;
            assert_eq!((told.take().len() == 1, kept.trace.count() == 1), (is_reported, is_reported));
            transport.close();
            settle(&event_loop).await;
            drop(theirs);
        }
        Ok(())
    });
}

#[test]
fn what_connecting_asks_for_may_fail_at_each_step() {
    // FAULTS A-08
    run_with_faults(async |event_loop, faults| {
        let listener = TcpListener::bind(any_port())?;
        let addr = listener.local_addr()?;
        for (operation, errno) in [
            (Operation::Socket, libc::EMFILE),
            (Operation::Connect, libc::ENETUNREACH),
            (Operation::Connect, libc::EADDRNOTAVAIL),
            (Operation::Register, libc::ENOSPC),
            (Operation::TakeError, libc::ETIMEDOUT),
            (Operation::LocalAddr, libc::ENOBUFS),
        ] {
            faults.fail(operation, errno);
            let failed = event_loop.open_connection(addr).await.unwrap_err();
            assert!(failed.to_string().contains(&addr.to_string()), "{operation:?}: {failed}");
            // The next one is not disturbed.
            faults.heal(operation);
            drop(event_loop.open_connection(addr).await?);
        }
        // What can't be set is done without.
        faults.fail(Operation::SetOption, libc::ENOPROTOOPT);
        drop(event_loop.open_connection(addr).await?);
        Ok(())
    });
}

/// Ends a connection that has not said everything in time.
struct Impatient;

impl Protocol for Impatient {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        let late = transport.clone();
        let limit = core::time::Duration::from_secs(10);
        transport.event_loop().call_later(limit, move |_| late.abort())?;
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        if data.ends_with(b"\n") {
            transport.write(b"thanks\n")?;
        }
        Ok(())
    }
}

#[test]
fn n09_whoever_trickles_bytes_loses_its_slot_to_an_honest_client() {
    let (event_loop, _clock, _) = EventLoop::with_faults(Config { descriptors: 32, ..small() }).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let server = handle.create_server(|| Impatient, any_port()).max_connections(8).await?;
            let slow: Vec<_> = (0..8).map(|_| TcpStream::connect(server.local_addr()).unwrap()).collect();
            settle(&handle).await;
            let mut honest = TcpStream::connect(server.local_addr())?;
            honest.write_all(b"please\n")?;
            for _ in 0..9 {
                slow.iter().for_each(|mut client| client.write_all(b"x").unwrap());
                handle.sleep(core::time::Duration::from_secs(1)).await?;
                assert_eq!((server.connections(), server.accepted()), (8, 8));
            }
            handle.sleep(core::time::Duration::from_secs(2)).await?;
            settle(&handle).await;
            assert_eq!((server.connections(), server.accepted()), (1, 9));
            let mut answer = [0; 7];
            honest.read_exact(&mut answer)?;
            assert_eq!(&answer, b"thanks\n");
            server.close();
            server.abort_clients();
            server.wait_closed().await
        })
        .unwrap();
}
