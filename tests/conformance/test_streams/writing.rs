//! What a writer takes, and what becomes of it.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use rondel::{
    Config, Error, ErrorKind, EventLoop, EventLoopHandle, Stream, StreamReader, StreamWriter,
    WriteBufferLimits,
};

use super::{poll_and_drop, serve_one, with_ends};
use crate::fixture;
use crate::probe::until;

#[test]
fn half_close_by_us_lets_the_peer_go_on_writing() {
    // FAULTS N-03
    let (answer, ()) = serve_one(
        64,
        |mut stream| {
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            stream.write_all(b"reply").unwrap();
            request
        },
        async |_, mut reader: StreamReader, mut writer: StreamWriter| {
            writer.write_all(b"request").await?;
            writer.write_eof()?;
            assert!(writer.write_all(b"more").await.is_err(), "our side is over");
            let mut reply = [0; 5];
            reader.read_exactly(&mut reply).await?;
            assert_eq!(&reply, b"reply");
            assert_eq!(reader.read(&mut reply).await?, 0);
            Ok(())
        },
    );
    assert_eq!(answer, b"request");
}

#[test]
fn half_close_by_the_peer_lets_us_go_on_writing() {
    // FAULTS N-03
    let (answer, ()) = serve_one(
        64,
        |mut stream| {
            stream.write_all(b"request").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        },
        async |event_loop: EventLoopHandle, mut reader: StreamReader, mut writer: StreamWriter| {
            let mut request = [0; 7];
            reader.read_exactly(&mut request).await?;
            assert_eq!(reader.read(&mut request).await?, 0);
            for _ in 0..3 {
                event_loop.yield_now().await?;
                writer.write_all(b"reply").await?;
            }
            writer.close();
            Ok(())
        },
    );
    assert_eq!(answer, b"replyreplyreply");
}

#[test]
fn a_large_write_then_close_delivers_every_byte_to_a_slow_reader() {
    // FAULTS N-05
    const SIZE: usize = 4 << 20;
    let (received, ()) = serve_one(
        64,
        |mut stream| {
            let (mut total, mut buffer) = (0, vec![0; 4096]);
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => return total,
                    count => total += count,
                }
                thread::yield_now();
            }
        },
        async |_, _reader, mut writer: StreamWriter| {
            writer.write_all(&vec![1; SIZE]).await?;
            writer.close();
            writer.close();
            assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
            assert_eq!(writer.write_eof().unwrap_err().kind(), ErrorKind::Closed);
            Ok(())
        },
    );
    assert_eq!(received, SIZE);
}

#[test]
fn no_way_to_write_takes_memory_without_a_bound() {
    // FAULTS N-01
    let event_loop =
        EventLoop::with_config(Config { write_buffer_bytes: 200_000, ..fixture::small() }).unwrap();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let (ours, _theirs) = UnixStream::pair()?;
            let (_reader, mut writer) = handle.open_connection_with_sock(ours).await?;
            // Waits, and has taken nothing into memory.
            let data = vec![1; 4 << 20];
            assert!(poll_and_drop(writer.write_all(&data)).await.is_none());
            assert_eq!(writer.write_buffer_size(), 0);
            assert_eq!(writer.try_write(b"x")?, 0);
            // One and many, up to the ceiling, and then not at all.
            let piece = vec![2; 50_000];
            let slices = [IoSlice::new(&piece[..25_000]), IoSlice::new(&piece[25_000..])];
            while writer.write_buffer_size() < 200_000 {
                writer.write(&piece)?;
                writer.writelines(&slices)?;
            }
            assert!(writer.write(b"x").unwrap_err().is_full());
            assert!(writer.writelines(&slices).unwrap_err().is_full());
            assert_eq!(writer.try_write(b"x").unwrap_err().kind(), ErrorKind::Busy);
            assert!(poll_and_drop(writer.drain()).await.is_none(), "above the mark");
            assert!(poll_and_drop(writer.write_all(&piece)).await.is_none());
            let file = File::open("/proc/self/exe")?;
            assert!(poll_and_drop(writer.sendfile(&file, 0, None).into_future()).await.is_none());
            assert_eq!(writer.write_buffer_size(), 200_000);
            assert_eq!(handle.write_buffers_size(), 200_000);
            Ok::<(), Error>(())
        })
        .unwrap();
    // The peer is gone, once a child that another test starts doesn't hold it any more.
    until(&event_loop, || event_loop.write_buffers_size() == 0);
}

#[test]
fn a_writer_queues_drains_and_closes_as_asyncios() {
    // TR-15, TR-16, TR-17
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        ours.writer.set_write_buffer_limits(WriteBufferLimits::new(Some(1000), None)?);
        assert_eq!(ours.writer.write_buffer_limits().low(), 250);
        assert!(ours.writer.can_write_eof() && !ours.writer.is_closing());
        let mut sent = 0;
        while ours.writer.write_buffer_size() <= 1000 {
            let lines = [IoSlice::new(b"one\n"), IoSlice::new(b""), IoSlice::new(&[b'2'; 996])];
            ours.writer.writelines(&lines)?;
            sent += 1000;
        }
        ours.writer.write_eof()?;
        assert_eq!(ours.writer.write(b"x").unwrap_err().kind(), ErrorKind::InvalidState);
        let receives = event_loop.create_task(async move {
            let mut all = Vec::new();
            theirs.reader.read_to_end(&mut all, usize::MAX).await?;
            Ok::<_, Error>((all, theirs))
        })?;
        ours.writer.drain().await?;
        assert!(ours.writer.write_buffer_size() <= 250);
        let (all, _theirs) = receives.await??;
        assert_eq!(all.len(), sent);
        assert!(all.chunks(1000).all(|line| line.starts_with(b"one\n2")));
        ours.writer.close();
        assert!(ours.writer.is_closing());
        ours.writer.wait_closed().await?;
        assert_eq!(ours.reader.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::Closed);
        Ok(())
    });
}
