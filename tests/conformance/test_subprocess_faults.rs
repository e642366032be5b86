//! Child processes when things go wrong: reaped by others, refused by the system, given up at every
//! stage, killed with their parent.
//!
//! Dispositions, limits and identities belong to the process, and so do children: what changes them,
//! or counts them, has a process of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio as StdStdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rondel::{
    Config, CreateSubprocess, EventLoop, EventLoopHandle, ExitStatus, Operation, Process, ProcessLimit,
    Result, Signal, Stdio,
};

use crate::fixture::{
    ALONE, alone, descriptors, first_of_a_namespace, log_lines, logged, manual_with, skip, small,
};

/// Runs `test` in a loop that can make as many processes as it likes.
fn with_loop<R: 'static>(test: impl AsyncFnOnce(EventLoopHandle) -> Result<R>) -> R {
    let (event_loop, _clock) = manual_with(large());
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(test(handle)).expect("no error");
    assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    result
}

fn large() -> Config {
    Config { calls: 1024, futures: 512, descriptors: 512, children: 512, ..small() }
}

fn sleeper(event_loop: &EventLoopHandle) -> CreateSubprocess {
    event_loop.create_subprocess_exec("sleep").arg("1000")
}

/// Returns a file without a name, and a second descriptor of it for a child.
fn file() -> (File, Stdio) {
    // SAFETY: a string; the descriptor is nobody else's.
    let file = unsafe {
        let fd = libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC);
        assert_ne!(fd, -1);
        <File as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    let theirs = file.try_clone().expect("a descriptor");
    (file, theirs.into())
}

/// Reads what children have written.
fn written(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().expect("rewound");
    file.read_to_string(&mut text).expect("read");
    text
}

/// Runs a program to its end, and returns its output.
fn output_of(program: impl FnOnce(&EventLoopHandle) -> CreateSubprocess) -> String {
    let (file, theirs) = file();
    with_loop(async move |event_loop| {
        let status = program(&event_loop).stdout(theirs).await?.wait().await?;
        assert_eq!(status, ExitStatus::Code(0));
        Ok(())
    });
    written(file)
}

fn errno(error: &rondel::Error) -> Option<i32> {
    error.as_io()?.raw_os_error()
}

fn is_no_such_process(result: Result<()>) -> bool {
    let error = result.expect_err("no such process");
    error.as_io().map(std::io::Error::kind) == Some(std::io::ErrorKind::NotFound)
}

/// Waits for any child, as a host might, or only looks; `None` if there is none.
fn wait_for_any(options: i32) -> Option<i32> {
    // SAFETY: a status isn't asked for.
    let pid = unsafe { libc::waitpid(-1, core::ptr::null_mut(), options) };
    (pid != -1).then_some(pid)
}

fn has_children() -> bool {
    wait_for_any(libc::WNOHANG).is_some()
}

/// Returns the signals that the thread blocks.
fn signal_mask() -> Vec<i32> {
    // SAFETY: all zeros is a valid set, which is filled in.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut set);
        (1..=64).filter(|&signal| libc::sigismember(&raw const set, signal) == 1).collect()
    }
}

fn set_disposition(signal: Signal, disposition: usize) {
    // SAFETY: to ignore, or a handler that does nothing.
    unsafe { libc::signal(signal.as_raw(), disposition) };
}

/// Returns a field of `/proc/PID/stat`, counted from 1 as in proc(5), from the third on.
fn stat(pid: u32, field: usize) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("procfs");
    let (_, fields) = text.rsplit_once(") ").expect("a name in parentheses");
    fields.split(' ').nth(field - 3).expect("so many fields").into()
}

