//! What fails, and what ends meanwhile.

use std::fs::File;
use std::io::{IoSlice, Write};

use rondel::{Error, EventLoop, Operation};

use super::{fill, read, run, write};
use crate::fixture::{alone, assert_nothing_left, manual, quietly, reports, scenarios, small, turns};
use crate::pipe_fixture::pipe;
use crate::probe::until;

scenarios! {
    any_call_of_the_system_that_fails_ends_the_pipe_once
    short_and_spurious_transfers_lose_nothing
    a_closing_loop_ends_its_pipes
}

fn any_call_of_the_system_that_fails_ends_the_pipe_once() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let told = reports(&event_loop);
    let (reading, mut writing) = pipe();
    let (_, _, trace) = read(&event_loop, reading);
    faults.fail(Operation::Read, libc::ENOMEM);
    writing.write_all(b"x").unwrap();
    until(&event_loop, || trace.count() == 1);
    assert!(trace.take()[0].starts_with("lost: "));
    assert_eq!(told.take().len(), 1);
    for (operation, errno) in [(Operation::Write, libc::EBADF), (Operation::Reregister, libc::ENOMEM)] {
        let (_reading, writing) = pipe();
        let (transport, _, trace) = write(&event_loop, writing);
        faults.fail(operation, errno);
        transport.write(&[0; 100_000]).unwrap();
        until(&event_loop, || trace.count() == 1);
        assert!(trace.take()[0].starts_with("lost: "));
        assert_eq!(told.take().len(), 1);
        faults.heal(operation);
    }
    assert_nothing_left(&event_loop);
}

fn short_and_spurious_transfers_lose_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let data: Vec<u8> = (0..5000_u32).map(|index| (index % 251) as u8).collect();
    for (reads_max, writes_max) in [(1, 4096), (4096, 1), (700, 300)] {
        let (reading, writing) = pipe();
        faults.limit(Operation::Read, reads_max);
        faults.limit(Operation::Write, writes_max);
        faults.block(Operation::Read);
        faults.block(Operation::Write);
        let talk = async {
            let mut reader = event_loop.open_read_pipe(reading).await?;
            let mut writer = event_loop.open_write_pipe(writing).await?;
            writer.write(&data[..2500])?;
            writer.writelines(&[IoSlice::new(&data[2500..2600]), IoSlice::new(&data[2600..])])?;
            writer.close();
            let mut read = Vec::new();
            reader.read_to_end(&mut read, 10_000).await?;
            assert!(read == data, "{} bytes", read.len());
            Ok::<_, Error>(())
        };
        event_loop.run_until_complete(talk).unwrap();
        faults.heal(Operation::Read);
        faults.heal(Operation::Write);
    }
    turns(&event_loop, 3);
    assert_nothing_left(&event_loop);
}

fn a_closing_loop_ends_its_pipes() {
    let event_loop = manual();
    let (reading, _writer) = pipe();
    let (_reader, writing) = pipe();
    let (_, _, read) = read(&event_loop, reading);
    let (transport, _, written) = write(&event_loop, writing);
    fill(&transport);
    quietly(|| drop(event_loop));
    for trace in [read.take(), written.take()] {
        assert!(trace.len() == 1 && trace[0].starts_with("lost: "), "{trace:?}");
    }
}

/// Runs alone: what a signal does concerns the whole process.
#[test]
fn n10_a_pipe_without_a_reader_is_an_error_where_the_signal_would_kill() {
    alone(
        "test_pipes::failures::n10_a_pipe_without_a_reader_is_an_error_where_the_signal_would_kill",
        64,
        || {
            // SAFETY: no handler.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            run(async |event_loop| {
                for is_vectored in [false, true] {
                    let (reading, writing) = pipe();
                    drop(reading);
                    let mut writer = event_loop.open_write_pipe(writing).await?;
                    let error = if is_vectored {
                        writer.writelines(&[IoSlice::new(b"x"), IoSlice::new(b"y")])?;
                        event_loop.yield_now().await?;
                        writer.write_all(b"z").await.unwrap_err()
                    } else {
                        writer.write_all(b"x").await.unwrap_err()
                    };
                    assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
                }
                let (reading, writing) = pipe();
                let mut writer = event_loop.open_write_pipe(writing).await?;
                drop(reading);
                let file = File::open("/proc/self/exe")?;
                let error = writer.sendfile(&file, 0, Some(100)).await.unwrap_err();
                assert_eq!(error.error().as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
                Ok(())
            });
            // What the host has set is as it was: nothing is blocked, nothing waits.
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            for line in ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:"] {
                let found = status.lines().find(|found| found.starts_with(line)).unwrap();
                let mask = u64::from_str_radix(found[line.len()..].trim(), 16).unwrap();
                assert_eq!(mask & 1 << (libc::SIGPIPE - 1), 0, "{found}");
            }
            // A signal of the host's own that waits is not taken.
            // SAFETY: the set is filled before it is used; the signal waits, blocked.
            unsafe {
                let mut set = core::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGPIPE);
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut());
                libc::raise(libc::SIGPIPE);
                run(async |event_loop| {
                    let (reading, writing) = pipe();
                    drop(reading);
                    let mut writer = event_loop.open_write_pipe(writing).await?;
                    writer.write_all(b"x").await.unwrap_err();
                    Ok(())
                });
                let mut pending = core::mem::zeroed();
                libc::sigpending(&raw mut pending);
                assert_eq!(libc::sigismember(&raw const pending, libc::SIGPIPE), 1);
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            }
        },
    );
}
