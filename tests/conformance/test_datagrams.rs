//! Datagram endpoints: DG, UX for datagrams, FAULTS U, C-08, X.
//!
//! Peers are sockets of the standard library in the same thread: what one sends over the loopback
//! interface, or to a UNIX socket, is there when the call returns.

use core::net::{Ipv4Addr, SocketAddr};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;

use rondel::{
    Address, Config, DATAGRAM_CHARGE, DatagramProtocol, DatagramTransport, Error, ErrorKind, EventLoop,
    EventLoopHandle, Faults, Operation, ProtocolRef, WriteBufferLimits,
};

use crate::fixture::{
    Counter, Oops, Trace, any_port, leave_dead_datagram_socket, manual, manual_with, reports, scenarios,
    small, turns,
};

/// Records what it is told, and does what it is asked to at each datagram.
struct Recorder {
    trace: Trace,
    at_datagram: Option<AtDatagram>,
}

type AtDatagram = Box<dyn FnMut(&DatagramTransport, &[u8], &Address) -> rondel::Result<()>>;

impl Recorder {
    fn new(trace: &Trace) -> Self {
        Self { trace: trace.clone(), at_datagram: None }
    }

    fn doing(
        trace: &Trace,
        act: impl FnMut(&DatagramTransport, &[u8], &Address) -> rondel::Result<()> + 'static,
    ) -> Self {
        Self { trace: trace.clone(), at_datagram: Some(Box::new(act)) }
    }
}

fn kind_of(error: &Error) -> String {
    error.as_io().map_or_else(|| format!("{:?}", error.kind()), |error| format!("{:?}", error.kind()))
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("made");
        Ok(())
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransport,
        data: &[u8],
        addr: &Address,
    ) -> rondel::Result<()> {
        if data.len() > 20 {
            self.trace.push(format!("{} bytes", data.len()));
        } else {
            self.trace.push(format!("got {}", data.escape_ascii()));
        }
        match &mut self.at_datagram {
            Some(act) => act(transport, data, addr),
            None => Ok(()),
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, error: &Error) -> rondel::Result<()> {
        self.trace.push(format!("error {}", kind_of(error)));
        Ok(())
    }

    fn pause_writing(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("pause");
        Ok(())
    }

    fn resume_writing(&mut self, _: &DatagramTransport) -> rondel::Result<()> {
        self.trace.push("resume");
        Ok(())
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(error.map_or_else(|| "lost".to_owned(), |error| format!("lost {}", kind_of(error))));
        Ok(())
    }
}

/// Leaves the default for everything but datagrams.
struct Bare;

impl DatagramProtocol for Bare {
    fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) -> rondel::Result<()> {
        Ok(())
    }
}

/// Runs `test` on a loop that has nothing left of it in the end.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle, Trace) -> Result<(), Error>) {
    run_with(small(), test);
}

#[track_caller]
fn run_with(config: Config, test: impl AsyncFnOnce(EventLoopHandle, Trace) -> Result<(), Error>) {
    let event_loop = manual_with(config).0;
    event_loop.run_until_complete(test(event_loop.handle(), Trace::new())).unwrap();
    turns(&event_loop, 3);
    let statistics = event_loop.statistics();
    let left = (event_loop.watched_descriptors(), statistics.calls.live, event_loop.write_buffers_size());
    assert_eq!(left, (0, 0, 0), "descriptors, calls, bytes to send");
}

async fn pass(event_loop: &EventLoopHandle, turns: usize) -> Result<(), Error> {
    for _ in 0..turns {
        event_loop.yield_now().await?;
    }
    Ok(())
}

async fn bound(
    event_loop: &EventLoopHandle,
    recorder: Recorder,
) -> Result<(DatagramTransport, SocketAddr), Error> {
    let (transport, _) = event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port()).await?;
    let addr = inet(transport.local_addr());
    Ok((transport, addr))
}

fn inet(addr: Option<Address>) -> SocketAddr {
    addr.and_then(|addr| addr.as_inet()).expect("an internet address")
}

fn peer_socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(any_port()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Receives all that is there.
fn received(socket: &UdpSocket) -> Vec<String> {
    let mut buffer = [0; 70_000];
    let mut all = Vec::new();
    while let Ok(count) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    all
}

/// Makes a path that nobody else uses.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// A UNIX endpoint and its peer, to whom it is connected: a few datagrams fill the peer's queue.
async fn unix_pair(
    event_loop: &EventLoopHandle,
    trace: &Trace,
) -> Result<(DatagramTransport, UnixDatagram), Error> {
    let (ours, theirs) = UnixDatagram::pair()?;
    theirs.set_nonblocking(true)?;
    let recorder = Recorder::new(trace);
    let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| recorder, ours).await?;
    Ok((transport, theirs))
}

fn unix_received(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 70_000];
    let mut all = Vec::new();
    while let Ok(count) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    all
}

/// Sends numbered datagrams until some wait in the queue; returns how many were sent.
fn fill(transport: &DatagramTransport) -> usize {
    let mut number = 0;
    while transport.write_buffer_size() < 5 * DATAGRAM_CHARGE {
        transport.send(number.to_string().as_bytes()).unwrap();
        number += 1;
        assert!(number < 100_000, "the peer's queue is never full");
    }
    number
}