/// Makes a loop that has pidfds, and one that has none, and so a thread for each child.
fn both_ways(test: impl Fn(&EventLoop)) {
    let (with_pidfd, _clock) = manual_with(small());
    test(&with_pidfd);
    let (without, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
    faults.fail_every(Operation::OpenPidfd, libc::ENOSYS);
    test(&without);
}

#[test]
fn r02_with_sigchld_ignored_an_end_is_unknown_told_once_and_nothing_is_left() {
    alone(
        "test_subprocess_faults::r02_with_sigchld_ignored_an_end_is_unknown_told_once_and_nothing_is_left",
        64,
        || {
            set_disposition(Signal::SIGCHLD, libc::SIG_IGN);
            both_ways(|event_loop| {
                log_lines();
                let before = descriptors();
                let handle = event_loop.handle();
                let ended = event_loop.run_until_complete(async move {
                    let process = handle.create_subprocess_shell("exit 3").await?;
                    let ends = [process.wait().await?, process.wait().await?];
                    assert_eq!(ends, [ExitStatus::Unknown; 2]);
                    assert_eq!(process.returncode().map(ExitStatus::returncode), Some(255));
                    assert!(is_no_such_process(process.kill()));
                    // A start that fails says so, although nobody can wait for what it leaves.
                    let missing = handle.create_subprocess_exec("/nowhere/at/all").await.unwrap_err();
                    assert_eq!(errno(&missing), Some(libc::ENOENT));
                    Ok::<_, rondel::Error>(())
                });
                ended.expect("no error");
                let told = logged(log::Level::Warn);
                assert_eq!(told.iter().filter(|line| line.contains("unknown child process")).count(), 1);
                assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
                assert_eq!((descriptors(), has_children()), (before, false));
            });
        },
    );
}

#[test]
fn r02_a_child_that_the_host_reaps_ends_unknown_once_and_nothing_is_left() {
    alone(
        "test_subprocess_faults::r02_a_child_that_the_host_reaps_ends_unknown_once_and_nothing_is_left",
        64,
        || {
            both_ways(|event_loop| {
                let before = descriptors();
                let handle = event_loop.handle();
                let ended = event_loop.run_until_complete(async move {
                    let process = sleeper(&handle).await?;
                    process.kill()?;
                    assert_eq!(wait_for_any(0), Some(process.pid() as i32));
                    assert_eq!(process.wait().await?, ExitStatus::Unknown);
                    assert!(is_no_such_process(process.terminate()));
                    // Also if it is the signal that finds out.
                    let process = sleeper(&handle).await?;
                    process.kill()?;
                    assert_eq!(wait_for_any(0), Some(process.pid() as i32));
                    assert!(is_no_such_process(process.terminate()));
                    assert_eq!(process.wait().await?, ExitStatus::Unknown);
                    Ok::<_, rondel::Error>(())
                });
                ended.expect("no error");
                assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
                // A thread that has waited for one may not have ended yet.
                while descriptors() > before {
                    thread::yield_now();
                }
            });
        },
    );
}

#[test]
fn r01_sb9_a_stranger_that_got_the_number_of_a_child_gets_no_signal() {
    first_of_a_namespace(
        "test_subprocess_faults::r01_sb9_a_stranger_that_got_the_number_of_a_child_gets_no_signal",
        || {
            with_loop(async |event_loop| {
                let process = sleeper(&event_loop).await?;
                process.kill()?;
                assert_eq!(wait_for_any(0), Some(process.pid() as i32));
                let mut stranger = with_number(process.pid());
                assert!(is_no_such_process(process.send_signal(Signal::SIGTERM)));
                assert!(is_no_such_process(process.kill()));
                assert_eq!(stranger.try_wait().expect("a child"), None, "it lives");
                stranger.kill().expect("killed");
                let end = stranger.wait().expect("waited for");
                assert_eq!(end.signal(), Some(libc::SIGKILL), "and was not asked to end before");
                assert_eq!(process.wait().await?, ExitStatus::Unknown);
                Ok(())
            });
        },
    );
}

/// Starts a process that gets a number which another had.
fn with_number(number: u32) -> std::process::Child {
    loop {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).expect("the first's right");
        let mut process = Command::new("sleep").arg("1000").spawn().expect("a process");
        if process.id() == number {
            return process;
        }
        // A thread of the harness was faster.
        process.kill().expect("killed");
        process.wait().expect("waited for");
    }
}

