//! Endpoints of the UNIX family.

use core::time::Duration;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use rondel::{Address, DATAGRAM_CHARGE};

use super::{Bare, Recorder, kind_of, pass, run, unix_received};
use crate::fixture::{Trace, leave_dead_datagram_socket, scenarios};

scenarios! {
    u03_an_unconnected_unix_endpoint_waits_for_a_full_peer
    x01_a_unix_endpoint_takes_paths_and_abstract_names_and_no_longer_ones
    x02_only_a_dead_socket_file_is_replaced_and_only_the_own_removed
    ux_unix_endpoints_answer_each_other
    ux7_a_missing_peer_is_not_found
}

/// Makes a path that nobody else uses.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("rondel-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
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
