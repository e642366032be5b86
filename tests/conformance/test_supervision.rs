//! Life under a supervisor: socket activation (sd_listen_fds(3)), sd_notify(3), the watchdog, and
//! the limits of the process. Where the environment counts, a test starts itself once more.

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rondel::{
    EventLoop, ListenFdKind, ListenFdsError, Notifier, NotifyError, StreamReader, StreamWriter, UnixAddr,
    listen_fds,
};

use crate::fixture::{ALONE, log_lines, logged, manual_with, real, reports, small};

/// Runs `body` in a process that `script` starts, with `fds` as its descriptors from 3 on: the test
/// `name` starts itself once more.
fn launched(name: &str, script: &str, fds: &[BorrowedFd<'_>], envs: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let binary = std::env::current_exe().unwrap();
    let script = format!("{script} exec \"$0\" --exact {test} --test-threads=1");
    // Out of the way of the numbers that they are to have.
    let high: Vec<OwnedFd> = fds.iter().map(duplicate).collect();
    let numbers: Vec<RawFd> = high.iter().map(AsRawFd::as_raw_fd).collect();
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(binary).env(ALONE, "1").env_remove("NOTIFY_SOCKET");
    command.envs(envs.iter().copied());
    // SAFETY: `dup2` may be called between fork and exec, and nothing else is.
    unsafe {
        command.pre_exec(move || {
            for (&from, to) in numbers.iter().zip(3..) {
                libc::dup2(from, to);
            }
            Ok(())
        });
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn duplicate(fd: &BorrowedFd<'_>) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: no pointers; the number that comes back is nobody else's.
    unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100)) }
}

fn is_closed_on_exec(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

fn is_open(fd: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

#[test]
fn sockets_are_handed_over_once_with_name_and_kind_and_are_closed_on_exec() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (fifo, _writer) = std::io::pipe().unwrap();
    let fds = [tcp.as_fd(), udp.as_fd(), fifo.as_fd()];
    let names = ("LISTEN_FDNAMES", "http:syslog:control");
    let name = "sockets_are_handed_over_once_with_name_and_kind_and_are_closed_on_exec";
    launched(name, "LISTEN_PID=$$ LISTEN_FDS=3", &fds, &[names], || {
        let taken = listen_fds().unwrap();
        let all: Vec<_> = taken.iter().map(|fd| (fd.name(), fd.kind(), fd.as_fd().as_raw_fd())).collect();
        let expected = [
            ("http", ListenFdKind::Listener, 3),
            ("syslog", ListenFdKind::Datagram, 4),
            ("control", ListenFdKind::Fifo, 5),
        ];
        assert_eq!(all, expected);
        assert!((3..6).all(is_closed_on_exec));
        assert_eq!(listen_fds().unwrap().len(), 0, "nobody gets them twice");
        drop(taken);
        assert!(!is_open(3), "they are the taker's");
    });
}

#[test]
fn a_server_serves_a_socket_that_the_supervisor_opened() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = tcp.local_addr().unwrap();
    // Comes before the service runs, and waits: what activation is for.
    let mut client = TcpStream::connect(addr).unwrap();
    client.write_all(b"hello\n").unwrap();
    let name = "a_server_serves_a_socket_that_the_supervisor_opened";
    launched(name, "LISTEN_PID=$$ LISTEN_FDS=1", &[tcp.as_fd()], &[], || {
        let event_loop = real();
        let handle = event_loop.handle();
        let served = event_loop.run_until_complete(async move {
            let fd = listen_fds()?.remove(0);
            assert_eq!(fd.name(), "unknown");
            let done = handle.create_future::<()>()?;
            let served = done.clone();
            let serve = move |mut reader: StreamReader, mut writer: StreamWriter| {
                let served = served.clone();
                async move {
                    let line = reader.read_line().await?.to_vec();
                    writer.write_all(&line).await?;
                    served.set_result(())?;
                    rondel::Result::<()>::Ok(())
                }
            };
            let server = handle.start_server_with_sock(fd, serve).await?;
            done.await?;
            server.close();
            rondel::Result::<()>::Ok(())
        });
        served.unwrap();
    });
    if std::env::var_os(ALONE).is_none() {
        drop(tcp);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello\n");
    }
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = "sockets_of_another_process_are_left_alone";
    // As when a launcher starts the program instead of becoming it.
    launched(name, "LISTEN_PID=1 LISTEN_FDS=1", &[tcp.as_fd()], &[], || {
        assert_eq!(listen_fds().unwrap().len(), 0);
        assert!(is_open(3) && !is_closed_on_exec(3));
    });
}

#[test]
fn a_closed_descriptor_is_a_typed_error_that_takes_nothing() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = "a_closed_descriptor_is_a_typed_error_that_takes_nothing";
    launched(name, "LISTEN_PID=$$ LISTEN_FDS=2000000", &[tcp.as_fd()], &[], || {
        for _ in 0..2 {
            let error = listen_fds().unwrap_err();
            // What the test harness has opened by itself comes before.
            assert!(matches!(error, ListenFdsError::NotOpen { fd: 4..20 }), "{error}");
        }
        assert!(is_open(3) && !is_closed_on_exec(3));
    });
}

