//! What leaves an endpoint, at once or later: DG-5, DG-6 and DG-7.

use rondel::{Config, DATAGRAM_CHARGE, Operation};

use super::{
    Bare, Recorder, bound, fill, kind_of, libc_errno, pass, peer_socket, received, run, run_with,
    run_with_faults, unix_pair, unix_received,
};
use crate::fixture::{any_port, scenarios, small};

scenarios! {
    dg5_a_connected_endpoint_sends_to_its_peer_alone
    dg6_datagrams_go_out_at_once_whole_and_in_order
    dg6_what_waits_for_room_goes_out_in_order
    dg6_replies_to_a_batch_go_out_in_order_each_whole
    dg6_replies_to_a_batch_that_find_no_room_wait_in_order
    dg6_replies_go_out_also_if_the_endpoint_is_closed_or_aborted
    dg7_a_datagram_that_is_too_large_is_an_error_and_the_next_is_sent
    u02_datagrams_of_all_sizes_pass_and_one_byte_more_is_an_error
    u03_no_memory_for_a_datagram_is_an_error_and_the_others_are_sent
    u03_a_socket_without_room_sends_its_replies_later_in_order
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
