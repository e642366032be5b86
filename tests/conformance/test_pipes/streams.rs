//! Pipes as streams, and files that are sent into them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rondel::{Error, ErrorKind, EventLoop, Operation};

use super::run;
use crate::fixture::{assert_nothing_left, scenarios, small, turns};
use crate::pipe_fixture::{Directory, pipe};

scenarios! {
    streams_read_lines_and_write_all
    streams_end_by_dropping_one_half
    streams_write_in_the_background_what_a_full_pipe_does_not_take
    sendfile_writes_a_file_into_a_pipe
    the_ends_of_a_socket_move_much_and_files
    a_shell_reads_a_fifo_and_writes_another
}

fn streams_read_lines_and_write_all() {
    run(async |event_loop| {
        let (reading, writing) = pipe();
        let mut reader = event_loop.open_read_pipe(reading).limit(10).await?;
        let mut writer = event_loop.open_write_pipe(writing).await?;
        assert_eq!((reader.peer_addr().to_string(), writer.local_addr()), {
            let unnamed = writer.peer_addr();
            (unnamed.to_string(), Some(unnamed))
        });
        writer.write_all(b"one\ntwo\n").await?;
        assert_eq!(reader.read_line().await?, b"one\n");
        assert_eq!(reader.next_line().await?, Some(&b"two\n"[..]));
        let waiting = event_loop.create_task(async move {
            let line = reader.read_line().await?.to_vec();
            reader.read_line().await.map(|end| (line, end.is_empty()))
        })?;
        event_loop.yield_now().await?;
        writer.write(b"three\n")?;
        writer.write_eof()?;
        assert_eq!(waiting.await??, (b"three\n".to_vec(), true));
        writer.wait_closed().await?;
        assert_eq!(writer.write_all(b"x").await.unwrap_err().kind(), ErrorKind::Closed);
        Ok(())
    });
}

fn streams_end_by_dropping_one_half() {
    run(async |event_loop| {
        let (reading, mut writing) = pipe();
        drop(event_loop.open_read_pipe(reading).await?);
        assert_eq!(writing.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        let (mut reading, writing) = pipe();
        let mut writer = event_loop.open_write_pipe(writing).await?;
        writer.write(b"last")?;
        drop(writer);
        event_loop.yield_now().await?;
        assert_eq!(std::io::read_to_string(&mut reading)?, "last");
        let (reading, writing) = pipe();
        let mut writer = event_loop.open_write_pipe(writing).await?;
        drop(reading);
        let error = writer.write_all(b"x").await.unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

fn streams_write_in_the_background_what_a_full_pipe_does_not_take() {
    run(async |event_loop| {
        let (reading, writing) = pipe();
        let mut reader = event_loop.open_read_pipe(reading).await?;
        let mut writer = event_loop.open_write_pipe(writing).await?;
        let data: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
        writer.write(&data[..500_000])?;
        assert!(writer.write_buffer_size() > 0);
        let rest = data[500_000..].to_vec();
        let writing = event_loop.create_task(async move {
            writer.drain().await?;
            writer.write_all(&rest).await?;
            writer.close();
            writer.wait_closed().await
        })?;
        let mut read = Vec::new();
        reader.read_to_end(&mut read, 2_000_000).await?;
        assert!(read == data);
        writing.await??;
        Ok(())
    });
}

fn sendfile_writes_a_file_into_a_pipe() {
    run(async |event_loop| {
        let directory = Directory::new("sendfile");
        let contents: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
        // The second can't be sent without copying.
        for path in [directory.file("file", &contents), "/proc/self/limits".into()] {
            let expected = std::fs::read(&path)?;
            let file = File::open(&path)?;
            let (reading, writing) = pipe();
            let mut reader = event_loop.open_read_pipe(reading).await?;
            let mut writer = event_loop.open_write_pipe(writing).await?;
            let sending = event_loop.create_task(async move {
                let sent = writer.sendfile(&file, 0, None).await;
                writer.close();
                sent.map_err(Error::new)
            })?;
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 1_000_000).await?;
            assert!(read == expected);
            assert_eq!(sending.await??, expected.len() as u64);
        }
        Ok(())
    });
}

fn the_ends_of_a_socket_move_much_and_files() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let directory = Directory::new("socket-ends");
    let data: Vec<u8> = (0..500_000_u32).map(|index| (index % 251) as u8).collect();
    let file = File::open(directory.file("file", &data)).unwrap();
    let expected = data.repeat(2);
    for largest in [usize::MAX, 10_000] {
        faults.limit(Operation::Recv, largest);
        faults.limit(Operation::Send, largest);
        faults.block(Operation::Recv);
        faults.block(Operation::Send);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let talk = async {
            let mut reader = event_loop.open_read_pipe(theirs).await?;
            let mut writer = event_loop.open_write_pipe(ours).await?;
            writer.write(&data)?;
            assert!(writer.write_buffer_size() > 0);
            let file = file.try_clone()?;
            let sending = event_loop.create_task(async move {
                let sent = writer.sendfile(&file, 0, None).fallback(false).await;
                writer.close();
                sent.map_err(Error::new)
            })?;
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 2_000_000).await?;
            assert!(read == expected, "{} bytes", read.len());
            assert_eq!(sending.await??, 500_000);
            Ok::<_, Error>(())
        };
        event_loop.run_until_complete(talk).unwrap();
        faults.heal(Operation::Recv);
        faults.heal(Operation::Send);
    }
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn a_shell_reads_a_fifo_and_writes_another() {
    run(async |event_loop| {
        let directory = Directory::new("shell");
        let (there, back) = (directory.fifo("there"), directory.fifo("back"));
        let mut shell = Command::new("sh")
            .args(["-c", "tr a-z A-Z < \"$0\" > \"$1\""])
            .args([&there, &back])
            .stdin(Stdio::null())
            .spawn()?;
        // Each waits for the shell to open its end.
        let mut writer = event_loop.open_write_pipe(OpenOptions::new().write(true).open(&there)?).await?;
        let mut reader = event_loop.open_read_pipe(File::open(&back)?).await?;
        writer.write_all(b"hello, shell\n").await?;
        writer.close();
        assert_eq!(reader.read_line().await?, b"HELLO, SHELL\n");
        assert!(reader.read_line().await?.is_empty());
        assert!(shell.wait()?.success());
        Ok(())
    });
}