scenarios! {
    dg1_a_socket_from_elsewhere_has_to_be_one_of_datagrams
    dg1_a_connected_socket_from_elsewhere_knows_its_peer
    dg2_without_an_address_there_has_to_be_a_family
    dg3_addresses_are_paired_by_family_and_tried_in_order
    dg4_port_reuse_and_broadcast_are_set_before_the_address
    dg4_a_broadcast_endpoint_with_a_remote_address_hears_everybody
    dg5_a_connected_endpoint_sends_to_its_peer_alone
    dg5_a_connected_endpoint_hears_its_peer_alone
    dg6_datagrams_go_out_at_once_whole_and_in_order
    dg6_what_waits_for_room_goes_out_in_order
    dg6_replies_to_a_batch_go_out_in_order_each_whole
    dg6_replies_to_a_batch_that_find_no_room_wait_in_order
    dg6_replies_go_out_also_if_the_endpoint_is_closed_or_aborted
    dg7_a_datagram_that_is_too_large_is_an_error_and_the_next_is_sent
    dg7_an_error_caused_inside_a_method_is_told_when_it_has_returned
    dg7_of_many_errors_of_one_method_the_first_are_told_and_all_counted
    dg8_empty_datagrams_are_sent_and_received
    dg9_the_marks_count_bytes_and_a_charge_that_goes_with_the_datagram
    dg9_limits_that_change_are_looked_at_at_once
    dg10_close_sends_what_waits_and_abort_does_not
    dg10_sending_after_the_end_is_dropped_and_counted
    u01_a_refused_datagram_is_an_error_once_and_a_live_port_is_served
    u01_an_error_behind_a_datagram_is_told_too
    u02_datagrams_of_all_sizes_pass_and_one_byte_more_is_an_error
    u02_a_datagram_longer_than_the_buffer_is_never_taken_for_whole
    u03_a_full_queue_refuses_and_counts
    u03_the_ceiling_of_the_loop_counts_all_endpoints
    u03_an_unconnected_unix_endpoint_waits_for_a_full_peer
    u03_no_memory_for_a_datagram_is_an_error_and_the_others_are_sent
    u03_a_socket_without_room_sends_its_replies_later_in_order
    dg7_receiving_that_fails_for_good_does_not_turn_in_circles
    dg3_a_socket_that_fails_half_way_is_closed
    u04_a_flood_is_worked_off_a_bounded_number_a_turn
    u04_what_the_kernel_drops_is_counted
    c08_a_rate_lets_the_loop_sleep_under_a_storm
    c08_a_paused_endpoint_is_silent
    pausing_within_a_batch_keeps_the_rest_in_order
    an_error_of_the_protocol_is_reported_and_the_endpoint_lives
    a_panic_of_the_protocol_ends_the_endpoint
    another_protocol_is_told_from_the_next_datagram_on
    a_protocol_may_be_looked_at_between_its_methods
    closing_within_a_batch_delivers_nothing_more
    closing_the_loop_tells_each_endpoint_once
    cancelling_the_creation_closes_the_socket
    full_tables_refuse_an_endpoint_and_close_its_socket
    the_owner_of_a_descriptor_is_named
    multicast_groups_are_joined_and_left
    x01_a_unix_endpoint_takes_paths_and_abstract_names_and_no_longer_ones
    x02_only_a_dead_socket_file_is_replaced_and_only_the_own_removed
    ux_unix_endpoints_answer_each_other
    ux7_a_missing_peer_is_not_found
}

fn dg1_a_socket_from_elsewhere_has_to_be_one_of_datagrams() {
    run(async |event_loop, trace| {
        let (stream, _other) = UnixStream::pair()?;
        let refused = event_loop.create_datagram_endpoint_with_sock(|| Bare, stream).await.unwrap_err();
        assert!(refused.to_string().contains("create_datagram_endpoint: not a datagram socket"), "{refused}");
        let socket = UdpSocket::bind(any_port())?;
        let addr = socket.local_addr()?;
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| recorder, socket).await?;
        assert_eq!((inet(transport.local_addr()), transport.peer_addr()), (addr, None));
        peer_socket().0.send_to(b"hello", addr)?;
        pass(&event_loop, 2).await?;
        transport.close();
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got hello", "lost"]);
        Ok(())
    });
}

fn dg1_a_connected_socket_from_elsewhere_knows_its_peer() {
    run(async |event_loop, _| {
        let (peer, addr) = peer_socket();
        let socket = UdpSocket::bind(any_port())?;
        socket.connect(addr)?;
        let (transport, _) = event_loop.create_datagram_endpoint_with_sock(|| Bare, socket).await?;
        assert_eq!(transport.peer_addr(), Some(&addr.into()));
        transport.send(b"hello")?;
        assert_eq!(received(&peer), ["hello"]);
        transport.close();
        Ok(())
    });
}

fn dg2_without_an_address_there_has_to_be_a_family() {
    run(async |event_loop, _| {
        let refused = event_loop.create_datagram_endpoint(|| Bare).await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        for is_ipv4 in [true, false] {
            let endpoint = event_loop.create_datagram_endpoint(|| Bare);
            let endpoint = if is_ipv4 { endpoint.ipv4_only() } else { endpoint.ipv6_only() };
            let (transport, _) = endpoint.await?;
            let addr = inet(transport.local_addr());
            assert_eq!((addr.is_ipv4(), addr.port()), (is_ipv4, 0), "not bound");
            transport.close();
        }
        let (transport, _) = event_loop.create_datagram_endpoint(|| Bare).ipv4_only().await?;
        let (peer, addr) = peer_socket();
        transport.sendto(b"hello", &addr.into())?;
        assert_eq!(received(&peer), ["hello"]);
        assert_ne!(inet(transport.local_addr()).port(), 0, "the first datagram chose a port");
        transport.close();
        Ok(())
    });
}

fn dg3_addresses_are_paired_by_family_and_tried_in_order() {
    run(async |event_loop, _| {
        let (_taken, taken) = peer_socket();
        let v6: SocketAddr = "[::1]:0".parse()?;
        let make = || event_loop.create_datagram_endpoint(|| Bare);
        // No pair.
        let refused = make().local_addr(any_port()).remote_addr(v6).await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        let refused = make().local_addr(any_port()).ipv6_only().await.unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        // The first that works.
        let (transport, _) = make().local_addr([taken, any_port()]).await?;
        assert_ne!(inet(transport.local_addr()), taken);
        transport.close();
        // The first error, if none does.
        let nowhere: SocketAddr = "192.0.2.1:0".parse()?;
        let refused = make().local_addr([taken, nowhere]).await.unwrap_err();
        assert_eq!(kind_of(&refused), "AddrInUse", "{refused}");
        assert!(refused.to_string().contains(&taken.to_string()), "{refused}");
        // A text needs no resolver if it is an address.
        let (transport, _) =
            make().local_addr("127.0.0.1:0").remote_addr(("127.0.0.1", taken.port())).await?;
        assert_eq!(transport.peer_addr(), Some(&taken.into()));
        transport.close();
        Ok(())
    });
}

fn dg4_port_reuse_and_broadcast_are_set_before_the_address() {
    run(async |event_loop, _| {
        let make = || event_loop.create_datagram_endpoint(|| Bare);
        let (first, _) = make().local_addr(any_port()).reuse_port(true).await?;
        let addr = inet(first.local_addr());
        let (second, _) = make().local_addr(addr).reuse_port(true).allow_broadcast(true).await?;
        assert_eq!(inet(second.local_addr()), addr);
        let refused = make().local_addr(addr).await.unwrap_err();
        assert_eq!(kind_of(&refused), "AddrInUse");
        assert!(!first.socket_options()?.broadcast()? && second.socket_options()?.broadcast()?);
        first.socket_options()?.set_broadcast(true)?;
        assert!(first.socket_options()?.broadcast()?);
        first.close();
        second.abort();
        Ok(())
    });
}

