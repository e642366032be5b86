//! `sendfile` through transports and writers.

use core::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind as Kind, IoSlice, Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rondel::{AfterEof, Error, ErrorKind, EventLoopHandle, Protocol, Stream, Transport};

use crate::fixture::{Trace, any_port, real};

/// Notes what it is told, and keeps what it receives.
struct Notes {
    trace: Trace,
    received: Rc<RefCell<Vec<u8>>>,
}

impl Protocol for Notes {
    fn data_received(&mut self, _: &Transport, data: &[u8]) -> rondel::Result<()> {
        self.received.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    fn eof_received(&mut self, _: &Transport) -> rondel::Result<AfterEof> {
        Ok(AfterEof::KeepWriting)
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&Error>) -> rondel::Result<()> {
        self.trace.push(error.map_or("lost".into(), |error| format!("lost: {error}")));
        Ok(())
    }
}

struct Ends {
    event_loop: EventLoopHandle,
    transport: Transport,
    theirs: Stream,
    trace: Trace,
    received: Rc<RefCell<Vec<u8>>>,
}

/// Gives a transport and its peer to `test`, in one loop.
fn with_transport(test: impl AsyncFnOnce(Ends) -> Result<(), Error> + 'static) {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let (trace, received) = (Trace::new(), Rc::new(RefCell::new(Vec::new())));
            let notes = Notes { trace: trace.clone(), received: Rc::clone(&received) };
            let (transport, _) = handle.create_connection_with_sock(|| notes, ours).await?;
            let theirs = handle.open_connection_with_sock(theirs).await?.into();
            test(Ends { event_loop: handle.clone(), transport, theirs, trace, received }).await
        })
        .unwrap();
    event_loop.close().unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
}

