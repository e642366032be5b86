//! The protocol of an endpoint, and what becomes of its errors.

use rondel::{Address, DatagramProtocol, DatagramTransport, Error, ErrorKind, ProtocolRef};

use super::{Bare, Recorder, bound, fill, inet, pass, peer_socket, received, run, unix_pair};
use crate::fixture::{Oops, Trace, any_port, manual, reports, scenarios};

scenarios! {
    dg7_an_error_caused_inside_a_method_is_told_when_it_has_returned
    dg7_of_many_errors_of_one_method_the_first_are_told_and_all_counted
    an_error_of_the_protocol_is_reported_and_the_endpoint_lives
    a_panic_of_the_protocol_ends_the_endpoint
    another_protocol_is_told_from_the_next_datagram_on
    a_protocol_may_be_looked_at_between_its_methods
    closing_within_a_batch_delivers_nothing_more
    closing_the_loop_tells_each_endpoint_once
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
