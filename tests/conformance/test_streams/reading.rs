//! What a reader gives, and in which pieces.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;

use rondel::{Error, ErrorKind, EventLoopHandle, Stream, StreamReader};

use super::{arrived, serve_one, with_ends};
use crate::fixture::{Counter, any_port, brought, quietly, real, send_out_of_band};

fn talks(data: &[u8]) -> impl FnOnce(TcpStream) + Send + 'static + use<> {
    let data = data.to_vec();
    move |mut stream| {
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn lines_at_below_and_above_the_limit() {
    // FAULTS N-12
    for limit in [1_usize, 2, 8, 1500] {
        for length in [1, limit.saturating_sub(1).max(1), limit] {
            let line = [vec![b'x'; length - 1], vec![b'\n']].concat();
            let data = [line.clone(), b"\n".to_vec()].concat();
            serve_one(limit, talks(&data), async move |_, mut reader, _writer| {
                assert_eq!(reader.read_line().await?, line);
                assert_eq!(reader.read_line().await?, b"\n");
                assert_eq!(reader.read_line().await?, b"", "the end");
                assert!(reader.at_eof());
                Ok(())
            });
        }
        // One byte too long: nothing is lost, and what is behind it neither.
        let long = [vec![b'x'; limit], b"\nnext\n".to_vec()].concat();
        let expected = long.clone();
        serve_one(limit, talks(&long), async move |_, mut reader, _writer| {
            for _ in 0..2 {
                assert_eq!(reader.read_line().await.unwrap_err().kind(), ErrorKind::TooLarge);
            }
            let mut all = Vec::new();
            let mut buffer = [0; 3];
            loop {
                match reader.read(&mut buffer).await? {
                    0 => break,
                    count => all.extend_from_slice(&buffer[..count]),
                }
            }
            assert_eq!(all, expected);
            Ok(())
        });
    }
}

#[test]
fn the_end_of_the_stream_without_a_separator_gives_what_was_left() {
    serve_one(64, talks(b"one\ntwo"), async |_, mut reader: StreamReader, _writer| {
        assert_eq!(reader.read_line().await?, b"one\n");
        assert!(!reader.at_eof());
        assert_eq!(reader.read_line().await?, b"two");
        assert!(reader.at_eof());
        assert_eq!(reader.read_line().await?, b"");
        assert_eq!(reader.read_until("x").await.unwrap_err().as_incomplete_read().unwrap().partial(), 0);
        assert_eq!(reader.read(&mut [0; 4]).await?, 0);
        reader.readable().await?;
        assert_eq!(reader.try_read_with(<[u8]>::len)?, Some(0));
        Ok(())
    });
}

#[test]
fn reads_of_any_size_lose_no_byte() {
    // FAULTS N-12
    let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for size in [1, 2, 1023, 1024, 1025, 4999, 5000, 5001] {
        let (expected, sent) = (data.clone(), data.clone());
        serve_one(1024, talks(&sent), async move |_, mut reader, _writer| {
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            assert_eq!(reader.read(&mut []).await?, 0, "an empty read is no end");
            loop {
                let count = reader.read(&mut buffer).await?;
                if count == 0 {
                    break;
                }
                all.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(all, expected);
            assert!(reader.at_eof());
            Ok(())
        });
    }
}

#[test]
fn read_exactly_fills_or_says_that_the_stream_ended() {
    // FAULTS N-12
    serve_one(16, talks(&[7; 100]), async |_, mut reader: StreamReader, _writer| {
        let mut buffer = [0; 60];
        reader.read_exactly(&mut []).await?;
        reader.read_exactly(&mut buffer).await?;
        assert_eq!(buffer, [7; 60], "longer than the limit");
        reader.read_exactly(&mut buffer[..30]).await?;
        let ended = reader.read_exactly(&mut buffer[..12]).await.unwrap_err();
        assert_eq!(ended.as_io().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
        reader.read_exactly(&mut buffer[..10]).await?;
        assert!(reader.at_eof(), "the ten that came were kept");
        Ok(())
    });
}

#[test]
fn frames_split_at_each_byte_arrive_whole() {
    // FAULTS N-12
    let (sent, next) = channel::<()>();
    serve_one(
        64,
        move |mut stream| {
            stream.set_nodelay(true).unwrap();
            for byte in b"one\ntwo\n" {
                stream.write_all(&[*byte]).unwrap();
                next.recv().unwrap();
            }
        },
        async move |_, mut reader, _writer| {
            let mut got = Vec::new();
            for _ in 0..8 {
                let mut byte = [0];
                reader.read_exactly(&mut byte).await?;
                got.push(byte[0]);
                sent.send(()).unwrap();
            }
            assert_eq!(got, b"one\ntwo\n");
            Ok(())
        },
    );
}

#[test]
fn a_reader_lends_the_loops_buffer_and_survives_a_panic_in_between() {
    serve_one(64, talks(b"hello"), async |_, mut reader: StreamReader, _writer| {
        reader.readable().await?;
        assert!(quietly(|| crate::fixture::panics(|| reader.try_read_with(|_| panic!("look away")))));
        loop {
            reader.readable().await?;
            if reader.try_read_with(<[u8]>::len)? == Some(0) {
                break;
            }
        }
        assert!(reader.at_eof());
        Ok(())
    });
}

#[test]
fn a_separator_of_several_bytes_is_found_however_it_was_split() {
    // FAULTS N-12
    const DATA: &[u8] = b"a\r\r\n--b\r\n--\r\n--tail";
    for piece in 1..=DATA.len() {
        with_ends(64, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            let sends = event_loop.create_task({
                let event_loop = event_loop.clone();
                async move {
                    for piece in DATA.chunks(piece) {
                        theirs.writer.write_all(piece).await?;
                        arrived(&event_loop).await;
                    }
                    drop(theirs);
                    Ok::<(), Error>(())
                }
            })?;
            assert_eq!(ours.reader.read_until(b"\r\n--").await?, b"a\r\r\n--");
            assert_eq!(ours.reader.read_until("\r\n--").await?, b"b\r\n--");
            assert_eq!(ours.reader.read_until("\r\n--").await?, b"\r\n--");
            let ended = ours.reader.read_until("\r\n--").await.unwrap_err();
            assert_eq!(ended.as_io().unwrap().kind(), std::io::ErrorKind::UnexpectedEof);
            let incomplete = ended.as_incomplete_read().unwrap();
            assert_eq!((incomplete.partial(), incomplete.expected()), (4, None));
            assert!(ended.to_string().contains("4 bytes"), "{ended}");
            assert_eq!(ours.reader.buffered(), b"tail", "nothing is lost");
            assert!(!ours.reader.at_eof());
            assert_eq!(ours.reader.read_line().await?, b"tail");
            assert_eq!(ours.reader.next_line().await?, None);
            let empty = ours.reader.read_until(b"").await.unwrap_err();
            assert_eq!(empty.as_io().unwrap().kind(), std::io::ErrorKind::InvalidInput);
            sends.await?
        });
    }
}

#[test]
fn an_overrun_of_a_long_separator_keeps_everything() {
    // FAULTS N-12
    for limit in 3..12_usize {
        with_ends(limit, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            let data = [vec![b'x'; limit - 2], b"<->behind".to_vec()].concat();
            theirs.writer.write_all(&data).await?;
            theirs.writer.close();
            arrived(&event_loop).await;
            for _ in 0..2 {
                let overrun = ours.reader.read_until("<->").await.unwrap_err();
                assert_eq!(overrun.kind(), ErrorKind::TooLarge);
                assert_eq!(ours.reader.buffered(), &data[..limit]);
            }
            let mut all = Vec::new();
            assert_eq!(ours.reader.read_to_end(&mut all, 100).await?, data.len());
            assert_eq!(all, data);
            Ok(())
        });
    }
}

#[test]
fn reading_to_the_end_takes_no_more_than_the_limit() {
    // FAULTS N-12
    for (limit, taken) in [(0, 0), (1, 1), (9, 9), (10, 10), (11, 10), (usize::MAX, 10)] {
        with_ends(4, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            theirs.writer.write_all(b"0123456789").await?;
            theirs.writer.write_eof()?;
            arrived(&event_loop).await;
            let mut data = b"> ".to_vec();
            let read = ours.reader.read_to_end(&mut data, limit).await;
            if limit < 10 {
                assert_eq!(read.unwrap_err().kind(), ErrorKind::TooLarge);
                // The rest is still to be read.
                ours.reader.read_to_end(&mut data, 10 - taken).await?;
            } else {
                assert_eq!(read?, taken);
            }
            assert_eq!(data, b"> 0123456789");
            assert!(ours.reader.at_eof());
            assert_eq!(ours.reader.read_to_end(&mut data, 0).await?, 0);
            Ok(())
        });
    }
}

