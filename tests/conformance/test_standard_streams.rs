//! Standard input, output and error, whatever they are, and those who share them (FAULTS P-14); terminals in
//! another mode.
//!
//! Each test is a process of its own, since it puts other files in the place of its own standard streams.

use core::cell::Cell;
use core::mem::MaybeUninit;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rondel::{
    Error, ErrorKind, EventLoop, EventLoopHandle, Faults, NotAPipe, Operation, RawTerminal, Result,
    StreamWriter,
};

use crate::fixture::{alone, assert_nothing_left, descriptors, manual, panics, small, turns};
use crate::pipe_fixture::{Directory, drain, is_nonblocking, pipe, set_nonblocking, set_raw, terminal};

/// Makes each function a test that runs in a process of its own.
macro_rules! alone {
    ($($name:ident)*) => {
        mod scenario {
            $(#[test]
            fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                let (_, test) = test.split_once("::").expect("a module of this crate");
                super::alone(test, 64, || {
                    let before = super::descriptors();
                    super::$name();
                    assert_eq!(super::descriptors(), before);
                });
            })*
        }
    };
}

alone! {
    p14_a_pipe_and_a_terminal_are_opened_once_more_and_stay_as_they_are
    p14_a_socket_is_asked_not_to_wait_and_stays_as_it_is
    p14_a_file_is_read_and_written_where_the_others_are
    p14_devices_that_are_always_ready_stay_as_they_are
    p14_what_can_not_be_opened_again_blocks_again_when_the_last_is_dropped
    p14_what_can_not_be_opened_again_blocks_again_after_a_close_and_a_panic
    p14_what_others_have_made_non_blocking_stays_so
    p14_files_of_others_are_counted_together
    a_writer_that_has_left_before_is_noticed
    a_reader_that_has_left_is_an_error_and_standard_output_stays_open
    what_is_closed_or_no_stream_is_refused
    a_failing_system_leaves_nothing_behind
    a_file_is_sent_to_a_standard_output_that_blocks
    a_raw_terminal_gives_each_key_and_its_mode_back
    a_terminal_gets_its_mode_back_also_by_a_panic
    what_is_no_terminal_has_no_mode
}

/// A file in the place of a standard stream, until it is dropped.
struct Instead {
    number: RawFd,
    former: OwnedFd,
}

impl Instead {
    fn new(number: RawFd, file: impl AsFd) -> Self {
        // SAFETY: no pointers; the number is one of a standard stream, and borrowed for this call.
        let former = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().unwrap();
        put(number, file.as_fd().as_raw_fd());
        Self { number, former }
    }
}

impl Drop for Instead {
    fn drop(&mut self) {
        put(self.number, self.former.as_raw_fd());
    }
}

fn put(number: RawFd, file: RawFd) {
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::dup2(file, number) }, number);
}

#[track_caller]
fn run_on(event_loop: &EventLoop, test: impl AsyncFnOnce(EventLoopHandle) -> Result<()>) {
    event_loop.run_until_complete(test(event_loop.handle())).unwrap();
    turns(event_loop, 3);
    assert_nothing_left(event_loop);
}

#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle) -> Result<()>) {
    run_on(&manual(), test);
}

/// Makes a loop for which the system opens no file once more, as that of another user.
fn refusing() -> (EventLoop, Faults) {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    faults.fail_every(Operation::Reopen, libc::EACCES);
    (event_loop, faults)
}

/// Writes until bytes are left over, which a call that blocks would never come to; returns how many were written.
fn fill(writer: &mut StreamWriter) -> Result<usize> {
    let mut written = 0;
    while writer.write_buffer_size() == 0 {
        writer.write(&[b'.'; 4096])?;
        written += 4096;
    }
    Ok(written)
}

/// Reads `count` bytes, which come as there is room for them.
async fn expect_bytes(event_loop: &EventLoopHandle, theirs: &mut File, mut count: usize) -> Result<()> {
    set_nonblocking(theirs);
    while count > 0 {
        count -= drain(theirs).len();
        event_loop.yield_now().await?;
    }
    Ok(())
}