#[test]
fn r03_sb2_children_given_up_at_every_stage_leave_no_zombie_and_no_descriptor() {
    alone(
        "test_subprocess_faults::r03_sb2_children_given_up_at_every_stage_leave_no_zombie_and_no_descriptor",
        128,
        || {
            let (event_loop, _clock, faults) = EventLoop::with_faults(large()).expect("a loop");
            // What the first start opens for good is not counted.
            run_to_the_end(&event_loop, async |event_loop| sleeper(event_loop).kill_on_drop(true).await);
            let before = descriptors();
            for _ in 0..20 {
                run_to_the_end(&event_loop, async |event_loop| {
                    drop(sleeper(event_loop));
                    drop(sleeper(event_loop).into_future());
                    drop(sleeper(event_loop).kill_on_drop(true).await?);
                    drop(event_loop.create_subprocess_exec("true").stdin(Stdio::null()).await?);
                    let waits = sleeper(event_loop).kill_on_drop(true).await?;
                    let task = event_loop.create_task(async move { waits.wait().await })?;
                    event_loop.yield_now().await?;
                    task.cancel();
                    assert!(task.await.is_err());
                    for (operation, number) in [
                        (Operation::Spawn, libc::EAGAIN),
                        // After the fork.
                        (Operation::Register, libc::ENOSPC),
                    ] {
                        faults.fail(operation, number);
                        assert_eq!(errno(&sleeper(event_loop).await.unwrap_err()), Some(number));
                    }
                    assert!(sleeper(event_loop).cwd("/nowhere").await.is_err());
                    Ok(())
                });
                assert_eq!((event_loop.watched_descriptors(), has_children()), (0, false));
                assert_eq!(descriptors(), before);
            }
        },
    );
}

/// Runs `test`, and then the loop until it has no process left.
fn run_to_the_end<R: 'static>(event_loop: &EventLoop, test: impl AsyncFnOnce(&EventLoopHandle) -> Result<R>) {
    let handle = event_loop.handle();
    let ended = event_loop.run_until_complete(async move {
        test(&handle).await?;
        while handle.child_processes() > 0 {
            handle.yield_now().await?;
        }
        Ok::<_, rondel::Error>(())
    });
    ended.expect("no error");
}

/// Tries to start a process, which must fail with `number`, and looks that nothing is left.
fn fails(create: impl FnOnce(&EventLoopHandle) -> CreateSubprocess, number: i32) {
    let (event_loop, _clock) = manual_with(small());
    let (mask, before) = (signal_mask(), descriptors());
    let create = create(&event_loop);
    let failed = event_loop.run_until_complete(async move { create.await.map(drop) }).unwrap_err();
    assert_eq!(errno(&failed), Some(number), "{failed}");
    assert_eq!((signal_mask(), descriptors(), has_children()), (mask, before, false), "{failed}");
}

#[test]
fn r06_a_program_that_can_not_be_executed_fails_the_call_and_leaves_nothing() {
    alone(
        "test_subprocess_faults::r06_a_program_that_can_not_be_executed_fails_the_call_and_leaves_nothing",
        64,
        || {
            let folder = std::env::temp_dir().join(format!("rondel-r06-{}", std::process::id()));
            std::fs::create_dir(&folder).expect("a folder");
            let make = |name: &str, text: &str, mode: u32| {
                let path = folder.join(name);
                std::fs::write(&path, text).expect("written");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("allowed");
                path
            };
            fn exec(program: impl AsRef<OsStr>) -> impl FnOnce(&EventLoopHandle) -> CreateSubprocess {
                move |event_loop| event_loop.create_subprocess_exec(program.as_ref())
            }
            fails(exec(folder.join("missing")), libc::ENOENT);
            fails(exec(make("forbidden", "#!/bin/sh\n", 0o600)), libc::EACCES);
            fails(exec(make("headless", "echo no first line\n", 0o700)), libc::ENOEXEC);
            fails(exec(make("lost", "#!/nowhere/at/all\n", 0o700)), libc::ENOENT);
            let (missing, no_folder) = (folder.join("missing"), folder.join("headless"));
            fails(|event_loop| exec("true")(event_loop).cwd(missing), libc::ENOENT);
            fails(|event_loop| exec("true")(event_loop).cwd(no_folder), libc::ENOTDIR);
            fails(|event_loop| exec("true")(event_loop).arg("x".repeat(1 << 20)), libc::E2BIG);
            fails(|event_loop| exec("true")(event_loop).process_group(i32::MAX), libc::EPERM);
            fails(|event_loop| exec("true")(event_loop).parent_death_signal(1000), libc::EINVAL);
            let limit = ProcessLimit::Core;
            fails(|event_loop| exec("true")(event_loop).resource_limit(limit, 2, 1), libc::EINVAL);
            std::fs::remove_dir_all(folder).expect("removed");
        },
    );
}