fn dg4_a_broadcast_endpoint_with_a_remote_address_hears_everybody() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let recorder = Recorder::new(&trace);
        let endpoint = event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port());
        let (transport, _) = endpoint.remote_addr(addr).allow_broadcast(true).await?;
        transport.send(b"anybody?")?;
        assert_eq!(received(&peer), ["anybody?"]);
        peer_socket().0.send_to(b"I am", inet(transport.local_addr()))?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got I am"]);
        assert_eq!(transport.peer_addr(), Some(&addr.into()));
        transport.close();
        Ok(())
    });
}

fn dg5_a_connected_endpoint_sends_to_its_peer_alone() {
    run(async |event_loop, _| {
        let (peer, addr) = peer_socket();
        let (transport, _) = event_loop.create_datagram_endpoint(|| Bare).remote_addr(addr).await?;
        transport.send(b"one")?;
        transport.sendto(b"two", &addr.into())?;
        assert_eq!(received(&peer), ["one", "two"]);
        let (_other, other) = peer_socket();
        let refused = transport.sendto(b"three", &other.into()).unwrap_err();
        assert_eq!(kind_of(&refused), "InvalidInput", "{refused}");
        let (unconnected, _) = event_loop.create_datagram_endpoint(|| Bare).local_addr(any_port()).await?;
        let refused = unconnected.send(b"to whom?").unwrap_err();
        assert_eq!(kind_of(&refused), "NotConnected", "{refused}");
        transport.close();
        unconnected.close();
        Ok(())
    });
}

fn dg5_a_connected_endpoint_hears_its_peer_alone() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_datagram_endpoint(|| recorder).remote_addr(addr).await?;
        let ours = inet(transport.local_addr());
        peer_socket().0.send_to(b"stranger", ours)?;
        peer.send_to(b"friend", ours)?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got friend"]);
        transport.close();
        Ok(())
    });
}

fn dg6_datagrams_go_out_at_once_whole_and_in_order() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        for text in ["a", "", "bc", "d"] {
            transport.sendto(text.as_bytes(), &addr.into())?;
        }
        assert_eq!(received(&peer), ["a", "", "bc", "d"], "before the next turn");
        assert_eq!(transport.write_buffer_size(), 0);
        transport.close();
        Ok(())
    });
}

fn dg6_what_waits_for_room_goes_out_in_order() {
    run(async |event_loop, trace| {
        let (transport, peer) = unix_pair(&event_loop, &trace).await?;
        let sent = fill(&transport);
        let mut got = Vec::new();
        while got.len() < sent {
            got.extend(unix_received(&peer));
            pass(&event_loop, 1).await?;
        }
        let all: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
        assert_eq!((got, transport.write_buffer_size()), (all, 0));
        transport.close();
        Ok(())
    });
}

fn dg6_replies_to_a_batch_go_out_in_order_each_whole() {
    run(async |event_loop, trace| {
        let echo = Recorder::doing(&trace, |transport, data, addr| {
            transport.sendto(data, addr)?;
            transport.sendto(&[data, data].concat(), addr)
        });
        let (transport, ours) = bound(&event_loop, echo).await?;
        let (peer, _) = peer_socket();
        let texts: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        for text in &texts {
            peer.send_to(text.as_bytes(), ours)?;
        }
        // One that is too long to be copied keeps its place.
        peer.send_to(&[b'x'; 9_000], ours)?;
        peer.send_to(b"end", ours)?;
        pass(&event_loop, 8).await?;
        let mut expected = Vec::new();
        for text in texts.into_iter().chain(["x".repeat(9_000), "end".to_owned()]) {
            expected.push(text.clone());
            expected.push(text.repeat(2));
        }
        assert_eq!(received(&peer), expected);
        assert_eq!((transport.write_buffer_size(), transport.dropped_sends()), (0, 0));
        transport.close();
        Ok(())
    });
}

fn dg6_replies_to_a_batch_that_find_no_room_wait_in_order() {
    // So small that each reply has to go before the next.
    let config = Config { write_buffer_bytes: DATAGRAM_CHARGE + 10, ..small() };
    run_with(config, async |event_loop, trace| {
        let echo = Recorder::doing(&trace, |transport, data, addr| transport.sendto(data, addr));
        let (transport, ours) = bound(&event_loop, echo).await?;
        let (peer, _) = peer_socket();
        let texts: Vec<String> = (0..20).map(|number| number.to_string().repeat(3)).collect();
        for text in &texts {
            peer.send_to(text.as_bytes(), ours)?;
        }
        pass(&event_loop, 4).await?;
        assert_eq!(received(&peer), texts);
        transport.close();
        Ok(())
    });
}

fn dg6_replies_go_out_also_if_the_endpoint_is_closed_or_aborted() {
    run(async |event_loop, trace| {
        for aborts in [false, true] {
            let (peer, _) = peer_socket();
            let echo = Recorder::doing(&trace, move |transport, data, addr| {
                transport.sendto(data, addr)?;
                match data {
                    b"3" if aborts => transport.abort(),
                    b"3" => transport.close(),
                    _ => {}
                }
                Ok(())
            });
            let (_, ours) = bound(&event_loop, echo).await?;
            for text in ["1", "2", "3", "4"] {
                peer.send_to(text.as_bytes(), ours)?;
            }
            pass(&event_loop, 3).await?;
            assert_eq!(received(&peer), ["1", "2", "3"]);
            assert_eq!(trace.take(), ["made", "got 1", "got 2", "got 3", "lost"]);
        }
        Ok(())
    });
}

fn dg7_a_datagram_that_is_too_large_is_an_error_and_the_next_is_sent() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        transport.sendto(&[0; 70_000], &addr.into())?;
        assert_eq!(trace.take(), ["made", "error Uncategorized"], "at once");
        transport.sendto(b"small", &addr.into())?;
        assert_eq!((received(&peer), transport.dropped_sends()), (vec!["small".to_owned()], 1));
        transport.close();
        Ok(())
    });
}

