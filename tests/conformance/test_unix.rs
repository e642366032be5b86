//! UNIX sockets: UX, and the rows X of the faults.

use core::cell::RefCell;
use core::time::Duration;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind as Kind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rondel::{
    Address, Error, ErrorKind, EventLoop, EventLoopHandle, Faults, Operation, Protocol, Server, StreamReader,
    StreamWriter, TaskError, Transport, UnixAddr, UnixAddrError,
};

use crate::fixture::{Trace, end, leave_dead_socket, run_with_faults, scenarios, settle, small};

scenarios! {
    streams_and_transports_work_over_a_path_and_tell_their_addresses
    a_stream_server_at_a_path_serves_lines
    a_file_that_a_dead_server_left_is_replaced
    a_live_socket_at_the_path_is_left_alone
    whatever_else_is_at_the_path_is_left_alone
    abstract_names_touch_no_file_and_keep_their_exact_length
    a_path_that_can_not_be_one_fails_before_there_is_a_socket
    a_directory_that_is_missing_or_forbidden_is_the_systems_error
    the_file_goes_with_the_server_if_it_is_still_its_own
    closing_the_loop_removes_the_file
    a_server_that_fails_unlinks_what_it_made_and_nothing_else
    connecting_to_nobody_is_an_error_that_names_the_path
    a_full_backlog_is_tried_again_by_the_clock_until_there_is_room
    x03_descriptors_that_a_peer_passes_are_closed_unseen
    a_kernel_without_descriptors_refuses
}

/// Runs `test` on a loop that fails on request, and has nothing left in the end,
/// in a directory of its own.
#[track_caller]
fn run(test: impl AsyncFnOnce(EventLoopHandle, Faults, PathBuf) -> Result<(), Error>) {
    let directory = Directory::new();
    run_with_faults(async |event_loop, faults| test(event_loop, faults, directory.0.clone()).await);
}

/// A directory that is gone in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let mut path = std::env::temp_dir().into_os_string().into_encoded_bytes();
        path.extend_from_slice(b"/rondel-");
        // What `mkdtemp` replaces.
        path.extend_from_slice(&[b'X'; 6]);
        path.push(0);
        // SAFETY: a template that ends with NUL, written in place.
        let made = unsafe { libc::mkdtemp(path.as_mut_ptr().cast()) };
        assert!(!made.is_null());
        path.pop();
        Self(PathBuf::from(OsStr::from_bytes(&path)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Echoes, and notes the addresses of its connections.
#[derive(Clone, Default)]
struct Echo(Trace, Rc<RefCell<Vec<Transport>>>);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) -> rondel::Result<()> {
        self.0.push(format!("{} <- {}", transport.local_addr().unwrap(), transport.peer_addr()));
        self.1.borrow_mut().push(transport.clone());
        Ok(())
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) -> rondel::Result<()> {
        transport.write(data)
    }
}