/// Makes a file that has no name.
fn file_of(data: &[u8]) -> File {
    let mut path = std::env::temp_dir();
    let unique: *const u8 = data.as_ptr();
    path.push(format!("rondel-sendfile-{}-{:?}-{unique:?}", std::process::id(), std::thread::current().id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(data).unwrap();
    file
}

fn pattern(size: usize) -> Vec<u8> {
    (0..=250).cycle().take(size).collect()
}

/// Reads what is sent to the peer until the stream ends.
async fn all(theirs: &mut Stream) -> Result<Vec<u8>, Error> {
    let mut data = Vec::new();
    theirs.reader.read_to_end(&mut data, usize::MAX).await?;
    Ok(data)
}

#[test]
fn a_file_goes_after_what_was_written_and_before_what_is_written_meanwhile() {
    const SIZE: usize = 3 << 20;
    with_transport(async |Ends { event_loop, transport, mut theirs, trace, .. }| {
        let before = vec![b'<'; 1 << 20];
        transport.write(&before)?;
        assert!(transport.write_buffer_size() > 0);
        let data = pattern(SIZE);
        let mut file = file_of(&data);
        let writes = transport.clone();
        let sends = event_loop.create_task({
            let event_loop = event_loop.clone();
            async move {
                let sent = event_loop.sendfile(&transport, &file, 5, None).await?;
                assert_eq!(file.stream_position()?, SIZE as u64);
                Ok::<_, Error>(sent)
            }
        })?;
        event_loop.yield_now().await?;
        // Its turn has not come: what was written is not with the kernel yet.
        writes.write(b"after")?;
        assert!(!writes.is_reading(), "not until the file was sent");
        writes.write_eof()?;
        let received = all(&mut theirs).await?;
        assert_eq!(sends.await??, SIZE as u64 - 5);
        let expected = [&before[..], &data[5..], b"after"].concat();
        assert_eq!(received.len(), expected.len());
        assert!(received == expected);
        assert!(writes.is_reading());
        assert_eq!(writes.write_buffer_size(), 0);
        writes.close();
        event_loop.yield_now().await?;
        event_loop.yield_now().await?;
        assert_eq!(trace.take(), ["lost"]);
        Ok(())
    });
}

#[test]
fn parts_of_a_file_are_counted_and_move_its_position() {
    with_transport(async |Ends { event_loop, transport, mut theirs, .. }| {
        let mut file = file_of(b"0123456789");
        for (offset, count, expected, position) in [
            (0, None, "0123456789", 10),
            (3, Some(4), "3456", 7),
            (8, Some(100), "89", 10),
            (5, Some(0), "", 10),
        ] {
            let sent = event_loop.sendfile(&transport, &file, offset, count).await?;
            assert_eq!((sent, file.stream_position()?), (expected.len() as u64, position));
            let mut got = vec![0; expected.len()];
            theirs.reader.read_exactly(&mut got).await?;
            assert_eq!(got, expected.as_bytes());
        }
        Ok(())
    });
}

#[test]
fn reading_stops_for_a_file_and_goes_on_unless_it_was_paused() {
    for was_paused in [false, true] {
        with_transport(async move |ends| {
            let Ends { event_loop, transport, mut theirs, received, .. } = ends;
            if was_paused {
                transport.pause_reading();
            }
            let file = file_of(&pattern(1 << 20));
            let reads = transport.clone();
            let sends = event_loop.create_task({
                let event_loop = event_loop.clone();
                async move { event_loop.sendfile(&transport, &file, 0, None).await }
            })?;
            event_loop.yield_now().await?;
            theirs.writer.write_all(b"meanwhile").await?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            assert!(received.borrow().is_empty() && !sends.done());
            theirs.reader.read_exactly(&mut vec![0; 1 << 20]).await?;
            sends.await??;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            assert_eq!(reads.is_reading(), !was_paused);
            assert_eq!(received.borrow().is_empty(), was_paused);
            Ok(())
        });
    }
}

#[test]
fn a_close_waits_for_the_file_and_an_abort_does_not() {
    const SIZE: usize = 1 << 20;
    for aborts in [false, true] {
        with_transport(async move |Ends { event_loop, transport, mut theirs, trace, .. }| {
            let ends = transport.clone();
            let sends = event_loop.create_task({
                let event_loop = event_loop.clone();
                async move {
                    let file = file_of(&pattern(SIZE));
                    Ok::<_, Error>(event_loop.sendfile(&transport, &file, 0, None).await)
                }
            })?;
            event_loop.yield_now().await?;
            if aborts {
                ends.abort();
            } else {
                ends.close();
            }
            let received = all(&mut theirs).await;
            let sent = sends.await??;
            if aborts {
                let cut = sent.unwrap_err();
                assert_eq!(cut.error().kind(), ErrorKind::Closed);
                assert!(cut.sent() < SIZE as u64);
                assert!(received.map_or(0, |data| data.len()) <= cut.sent() as usize);
            } else {
                assert_eq!(sent?, SIZE as u64);
                assert_eq!(received?.len(), SIZE);
            }
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            assert_eq!(trace.take(), ["lost"]);
            Ok(())
        });
    }
}

#[test]
fn a_second_file_is_busy_and_a_closing_transport_takes_none() {
    with_transport(async |Ends { event_loop, transport, theirs, .. }| {
        let other = transport.clone();
        let handle = event_loop.clone();
        let sends = event_loop.create_task(async move {
            let file = file_of(&pattern(1 << 20));
            Ok::<_, Error>(handle.sendfile(&other, &file, 0, None).await)
        })?;
        event_loop.yield_now().await?;
        let file = file_of(b"x");
        let busy = event_loop.sendfile(&transport, &file, 0, None).await.unwrap_err();
        assert_eq!((busy.error().kind(), busy.sent()), (ErrorKind::Busy, 0));
        assert!(busy.to_string().starts_with("sendfile: "), "{busy}");
        // Cancelled: it tells how far it came, and what is behind it goes on.
        transport.writelines(&[IoSlice::new(b"be"), IoSlice::new(b"hind")])?;
        sends.cancel();
        let cut = sends.await??.unwrap_err();
        assert!(cut.error().is_cancelled() && cut.sent() > 0);
        transport.write_eof()?;
        let refused = event_loop.sendfile(&transport, &file, 0, None).await.unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::InvalidState);
        let mut theirs = theirs;
        let received = all(&mut theirs).await?;
        assert_eq!(received.len() as u64, cut.sent() + 6);
        assert!(received.ends_with(b"behind"));
        transport.close();
        let refused = event_loop.sendfile(&transport, &file, 0, None).await.unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::Closed);
        Ok(())
    });
}