/// Returns what came so far.
fn heard(socket: &UnixDatagram) -> Vec<String> {
    socket.set_nonblocking(true).unwrap();
    let mut messages = Vec::new();
    let mut buffer = [0; 1000];
    while let Ok(length) = socket.recv(&mut buffer) {
        messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    messages
}

/// Makes the socket of a supervisor, at an abstract name of this test's own.
fn supervisor(test: &str) -> (UnixDatagram, UnixAddr) {
    let name = format!("rondel-{}-{test}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    (socket, UnixAddr::from_abstract_name(&name).unwrap())
}

#[test]
fn messages_are_what_sd_notify_wants() {
    let path = std::env::temp_dir().join(format!("rondel-notify-{}", std::process::id()));
    let at_path = UnixDatagram::bind(&path).unwrap();
    let (abstract_one, name) = supervisor("messages");
    let event_loop = EventLoop::with_manual_clock(small()).unwrap().0;
    for (socket, addr) in [(&at_path, UnixAddr::from_path(&path).unwrap()), (&abstract_one, name)] {
        let notifier = Notifier::to(&event_loop, &addr).unwrap();
        assert!(notifier.is_supervised());
        notifier.ready().unwrap();
        notifier.status("serving 3 clients; a=b").unwrap();
        notifier.main_pid(4711).unwrap();
        notifier.errno(2).unwrap();
        notifier.extend_timeout(Duration::from_millis(1500)).unwrap();
        notifier.watchdog().unwrap();
        notifier.set_watchdog_interval(Duration::from_secs(20)).unwrap();
        notifier.trigger_watchdog().unwrap();
        notifier.stopping().unwrap();
        let expected = [
            "READY=1",
            "STATUS=serving 3 clients; a=b",
            "MAINPID=4711",
            "ERRNO=2",
            "EXTEND_TIMEOUT_USEC=1500000",
            "WATCHDOG=1",
            "WATCHDOG_USEC=20000000",
            "WATCHDOG=trigger",
            "STOPPING=1",
        ];
        assert_eq!(heard(socket), expected);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_reload_says_when_it_began_on_the_clock_of_the_system() {
    let (socket, addr) = supervisor("reload");
    let event_loop = real();
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    let uptime = || {
        let mut spec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `spec` is good for writing.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut spec) }, 0);
        spec.tv_sec * 1_000_000 + spec.tv_nsec / 1000
    };
    let before = uptime();
    notifier.reloading().unwrap();
    let after = uptime();
    let messages = heard(&socket);
    let said = messages[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("two variables");
    assert!((before..=after).contains(&said.parse().unwrap()), "{messages:?}");
}

#[test]
fn a_status_can_not_smuggle_in_another_message() {
    let (socket, addr) = supervisor("status");
    let event_loop = real();
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    assert!(matches!(notifier.status("fine\nMAINPID=1"), Err(NotifyError::Newline)));
    assert_eq!(heard(&socket), [""; 0]);
}

#[test]
fn a_supervisor_without_room_is_an_error_and_holds_nobody_up() {
    let (socket, addr) = supervisor("room");
    let event_loop = real();
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    let error = (0..100_000).find_map(|_| notifier.watchdog().err()).expect("some time it is full");
    assert!(matches!(error, NotifyError::Io(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    assert!(!heard(&socket).is_empty());
    notifier.ready().unwrap();
    assert_eq!(heard(&socket), ["READY=1"]);
}

#[test]
fn the_environment_says_whom_to_tell() {
    let (socket, addr) = supervisor("environment");
    let name = "the_environment_says_whom_to_tell";
    launched(name, "", &[], &[("NOTIFY_SOCKET", &addr.to_string())], || {
        let event_loop = real();
        Notifier::from_env(&event_loop).unwrap().ready().unwrap();
    });
    if std::env::var_os(ALONE).is_none() {
        assert_eq!(heard(&socket), ["READY=1"]);
    }
}

#[test]
fn without_a_supervisor_nothing_happens() {
    launched("without_a_supervisor_nothing_happens", "unset WATCHDOG_USEC;", &[], &[], || {
        let event_loop = real();
        let notifier = Notifier::from_env(&event_loop).unwrap();
        assert!(!notifier.is_supervised());
        notifier.ready().unwrap();
        notifier.reloading().unwrap();
        let feeding = notifier.feed_watchdog().unwrap();
        assert_eq!(feeding.interval(), None);
        assert_eq!(event_loop.statistics().timers, 0);
    });
}

#[test]
fn an_address_that_is_none_is_a_typed_error() {
    let name = "an_address_that_is_none_is_a_typed_error";
    launched(name, "", &[], &[("NOTIFY_SOCKET", "vsock:2:1234")], || {
        assert!(matches!(Notifier::from_env(&real()), Err(NotifyError::Vsock)));
    });
}

#[test]
fn the_environment_says_how_often_to_feed_the_watchdog() {
    let (socket, addr) = supervisor("interval");
    let name = "the_environment_says_how_often_to_feed_the_watchdog";
    let envs = [("NOTIFY_SOCKET", &*addr.to_string()), ("WATCHDOG_USEC", "2000000")];
    launched(name, "WATCHDOG_PID=$$", &[], &envs, || {
        let event_loop = real();
        let feeding = Notifier::from_env(&event_loop).unwrap().feed_watchdog().unwrap();
        assert_eq!(feeding.interval(), Some(Duration::from_secs(2)));
    });
    if std::env::var_os(ALONE).is_none() {
        assert_eq!(heard(&socket), ["WATCHDOG=1"]);
    }
}

#[test]
fn the_watchdog_is_fed_at_each_half_of_its_interval_until_the_feeding_is_dropped() {
    let (socket, addr) = supervisor("halves");
    let (event_loop, clock) = manual_with(small());
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    let feeding = notifier.feed_watchdog_within(Duration::from_secs(10)).unwrap();
    let mut meals = heard(&socket).len();
    assert_eq!(meals, 1, "at once");
    event_loop.run_until_complete(event_loop.sleep(Duration::from_secs(23))).unwrap();
    meals += heard(&socket).len();
    assert_eq!(meals, 5, "and at 5, 10, 15 and 20 s");
    assert_eq!(clock.now().as_nanos(), 23_000_000_000);
    drop(feeding);
    assert_eq!(event_loop.statistics().timers, 0);
    event_loop.run_until_complete(event_loop.sleep(Duration::from_secs(60))).unwrap();
    assert_eq!(heard(&socket), [""; 0]);
}

#[test]
fn a_loop_that_stands_still_does_not_feed_the_watchdog() {
    let (socket, addr) = supervisor("stands-still");
    let (event_loop, clock) = manual_with(small());
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    let _feeding = notifier.feed_watchdog_within(Duration::from_secs(10)).unwrap();
    assert_eq!(heard(&socket).len(), 1);
    let during = socket.try_clone().unwrap();
    event_loop
        .call_soon(move |_| {
            // Ten intervals in one callback: a supervisor would have ended the service.
            clock.advance(Duration::from_secs(100));
            assert_eq!(heard(&during), [""; 0]);
        })
        .unwrap();
    event_loop.run_until_complete(event_loop.sleep(Duration::ZERO)).unwrap();
    assert_eq!(heard(&socket).len(), 1, "once it turns again, and nothing is made up for");
}

#[test]
fn a_meal_that_is_refused_is_reported_and_the_next_is_on_time() {
    let (socket, addr) = supervisor("refused");
    let (event_loop, _clock) = manual_with(small());
    let reports = reports(&event_loop);
    let notifier = Notifier::to(&event_loop, &addr).unwrap();
    while notifier.watchdog().is_ok() {}
    let _feeding = notifier.feed_watchdog_within(Duration::from_secs(10)).unwrap();
    let reported = reports.take();
    assert!(reported.len() == 1 && reported[0].starts_with("the watchdog was not fed: "), "{reported:?}");
    heard(&socket);
    event_loop.run_until_complete(event_loop.sleep(Duration::from_secs(6))).unwrap();
    assert_eq!(heard(&socket), ["WATCHDOG=1"]);
}

#[test]
fn the_soft_limit_of_open_files_can_be_raised_to_the_hard_one() {
    let name = "the_soft_limit_of_open_files_can_be_raised_to_the_hard_one";
    launched(name, "ulimit -S -n 100; ulimit -H -n 200;", &[], &[], || {
        let event_loop = real();
        let limits = event_loop.process_limits().unwrap();
        assert_eq!(limits.open_files.to_string(), "100 of 200");
        assert_eq!(event_loop.raise_open_files().unwrap().to_string(), "200");
        assert_eq!(event_loop.process_limits().unwrap().open_files.soft, Some(200));
        assert_eq!(event_loop.raise_open_files().unwrap().soft, Some(200), "again changes nothing");
    });
}

#[test]
fn the_limits_are_logged_when_a_loop_is_made() {
    let name = "the_limits_are_logged_when_a_loop_is_made";
    launched(name, "ulimit -n 100; ulimit -c 0;", &[], &[], || {
        log_lines();
        drop(real());
        let lines = logged(log::Level::Info);
        assert!(lines[0].starts_with("limits of the process: open files 100, processes "), "{lines:?}");
        assert!(lines[0].contains(", core file 0, "), "{lines:?}");
        assert_eq!(lines.len(), 1, "16 descriptors are within the limit: {lines:?}");
        drop(EventLoop::new().unwrap());
        let warned = "the loop may watch 16384 descriptors, the process may open 100";
        assert_eq!(logged(log::Level::Info).get(1).map(String::as_str), Some(warned));
    });
}

#[test]
fn a_loop_without_an_operating_system_has_neither_limits_nor_a_supervisor() {
    let event_loop = EventLoop::without_descriptors(small()).unwrap();
    assert!(event_loop.process_limits().is_err());
    assert!(event_loop.raise_open_files().is_err());
    let addr = UnixAddr::from_path("/run/notify").unwrap();
    assert!(matches!(Notifier::to(&event_loop, &addr), Err(NotifyError::Io(_))));
}
