//! Sending and receiving: SK-1 to SK-3.

use core::task::Poll;
use std::fs::File;
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::rc::Rc;
use std::thread;

use rondel::{Address, ErrorKind, NonBlocking};

use super::{bind_to, drain, io_kind, pair, poll_once, run, tcp_pair, waiting};
use crate::fixture::{any_port, scenarios, send_out_of_band};

scenarios! {
    sk1_any_socket_becomes_nonblocking_and_nothing_else_does
    sk2_an_operation_is_tried_at_once_and_then_needs_no_registration
    sk2_a_socket_stays_registered_between_waits_and_goes_with_its_wrapper
    sk3_recv_gives_one_to_n_bytes_and_none_at_the_end
    sk3_sendall_ends_when_every_byte_is_with_the_kernel
    sk3_sendall_of_nothing_asks_nobody
    sk3_the_error_of_sendall_tells_how_many_bytes_were_sent
    u02_datagrams_of_all_sizes_and_truncation_is_flagged
    n13_an_out_of_band_byte_wakes_nobody_and_harms_no_other_byte
    recvfrom_on_a_stream_loses_nothing
}

fn sk1_any_socket_becomes_nonblocking_and_nothing_else_does() {
    let (a, b) = UnixStream::pair().unwrap();
    let borrowed = NonBlocking::new(&a).unwrap();
    assert_eq!({ *borrowed.get_ref() }.read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock);
    drop(borrowed);
    let a = NonBlocking::new(a).unwrap().into_inner();
    assert_eq!((&a).read(&mut [0]).unwrap_err().kind(), Kind::WouldBlock, "it stays so");
    NonBlocking::new(Rc::new(b)).unwrap();
    NonBlocking::new(OwnedFd::from(a)).unwrap();
    let (c, s) = tcp_pair();
    NonBlocking::new(c).unwrap();
    NonBlocking::new(&s).unwrap();
    NonBlocking::new(TcpListener::bind(any_port()).unwrap()).unwrap();
    NonBlocking::new(UdpSocket::bind(any_port()).unwrap()).unwrap();
    NonBlocking::new(UnixDatagram::unbound().unwrap()).unwrap();
    let refused = NonBlocking::new(File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!((refused.kind(), refused.as_io().unwrap().raw_os_error()), (ErrorKind::Io, Some(88)));
    assert!(refused.to_string().starts_with("NonBlocking::new: "), "{refused}");
}

fn sk2_an_operation_is_tried_at_once_and_then_needs_no_registration() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let Poll::Ready(sent) = poll_once(event_loop.sock_sendall(&ours, b"hello")) else { unreachable!() };
        sent?;
        let Poll::Ready(got) = poll_once(event_loop.sock_recv(&theirs, 10)) else { unreachable!() };
        assert_eq!(got?, b"hello");
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}

fn sk2_a_socket_stays_registered_between_waits_and_goes_with_its_wrapper() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        let theirs = Rc::new(theirs);
        for round in 0..10_u8 {
            let (receiver, handle) = (Rc::clone(&theirs), event_loop.clone());
            let got = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
            event_loop.sock_sendall(&ours, &[round]).await?;
            assert_eq!(got.await??, [round]);
            assert_eq!(event_loop.watched_descriptors(), 1, "kept for the next wait");
        }
        let theirs = Rc::into_inner(theirs).unwrap().into_inner();
        assert_eq!(event_loop.watched_descriptors(), 0);
        // The socket itself is as good as new, borrowed and twice.
        let (one, two) = (NonBlocking::new(&theirs)?, NonBlocking::new(&theirs)?);
        for wrapper in [&one, &two, &one] {
            assert!(poll_once(event_loop.sock_recv(wrapper, 1)).is_pending());
            assert_eq!(event_loop.watched_descriptors(), 1);
        }
        drop(one);
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(two);
        assert_eq!(event_loop.watched_descriptors(), 0);
        Ok(())
    });
}

fn sk3_recv_gives_one_to_n_bytes_and_none_at_the_end() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        event_loop.sock_sendall(&ours, b"abcdef").await?;
        assert_eq!(event_loop.sock_recv(&theirs, 2).await?, b"ab");
        let mut buffer = [0; 3];
        assert_eq!(event_loop.sock_recv_into(&theirs, &mut buffer).await?, 3);
        assert_eq!(&buffer, b"cde");
        // More than the loop's buffer holds.
        assert_eq!(event_loop.sock_recv(&theirs, 1 << 20).await?, b"f");
        ours.get_ref().shutdown(Shutdown::Write)?;
        assert_eq!(event_loop.sock_recv(&theirs, 9).await?, b"");
        assert_eq!(event_loop.sock_recv_into(&theirs, &mut buffer).await?, 0);
        // The end also wakes who waits for it.
        let (handle, ours) = (event_loop.clone(), Rc::new(ours));
        let receiver = Rc::clone(&ours);
        let got = waiting(&event_loop, async move { handle.sock_recv(&receiver, 10).await }).await;
        drop(theirs);
        assert_eq!(got.await??, b"");
        Ok(())
    });
}

fn sk3_sendall_ends_when_every_byte_is_with_the_kernel() {
    run(async |event_loop| {
        let (ours, mut theirs) = tcp_pair();
        let ours = NonBlocking::new(ours)?;
        let data: Vec<u8> = (0..=255).cycle().take(16 << 20).collect();
        let expected = data.clone();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            assert!(all == expected, "{} bytes came", all.len());
        });
        event_loop.sock_sendall(&ours, &data).await?;
        drop(ours);
        reader.join().unwrap();
        Ok(())
    });
}

