//! Files that are sent by a socket of the user.

use std::fs::File;
use std::io::{ErrorKind as Kind, Read, Seek, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;

use rondel::{Error, ErrorKind, EventLoopHandle, NonBlocking};

use super::{Sock, drain, io_kind, pair, run, tcp_pair};
use crate::fixture::{any_port, scenarios};

scenarios! {
    sendfile_sends_a_part_and_moves_the_position
    sendfile_to_a_slow_reader_sends_all
    sendfile_falls_back_to_reading_unless_refused
    sendfile_that_is_cancelled_tells_how_far_it_came
}

/// Makes a file without a name.
fn file_of(data: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("rondel-sock-{:?}", thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let mut file = File::create_new(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    // Written only, so open it for reading by its link.
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// Receives until the peer has closed its socket.
async fn receive_to_end(event_loop: &EventLoopHandle, socket: &Sock) -> Result<Vec<u8>, Error> {
    let mut received = Vec::new();
    loop {
        let piece = event_loop.sock_recv(socket, 1 << 20).await?;
        if piece.is_empty() {
            return Ok(received);
        }
        received.extend_from_slice(&piece);
    }
}

fn sendfile_sends_a_part_and_moves_the_position() {
    run(async |event_loop| {
        let mut file = file_of(b"0123456789");
        let (ours, theirs) = tcp_pair();
        let (ours, theirs) = (NonBlocking::new(ours)?, NonBlocking::new(theirs)?);
        for (offset, count, expected, position) in [
            (0, None, "0123456789", 10),
            (3, None, "3456789", 10),
            (3, Some(4), "3456", 7),
            (8, Some(100), "89", 10),
            (5, Some(0), "", 10),
            (10, None, "", 10),
            (99, Some(1), "", 10),
        ] {
            let sent = event_loop.sock_sendfile(&ours, &file, offset, count).await?;
            assert_eq!((sent, file.stream_position()?), (expected.len() as u64, position));
            if sent > 0 {
                assert_eq!(event_loop.sock_recv(&theirs, 100).await?, expected.as_bytes());
            }
        }
        let far = event_loop.sock_sendfile(&ours, &file, u64::MAX, None).await.unwrap_err();
        assert_eq!((far.error().kind(), far.sent()), (ErrorKind::Io, 0));
        let datagrams = NonBlocking::new(UdpSocket::bind(any_port())?)?;
        let refused = event_loop.sock_sendfile(&datagrams, &file, 0, None).await.unwrap_err();
        assert_eq!(io_kind(refused.error()), Kind::InvalidInput);
        Ok(())
    });
}

fn sendfile_to_a_slow_reader_sends_all() {
    run(async |event_loop| {
        let data: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
        let file = file_of(&data);
        let (ours, theirs) = pair();
        let handle = event_loop.clone();
        let task =
            event_loop.create_task(async move { handle.sock_sendfile(&ours, &file, 0, None).await }).unwrap();
        let got = receive_to_end(&event_loop, &theirs).await?;
        assert_eq!(task.await??, 8 << 20);
        assert!(got == data);
        Ok(())
    });
}

fn sendfile_falls_back_to_reading_unless_refused() {
    run(async |event_loop| {
        let mut expected = Vec::new();
        // Made on demand: nothing to send from.
        let mut file = File::open("/proc/kallsyms").or_else(|_| File::open("/proc/filesystems"))?;
        file.read_to_end(&mut expected)?;
        let expected = if expected.len() > 4 << 20 { expected[..4 << 20].to_vec() } else { expected };
        let count = Some(expected.len() as u64);
        let (ours, theirs) = pair();
        let refused = event_loop.sock_sendfile(&ours, &file, 0, count).fallback(false).await;
        if let Err(refused) = refused {
            assert_eq!(io_kind(refused.error()), Kind::Unsupported);
        } else {
            // A kernel that can.
            return Ok(());
        }
        let handle = event_loop.clone();
        let task = event_loop
            .create_task(async move { handle.sock_sendfile(&ours, &file, 0, count).await })
            .unwrap();
        let got = receive_to_end(&event_loop, &theirs).await?;
        assert_eq!(task.await??, got.len() as u64);
        assert!(got == expected);
        Ok(())
    });
}

fn sendfile_that_is_cancelled_tells_how_far_it_came() {
    run(async |event_loop| {
        let file = Rc::new(file_of(&vec![7; 16 << 20]));
        let (ours, theirs) = pair();
        let (handle, shared) = (event_loop.clone(), Rc::clone(&file));
        let task = event_loop
            .create_task(async move {
                let cut = handle.sock_sendfile(&ours, &*shared, 1000, None).await.unwrap_err();
                assert!(cut.error().is_cancelled());
                cut.sent()
            })
            .unwrap();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        task.cancel();
        let sent = task.await?;
        assert_eq!(sent, drain(&theirs) as u64);
        assert_eq!({ &*file }.stream_position()?, 1000 + sent);
        Ok(())
    });
}