#[test]
fn what_the_system_can_not_send_is_read_and_sent_unless_refused() {
    with_transport(async |Ends { event_loop, transport, mut theirs, .. }| {
        // Made on demand: nothing to send from.
        let mut file = File::open("/proc/filesystems")?;
        let mut expected = Vec::new();
        file.read_to_end(&mut expected)?;
        match event_loop.sendfile(&transport, &file, 0, None).fallback(false).await {
            Err(refused) => assert_eq!(refused.error().as_io().unwrap().kind(), Kind::Unsupported),
            // A kernel that can.
            Ok(_) => return Ok(()),
        }
        assert_eq!(event_loop.sendfile(&transport, &file, 0, None).await?, expected.len() as u64);
        transport.write_eof()?;
        assert_eq!(all(&mut theirs).await?, expected);
        Ok(())
    });
}

#[test]
fn a_writer_sends_a_file_between_two_writes() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, theirs) = UnixStream::pair()?;
            let mut ours = Stream::from(handle.open_connection_with_sock(ours).await?);
            let mut theirs = Stream::from(handle.open_connection_with_sock(theirs).await?);
            let data = pattern(1 << 20);
            let file = file_of(&data);
            let reads = handle.create_task(async move { all(&mut theirs).await })?;
            ours.writer.write_all(b"head ").await?;
            assert_eq!(ours.writer.sendfile(&file, 0, None).await?, 1 << 20);
            ours.writer.write_all(b" tail").await?;
            ours.writer.write_eof()?;
            assert!(reads.await?? == [b"head ", &data[..], b" tail"].concat());
            Ok::<(), Error>(())
        })
        .unwrap();
}

#[test]
fn n07_a_peer_that_resets_in_the_middle_of_a_file_is_an_error_that_tells_how_much() {
    const SIZE: usize = 64 << 20;
    let event_loop = real();
    let handle = event_loop.handle();
    let test = async move |as_stream: bool, may_copy: bool| {
        let listener = TcpListener::bind(any_port())?;
        let ours = TcpStream::connect(listener.local_addr()?)?;
        let mut theirs = listener.accept()?.0;
        let file = file_of(b"");
        file.set_len(SIZE as u64)?;
        let (on, trace) = (handle.clone(), Trace::new());
        let sends = if as_stream {
            let (_reader, mut writer) = handle.open_connection_with_sock(ours).await?;
            handle.create_task(async move {
                let sent = writer.sendfile(&file, 0, None).await;
                assert!(writer.write_all(b"more").await.is_err(), "the stream is over");
                (sent, file)
            })?
        } else {
            let notes = Notes { trace: trace.clone(), received: Rc::default() };
            let (transport, _) = handle.create_connection_with_sock(|| notes, ours).await?;
            handle.create_task(async move {
                let sent = on.sendfile(&transport, &file, 0, None).fallback(may_copy).await;
                transport.abort();
                (sent, file)
            })?
        };
        for _ in 0..4 {
            handle.yield_now().await?;
        }
        // Closed with something unread, it resets.
        theirs.read_exact(&mut [0; 100])?;
        drop(theirs);
        let (sent, mut file) = sends.await?;
        let cut = sent.unwrap_err();
        let kind = cut.error().as_io().map(std::io::Error::kind);
        assert!(matches!(kind, Some(Kind::ConnectionReset | Kind::BrokenPipe)), "{cut}");
        assert!((100..SIZE as u64).contains(&cut.sent()), "{}", cut.sent());
        assert_eq!(file.stream_position()?, cut.sent());
        handle.yield_now().await?;
        handle.yield_now().await?;
        assert_eq!(trace.take().len(), usize::from(!as_stream), "told of its end once");
        Ok::<_, Error>(())
    };
    event_loop
        .run_until_complete(async move {
            test(false, true).await?;
            test(false, false).await?;
            test(true, true).await
        })
        .unwrap();
    assert_eq!(event_loop.watched_descriptors(), 0);
}