fn dg7_an_error_caused_inside_a_method_is_told_when_it_has_returned() {
    run(async |event_loop, trace| {
        let noted = trace.clone();
        let recorder = Recorder::doing(&trace, move |transport, _, addr| {
            transport.sendto(&[0; 70_000], addr)?;
            transport.sendto(b"small", addr)?;
            noted.push("returns");
            Ok(())
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        peer.send_to(b"1", ours)?;
        peer.send_to(b"2", ours)?;
        pass(&event_loop, 3).await?;
        let each =
            |number: u32| [format!("got {number}"), "returns".to_owned(), "error Uncategorized".to_owned()];
        let expected: Vec<String> =
            ["made".to_owned()].into_iter().chain([each(1), each(2)].concat()).collect();
        assert_eq!(trace.take(), expected);
        assert_eq!(received(&peer), ["small", "small"]);
        transport.close();
        Ok(())
    });
}

fn dg7_of_many_errors_of_one_method_the_first_are_told_and_all_counted() {
    run(async |event_loop, trace| {
        let recorder = Recorder::doing(&trace, |transport, _, addr| {
            (0..100).try_for_each(|_| transport.sendto(&[0; 70_000], addr))
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        peer_socket().0.send_to(b"1", ours)?;
        pass(&event_loop, 2).await?;
        assert_eq!((trace.take().len(), transport.dropped_sends()), (2 + 16, 100));
        transport.close();
        Ok(())
    });
}

fn dg8_empty_datagrams_are_sent_and_received() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        transport.sendto(b"", &addr.into())?;
        assert_eq!(received(&peer), [""]);
        peer.send_to(b"", ours)?;
        peer.send_to(b"x", ours)?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got ", "got x"]);
        let (connected, _) = event_loop.create_datagram_endpoint(|| Bare).remote_addr(addr).await?;
        connected.send(b"")?;
        assert_eq!(received(&peer), [""]);
        connected.close();
        transport.close();
        Ok(())
    });
}

fn dg9_the_marks_count_bytes_and_a_charge_that_goes_with_the_datagram() {
    run(async |event_loop, trace| {
        let (transport, peer) = unix_pair(&event_loop, &trace).await?;
        transport.set_write_buffer_limits(WriteBufferLimits::new(Some(3 * DATAGRAM_CHARGE), Some(0))?);
        while transport.write_buffer_size() == 0 {
            transport.send(b"12345")?;
        }
        assert_eq!(transport.write_buffer_size(), DATAGRAM_CHARGE + 5);
        transport.send(b"")?;
        assert_eq!(transport.write_buffer_size(), 2 * DATAGRAM_CHARGE + 5);
        assert_eq!(
            (trace.take(), event_loop.write_buffers_size()),
            (vec!["made".to_owned()], 2 * DATAGRAM_CHARGE + 5)
        );
        transport.send(b"")?;
        assert_eq!(trace.take(), ["pause"], "at once, and once");
        transport.send(b"")?;
        while transport.write_buffer_size() > 0 {
            assert_eq!(trace.count(), 0, "not at the low-water mark yet");
            unix_received(&peer);
            pass(&event_loop, 1).await?;
        }
        assert_eq!((trace.take(), event_loop.write_buffers_size()), (vec!["resume".to_owned()], 0));
        transport.close();
        Ok(())
    });
}

fn dg9_limits_that_change_are_looked_at_at_once() {
    run(async |event_loop, trace| {
        let (transport, _peer) = unix_pair(&event_loop, &trace).await?;
        fill(&transport);
        transport.set_write_buffer_limits(WriteBufferLimits::new(Some(10), None)?);
        assert_eq!(transport.write_buffer_limits().high(), 10);
        transport.set_write_buffer_limits(WriteBufferLimits::default());
        assert_eq!(trace.take(), ["made", "pause", "resume"]);
        transport.abort();
        Ok(())
    });
}

fn dg10_close_sends_what_waits_and_abort_does_not() {
    for aborts in [false, true] {
        run(async |event_loop, trace| {
            let (transport, peer) = unix_pair(&event_loop, &trace).await?;
            let sent = fill(&transport);
            let waiting = 5;
            if aborts {
                transport.abort();
            } else {
                transport.close();
            }
            assert!(transport.is_closing() && !transport.is_reading());
            assert_eq!(trace.take(), ["made"], "never inline");
            let mut got = Vec::new();
            for _ in 0..100 {
                got.extend(unix_received(&peer));
                pass(&event_loop, 1).await?;
            }
            assert_eq!(trace.take(), ["lost"]);
            let lost = if aborts { waiting } else { 0 };
            assert_eq!((got.len(), transport.dropped_sends()), (sent - lost, lost as u64));
            Ok(())
        });
    }
}

fn dg10_sending_after_the_end_is_dropped_and_counted() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        transport.close();
        transport.close();
        transport.sendto(b"late", &addr.into())?;
        pass(&event_loop, 2).await?;
        transport.sendto(b"later", &addr.into())?;
        assert_eq!((transport.dropped_sends(), event_loop.dropped_writes()), (2, 2));
        assert_eq!((received(&peer).len(), trace.take()), (0, vec!["made".to_owned(), "lost".to_owned()]));
        assert_eq!(inet(transport.local_addr()), ours, "also when it is over");
        assert_eq!(transport.socket_options().unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(transport.dropped_receives().unwrap_err().kind(), ErrorKind::Closed);
        assert!(transport.protocol::<Recorder>().is_none());
        Ok(())
    });
}

fn u01_a_refused_datagram_is_an_error_once_and_a_live_port_is_served() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        drop(peer);
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_datagram_endpoint(|| recorder).remote_addr(addr).await?;
        transport.send(b"nobody there")?;
        pass(&event_loop, 4).await?;
        assert_eq!(trace.take(), ["made", "error ConnectionRefused"]);
        let peer = UdpSocket::bind(addr)?;
        transport.send(b"hello")?;
        let mut buffer = [0; 10];
        let (count, from) = peer.recv_from(&mut buffer)?;
        assert_eq!(&buffer[..count], b"hello");
        peer.send_to(b"welcome", from)?;
        pass(&event_loop, 4).await?;
        assert_eq!(trace.take(), ["got welcome"]);
        // An endpoint that serves many hears nothing of one that is gone, and goes on.
        let (many, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        many.sendto(b"nobody there", &SocketAddr::from((Ipv4Addr::LOCALHOST, 1)).into())?;
        peer.send_to(b"hello", ours)?;
        pass(&event_loop, 4).await?;
        assert_eq!(trace.take(), ["made", "got hello"]);
        many.close();
        transport.close();
        Ok(())
    });
}

fn u01_an_error_behind_a_datagram_is_told_too() {
    run(async |event_loop, trace| {
        let (peer, addr) = peer_socket();
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_datagram_endpoint(|| recorder).remote_addr(addr).await?;
        pass(&event_loop, 2).await?;
        for _ in 0..3 {
            peer.send_to(b"x", inet(transport.local_addr()))?;
        }
        drop(peer);
        transport.send(b"nobody there")?;
        pass(&event_loop, 4).await?;
        let mut told = trace.take();
        told.sort();
        assert_eq!(told, ["error ConnectionRefused", "got x", "got x", "got x", "made"]);
        transport.close();
        Ok(())
    });
}