/// Makes a pipe or a terminal: the end that is a standard stream, and the other one.
fn ends(is_terminal: bool, direction: Direction) -> (File, File) {
    if is_terminal {
        let (master, slave) = terminal();
        set_raw(&slave);
        return (slave, master);
    }
    let (reading, writing) = pipe();
    let (reading, writing) = (File::from(OwnedFd::from(reading)), File::from(OwnedFd::from(writing)));
    match direction {
        Direction::Input => (reading, writing),
        Direction::Output => (writing, reading),
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Input,
    Output,
}

fn p14_a_pipe_and_a_terminal_are_opened_once_more_and_stay_as_they_are() {
    for is_terminal in [false, true] {
        let (input, mut typist) = ends(is_terminal, Direction::Input);
        let _instead = Instead::new(0, &input);
        run(async |event_loop| {
            let mut reader = event_loop.open_stdin().limit(100).await?;
            typist.write_all(b"one\ntwo\n")?;
            assert_eq!(reader.read_line().await?, b"one\n");
            assert_eq!(reader.read_line().await?, b"two\n");
            let waiting =
                event_loop.create_task(async move { reader.read_line().await.map(<[u8]>::to_vec) })?;
            event_loop.yield_now().await?;
            assert!(!is_nonblocking(&input));
            typist.write_all(b"three\n")?;
            assert_eq!(waiting.await??, b"three\n");
            Ok(())
        });
        assert!(!is_nonblocking(&input));

        for number in [1, 2] {
            let (output, mut screen) = ends(is_terminal, Direction::Output);
            let _instead = Instead::new(number, &output);
            run(async |event_loop| {
                let mut writer = open_output(&event_loop, number).await?;
                let written = fill(&mut writer)?;
                assert!(!is_nonblocking(&output));
                expect_bytes(&event_loop, &mut screen, written).await
            });
            assert!(!is_nonblocking(&output));
        }
    }
}

async fn open_output(event_loop: &EventLoopHandle, number: RawFd) -> Result<StreamWriter> {
    if number == 1 { event_loop.open_stdout().await } else { event_loop.open_stderr().await }
}

fn p14_a_socket_is_asked_not_to_wait_and_stays_as_it_is() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let _instead = (Instead::new(0, &ours), Instead::new(1, &ours));
    run(async |event_loop| {
        let mut reader = event_loop.open_stdin().await?;
        let mut writer = event_loop.open_stdout().await?;
        let waiting = event_loop.create_task(async move { reader.read_line().await.map(<[u8]>::to_vec) })?;
        event_loop.yield_now().await?;
        assert!(!is_nonblocking(&ours));
        peer.write_all(b"hello\n")?;
        assert_eq!(waiting.await??, b"hello\n");
        let written = fill(&mut writer)?;
        assert!(!is_nonblocking(&ours));
        let mut peer = File::from(OwnedFd::from(peer.try_clone()?));
        expect_bytes(&event_loop, &mut peer, written).await
    });
    assert!(!is_nonblocking(&ours));
}

fn p14_a_file_is_read_and_written_where_the_others_are() {
    let directory = Directory::new("standard-files");
    let path = directory.file("file", b"one\ntwo\nthree");
    let mut input = File::open(&path).unwrap();
    input.seek(SeekFrom::Start(4)).unwrap();
    {
        let _instead = Instead::new(0, &input);
        run(async |event_loop| {
            let mut reader = event_loop.open_stdin().await?;
            assert_eq!(reader.next_line().await?, Some(&b"two\n"[..]));
            assert_eq!(reader.next_line().await?, Some(&b"three"[..]));
            assert_eq!(reader.next_line().await?, None);
            Ok(())
        });
    }
    assert_eq!((input.stream_position().unwrap(), is_nonblocking(&input)), (13, false));

    for is_appended in [false, true] {
        let path = directory.file("output", b"");
        let mut output = OpenOptions::new().write(true).append(is_appended).open(&path).unwrap();
        output.write_all(b"before\n").unwrap();
        {
            let _instead = Instead::new(1, &output);
            run(async |event_loop| {
                let mut writer = event_loop.open_stdout().await?;
                writer.write_all(b"within\n").await?;
                // Also what the system does by itself.
                assert_eq!(writer.sendfile(&input, 0, Some(4)).await.map_err(Error::new)?, 4);
                Ok(())
            });
        }
        output.write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nwithin\none\nafter\n");
        assert!(!is_nonblocking(&output));
    }
}

fn p14_devices_that_are_always_ready_stay_as_they_are() {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let _instead = (Instead::new(0, &null), Instead::new(1, &null));
    run(async |event_loop| {
        let mut writer = event_loop.open_stdout().await?;
        writer.write_all(&[0; 200_000]).await?;
        let mut reader = event_loop.open_stdin().await?;
        assert!(reader.read_line().await?.is_empty());
        assert!(!is_nonblocking(&null));
        Ok(())
    });
    assert!(!is_nonblocking(&null));
}

fn p14_what_can_not_be_opened_again_blocks_again_when_the_last_is_dropped() {
    for is_terminal in [false, true] {
        let (event_loop, _faults) = refusing();
        let (output, mut screen) = ends(is_terminal, Direction::Output);
        let _instead = (Instead::new(1, &output), Instead::new(2, &output));
        run_on(&event_loop, async |event_loop| {
            let mut first = event_loop.open_stdout().await?;
            let mut second = event_loop.open_stderr().await?;
            assert!(is_nonblocking(&output));
            first.write_all(b"first").await?;
            drop(first);
            event_loop.yield_now().await?;
            assert!(is_nonblocking(&output));
            let written = fill(&mut second)?;
            expect_bytes(&event_loop, &mut screen, 5 + written).await
        });
        assert!(!is_nonblocking(&output));
    }
}

