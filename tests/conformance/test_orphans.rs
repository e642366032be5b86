//! Reaping what others leave behind, as a subreaper and as the first process of a namespace.

use std::io::{PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rondel::{EventLoopHandle, ExitStatus, OrphanReaper, Result, Signal};

use crate::fixture::{Counter, alone, descriptors, first_of_a_namespace, manual};

/// Runs `test` in a loop of a process that reaps orphans.
fn with_reaper<R: 'static>(test: impl AsyncFnOnce(EventLoopHandle, &OrphanReaper) -> Result<R>) -> R {
    let event_loop = manual();
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(async move {
        handle.set_child_subreaper(true)?;
        let reaper = handle.reap_orphans()?;
        test(handle, &reaper).await
    });
    result.expect("no error")
}

/// What a shell has left behind: each ends with 7 when this is dropped.
struct Left {
    pids: Vec<u32>,
    _gate: PipeWriter,
}

/// Starts a shell that leaves processes behind, and waits for its end.
async fn leave(event_loop: &EventLoopHandle, orphans: usize) -> Result<Left> {
    let (theirs, gate) = std::io::pipe()?;
    let (mut output, written) = std::io::pipe()?;
    // Without a descriptor of its own what runs in the background reads nothing.
    let line =
        format!("exec 3<&0; for n in $(seq {orphans}); do (read x <&3; exit 7) >&2 & echo $!; done; exit 3");
    let shell = event_loop.create_subprocess_shell(line).stdin(OwnedFd::from(theirs));
    assert_eq!(shell.stdout(OwnedFd::from(written)).await?.wait().await?, ExitStatus::Code(3));
    let mut pids = String::new();
    output.read_to_string(&mut pids)?;
    Ok(Left { pids: pids.lines().map(|pid| pid.parse().expect("a number")).collect(), _gate: gate })
}

async fn until_reaped(event_loop: &EventLoopHandle, reaper: &OrphanReaper, count: u64) -> Result<()> {
    while reaper.reaped() < count {
        event_loop.yield_now().await?;
    }
    assert_eq!(reaper.reaped(), count);
    Ok(())
}

/// Runs `test` in a copy of the process, whose first thread this one is: orphans and its own children
/// look alike there.
fn in_the_first_thread(test: impl FnOnce()) {
    // SAFETY: the harness's other thread holds no lock: it waits for this one.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let passed = std::panic::catch_unwind(core::panic::AssertUnwindSafe(test)).is_ok();
        // SAFETY: no pointers.
        unsafe { libc::_exit(i32::from(!passed)) };
    }
    assert_eq!(exit_code(child as u32), 0);
}

/// Starts a process by other means than a loop's.
#[allow(clippy::zombie_processes, reason = "it is waited for by its number")]
fn start_true() -> u32 {
    Command::new("true").spawn().expect("a process").id()
}

/// Waits for a child that nobody may have reaped before.
fn exit_code(pid: u32) -> i32 {
    let mut status = 0;
    // SAFETY: a number good for writing.
    assert_eq!(unsafe { libc::waitpid(pid as i32, &raw mut status, 0) }, pid as i32);
    assert!(libc::WIFEXITED(status), "{status}");
    libc::WEXITSTATUS(status)
}

/// Returns when a child has ended and was not reaped.
fn until_zombie(pid: u32) {
    let path = format!("/proc/{pid}/stat");
    while !std::fs::read_to_string(&path).expect("not reaped").contains(") Z ") {
        thread::yield_now();
    }
}

/// Tells whether the process has children, ended or not.
fn has_children() -> bool {
    // SAFETY: a status isn't asked for, and nobody is reaped.
    unsafe {
        let mut info = core::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_ALL, 0, &raw mut info, options) == 0
    }
}

fn reaps_what_is_left_behind() {
    let before = descriptors();
    with_reaper(async |event_loop, reaper| {
        for round in 1..=3 {
            drop(leave(&event_loop, 20).await?);
            until_reaped(&event_loop, reaper, 20 * round).await?;
        }
        Ok(())
    });
    assert_eq!((descriptors(), has_children()), (before, false));
}

#[test]
fn a_subreaper_reaps_what_its_descendants_leave_behind() {
    alone("test_orphans::a_subreaper_reaps_what_its_descendants_leave_behind", 64, reaps_what_is_left_behind);
}

#[test]
fn the_first_process_of_a_namespace_reaps_what_is_left_behind() {
    let name = "test_orphans::the_first_process_of_a_namespace_reaps_what_is_left_behind";
    first_of_a_namespace(name, reaps_what_is_left_behind);
}