fn u02_datagrams_of_all_sizes_pass_and_one_byte_more_is_an_error() {
    run(async |event_loop, trace| {
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        let (other, theirs) = bound(&event_loop, Recorder::new(&trace)).await?;
        trace.take();
        for size in [0, 1, 1472, 9000, 65_506, 65_507] {
            transport.sendto(&vec![b'x'; size], &theirs.into())?;
            pass(&event_loop, 2).await?;
            let expected =
                if size > 20 { format!("{size} bytes") } else { format!("got {}", "x".repeat(size)) };
            assert_eq!(trace.take(), [expected]);
        }
        other.sendto(&vec![b'x'; 65_508], &ours.into())?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["error Uncategorized"]);
        transport.close();
        other.close();
        Ok(())
    });
}

fn u02_a_datagram_longer_than_the_buffer_is_never_taken_for_whole() {
    struct Cutter(Trace);

    impl DatagramProtocol for Cutter {
        fn datagram_received(
            &mut self,
            _: &DatagramTransport,
            data: &[u8],
            _: &Address,
        ) -> rondel::Result<()> {
            self.0.push(format!("whole {}", data.len()));
            Ok(())
        }

        fn datagram_truncated(
            &mut self,
            _: &DatagramTransport,
            data: &[u8],
            _: &Address,
        ) -> rondel::Result<()> {
            self.0.push(format!("cut {}", data.len()));
            Ok(())
        }
    }

    run_with(Config { read_buffer_bytes: 1000, ..small() }, async |event_loop, trace| {
        let reported = reports(&event_loop);
        let noted = trace.clone();
        let (cutter, _) =
            event_loop.create_datagram_endpoint(|| Cutter(noted)).local_addr(any_port()).await?;
        let (transport, plain) = bound(&event_loop, Recorder::new(&trace)).await?;
        let (peer, from) = peer_socket();
        trace.take();
        for to in [inet(cutter.local_addr()), plain] {
            for size in [1001, 1000, 999, 5000] {
                peer.send_to(&vec![0; size], to)?;
            }
        }
        pass(&event_loop, 3).await?;
        let told = ["cut 1000", "whole 1000", "whole 999", "cut 1000", "1000 bytes", "999 bytes"];
        assert_eq!(trace.take(), told);
        let report = format!(
            "protocol.datagram_truncated() failed: a datagram from {from} was cut off after 1000 bytes"
        );
        assert_eq!(reported.take(), [report.clone(), report]);
        cutter.close();
        transport.close();
        Ok(())
    });
}

fn u03_a_full_queue_refuses_and_counts() {
    let config = Config { write_buffer_bytes: 5 * DATAGRAM_CHARGE + 50, ..small() };
    run_with(config, async |event_loop, trace| {
        let (transport, peer) = unix_pair(&event_loop, &trace).await?;
        let sent = fill(&transport);
        let mut refused = 0;
        let error = loop {
            match transport.send(b"0123456789") {
                Ok(()) => refused += 1,
                Err(error) => break error,
            }
            assert!(refused < 10);
        };
        assert!(error.is_full() && error.to_string().starts_with("sendto"), "{error}");
        assert_eq!(transport.dropped_sends(), 1);
        let queued = transport.write_buffer_size();
        assert!(queued <= 5 * DATAGRAM_CHARGE + 50, "{queued}");
        // What was accepted is not lost, and there is room again.
        let mut got = 0;
        while transport.write_buffer_size() > 0 {
            got += unix_received(&peer).len();
            pass(&event_loop, 1).await?;
        }
        assert_eq!(got + unix_received(&peer).len(), sent + refused);
        transport.send(b"again")?;
        assert_eq!((unix_received(&peer), transport.dropped_sends()), (vec!["again".to_owned()], 1));
        transport.close();
        Ok(())
    });
}

fn u03_the_ceiling_of_the_loop_counts_all_endpoints() {
    let config = Config { write_buffers_bytes: 7 * DATAGRAM_CHARGE, ..small() };
    run_with(config, async |event_loop, trace| {
        let (first, _peer) = unix_pair(&event_loop, &trace).await?;
        let (second, _other) = unix_pair(&event_loop, &trace).await?;
        fill(&first);
        let error = loop {
            if let Err(error) = second.send(b"") {
                break error;
            }
        };
        assert!(error.is_full(), "{error}");
        first.abort();
        second.send(b"")?;
        second.abort();
        Ok(())
    });
}

fn u03_an_unconnected_unix_endpoint_waits_for_a_full_peer() {
    run(async |event_loop, trace| {
        let theirs = path("full-peer");
        let peer = UnixDatagram::bind(&theirs)?;
        peer.set_nonblocking(true)?;
        // Somebody else fills its queue, so that nothing of ours is read when it has room.
        let other = UnixDatagram::unbound()?;
        other.set_nonblocking(true)?;
        while other.send_to(b"other", &theirs).is_ok() {}
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_unix_datagram_endpoint(|| recorder).await?;
        let to = Address::from(rondel::UnixAddr::from_path(&theirs)?);
        transport.sendto(b"1", &to)?;
        transport.sendto(b"2", &to)?;
        assert_eq!(transport.write_buffer_size(), 2 * DATAGRAM_CHARGE + 2);
        event_loop.sleep(Duration::from_secs(1)).await?;
        assert_eq!(transport.write_buffer_size(), 2 * DATAGRAM_CHARGE + 2);
        assert!(unix_received(&peer).iter().all(|text| text == "other"));
        event_loop.sleep(Duration::from_millis(200)).await?;
        assert_eq!(unix_received(&peer), ["1", "2"]);
        transport.close();
        std::fs::remove_file(theirs)?;
        Ok(())
    });
}

/// Runs `test` on a loop whose system calls fail as it says.
#[track_caller]
fn run_with_faults(test: impl AsyncFnOnce(EventLoopHandle, Trace, Faults) -> Result<(), Error>) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    event_loop.run_until_complete(test(event_loop.handle(), Trace::new(), faults)).unwrap();
    turns(&event_loop, 3);
    let left = (event_loop.watched_descriptors(), event_loop.write_buffers_size());
    assert_eq!(left, (0, 0), "descriptors, bytes to send");
}

