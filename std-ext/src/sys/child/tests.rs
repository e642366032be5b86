//! Real children; what they find is read from their output or their end.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use super::*;

fn strings(strings: &[&str]) -> StringArray {
    StringArray::new(strings.iter().map(|string| CString::new(*string).unwrap()).collect())
}

/// Is `sh -c script`, with the standard input and output of the test.
fn shell(script: &str) -> Command {
    Command {
        programs: vec![c"/nowhere/sh".into(), c"/bin/sh".into()],
        arguments: strings(&["sh", "-c", script]),
        environment: strings(&["PATH=/usr/bin:/bin"]),
        stdio: [0, 1, 2],
        ..Command::default()
    }
}

/// Waits for the end of a child, and closes what watches it.
fn end_of(child: Child) -> Exit {
    let mut poll = libc::pollfd { fd: child.watched().as_raw(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut poll, 1, -1) };
        if let Some(exit) = try_wait(child).expect("a wait") {
            crate::sys::socket::close(child.watched());
            return exit;
        }
    }
}

/// Starts `command`, reads all that it writes to its standard output, and its end.
fn output_of(mut command: Command, by: WaitBy) -> (String, Exit) {
    let (reader, writer) = spawn::pipe(0).expect("a pipe");
    command.stdio[1] = writer.as_raw_fd();
    let child = spawn(&command, by).expect("a child");
    drop(writer);
    let mut output = String::new();
    File::from(reader).read_to_string(&mut output).expect("read");
    (output, end_of(child))
}

#[test]
fn sb7_a_child_is_started_along_its_path_and_its_end_is_told() {
    for by in [WaitBy::Pidfd, WaitBy::Thread] {
        assert_eq!(output_of(shell("echo here; exit 3"), by), ("here\n".into(), Exit::Code(3)));
        assert_eq!(output_of(shell("kill -TERM $$"), by).1, Exit::Signal(libc::SIGTERM));
    }
}

#[test]
fn r06_what_failed_comes_back_from_the_call_itself() {
    let missing = Command { programs: vec![c"/nowhere/at/all".into()], ..shell("") };
    let error = spawn(&missing, WaitBy::Pidfd).unwrap_err();
    assert_eq!((error.stage, error.error.raw_os_error()), (Stage::Execute, Some(libc::ENOENT)));

    let lost = Command { directory: Some(c"/nowhere".into()), ..shell("") };
    let error = spawn(&lost, WaitBy::Thread).unwrap_err();
    assert_eq!((error.stage, error.error.raw_os_error()), (Stage::Directory, Some(libc::ENOENT)));

    let forbidden = Command { programs: vec![c"/".into(), c"/nowhere".into()], ..shell("") };
    let error = spawn(&forbidden, WaitBy::Pidfd).unwrap_err();
    assert_eq!(error.error.raw_os_error(), Some(libc::EACCES));
}

#[test]
fn r08_a_child_has_no_signal_blocked() {
    let (output, _) = output_of(shell("grep SigBlk /proc/self/status"), WaitBy::Pidfd);
    assert_eq!(output.split_whitespace().last(), Some("0000000000000000"));
}

#[test]
fn sb9_a_signal_goes_to_the_child_and_a_stop_is_no_end() {
    for by in [WaitBy::Pidfd, WaitBy::Thread] {
        let child = spawn(&shell("exec sleep 1000"), by).expect("a child");
        send_signal(child, libc::SIGSTOP).expect("stopped");
        assert_eq!(try_wait(child).expect("a wait"), None);
        send_signal(child, libc::SIGKILL).expect("killed");
        assert_eq!(end_of(child), Exit::Signal(libc::SIGKILL));
    }
}

#[test]
fn sb3_standard_input_and_output_may_be_any_of_the_first_three() {
    let (reader, writer) = spawn::pipe(0).expect("a pipe");
    let mut command = shell("echo out; echo err >&2");
    command.stdio = [0, writer.as_raw_fd(), writer.as_raw_fd()];
    let child = spawn(&command, WaitBy::Pidfd).expect("a child");
    drop(writer);
    let mut output = String::new();
    File::from(reader).read_to_string(&mut output).expect("read");
    assert_eq!((output.as_str(), end_of(child)), ("out\nerr\n", Exit::Code(0)));
}

#[test]
fn sb3_a_program_gets_no_descriptor_but_those_that_are_passed() {
    let (reader, _writer) = spawn::pipe(0).expect("a pipe");
    // SAFETY: no pointers. Not closed on exec, as by a library that doesn't care.
    let stray = unsafe { libc::dup(reader.as_raw_fd()) };
    let listing = "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let mut command = shell(listing);
    let numbers = |output: &str| -> Vec<i32> { output.lines().map(|line| line.parse().unwrap()).collect() };
    // The shell may have one of its own, which is none of these.
    let (output, _) = output_of(shell(listing), WaitBy::Pidfd);
    assert!(!numbers(&output).contains(&stray), "{output}");

    command.passed = vec![stray];
    let (output, _) = output_of(command, WaitBy::Pidfd);
    assert!(numbers(&output).contains(&stray), "{output}");
    // SAFETY: made above.
    unsafe { libc::close(stray) };
}

#[test]
fn r10_children_are_started_beside_threads_that_hold_the_allocators_locks() {
    let is_over = core::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(core::sync::atomic::Ordering::Relaxed) {
                    drop(core::hint::black_box(vec![1_u8; 1000]));
                }
            });
        }
        let program = Command { programs: vec![c"/bin/true".into()], ..shell("") };
        for _ in 0..500 {
            let child = spawn(&program, WaitBy::Pidfd).expect("a child");
            assert_eq!(end_of(child), Exit::Code(0));
        }
        is_over.store(true, core::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_fork_says_what_failed_as_a_vfork_does() {
    let fork = |command: &Command| spawn::fork(command, WaitBy::Pidfd);
    let child = fork(&shell("exit 4")).expect("a child");
    assert_eq!(end_of(child), Exit::Code(4));
    let missing = Command { programs: vec![c"/nowhere/at/all".into()], ..shell("") };
    let error = fork(&missing).unwrap_err();
    assert_eq!((error.stage, error.error.raw_os_error()), (Stage::Execute, Some(libc::ENOENT)));
}