/// Sets the limit of a resource that counts, and returns what it was.
fn set_limit(resource: libc::__rlimit_resource_t, soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: good for reading and for writing.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        let former = core::mem::replace(&mut limit.rlim_cur, soft);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
        former
    }
}

#[test]
fn r06_without_a_free_descriptor_the_call_fails_and_leaves_nothing() {
    alone(
        "test_subprocess_faults::r06_without_a_free_descriptor_the_call_fails_and_leaves_nothing",
        64,
        || {
            let (event_loop, _clock) = manual_with(small());
            let run = |stdin: fn() -> Stdio, limit: u64| {
                let create = sleeper(&event_loop).stdin(stdin()).kill_on_drop(true);
                let former = set_limit(libc::RLIMIT_NOFILE, limit);
                let started = event_loop.run_until_complete(async move { create.await.map(drop) });
                set_limit(libc::RLIMIT_NOFILE, former);
                started
            };
            for stdin in [Stdio::inherit, Stdio::null] {
                let (mask, before) = (signal_mask(), descriptors());
                // Each descriptor that is opened on the way is once the one too many.
                let limit = (3..64).find(|&limit| match run(stdin, limit) {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(errno(&error), Some(libc::EMFILE), "{error}");
                        assert_eq!(
                            (signal_mask(), descriptors(), has_children()),
                            (mask.clone(), before, false)
                        );
                        assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
                        false
                    }
                });
                assert!(limit.is_some_and(|limit| limit > 3), "{limit:?}");
                run_to_the_end(&event_loop, async |_| Ok(()));
            }
        },
    );
}

#[test]
fn r06_without_room_for_a_process_the_call_fails_and_leaves_nothing() {
    const NOBODY: u32 = 65_534;
    alone(
        "test_subprocess_faults::r06_without_room_for_a_process_the_call_fails_and_leaves_nothing",
        64,
        || {
            // SAFETY: no pointers. The limit is none for root.
            let is_bound = unsafe { libc::geteuid() != 0 || libc::setresuid(NOBODY, NOBODY, NOBODY) == 0 };
            if !is_bound {
                return skip("no identity that a limit of processes binds");
            }
            // Else what `/proc` tells of the process is root's.
            // SAFETY: no pointers.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
            set_limit(libc::RLIMIT_NPROC, 0);
            fails(sleeper, libc::EAGAIN);
        },
    );
}

#[test]
fn r08_a_program_has_no_signal_blocked_and_ignores_only_what_is_ignored_on_purpose() {
    extern "C" fn handler(_: i32) {}
    alone(
        "test_subprocess_faults::r08_a_program_has_no_signal_blocked_and_ignores_only_what_is_ignored_on_purpose",
        64,
        || {
            let handler: extern "C" fn(i32) = handler;
            for signal in [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD, Signal::SIGHUP] {
                set_disposition(signal, libc::SIG_IGN);
            }
            set_disposition(Signal::SIGUSR2, handler as usize);
            // SAFETY: a set that is made first.
            unsafe {
                let mut set = core::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                for blocked in [libc::SIGUSR1, libc::SIGTERM, libc::SIGRTMIN()] {
                    libc::sigaddset(&raw mut set, blocked);
                }
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut());
            }
            let mask = signal_mask();
            let (file, theirs) = file();
            let (event_loop, _clock) = manual_with(small());
            let ended = event_loop.run_until_complete(async {
                let cat = event_loop.create_subprocess_exec("cat").arg("/proc/self/status");
                cat.stdout(theirs).await?.wait().await
            });
            // Ours is ignored still, so nobody knows.
            assert_eq!(ended.expect("no error"), ExitStatus::Unknown);
            let status = written(file);
            let set = |status: &str, name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).expect("such a line");
                u64::from_str_radix(line.split_whitespace().last().expect("a set"), 16).expect("of bits")
            };
            let ours = std::fs::read_to_string("/proc/self/status").expect("procfs");
            let reset = [libc::SIGPIPE, libc::SIGXFSZ, libc::SIGCHLD].map(|signal| 1 << (signal - 1));
            let ignored = set(&ours, "SigIgn") & !reset.iter().sum::<u64>();
            assert_ne!(ignored & 1 << (libc::SIGHUP - 1), 0);
            assert_eq!((set(&status, "SigBlk"), set(&status, "SigIgn")), (0, ignored), "{status}");
            assert_eq!(signal_mask(), mask);
        },
    );
}