#[test]
fn sg10_g05_sigchld_comes_to_handlers_and_streams_beside_the_reaper() {
    alone("test_orphans::sg10_g05_sigchld_comes_to_handlers_and_streams_beside_the_reaper", 64, || {
        let calls = Counter::new();
        let counted = calls.clone();
        with_reaper(async move |event_loop, reaper| {
            event_loop.add_signal_handler(Signal::SIGCHLD, move |_: &EventLoopHandle| {
                counted.add();
            })?;
            let mut signals = event_loop.signals([Signal::SIGCHLD])?;
            drop(leave(&event_loop, 1).await?);
            assert_eq!(signals.next().await?, Signal::SIGCHLD);
            until_reaped(&event_loop, reaper, 1).await?;
            // The reaper goes on when they are gone.
            assert!(event_loop.remove_signal_handler(Signal::SIGCHLD));
            drop(signals);
            drop(leave(&event_loop, 1).await?);
            until_reaped(&event_loop, reaper, 2).await
        });
        assert!(calls.get() > 0);
    });
}

#[test]
fn sb10_children_that_somebody_here_waits_for_are_left() {
    alone("test_orphans::sb10_children_that_somebody_here_waits_for_are_left", 64, || {
        in_the_first_thread(|| {
            with_reaper(async |event_loop, reaper| {
                // Of this loop, which is told of all of them at once.
                let mut own = Vec::new();
                for code in 0..10 {
                    own.push(event_loop.create_subprocess_shell(format!("exit {code}")).await?);
                }
                // Of another loop.
                let others = thread::spawn(|| {
                    let event_loop = manual();
                    let ended = event_loop.run_until_complete(async {
                        let mut sum = 0;
                        for code in 0..20 {
                            let shell = event_loop.create_subprocess_shell(format!("exit {code}"));
                            sum += shell.await?.wait().await?.code().unwrap_or(1000);
                        }
                        Ok::<_, rondel::Error>(sum)
                    });
                    ended.expect("no error")
                });
                // By other means, here and in another thread.
                let spared = start_true();
                reaper.spare(spared);
                let (started, pid) = mpsc::channel();
                let (go, gone) = mpsc::channel::<()>();
                let of_a_thread = thread::spawn(move || {
                    let child = start_true();
                    started.send(child).expect("it listens");
                    let _ = gone.recv();
                    exit_code(child)
                });
                until_zombie(pid.recv().expect("it starts one"));
                until_zombie(spared);
                drop(leave(&event_loop, 1).await?);
                until_reaped(&event_loop, reaper, 1).await?;
                for (code, process) in (0..).zip(&own) {
                    assert_eq!(process.wait().await?, ExitStatus::Code(code));
                }
                drop(go);
                assert_eq!(of_a_thread.join().expect("no panic"), 0);
                assert_eq!(others.join().expect("no panic"), (0..20).sum::<i32>());
                assert_eq!(exit_code(spared), 0);
                Ok(())
            });
        });
    });
}

#[test]
fn a_child_that_is_spared_is_left_until_somebody_has_waited_for_it() {
    alone("test_orphans::a_child_that_is_spared_is_left_until_somebody_has_waited_for_it", 64, || {
        with_reaper(async |event_loop, reaper| {
            let left = leave(&event_loop, 1).await?;
            let spared = left.pids[0];
            reaper.spare(spared);
            drop(left);
            until_zombie(spared);
            drop(leave(&event_loop, 5).await?);
            until_reaped(&event_loop, reaper, 5).await?;
            assert_eq!(exit_code(spared), 7);
            Ok(())
        });
    });
}

#[test]
fn a_reaper_that_is_dropped_reaps_no_more_and_lets_go_of_its_signal() {
    alone("test_orphans::a_reaper_that_is_dropped_reaps_no_more_and_lets_go_of_its_signal", 64, || {
        // SAFETY: to ignore.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let event_loop = manual();
        drop(event_loop.reap_orphans().expect("a reaper"));
        // SAFETY: as above; returns what it was.
        assert_eq!(unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) }, libc::SIG_IGN);
        let handle = event_loop.handle();
        let reaped = event_loop.run_until_complete(async move {
            handle.set_child_subreaper(true)?;
            let left = leave(&handle, 1).await?;
            let pid = left.pids[0];
            drop(left);
            until_zombie(pid);
            // The next reaps it without a signal.
            let reaper = handle.reap_orphans()?;
            until_reaped(&handle, &reaper, 1).await
        });
        reaped.expect("no error");
        assert!(!has_children());
        let handle = event_loop.handle();
        event_loop.close().expect("closed");
        assert!(handle.reap_orphans().unwrap_err().is_closed());
    });
}