#[test]
fn exact_reads_around_the_buffers_size_say_how_much_there_was() {
    // FAULTS N-12
    const LIMIT: usize = 16;
    for size in [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT] {
        with_ends(LIMIT, async move |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
            theirs.writer.write_all(&vec![1; size]).await?;
            theirs.writer.write_all(&[2; 5]).await?;
            theirs.writer.close();
            arrived(&event_loop).await;
            let mut buffer = vec![0; size];
            ours.reader.read_exactly(&mut buffer).await?;
            assert_eq!(buffer, vec![1; size]);
            let ended = ours.reader.read_exactly(&mut [0; 6]).await.unwrap_err();
            let incomplete = ended.as_incomplete_read().unwrap();
            assert_eq!((incomplete.partial(), incomplete.expected()), (5, Some(6)));
            assert_eq!(ours.reader.buffered(), [2; 5]);
            let mut rest = [0; 5];
            ours.reader.read_exactly(&mut rest).await?;
            assert_eq!((rest, ours.reader.at_eof()), ([2; 5], true));
            Ok(())
        });
    }
}

#[test]
fn a_task_that_reads_and_reads_lets_others_run_and_its_own_timers_fire() {
    // FAULTS C-09
    with_ends(64, async |event_loop: EventLoopHandle, mut ours: Stream, mut theirs: Stream| {
        assert_eq!(theirs.writer.try_write(&[7; 10_000])?, 10_000);
        arrived(&event_loop).await;
        // Always ready: a byte of many at a time.
        let read = Counter::new();
        let counts = read.clone();
        let reads = async {
            loop {
                assert_eq!(ours.reader.read(&mut [0]).await?, 1);
                counts.add();
            }
        };
        let ended: Result<rondel::Result<()>, _> = event_loop.timeout(Duration::ZERO, reads).await;
        assert!(matches!(ended, Err(rondel::TimeoutError::TimedOut)));
        assert!((1..1000).contains(&read.get()), "{} reads before a timer that was due", read.get());

        // The same for lines out of the buffer, and for a task beside it.
        let turns = Counter::new();
        let others = turns.clone();
        let handle = event_loop.clone();
        let beside = event_loop.create_task(async move {
            while handle.yield_now().await.is_ok() {
                others.add();
            }
        })?;
        let left = 10_000 - read.get();
        for _ in 0..left {
            ours.reader.read_exactly(&mut [0]).await?;
        }
        assert!(turns.get() >= left / 64, "{}", turns.get());
        let before = turns.get();
        for _ in 0..200 {
            ours.writer.write_all(b"x").await?;
        }
        assert!(turns.get() - before >= 200 / 64, "{}", turns.get());
        beside.abort();
        Ok(())
    });
}

#[test]
fn n13_what_follows_a_byte_out_of_band_does_not_wait_for_more() {
    let event_loop = real();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move {
            let listener = std::net::TcpListener::bind(any_port())?;
            let ours = TcpStream::connect(listener.local_addr()?)?;
            let mut theirs = listener.accept()?.0;
            let (mut reader, _writer) = handle.open_connection_with_sock(ours).await?;
            theirs.write_all(b"ab")?;
            send_out_of_band(&theirs, b'!');
            theirs.write_all(b"cd")?;
            brought(&theirs);
            let reads = handle.create_task(async move {
                let mut data = [0; 4];
                reader.read_exactly(&mut data).await?;
                Ok::<_, Error>(data)
            })?;
            for _ in 0..10 {
                handle.yield_now().await?;
            }
            assert!(reads.done(), "all of it has come");
            assert_eq!(&reads.await??, b"abcd");
            Ok::<_, Error>(())
        })
        .unwrap();
}