#[test]
fn r08_a_program_may_block_at_its_standard_input_and_output() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    for end in [reader.as_raw_fd(), writer.as_raw_fd()] {
        // SAFETY: no pointers.
        unsafe { libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK) };
    }
    let flags = output_of(move |event_loop| {
        let line = "for fd in 0 1 2; do grep flags: /proc/$$/fdinfo/$fd; done";
        let shell = event_loop.create_subprocess_shell(line);
        shell.stdin(OwnedFd::from(reader)).stderr(OwnedFd::from(writer))
    });
    let flags: Vec<i32> = flags
        .lines()
        .map(|line| line.trim_start_matches("flags:").trim())
        .map(|octal| i32::from_str_radix(octal, 8).expect("octal"))
        .collect();
    assert_eq!(flags.iter().map(|flags| flags & libc::O_NONBLOCK).collect::<Vec<_>>(), [0, 0, 0]);
}

#[test]
fn r09_a_process_that_was_stopped_and_goes_on_has_not_ended() {
    with_loop(async |event_loop| {
        let process = sleeper(&event_loop).await?;
        for (signal, state) in [(libc::SIGSTOP, libc::WSTOPPED), (libc::SIGCONT, libc::WCONTINUED)] {
            process.send_signal(signal)?;
            // SAFETY: all zeros is a valid value, which is filled in.
            unsafe {
                let mut info = core::mem::zeroed();
                let options = state | libc::WNOWAIT;
                assert_eq!(libc::waitid(libc::P_PID, process.pid(), &raw mut info, options), 0);
            }
            event_loop.yield_now().await?;
            event_loop.yield_now().await?;
            assert_eq!(process.returncode(), None);
        }
        process.kill()?;
        assert_eq!(process.wait().await?, ExitStatus::Signal(libc::SIGKILL));
        Ok(())
    });
}

#[test]
fn r10_two_thousand_children_are_started_beside_threads_that_allocate() {
    const AT_ONCE: usize = 100;
    const ROUNDS: usize = 20;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    (0..100).for_each(|size| drop(core::hint::black_box(vec![1_u8; 16 << (size % 12)])));
                    thread::yield_now();
                }
            });
        }
        let ended = with_loop(async |event_loop| {
            let mut ended = 0;
            for _ in 0..ROUNDS {
                let mut children = Vec::new();
                for _ in 0..AT_ONCE {
                    children.push(event_loop.create_subprocess_exec("/bin/true").await?);
                }
                for child in children {
                    ended += usize::from(child.wait().await?.success());
                }
            }
            Ok(ended)
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ended, AT_ONCE * ROUNDS);
    });
}

#[test]
fn user_and_groups_are_what_was_asked_for() {
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        return skip("only root may be somebody else");
    }
    let grep = |event_loop: &EventLoopHandle| {
        event_loop.create_subprocess_exec("grep").args(["-E", "^(Uid|Gid|Groups)", "/proc/self/status"])
    };
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let all = output_of(move |event_loop| grep(event_loop).uid(1001).gid(1002).groups([1003, 1004]));
    assert_eq!(words(all), "Uid: 1001 1001 1001 1001 Gid: 1002 1002 1002 1002 Groups: 1003 1004");
    // Root's groups are no others'.
    alone("test_subprocess_faults::user_and_groups_are_what_was_asked_for", 64, || {
        // SAFETY: two numbers. For the whole process.
        assert_eq!(unsafe { libc::setgroups(2, [4_u32, 24].as_ptr()) }, 0);
        let user = words(output_of(move |event_loop| grep(event_loop).uid(1001).gid(1001)));
        assert_eq!(user, "Uid: 1001 1001 1001 1001 Gid: 1001 1001 1001 1001 Groups:");
        let group = words(output_of(move |event_loop| grep(event_loop).gid(1001)));
        assert_eq!(group, "Uid: 0 0 0 0 Gid: 1001 1001 1001 1001 Groups: 4 24");
    });
}