async fn serve(event_loop: &EventLoopHandle, path: impl AsRef<Path>) -> Result<Server, Error> {
    event_loop.create_unix_server(Echo::default, path).await
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[track_caller]
fn kind(failed: Result<Server, Error>) -> Kind {
    failed.unwrap_err().as_io().unwrap().kind()
}

fn streams_and_transports_work_over_a_path_and_tell_their_addresses() {
    // UX-1
    run(async |event_loop, _, directory| {
        let path = directory.join("socket");
        let (trace, kept) = (Trace::new(), Rc::default());
        let echo = Echo(trace.clone(), Rc::clone(&kept));
        let server = event_loop.create_unix_server(move || echo.clone(), &path).await?;
        let addr = Address::from(UnixAddr::from_path(&path)?);
        assert_eq!(server.sockets(), core::slice::from_ref(&addr));
        assert_eq!(server.local_addr().to_string(), "0.0.0.0:0");
        let (mut reader, mut writer) = event_loop.open_unix_connection(&path).await?;
        assert_eq!(writer.peer_addr(), addr);
        assert!(writer.local_addr().unwrap().as_unix().unwrap().is_unnamed());
        writer.write_all(b"hello\n").await?;
        assert_eq!(reader.read_line().await?, b"hello\n");
        assert_eq!(trace.take(), [format!("{} <- (unnamed)", path.display())]);
        writer.write_eof()?;
        assert_eq!(reader.read_line().await?, b"");
        settle(&event_loop).await;
        assert_eq!(server.connections(), 0);
        kept.borrow_mut().clear();
        // A connection from elsewhere.
        let (ours, mut theirs) = UnixStream::pair()?;
        let (transport, _) = event_loop.create_connection_with_sock(Echo::default, ours).await?;
        theirs.write_all(b"x")?;
        settle(&event_loop).await;
        theirs.read_exact(&mut [0])?;
        transport.abort();
        drop((reader, writer));
        end(&server).await
    });
}

fn a_stream_server_at_a_path_serves_lines() {
    // UX-1
    run(async |event_loop, _, directory| {
        let path = directory.join("socket");
        let server = event_loop
            .start_unix_server(&path, async |mut reader: StreamReader, mut writer: StreamWriter| {
                while !reader.at_eof() {
                    writer.write_all(reader.read_line().await?).await?;
                }
                Ok::<(), Error>(())
            })
            .await?;
        for text in ["one\n", "two\n"] {
            let (mut reader, mut writer) = event_loop.open_unix_connection(&path).await?;
            writer.write_all(text.as_bytes()).await?;
            assert_eq!(reader.read_line().await?, text.as_bytes());
        }
        settle(&event_loop).await;
        assert_eq!(server.accepted(), 2);
        end(&server).await
    });
}

fn a_file_that_a_dead_server_left_is_replaced() {
    // UX-2, FAULTS X-02
    run(async |event_loop, _, directory| {
        let path = directory.join("socket");
        leave_dead_socket(&path);
        let server = serve(&event_loop, &path).await?;
        let client = UnixStream::connect(&path)?;
        settle(&event_loop).await;
        assert_eq!(server.connections(), 1);
        drop(client);
        end(&server).await?;
        assert!(!path.exists());
        Ok(())
    });
}

fn a_live_socket_at_the_path_is_left_alone() {
    // UX-2, UX-3; FAULTS X-02
    run(async |event_loop, faults, directory| {
        let path = directory.join("socket");
        // Served by somebody else.
        let live = UnixListener::bind(&path)?;
        let before = inode(&path);
        let failed = serve(&event_loop, &path).await.unwrap_err();
        assert_eq!(failed.as_io().unwrap().kind(), Kind::AddrInUse);
        assert!(failed.to_string().contains(path.to_str().unwrap()), "{failed}");
        assert_eq!(inode(&path), before);
        UnixStream::connect(&path)?;
        drop(live);
        fs::remove_file(&path)?;
        // Served by a second server of ours, also while its backlog is full.
        let server =
            event_loop.create_unix_server(Echo::default, &path).backlog(1).max_connections(1).await?;
        let clients = [UnixStream::connect(&path)?, UnixStream::connect(&path)?];
        settle(&event_loop).await;
        let waiting = UnixStream::connect(&path)?;
        assert_eq!(kind(serve(&event_loop, &path).await), Kind::AddrInUse);
        drop((clients, waiting));
        settle(&event_loop).await;
        // By one of another kind.
        let other = directory.join("datagrams");
        let datagrams = UnixDatagram::bind(&other)?;
        assert_eq!(kind(serve(&event_loop, &other).await), Kind::AddrInUse);
        assert!(other.exists());
        drop(datagrams);
        // By one that can't be asked.
        faults.fail(Operation::Connect, libc::EACCES);
        assert_eq!(kind(serve(&event_loop, &other).await), Kind::AddrInUse);
        faults.fail_nth(Operation::Socket, 2, libc::EMFILE);
        assert_eq!(kind(serve(&event_loop, &other).await), Kind::AddrInUse);
        assert!(other.exists());
        end(&server).await
    });
}

fn whatever_else_is_at_the_path_is_left_alone() {
    // UX-3, FAULTS X-02
    run(async |event_loop, _, directory| {
        let dead = directory.join("dead");
        leave_dead_socket(&dead);
        let paths = ["file", "directory", "dangling", "link"].map(|name| directory.join(name));
        let [file, inner, dangling, link] = &paths;
        fs::write(file, "precious")?;
        fs::create_dir(inner)?;
        symlink(directory.join("nowhere"), dangling)?;
        symlink(&dead, link)?;
        for path in &paths {
            let before = inode(path);
            let failed = serve(&event_loop, path).await.unwrap_err();
            assert_eq!(failed.as_io().unwrap().kind(), Kind::AddrInUse, "{failed}");
            assert!(failed.to_string().contains(path.to_str().unwrap()), "{failed}");
            assert_eq!(inode(path), before);
        }
        assert_eq!(fs::read(file)?, b"precious");
        assert!(dead.exists());
        Ok(())
    });
}

fn abstract_names_touch_no_file_and_keep_their_exact_length() {
    // UX-4, FAULTS X-01
    run(async |event_loop, _, directory| {
        let unique = directory.to_str().unwrap().as_bytes();
        let longest = [unique, &vec![b'x'; UnixAddr::LEN_MAX - unique.len()]].concat();
        let names = [unique.to_vec(), [unique, b"\0"].concat(), [unique, b"\0\xff"].concat(), longest];
        let mut servers = Vec::new();
        // Each is another, though they begin alike.
        for name in &names {
            let text = [b"\0", name.as_slice()].concat();
            let server = serve(&event_loop, OsStr::from_bytes(&text)).await?;
            let bound = server.sockets()[0].clone();
            assert_eq!(bound.as_unix().unwrap().as_abstract_name(), Some(name.as_slice()));
            servers.push((text, server));
        }
        for (text, server) in &servers {
            let path = OsStr::from_bytes(text);
            let (transport, _) = event_loop.create_unix_connection(Echo::default, path).await?;
            assert_eq!(transport.peer_addr(), server.sockets()[0]);
            settle(&event_loop).await;
            assert_eq!((server.accepted(), server.connections()), (1, 1));
            transport.close();
            assert_eq!(kind(serve(&event_loop, path).await), Kind::AddrInUse);
            end(server).await?;
            let gone = event_loop.create_unix_connection(Echo::default, path).await.unwrap_err();
            assert_eq!(gone.as_io().unwrap().kind(), Kind::ConnectionRefused);
        }
        assert_eq!(fs::read_dir(&directory)?.count(), 0);
        let too_long = [b"\0".as_slice(), &[b'x'; UnixAddr::LEN_MAX + 1]].concat();
        assert!(serve(&event_loop, OsStr::from_bytes(&too_long)).await.is_err());
        assert!(serve(&event_loop, "\0").await.is_err(), "no name at all");
        Ok(())
    });
}

/// Finds the reason why something is no address.
fn reason(error: &Error) -> Option<UnixAddrError> {
    core::error::Error::source(error)?.downcast_ref().copied()
}

fn a_path_that_can_not_be_one_fails_before_there_is_a_socket() {
    // UX-5, FAULTS X-01
    run(async |event_loop, faults, directory| {
        let of = |length: usize| {
            let name = "x".repeat(length - directory.as_os_str().len() - 1);
            directory.join(name)
        };
        let bad = [
            (of(UnixAddr::LEN_MAX + 1), UnixAddrError::TooLong { length: UnixAddr::LEN_MAX + 1 }),
            (of(200), UnixAddrError::TooLong { length: 200 }),
            (PathBuf::new(), UnixAddrError::Empty),
            (directory.join("a\0b"), UnixAddrError::Nul),
        ];
        for (path, expected) in bad {
            let failed = serve(&event_loop, &path).await.unwrap_err();
            assert_eq!(reason(&failed), Some(expected));
            let failed = event_loop.open_unix_connection(&path).await.unwrap_err();
            assert_eq!(reason(&failed), Some(expected));
        }
        assert_eq!(faults.calls(Operation::Socket), 0);
        // The longest that fits, text, and what is no text.
        let (longest, text) = (of(UnixAddr::LEN_MAX), directory.join("text").into_os_string());
        let bytes = directory.join(OsStr::from_bytes(b"\xff\xfe"));
        for path in [&longest, Path::new(text.to_str().unwrap()), &bytes] {
            let server = serve(&event_loop, path).await?;
            assert_eq!(server.sockets()[0].as_unix().unwrap().as_path(), Some(path));
            assert!(path.exists(), "not truncated");
            let client = event_loop.open_unix_connection(path).await?;
            settle(&event_loop).await;
            assert_eq!(server.connections(), 1);
            drop(client);
            end(&server).await?;
        }
        assert_eq!(fs::read_dir(&directory)?.count(), 0);
        Ok(())
    });
}

fn a_directory_that_is_missing_or_forbidden_is_the_systems_error() {
    // FAULTS X-01
    run(async |event_loop, faults, directory| {
        let path = directory.join("missing").join("socket");
        let failed = serve(&event_loop, &path).await.unwrap_err();
        assert_eq!(failed.as_io().unwrap().kind(), Kind::NotFound);
        assert!(failed.to_string().contains("missing/socket"), "{failed}");
        faults.fail(Operation::Bind, libc::EACCES);
        assert_eq!(kind(serve(&event_loop, directory.join("socket")).await), Kind::PermissionDenied);
        Ok(())
    });
}

fn the_file_goes_with_the_server_if_it_is_still_its_own() {
    // UX-6, FAULTS X-02
    run(async |event_loop, _, directory| {
        let path = directory.join("socket");
        let first = serve(&event_loop, &path).await?;
        assert!(path.exists());
        // Moved, so that its number can't be used again.
        fs::rename(&path, directory.join("elsewhere"))?;
        let second = serve(&event_loop, &path).await?;
        first.close();
        assert!(path.exists(), "that of the second");
        UnixStream::connect(&path)?;
        second.close();
        assert!(!path.exists());
        // A regular file in its place.
        let third = serve(&event_loop, &path).await?;
        fs::rename(&path, directory.join("elsewhere too"))?;
        fs::write(&path, "precious")?;
        third.close();
        assert_eq!(fs::read(&path)?, b"precious");
        fs::remove_file(&path)?;
        // Gone already; and one that never served.
        let fourth = serve(&event_loop, &path).await?;
        fs::remove_file(&path)?;
        fourth.close();
        drop(event_loop.create_unix_server(Echo::default, &path).start_serving(false).await?);
        assert!(!path.exists());
        // A socket that somebody else has bound keeps its file.
        let listener = UnixListener::bind(&path)?;
        let fifth = event_loop.create_server_with_sock(Echo::default, listener).await?;
        assert_eq!(fifth.sockets()[0].as_unix().unwrap().as_path(), Some(path.as_path()));
        fifth.close();
        assert!(path.exists());
        settle(&event_loop).await;
        Ok(())
    });
}

fn closing_the_loop_removes_the_file() {
    // UX-6
    let directory = Directory::new();
    let path = directory.0.join("socket");
    let event_loop = EventLoop::with_config(small()).unwrap();
    drop(event_loop.run_until_complete(event_loop.create_unix_server(Echo::default, &path)).unwrap());
    assert!(path.exists());
    drop(event_loop);
    assert!(!path.exists());
}

fn a_server_that_fails_unlinks_what_it_made_and_nothing_else() {
    // UX-6, FAULTS X-02
    run(async |event_loop, faults, directory| {
        let path = directory.join("socket");
        for operation in [Operation::LocalAddr, Operation::Listen, Operation::Register] {
            faults.fail(operation, libc::ENOMEM);
            assert_eq!(kind(serve(&event_loop, &path).await), Kind::OutOfMemory, "{operation:?}");
            assert!(!path.exists(), "{operation:?}");
        }
        // What is left of a dead one stays when it can't be replaced.
        leave_dead_socket(&path);
        let before = inode(&path);
        for (operation, nth) in [(Operation::Unlink, 1), (Operation::Bind, 1)] {
            faults.fail_nth(operation, nth, libc::EACCES);
            assert_eq!(kind(serve(&event_loop, &path).await), Kind::PermissionDenied);
            assert_eq!(inode(&path), before);
        }
        Ok(())
    });
}

fn connecting_to_nobody_is_an_error_that_names_the_path() {
    // UX-7
    run(async |event_loop, faults, directory| {
        let path = directory.join("socket");
        let missing = event_loop.open_unix_connection(&path).await.unwrap_err();
        assert_eq!(missing.as_io().unwrap().kind(), Kind::NotFound);
        assert!(missing.to_string().contains(path.to_str().unwrap()), "{missing}");
        assert!(missing.to_string().starts_with("open_connection: "), "{missing}");
        leave_dead_socket(&path);
        let dead = event_loop.create_unix_connection(Echo::default, &path).await.unwrap_err();
        assert_eq!(dead.as_io().unwrap().kind(), Kind::ConnectionRefused);
        for operation in [Operation::Socket, Operation::Connect] {
            faults.fail(operation, libc::ENOMEM);
            let failed = event_loop.open_unix_connection(&path).await.unwrap_err();
            assert_eq!(failed.as_io().unwrap().kind(), Kind::OutOfMemory, "{operation:?}");
        }
        let _live = {
            fs::remove_file(&path)?;
            UnixListener::bind(&path)?
        };
        faults.fail(Operation::Register, libc::ENOSPC);
        let failed = event_loop.open_unix_connection(&path).await.unwrap_err();
        assert_eq!(failed.as_io().unwrap().kind(), Kind::StorageFull);
        Ok(())
    });
}

fn a_full_backlog_is_tried_again_by_the_clock_until_there_is_room() {
    // UX-7
    run(async |event_loop, faults, directory| {
        let path = directory.join("socket");
        let server =
            event_loop.create_unix_server(Echo::default, &path).backlog(1).max_connections(1).await?;
        let served = UnixStream::connect(&path)?;
        settle(&event_loop).await;
        let waiting = [UnixStream::connect(&path)?, UnixStream::connect(&path)?];
        let connect =
            async |event_loop: EventLoopHandle, path: PathBuf| event_loop.open_unix_connection(&path).await;
        let task = event_loop.create_task(connect(event_loop.clone(), path.clone()))?;
        let cancelled = event_loop.create_task(connect(event_loop.clone(), path.clone()))?;
        event_loop.sleep(Duration::from_secs(1)).await?;
        assert!(!task.done());
        // Ever more slowly: some ten times in the first second, and not without a rest.
        let calls = faults.calls(Operation::Connect);
        assert!((10..60).contains(&calls), "{calls}");
        cancelled.cancel();
        assert!(matches!(cancelled.await, Err(TaskError::Cancelled)));
        // Not only closed: a process that another test starts may hold it for a while.
        served.shutdown(Shutdown::Both)?;
        event_loop.sleep(Duration::from_secs(1)).await?;
        assert!(task.done());
        let (reader, writer) = task.await??;
        drop((reader, writer, waiting));
        settle(&event_loop).await;
        assert_eq!(server.accepted(), 4);
        end(&server).await
    });
}

/// Sends one byte and with it `count` copies of `descriptor`.
fn pass(socket: &UnixStream, descriptor: RawFd, count: usize) {
    let descriptors = vec![descriptor; count];
    let bytes = size_of_val(descriptors.as_slice());
    let mut byte = *b"x";
    let mut slice = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: sizes only.
    let space = unsafe { libc::CMSG_SPACE(bytes as u32) } as usize;
    let mut control = vec![0_u64; space.div_ceil(8)];
    // SAFETY: zeros are a valid message; the pointers that are put into it outlive the call, and the
    // control buffer has room for a header and `bytes`.
    let sent = unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = space as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes as u32) as _;
        core::ptr::copy_nonoverlapping(descriptors.as_ptr().cast(), libc::CMSG_DATA(header), bytes);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, 0)
    };
    assert_eq!(sent, 1, "{}", std::io::Error::last_os_error());
}