fn u03_no_memory_for_a_datagram_is_an_error_and_the_others_are_sent() {
    run_with_faults(async |event_loop, trace, faults| {
        let echo = Recorder::doing(&trace, |transport, data, addr| transport.sendto(data, addr));
        let (transport, ours) = bound(&event_loop, echo).await?;
        let (peer, addr) = peer_socket();
        faults.fail(Operation::SendTo, libc_errno::ENOBUFS);
        transport.sendto(b"1", &addr.into())?;
        transport.sendto(b"2", &addr.into())?;
        assert_eq!(
            (trace.take().len(), transport.dropped_sends(), received(&peer)),
            (2, 1, vec!["2".to_owned()])
        );
        // Within a batch.
        for text in ["3", "4", "5"] {
            peer.send_to(text.as_bytes(), ours)?;
        }
        faults.fail(Operation::SendTo, libc_errno::ENOBUFS);
        pass(&event_loop, 3).await?;
        assert_eq!(transport.dropped_sends(), 2);
        assert_eq!(received(&peer).len(), 2);
        assert_eq!(trace.take().iter().filter(|told| told.starts_with("error")).count(), 1);
        transport.close();
        Ok(())
    });
}

fn u03_a_socket_without_room_sends_its_replies_later_in_order() {
    run_with_faults(async |event_loop, trace, faults| {
        let echo = Recorder::doing(&trace, |transport, data, addr| transport.sendto(data, addr));
        let (transport, ours) = bound(&event_loop, echo).await?;
        let (peer, _) = peer_socket();
        let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        for text in &texts {
            peer.send_to(text.as_bytes(), ours)?;
        }
        faults.block(Operation::SendTo);
        pass(&event_loop, 10).await?;
        assert_eq!(received(&peer), texts);
        assert_eq!((transport.write_buffer_size(), transport.dropped_sends()), (0, 0));
        transport.close();
        Ok(())
    });
}

fn dg7_receiving_that_fails_for_good_does_not_turn_in_circles() {
    run_with_faults(async |event_loop, trace, faults| {
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        trace.take();
        faults.fail_every(Operation::RecvFrom, libc_errno::ENOMEM);
        let (peer, _) = peer_socket();
        peer.send_to(b"1", ours)?;
        pass(&event_loop, 20).await?;
        assert_eq!(trace.take(), ["error OutOfMemory"; 8]);
        faults.heal(Operation::RecvFrom);
        peer.send_to(b"2", ours)?;
        pass(&event_loop, 3).await?;
        assert_eq!(trace.take(), ["got 1", "got 2"]);
        transport.close();
        Ok(())
    });
}

fn dg3_a_socket_that_fails_half_way_is_closed() {
    use Operation::{Bind, Connect, Register, SetOption, Socket};

    run_with_faults(async |event_loop, _, faults| {
        let (_peer, addr) = peer_socket();
        for operation in [Socket, SetOption, Bind, Connect, Register] {
            faults.fail(operation, libc_errno::ENOMEM);
            let endpoint = event_loop.create_datagram_endpoint(|| Bare).local_addr(any_port());
            let refused = endpoint.remote_addr(addr).reuse_port(true).await.unwrap_err();
            assert_eq!(kind_of(&refused), "OutOfMemory", "{operation:?}: {refused}");
        }
        Ok(())
    });
}

/// Are error numbers of Linux.
mod libc_errno {
    pub const ENOMEM: i32 = 12;
    pub const ENOBUFS: i32 = 105;
}

fn u04_a_flood_is_worked_off_a_bounded_number_a_turn() {
    for (per_turn, total) in [(1, 5), (4, 22), (32, 100)] {
        run_with(Config { datagrams_per_turn: per_turn, ..small() }, async |event_loop, trace| {
            let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
            let (peer, _) = peer_socket();
            pass(&event_loop, 2).await?;
            trace.take();
            for number in 0..total {
                peer.send_to(format!("{number}").as_bytes(), ours)?;
            }
            let mut got = Vec::new();
            while got.len() < total {
                pass(&event_loop, 1).await?;
                let told = trace.take();
                assert!(told.len() <= per_turn, "{told:?}");
                got.extend(told);
            }
            let all: Vec<String> = (0..total).map(|number| format!("got {number}")).collect();
            assert_eq!(got, all);
            transport.close();
            Ok(())
        });
    }
}

fn u04_what_the_kernel_drops_is_counted() {
    run(async |event_loop, trace| {
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        transport.socket_options()?.set_recv_buffer_size(4096)?;
        assert_eq!(transport.dropped_receives()?, 0);
        let (peer, _) = peer_socket();
        for _ in 0..10_000 {
            peer.send_to(b"x", ours)?;
        }
        pass(&event_loop, 400).await?;
        let got = trace.take().len() - 1;
        assert!(got > 0 && got < 10_000, "{got}");
        assert_eq!(transport.dropped_receives()?, 10_000 - got as u32);
        transport.close();
        Ok(())
    });
}

fn c08_a_rate_lets_the_loop_sleep_under_a_storm() {
    run(async |event_loop, trace| {
        let recorder = Recorder::new(&trace);
        let endpoint = event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port());
        let (transport, _) = endpoint.receive_rate(10, Duration::from_secs(1)).await?;
        let (peer, _) = peer_socket();
        for number in 0..35 {
            peer.send_to(format!("{number}").as_bytes(), inet(transport.local_addr()))?;
        }
        let begin = event_loop.time();
        let mut counts = Vec::new();
        for _ in 0..4 {
            pass(&event_loop, 50).await?;
            counts.push(trace.count());
            event_loop.sleep(Duration::from_secs(1)).await?;
        }
        pass(&event_loop, 2).await?;
        assert_eq!(counts, [11, 21, 31, 36], "with `made`");
        assert!(event_loop.time() - begin >= Duration::from_secs(4));
        assert!(transport.is_reading());
        transport.close();
        Ok(())
    });
}

fn c08_a_paused_endpoint_is_silent() {
    run(async |event_loop, trace| {
        let (transport, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        let (peer, _) = peer_socket();
        transport.pause_reading();
        transport.pause_reading();
        assert!(!transport.is_reading());
        for text in ["1", "2"] {
            peer.send_to(text.as_bytes(), ours)?;
            pass(&event_loop, 3).await?;
        }
        assert_eq!(trace.take(), ["made"]);
        assert_eq!(event_loop.statistics().ready, 0, "nothing turns in circles");
        transport.resume_reading();
        assert_eq!(trace.count(), 0, "never inline");
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["got 1", "got 2"]);
        transport.close();
        transport.resume_reading();
        Ok(())
    });
}

