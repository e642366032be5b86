//! Reads that are dropped or cancelled.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::channel;

use rondel::{Error, ErrorKind, EventLoopHandle, Stream};

use super::{arrived, poll_and_drop, serve_one, with_ends};
use crate::fixture::{accept_one, real};

#[test]
fn closing_a_connection_tells_the_task_that_waits_on_its_other_half() {
    let (sent, hold) = channel::<()>();
    serve_one(
        64,
        move |stream| {
            let _ = hold.recv();
            drop(stream);
        },
        async move |event_loop, mut reader, mut writer| {
            let waits = event_loop.create_task(async move { reader.read_line().await.map(drop) })?;
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            writer.close();
            assert_eq!(waits.await?.unwrap_err().kind(), ErrorKind::Closed);
            drop(sent);
            Ok(())
        },
    );
}

#[test]
fn cancelling_a_read_loses_no_byte() {
    // FAULTS W-13
    let (sent, next) = channel::<()>();
    serve_one(
        64,
        move |mut stream| {
            next.recv().unwrap();
            stream.write_all(b"late\n").unwrap();
            let _ = stream.read(&mut [0]);
        },
        async move |event_loop, mut reader, _writer| {
            let before = event_loop.statistics().calls.live;
            for _ in 0..10 {
                let ended = event_loop.timeout(Duration::from_micros(50), reader.read_line()).await;
                assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
            }
            assert_eq!(event_loop.statistics().calls.live, before, "no wait is left behind");
            sent.send(()).unwrap();
            assert_eq!(reader.read_line().await?, b"late\n");
            Ok(())
        },
    );
}

#[test]
fn a_stream_of_a_closed_loop_answers_closed_wherever_it_is_polled() {
    //
    let event_loop = real();
    let handle = event_loop.handle();
    let (client, mut reader, mut writer) = event_loop
        .run_until_complete(async move { accept_one(&handle, 64, TcpStream::connect).await })
        .unwrap();
    event_loop.close().unwrap();
    let other = real();
    other
        .run_until_complete(async move {
            assert_eq!(reader.read_line().await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(reader.readable().await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
            Ok::<(), Error>(())
        })
        .unwrap();
    drop(client);
}

#[test]
fn dropping_a_read_at_each_of_its_awaits_loses_no_byte() {
    // FAULTS W-13, N-12
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        let calls = event_loop.statistics().calls.live;
        let mut into_vec = Vec::new();
        let sent = b"0123456789".repeat(2);
        for byte in &sent {
            let reader = &mut ours.reader;
            let mut exact = [0; 40];
            assert!(poll_and_drop(reader.read_line()).await.is_none());
            assert!(poll_and_drop(reader.read_until("ab")).await.is_none());
            assert!(poll_and_drop(reader.next_line()).await.is_none());
            assert!(poll_and_drop(reader.read_exactly(&mut exact)).await.is_none());
            if reader.buffered().is_empty() {
                assert!(poll_and_drop(reader.read(&mut exact)).await.is_none());
                assert!(poll_and_drop(reader.readable()).await.is_none());
            }
            assert_eq!(event_loop.statistics().calls.live, calls, "no wait is left behind");
            theirs.writer.write_all(&[*byte]).await?;
            arrived(&event_loop).await;
            if *byte == b'9' {
                assert!(poll_and_drop(reader.read_to_end(&mut into_vec, 100)).await.is_none());
            }
        }
        drop(theirs);
        ours.reader.read_to_end(&mut into_vec, 100).await?;
        assert_eq!(into_vec, sent);
        Ok(())
    });
}

#[test]
fn a_cancelled_reader_keeps_what_comes_with_the_cancellation() {
    // FAULTS W-13
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        let reads = event_loop.create_task(async move {
            let cut = ours.reader.read(&mut [0; 8]).await.unwrap_err();
            assert!(cut.is_cancelled());
            Ok::<_, Error>(ours)
        })?;
        arrived(&event_loop).await;
        theirs.writer.write_all(b"raced").await?;
        reads.cancel();
        let mut ours = reads.await??;
        let mut data = [0; 5];
        ours.reader.read_exactly(&mut data).await?;
        assert_eq!(&data, b"raced");
        Ok(())
    });
}