fn x03_descriptors_that_a_peer_passes_are_closed_unseen() {
    run(async |event_loop, _, directory| {
        let path = directory.join("socket");
        let trace = Trace::new();
        let kept = Rc::new(RefCell::new(Vec::new()));
        let echo = Echo(trace.clone(), Rc::clone(&kept));
        let server = event_loop.create_unix_server(move || echo.clone(), &path).await?;
        // Read by a protocol; by a stream; by nobody, who aborts.
        for receiver in ["protocol", "stream", "nobody"] {
            let (mut ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut socket = UnixStream::connect(&path)?;
            settle(&event_loop).await;
            match receiver {
                "protocol" => {
                    pass(&socket, theirs.as_raw_fd(), 253);
                    settle(&event_loop).await;
                    socket.read_exact(&mut [0])?;
                }
                "stream" => {
                    let (one, other) = UnixStream::pair()?;
                    let (mut reader, writer) = event_loop.open_connection_with_sock(one).await?;
                    pass(&other, theirs.as_raw_fd(), 253);
                    reader.read_exactly(&mut [0]).await?;
                    drop((reader, writer));
                }
                _ => {
                    kept.borrow().last().unwrap().pause_reading();
                    pass(&socket, theirs.as_raw_fd(), 253);
                    settle(&event_loop).await;
                    server.abort_clients();
                    settle(&event_loop).await;
                }
            }
            drop(theirs);
            assert_eq!(ours.read(&mut [0])?, 0, "{receiver}: no copy is left");
            kept.borrow_mut().clear();
        }
        end(&server).await
    });
}

fn a_kernel_without_descriptors_refuses() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    let server = event_loop.create_unix_server(Echo::default, "/nowhere/socket");
    assert_eq!(event_loop.run_until_complete(server).unwrap_err().kind(), ErrorKind::Io);
}