fn pausing_within_a_batch_keeps_the_rest_in_order() {
    run(async |event_loop, trace| {
        let recorder = Recorder::doing(&trace, |transport, data, _| {
            if data.ends_with(b"0") {
                transport.pause_reading();
            }
            Ok(())
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        for number in 1..=25 {
            peer.send_to(format!("{number}").as_bytes(), ours)?;
        }
        let mut counts = Vec::new();
        for _ in 0..3 {
            pass(&event_loop, 4).await?;
            counts.push(trace.count());
            transport.resume_reading();
        }
        assert_eq!(counts, [11, 21, 26]);
        let all: Vec<String> = (1..=25).map(|number| format!("got {number}")).collect();
        assert_eq!(trace.take()[1..], all);
        transport.close();
        Ok(())
    });
}

fn an_error_of_the_protocol_is_reported_and_the_endpoint_lives() {
    run(async |event_loop, trace| {
        let reported = reports(&event_loop);
        let recorder = Recorder::doing(&trace, |_, data, _| match data {
            b"bad" => Err(Error::new(Oops(1))),
            _ => Ok(()),
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        for text in ["bad", "good"] {
            peer.send_to(text.as_bytes(), ours)?;
        }
        pass(&event_loop, 3).await?;
        assert_eq!(trace.take(), ["made", "got bad", "got good"]);
        assert_eq!(reported.take(), ["protocol.datagram_received() failed: oops 1"]);
        transport.close();
        Ok(())
    });
}

fn a_panic_of_the_protocol_ends_the_endpoint() {
    run(async |event_loop, trace| {
        let reported = reports(&event_loop);
        let recorder = Recorder::doing(&trace, |transport, data, addr| {
            transport.sendto(data, addr)?;
            assert_ne!(data, b"2", "bad");
            Ok(())
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        for text in ["1", "2", "3"] {
            peer.send_to(text.as_bytes(), ours)?;
        }
        pass(&event_loop, 4).await?;
        assert_eq!(trace.take(), ["made", "got 1", "got 2", "lost Panicked"]);
        assert_eq!((received(&peer), reported.count()), (vec!["1".to_owned(), "2".to_owned()], 1));
        assert!(transport.is_closing());
        // The memory of the batch is there for others.
        let (other, ours) = bound(&event_loop, Recorder::new(&trace)).await?;
        peer.send_to(b"hello", ours)?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got hello"]);
        other.close();
        Ok(())
    });
}

fn another_protocol_is_told_from_the_next_datagram_on() {
    run(async |event_loop, trace| {
        let noted = trace.clone();
        let recorder = Recorder::doing(&trace, move |transport, _, _| {
            let noted = noted.clone();
            transport.set_protocol(Recorder::doing(&Trace::new(), move |_, data, _| {
                noted.push(format!("second got {}", data.escape_ascii()));
                Ok(())
            }));
            Ok(())
        });
        let (transport, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        for text in ["1", "2", "3"] {
            peer.send_to(text.as_bytes(), ours)?;
        }
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got 1", "second got 2", "second got 3"]);
        transport.set_protocol(Bare);
        assert!(transport.protocol::<Bare>().is_some() && transport.protocol::<Recorder>().is_none());
        transport.close();
        Ok(())
    });
}

fn a_protocol_may_be_looked_at_between_its_methods() {
    struct Sum(usize, Option<ProtocolRef<Self>>);

    impl DatagramProtocol for Sum {
        fn datagram_received(
            &mut self,
            transport: &DatagramTransport,
            data: &[u8],
            _: &Address,
        ) -> rondel::Result<()> {
            self.0 += data.len();
            self.1 = transport.protocol();
            if let Some(this) = &self.1 {
                assert_eq!(this.with(|_| ()).unwrap_err().kind(), ErrorKind::Busy);
            }
            self.1 = None;
            Ok(())
        }
    }

    run(async |event_loop, _| {
        let endpoint = event_loop.create_datagram_endpoint(|| Sum(0, None)).local_addr(any_port());
        let (transport, sum) = endpoint.await?;
        let (peer, _) = peer_socket();
        for _ in 0..3 {
            peer.send_to(b"12345", inet(transport.local_addr()))?;
        }
        pass(&event_loop, 2).await?;
        assert_eq!(sum.with(|sum| sum.0)?, 15);
        transport.close();
        Ok(())
    });
}

fn closing_within_a_batch_delivers_nothing_more() {
    run(async |event_loop, trace| {
        let recorder = Recorder::doing(&trace, |transport, _, _| {
            transport.close();
            Ok(())
        });
        let (_, ours) = bound(&event_loop, recorder).await?;
        let (peer, _) = peer_socket();
        for text in ["1", "2", "3"] {
            peer.send_to(text.as_bytes(), ours)?;
        }
        pass(&event_loop, 3).await?;
        assert_eq!(trace.take(), ["made", "got 1", "lost"]);
        Ok(())
    });
}

fn closing_the_loop_tells_each_endpoint_once() {
    let (event_loop, trace) = (manual(), Trace::new());
    let handle = event_loop.handle();
    let (kept, _peer) = event_loop
        .run_until_complete(async {
            let (first, _) = bound(&handle, Recorder::new(&trace)).await?;
            let (second, peer) = unix_pair(&handle, &trace).await?;
            fill(&second);
            second.close();
            Ok::<_, Error>((first, peer))
        })
        .unwrap();
    event_loop.close().unwrap();
    assert_eq!(trace.take(), ["made", "made", "lost Closed", "lost Closed"]);
    assert!(kept.is_closing());
    kept.sendto(b"late", &any_port().into()).unwrap();
    assert_eq!((kept.dropped_sends(), handle.write_buffers_size()), (1, 0));
}

fn cancelling_the_creation_closes_the_socket() {
    run(async |event_loop, trace| {
        let recorder = Recorder::new(&trace);
        let mut creation =
            event_loop.create_datagram_endpoint(|| recorder).local_addr(any_port()).into_future();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(creation.as_mut().poll(&mut cx), Poll::Pending));
        assert_eq!(event_loop.watched_descriptors(), 1);
        drop(creation);
        pass(&event_loop, 3).await?;
        assert_eq!(
            (event_loop.watched_descriptors(), trace.take()),
            (0, vec!["made".to_owned(), "lost".to_owned()])
        );
        Ok(())
    });
}

fn full_tables_refuse_an_endpoint_and_close_its_socket() {
    for config in [Config { descriptors: 0, ..small() }, Config { futures: 0, ..small() }] {
        run_with(config, async |event_loop, _| {
            let before = Counter::new();
            let counted = before.clone();
            let factory = move || {
                counted.add();
                Bare
            };
            let refused = event_loop.create_datagram_endpoint(factory).ipv4_only().await.unwrap_err();
            assert!(refused.is_full(), "{refused}");
            Ok(())
        });
    }
}

fn the_owner_of_a_descriptor_is_named() {
    use std::os::fd::BorrowedFd;

    run(async |event_loop, trace| {
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        let text = format!("{transport:?}");
        let number = text.split("fd=").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
        // SAFETY: open for as long as the endpoint is.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number.parse()?) };
        let refused = event_loop.add_reader(borrowed, |_| ()).unwrap_err();
        assert!(refused.to_string().contains("in use by a datagram endpoint"), "{refused}");
        transport.close();
        Ok(())
    });
}

fn multicast_groups_are_joined_and_left() {
    run(async |event_loop, trace| {
        let (transport, _) = bound(&event_loop, Recorder::new(&trace)).await?;
        let options = transport.socket_options()?;
        let (group, loopback) = (Ipv4Addr::new(239, 1, 2, 3).into(), 1);
        options.set_multicast_ttl(3)?;
        options.set_multicast_loop(false)?;
        options.join_multicast(group, loopback)?;
        assert_eq!(kind_of(&options.join_multicast(group, loopback).unwrap_err()), "AddrInUse");
        options.leave_multicast(group, loopback)?;
        assert_eq!(kind_of(&options.leave_multicast(group, loopback).unwrap_err()), "AddrNotAvailable");
        assert!(options.join_multicast(Ipv4Addr::LOCALHOST.into(), loopback).is_err());
        transport.close();
        Ok(())
    });
}

fn x01_a_unix_endpoint_takes_paths_and_abstract_names_and_no_longer_ones() {
    run(async |event_loop, trace| {
        let name = format!("\0rondel-datagrams-{}", std::process::id());
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_unix_datagram_endpoint(|| recorder).local_path(&name).await?;
        let local = transport.local_addr().unwrap();
        assert_eq!(local.as_unix().and_then(|addr| addr.as_abstract_name()), Some(&name.as_bytes()[1..]));
        let (other, _) = event_loop.create_unix_datagram_endpoint(|| Bare).remote_path(&name).await?;
        other.send(b"hello")?;
        pass(&event_loop, 2).await?;
        assert_eq!(trace.take(), ["made", "got hello"]);
        other.close();
        transport.close();
        let long = "x".repeat(108);
        for path in [long.as_str(), "", "a\0b"] {
            for is_local in [true, false] {
                let endpoint = event_loop.create_unix_datagram_endpoint(|| Bare);
                let endpoint = if is_local { endpoint.local_path(path) } else { endpoint.remote_path(path) };
                assert!(endpoint.await.is_err(), "{path:?}");
            }
        }
        let nowhere = "/nowhere/at/all";
        let refused =
            event_loop.create_unix_datagram_endpoint(|| Bare).local_path(nowhere).await.unwrap_err();
        assert_eq!(kind_of(&refused), "NotFound");
        assert!(refused.to_string().contains(nowhere), "{refused}");
        Ok(())
    });
}

fn x02_only_a_dead_socket_file_is_replaced_and_only_the_own_removed() {
    run(async |event_loop, _| {
        let make = |path: &PathBuf| event_loop.create_unix_datagram_endpoint(|| Bare).local_path(path);
        // A dead one.
        let dead = path("dgram-dead");
        leave_dead_datagram_socket(&dead);
        let (transport, _) = make(&dead).await?;
        // A live one: ours, somebody's stream, and a file.
        assert_eq!(kind_of(&make(&dead).await.unwrap_err()), "AddrInUse");
        let live = path("dgram-live");
        let listener = UnixListener::bind(&live)?;
        assert_eq!(kind_of(&make(&live).await.unwrap_err()), "AddrInUse");
        drop(listener);
        std::fs::remove_file(&live)?;
        std::fs::write(&live, "precious")?;
        assert_eq!(kind_of(&make(&live).await.unwrap_err()), "AddrInUse");
        assert_eq!(std::fs::read_to_string(&live)?, "precious");
        std::fs::remove_file(&live)?;
        // The own file goes; another at its place stays.
        transport.close();
        pass(&event_loop, 2).await?;
        assert!(!dead.exists());
        let (transport, _) = make(&dead).await?;
        std::fs::remove_file(&dead)?;
        std::fs::write(&dead, "another")?;
        transport.close();
        pass(&event_loop, 2).await?;
        assert_eq!(std::fs::read_to_string(&dead)?, "another");
        std::fs::remove_file(&dead)?;
        Ok(())
    });
}

fn ux_unix_endpoints_answer_each_other() {
    run(async |event_loop, trace| {
        let (server_path, client_path) = (path("dgram-server"), path("dgram-client"));
        let server_trace = Trace::new();
        let echo = Recorder::doing(&server_trace, |transport, data, addr| {
            if addr.as_unix().is_some_and(rondel::UnixAddr::is_unnamed) {
                return Ok(());
            }
            transport.sendto(data, addr)
        });
        let (server, _) = event_loop.create_unix_datagram_endpoint(|| echo).local_path(&server_path).await?;
        let recorder = Recorder::new(&trace);
        let client = event_loop.create_unix_datagram_endpoint(|| recorder);
        let (client, _) = client.local_path(&client_path).remote_path(&server_path).await?;
        assert_eq!(client.peer_addr(), server.local_addr().as_ref());
        let nameless = UnixDatagram::unbound()?;
        for text in ["1", "", "3"] {
            nameless.send_to(b"?", &server_path)?;
            client.send(text.as_bytes())?;
        }
        pass(&event_loop, 4).await?;
        assert_eq!(trace.take(), ["made", "got 1", "got ", "got 3"]);
        assert_eq!(server_trace.take().len(), 7);
        client.close();
        server.close();
        pass(&event_loop, 2).await?;
        assert!(!server_path.exists() && !client_path.exists());
        Ok(())
    });
}

fn ux7_a_missing_peer_is_not_found() {
    run(async |event_loop, trace| {
        let missing = path("dgram-missing");
        let endpoint = event_loop.create_unix_datagram_endpoint(|| Bare).remote_path(&missing);
        assert_eq!(kind_of(&endpoint.await.unwrap_err()), "NotFound");
        let recorder = Recorder::new(&trace);
        let (transport, _) = event_loop.create_unix_datagram_endpoint(|| recorder).await?;
        transport.sendto(b"hello", &rondel::UnixAddr::from_path(&missing)?.into())?;
        assert_eq!(trace.take(), ["made", "error NotFound"]);
        transport.close();
        Ok(())
    });
}
