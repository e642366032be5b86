//! What an endpoint takes in, and how much a turn.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::net::UdpSocket;

use rondel::{Address, Config, DatagramProtocol, DatagramTransport, Operation};

use super::{
    Bare, Recorder, bound, inet, libc_errno, pass, peer_socket, received, run, run_with, run_with_faults,
};
use crate::fixture::{Trace, any_port, reports, scenarios, small};

scenarios! {
    dg5_a_connected_endpoint_hears_its_peer_alone
    dg8_empty_datagrams_are_sent_and_received
    u01_a_refused_datagram_is_an_error_once_and_a_live_port_is_served
    u01_an_error_behind_a_datagram_is_told_too
    u02_a_datagram_longer_than_the_buffer_is_never_taken_for_whole
    dg7_receiving_that_fails_for_good_does_not_turn_in_circles
    u04_a_flood_is_worked_off_a_bounded_number_a_turn
    u04_what_the_kernel_drops_is_counted
    c08_a_rate_lets_the_loop_sleep_under_a_storm
    c08_a_paused_endpoint_is_silent
    pausing_within_a_batch_keeps_the_rest_in_order
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