fn sk3_sendall_of_nothing_asks_nobody() {
    run(async |event_loop| {
        let (ours, theirs) = pair();
        drop(theirs);
        event_loop.sock_sendall(&ours, b"").await?;
        let broken = event_loop.sock_sendall(&ours, b"x").await.unwrap_err();
        assert_eq!((io_kind(broken.error()), broken.sent()), (Kind::BrokenPipe, 0));
        Ok(())
    });
}

fn sk3_the_error_of_sendall_tells_how_many_bytes_were_sent() {
    run(async |event_loop| {
        // The peer goes away with data unread.
        let (ours, theirs) = pair();
        let (handle, data) = (event_loop.clone(), vec![7; 16 << 20]);
        let task = event_loop
            .create_task(async move {
                let broken = handle.sock_sendall(&ours, &data).await.unwrap_err();
                assert!(broken.to_string().starts_with("sock_sendall: "), "{broken}");
                assert!([Kind::BrokenPipe, Kind::ConnectionReset].contains(&io_kind(broken.error())));
                broken.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        let first = event_loop.sock_recv(&theirs, 1000).await?;
        drop(theirs);
        let sent = task.await?;
        assert!(sent > first.len() && sent < 16 << 20, "{sent}");
        // The task is cancelled: what was sent before is what arrives.
        let (ours, theirs) = pair();
        let (handle, data) = (event_loop.clone(), vec![7; 16 << 20]);
        let task = event_loop
            .create_task(async move {
                let cut = handle.sock_sendall(&ours, &data).await.unwrap_err();
                assert!(cut.error().is_cancelled());
                assert_eq!(ours.get_ref().write(b"x").unwrap_err().kind(), Kind::WouldBlock);
                cut.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        task.cancel();
        assert_eq!(task.await?, drain(&theirs));
        Ok(())
    });
}

fn u02_datagrams_of_all_sizes_and_truncation_is_flagged() {
    run(async |event_loop| {
        let one = event_loop.datagram_socket(any_port())?;
        bind_to(&one, 0);
        let one = NonBlocking::new(UdpSocket::from(one.into_inner()))?;
        let two = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let (from, to) = (one.get_ref().local_addr()?, two.get_ref().local_addr()?);
        for size in [0, 1, 1000, 65_507] {
            assert_eq!(event_loop.sock_sendto(&one, &vec![7; size], to).await?, size);
            let datagram = event_loop.sock_recvfrom(&two, 65_536).await?;
            assert_eq!((datagram.data.len(), datagram.is_truncated), (size, false));
            assert_eq!(datagram.from, Address::from(from));
        }
        let large = event_loop.sock_sendto(&one, &[0; 65_508], to).await.unwrap_err();
        assert_eq!(large.as_io().unwrap().raw_os_error(), Some(90), "EMSGSIZE: {large}");
        for _ in 0..2 {
            event_loop.sock_sendto(&one, b"abcdef", to).await?;
        }
        let datagram = event_loop.sock_recvfrom(&two, 4).await?;
        assert_eq!((&datagram.data[..], datagram.is_truncated), (&b"abcd"[..], true));
        let mut buffer = [0; 6];
        let datagram = event_loop.sock_recvfrom_into(&two, &mut buffer).await?;
        assert_eq!((&*datagram.data, datagram.is_truncated), (&b"abcdef"[..], false));
        // And for one who waits.
        let (handle, two) = (event_loop.clone(), Rc::new(two));
        let receiver = Rc::clone(&two);
        let task = waiting(&event_loop, async move { handle.sock_recvfrom(&receiver, 10).await }).await;
        event_loop.sock_sendto(&one, b"", to).await?;
        assert!(task.await??.data.is_empty(), "empty, and no end");
        // Between two sockets of this machine's own.
        let (a, b) = UnixDatagram::pair()?;
        let (a, b) = (NonBlocking::new(a)?, NonBlocking::new(b)?);
        event_loop.sock_sendall(&a, b"hello").await?;
        let datagram = event_loop.sock_recvfrom(&b, 2).await?;
        assert!(datagram.is_truncated && datagram.from.as_unix().unwrap().is_unnamed());
        Ok(())
    });
}

fn n13_an_out_of_band_byte_wakes_nobody_and_harms_no_other_byte() {
    run(async |event_loop| {
        let (ours, mut theirs) = tcp_pair();
        let ours = NonBlocking::new(ours)?;
        let handle = event_loop.clone();
        let task = waiting(&event_loop, async move {
            let mut all = Vec::new();
            while all.len() < 4 {
                all.extend(handle.sock_recv(&ours, 10).await?);
            }
            Ok(all)
        })
        .await;
        theirs.write_all(b"ab")?;
        send_out_of_band(&theirs, b'!');
        for _ in 0..10 {
            event_loop.yield_now().await?;
        }
        assert!(!task.done());
        theirs.write_all(b"cd")?;
        assert_eq!(task.await??, b"abcd");
        Ok(())
    });
}

fn recvfrom_on_a_stream_loses_nothing() {
    run(async |event_loop| {
        let (ours, theirs) = tcp_pair();
        let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
        event_loop.sock_sendall(&ours, b"abcdef").await?;
        let piece = event_loop.sock_recvfrom(&theirs, 2).await?;
        assert_eq!((&piece.data[..], piece.is_truncated), (&b"ab"[..], false));
        assert_eq!(piece.from, Address::from(ours.get_ref().local_addr()?));
        assert_eq!(event_loop.sock_recv(&theirs, 10).await?, b"cdef");
        Ok(())
    });
}