fn p14_what_can_not_be_opened_again_blocks_again_after_a_close_and_a_panic() {
    let (_reading, writing) = pipe();
    let _instead = Instead::new(1, &writing);
    let (event_loop, _faults) = refusing();
    let writer = event_loop.run_until_complete(event_loop.open_stdout()).unwrap();
    assert!(is_nonblocking(&writing));
    drop(event_loop);
    drop(writer);
    assert!(!is_nonblocking(&writing));

    let was_nonblocking = Cell::new(false);
    assert!(panics(|| {
        let (event_loop, _faults) = refusing();
        let _writer = event_loop.run_until_complete(event_loop.open_stdout()).unwrap();
        was_nonblocking.set(is_nonblocking(&writing));
        panic!("unwinds");
    }));
    assert!(was_nonblocking.get() && !is_nonblocking(&writing));
}

fn p14_what_others_have_made_non_blocking_stays_so() {
    let (_reading, writing) = pipe();
    set_nonblocking(&writing);
    let _instead = Instead::new(1, &writing);
    let (event_loop, _faults) = refusing();
    run_on(&event_loop, async |event_loop| event_loop.open_stdout().await.map(drop));
    assert!(is_nonblocking(&writing));
}

fn p14_files_of_others_are_counted_together() {
    let (event_loop, _faults) = refusing();
    let (input, _typist) = ends(true, Direction::Input);
    let (_reading, writing) = pipe();
    let _instead = (Instead::new(0, &input), Instead::new(1, &writing));
    run_on(&event_loop, async |event_loop| {
        let reader = event_loop.open_stdin().await?;
        let writer = event_loop.open_stdout().await?;
        drop(reader);
        event_loop.yield_now().await?;
        assert!(is_nonblocking(&input) && is_nonblocking(&writing));
        drop(writer);
        Ok(())
    });
    assert!(!is_nonblocking(&input) && !is_nonblocking(&writing));
}

fn a_writer_that_has_left_before_is_noticed() {
    for said in [&b""[..], b"last\n"] {
        let (reading, mut writing) = pipe();
        writing.write_all(said).unwrap();
        drop(writing);
        let _instead = Instead::new(0, &reading);
        run(async |event_loop| {
            let mut reader = event_loop.open_stdin().await?;
            let mut all = Vec::new();
            reader.read_to_end(&mut all, 100).await?;
            assert_eq!(all, said);
            Ok(())
        });
    }
}

fn a_reader_that_has_left_is_an_error_and_standard_output_stays_open() {
    let (reading, writing) = pipe();
    let _instead = Instead::new(1, &writing);
    drop(reading);
    run(async |event_loop| {
        let mut writer = event_loop.open_stdout().await?;
        let error = writer.write_all(b"for nobody").await.unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
        Ok(())
    });
    // SAFETY: no pointers.
    assert_ne!(unsafe { libc::fcntl(1, libc::F_GETFD) }, -1);
    assert!(!is_nonblocking(&writing));
}

fn what_is_closed_or_no_stream_is_refused() {
    let event_loop = manual();
    let input = || event_loop.run_until_complete(event_loop.open_stdin().into_future()).unwrap_err();
    let output = || event_loop.run_until_complete(event_loop.open_stdout()).unwrap_err();
    {
        let _instead = Instead::new(0, File::open("/dev/null").unwrap());
        // SAFETY: no pointers; put back by the guard.
        assert_eq!(unsafe { libc::close(0) }, 0);
        let error = input();
        assert_eq!(error.as_io().unwrap().raw_os_error(), Some(libc::EBADF));
        assert!(error.to_string().starts_with("open_stdin: "), "{error}");
    }
    {
        let _instead = Instead::new(0, File::open("/").unwrap());
        let error = input();
        let why = error.as_io().unwrap().get_ref().unwrap().downcast_ref::<NotAPipe>().unwrap();
        assert_eq!((why.descriptor(), why.is_regular_file()), (0, false));
    }
    // A pipe could be opened for the other direction, and a program that writes there would read itself.
    let (reading, writing) = pipe();
    let _instead = (Instead::new(0, &writing), Instead::new(1, &reading));
    for (error, message) in [
        (input(), "open_stdin: descriptor 0 is not open for reading"),
        (output(), "open_stdout: descriptor 1 is not open for writing"),
    ] {
        assert_eq!(error.to_string(), message);
        assert_eq!(
            (error.kind(), error.as_io().unwrap().kind()),
            (ErrorKind::Io, std::io::ErrorKind::InvalidInput)
        );
    }
    assert_nothing_left(&event_loop);
}