#[test]
fn group_and_session_are_what_was_asked_for() {
    const GROUP: usize = 5;
    const SESSION: usize = 6;
    with_loop(async |event_loop| {
        let own = std::process::id();
        let plain = sleeper(&event_loop).await?;
        let leader = sleeper(&event_loop).process_group(0).await?;
        let follower = sleeper(&event_loop).process_group(leader.pid() as i32).await?;
        let session = sleeper(&event_loop).new_session(true).await?;
        let ids = |process: &Process| [stat(process.pid(), GROUP), stat(process.pid(), SESSION)];
        let (group, session_of_own) = (stat(own, GROUP), stat(own, SESSION));
        assert_eq!(ids(&plain), [group, session_of_own.clone()]);
        assert_eq!(ids(&leader), [leader.pid().to_string(), session_of_own.clone()]);
        assert_eq!(ids(&follower), [leader.pid().to_string(), session_of_own]);
        assert_eq!(ids(&session), [session.pid().to_string(), session.pid().to_string()]);
        for process in [plain, leader, follower, session] {
            process.kill()?;
            process.wait().await?;
        }
        Ok(())
    });
}

#[test]
fn limits_are_what_was_asked_for() {
    let limits = output_of(|event_loop| {
        let cat = event_loop.create_subprocess_exec("cat").arg("/proc/self/limits");
        let cat = cat.resource_limit(ProcessLimit::OpenFiles, 32, 48);
        cat.resource_limit(ProcessLimit::Core, 0, 0).resource_limit(ProcessLimit::Cpu, 7, 9)
    });
    for (name, soft, hard) in
        [("Max open files", "32", "48"), ("Max core file size", "0", "0"), ("Max cpu time", "7", "9")]
    {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("such a line");
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), [soft, hard], "{name}");
    }
}

#[test]
fn k06_a_child_dies_with_its_killed_parent_only_on_request() {
    const WANTED: &str = "RONDEL_TEST_PARENT_DEATH";
    let name = "test_subprocess_faults::k06_a_child_dies_with_its_killed_parent_only_on_request";
    if std::env::var_os(ALONE).is_some() {
        return start_a_child(std::env::var_os(WANTED).is_some());
    }
    for (is_wanted, said) in [(true, ""), (false, "survived\n")] {
        let mut parent = Command::new(std::env::current_exe().expect("a test"));
        parent.args(["--exact", name, "--test-threads=1"]).env(ALONE, "1").env_remove(WANTED);
        if is_wanted {
            parent.env(WANTED, "1");
        }
        let mut parent =
            parent.stdin(StdStdio::piped()).stdout(StdStdio::piped()).spawn().expect("a process");
        let (gate, output) = (parent.stdin.take(), parent.stdout.take().expect("is piped"));
        let mut lines = BufReader::new(output);
        let mut line = String::new();
        while !line.ends_with("started\n") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("a line"), 0, "it never started");
        }
        parent.kill().expect("killed");
        assert_eq!(parent.wait().expect("waited for").signal(), Some(libc::SIGKILL));
        // The signal was sent before the parent's end could be seen. A child that lives reads on here.
        drop(gate);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("read");
        assert_eq!(rest, said);
    }
}

/// Starts a child that tells if it comes to the end of its input, and waits for it.
fn start_a_child(dies_with_us: bool) {
    let (event_loop, _clock) = manual_with(small());
    let ended = event_loop.run_until_complete(async {
        let mut shell = event_loop.create_subprocess_shell("echo started; read line; echo survived");
        if dies_with_us {
            shell = shell.parent_death_signal(libc::SIGKILL);
        }
        shell.await?.wait().await
    });
    ended.expect("no error");
}

#[test]
fn a_detached_process_outlives_its_loop_and_becomes_no_zombie() {
    alone("test_subprocess_faults::a_detached_process_outlives_its_loop_and_becomes_no_zombie", 64, || {
        let (event_loop, _clock) = manual_with(small());
        let process = event_loop.run_until_complete(async { sleeper(&event_loop).kill_on_drop(true).await });
        let process = process.expect("a process");
        let pid = process.pid();
        process.detach();
        event_loop.close().expect("closed");
        assert_ne!(stat(pid, 3), "Z");
        // SAFETY: no pointers; it was not waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
        while has_children() {
            thread::yield_now();
        }
    });
}
