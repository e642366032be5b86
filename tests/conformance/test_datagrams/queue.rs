//! The queue of what is to be sent: its marks, its bounds and its end: DG-9 and DG-10.

use rondel::{Config, DATAGRAM_CHARGE, ErrorKind, WriteBufferLimits};

use super::{
    Recorder, bound, fill, inet, pass, peer_socket, received, run, run_with, unix_pair, unix_received,
};
use crate::fixture::{scenarios, small};

scenarios! {
    dg9_the_marks_count_bytes_and_a_charge_that_goes_with_the_datagram
    dg9_limits_that_change_are_looked_at_at_once
    dg10_close_sends_what_waits_and_abort_does_not
    dg10_sending_after_the_end_is_dropped_and_counted
    u03_a_full_queue_refuses_and_counts
    u03_the_ceiling_of_the_loop_counts_all_endpoints
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