fn a_failing_system_leaves_nothing_behind() {
    let (event_loop, faults) = refusing();
    let (_reading, writing) = pipe();
    let _instead = Instead::new(1, &writing);
    for operation in [
        Operation::FileKind,
        Operation::FileFlags,
        Operation::Duplicate,
        Operation::Lend,
        Operation::Register,
    ] {
        faults.fail(operation, libc::ENOMEM);
        let error = event_loop.run_until_complete(event_loop.open_stdout()).unwrap_err();
        assert_eq!(error.as_io().unwrap().kind(), std::io::ErrorKind::OutOfMemory, "{operation:?}");
        assert!(!is_nonblocking(&writing), "{operation:?}");
        assert_nothing_left(&event_loop);
    }
}

fn a_file_is_sent_to_a_standard_output_that_blocks() {
    let directory = Directory::new("standard-sendfile");
    let contents: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let file = File::open(directory.file("file", &contents)).unwrap();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.set_nonblocking(true).unwrap();
    let _instead = Instead::new(1, &ours);
    run(async |event_loop| {
        let mut writer = event_loop.open_stdout().await?;
        let error = writer.sendfile(&file, 0, None).fallback(false).await.unwrap_err();
        assert_eq!(error.error().as_io().unwrap().kind(), std::io::ErrorKind::Unsupported);
        let sending = event_loop.create_task(async move {
            let sent = writer.sendfile(&file, 0, None).await;
            sent.map_err(Error::new)
        })?;
        let mut received = Vec::new();
        while received.len() < contents.len() {
            received.extend(drain(&mut peer));
            event_loop.yield_now().await?;
        }
        assert!(received == contents);
        assert_eq!(sending.await??, contents.len() as u64);
        Ok(())
    });
}

/// Is all that there is to a terminal's mode.
type Mode = ([libc::tcflag_t; 4], libc::cc_t, [libc::cc_t; libc::NCCS], [libc::speed_t; 2]);

fn mode(terminal: &File) -> Mode {
    let mut mode = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: `mode` is good for writing, and all zeros is one.
    let mode = unsafe {
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), mode.as_mut_ptr()), 0);
        mode.assume_init()
    };
    let flags = [mode.c_iflag, mode.c_oflag, mode.c_cflag, mode.c_lflag];
    (flags, mode.c_line, mode.c_cc, [mode.c_ispeed, mode.c_ospeed])
}

fn a_raw_terminal_gives_each_key_and_its_mode_back() {
    let (mut master, slave) = terminal();
    let _instead = Instead::new(0, &slave);
    let before = mode(&slave);
    let (signals, prints) =
        (|mode: Mode| mode.0[3] & libc::ISIG != 0, |mode: Mode| mode.0[1] & libc::OPOST != 0);
    assert!(signals(before) && prints(before));
    run(async |event_loop| {
        let mut reader = event_loop.open_stdin().await?;
        // Dropped with the mode that it was typed in, once it has come there, as its echo tells.
        master.write_all(b"early")?;
        let mut echo = [0; 5];
        master.read_exact(&mut echo)?;
        assert_eq!(echo, *b"early");
        let by_key = RawTerminal::cbreak(&slave)?;
        let between = mode(&slave);
        assert!(signals(between) && prints(between));
        {
            let _raw = RawTerminal::raw(&slave)?;
            assert!(!signals(mode(&slave)) && !prints(mode(&slave)));
            for key in [b"a", b"\r", b"\x03"] {
                master.write_all(key)?;
                let mut keys = [0; 9];
                assert_eq!(reader.read(&mut keys).await?, 1);
                assert_eq!(keys[..1], *key);
            }
        }
        assert_eq!(mode(&slave), between);
        drop(by_key);
        assert_eq!(mode(&slave), before);
        Ok(())
    });
    // Nothing of what was typed then came back as an echo.
    set_nonblocking(&master);
    assert_eq!(drain(&mut master), b"");
}

fn a_terminal_gets_its_mode_back_also_by_a_panic() {
    let (_master, slave) = terminal();
    let before = mode(&slave);
    assert!(panics(|| {
        let _raw = RawTerminal::raw(&slave).unwrap();
        assert_ne!(mode(&slave), before);
        panic!("unwinds");
    }));
    assert_eq!(mode(&slave), before);
    // Also if the terminal was handed over.
    let raw = RawTerminal::raw(slave.try_clone().unwrap()).unwrap();
    assert_ne!(mode(&slave), before);
    drop(raw);
    assert_eq!(mode(&slave), before);
}

fn what_is_no_terminal_has_no_mode() {
    let (reading, _writing) = pipe();
    let error = RawTerminal::raw(&reading).unwrap_err();
    assert_eq!(error.as_io().unwrap().raw_os_error(), Some(libc::ENOTTY));
}
