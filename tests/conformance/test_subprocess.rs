//! Child processes: how they are started, how they end, and that none is left behind.

use std::io::{Read, Seek};
use std::os::fd::OwnedFd;

use rondel::{
    Config, EventLoop, EventLoopHandle, ExitStatus, Operation, Process, ProcessLimit, Signal, Stdio,
};

use crate::fixture::{manual, manual_with, scenarios, small};

scenarios! {
    sb1_a_program_gets_its_arguments_as_they_are_and_a_shell_reads_its_line
    sb1_a_nul_byte_and_a_name_that_is_none_are_refused
    sb2_r06_what_can_not_be_started_fails_the_call_and_leaves_nothing
    sb2_r06_a_system_without_room_fails_the_call_and_leaves_nothing
    sb3_standard_input_and_output_are_what_was_asked_for
    sb7_a_process_that_a_signal_ends_says_which
    sb9_r01_a_process_that_has_exited_gets_no_signal
    sb10_r05_of_many_ends_at_once_each_is_told
    sb11_a_wait_that_is_cancelled_leaves_the_process_waitable
    r03_a_process_whose_handle_is_dropped_is_reaped
    r03_a_process_is_killed_with_its_handle_if_that_is_wanted
    r04_a_grandchild_that_holds_the_output_does_not_delay_the_end
    r09_a_readiness_that_is_none_is_no_end
    a_full_table_refuses_before_anything_is_started
    a_loop_that_is_closed_ends_its_processes
    without_a_pidfd_a_thread_tells_of_the_end
    environment_directory_and_limits_are_what_was_asked_for
}

/// Runs `test` in a loop, and looks that it has left no process behind.
fn with_loop<R>(test: impl AsyncFnOnce(EventLoopHandle) -> rondel::Result<R>) -> R
where
    R: 'static,
{
    let event_loop = manual();
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(test(handle)).expect("no error");
    assert_eq!(event_loop.child_processes(), 0);
    result
}

/// Returns a file without a name, and a second descriptor of it for a child.
fn file() -> (std::fs::File, Stdio) {
    let path = std::env::temp_dir().join(format!("rondel-child-{:?}", std::thread::current().id()));
    let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
    let file = options.expect("a file");
    std::fs::remove_file(path).expect("removed");
    let theirs = file.try_clone().expect("a descriptor");
    (file, theirs.into())
}

/// Reads what children have written.
fn written(mut file: std::fs::File) -> String {
    let mut text = String::new();
    file.rewind().expect("rewound");
    file.read_to_string(&mut text).expect("read");
    text
}

/// Returns the output of a line of the shell's language.
fn output_of(line: &str) -> String {
    let (file, theirs) = file();
    with_loop(async |event_loop| event_loop.create_subprocess_shell(line).stdout(theirs).await?.wait().await);
    written(file)
}

async fn sleeper(event_loop: &EventLoopHandle) -> rondel::Result<Process> {
    event_loop.create_subprocess_exec("sleep").arg("1000").await
}

/// Tells whether a process is there, a zombie included.
fn is_there(pid: u32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).expect("procfs")
}

fn errno(error: &rondel::Error) -> Option<i32> {
    error.as_io()?.raw_os_error()
}

fn sb1_a_program_gets_its_arguments_as_they_are_and_a_shell_reads_its_line() {
    let (exec, theirs) = file();
    with_loop(async |event_loop| {
        let printf = event_loop.create_subprocess_exec("printf").args(["%s|", "$HOME", "a b", "; exit 3"]);
        let status = printf.stdout(theirs).await?.wait().await?;
        assert_eq!(status, ExitStatus::Code(0));
        Ok(())
    });
    assert_eq!(written(exec), "$HOME|a b|; exit 3|");
    assert_eq!(output_of("X=3; echo a$X; exit 5"), "a3\n");
}

fn sb1_a_nul_byte_and_a_name_that_is_none_are_refused() {
    with_loop(async |event_loop| {
        let nul = event_loop.create_subprocess_exec("echo").arg("a\0b").await.unwrap_err();
        let name = event_loop.create_subprocess_exec("echo").env("A=B", "c").await.unwrap_err();
        for error in [nul, name] {
            let kind = error.as_io().map(std::io::Error::kind);
            assert_eq!(kind, Some(std::io::ErrorKind::InvalidInput), "{error}");
        }
        Ok(())
    });
}

fn sb2_r06_what_can_not_be_started_fails_the_call_and_leaves_nothing() {
    with_loop(async |event_loop| {
        let exec = |program: &str| event_loop.create_subprocess_exec(program);
        let missing = exec("/nowhere/at/all").await.unwrap_err();
        assert_eq!((errno(&missing), missing.to_string().starts_with("execve")), (Some(libc::ENOENT), true));
        assert_eq!(errno(&exec("no-such-program").await.unwrap_err()), Some(libc::ENOENT));
        assert_eq!(errno(&exec("/etc/passwd").await.unwrap_err()), Some(libc::EACCES));
        let lost = exec("true").cwd("/nowhere").await.unwrap_err();
        assert_eq!((errno(&lost), lost.to_string().starts_with("chdir")), (Some(libc::ENOENT), true));
        let large = exec("true").arg("x".repeat(1 << 20)).await.unwrap_err();
        assert_eq!(errno(&large), Some(libc::E2BIG));
        Ok(())
    });
}

fn sb2_r06_a_system_without_room_fails_the_call_and_leaves_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
    for (operation, number) in [(Operation::Spawn, libc::EAGAIN), (Operation::Register, libc::ENOSPC)] {
        faults.fail(operation, number);
        let handle = event_loop.handle();
        let failed = event_loop.run_until_complete(async move {
            handle.create_subprocess_exec("sleep").arg("1000").await.map(drop)
        });
        assert_eq!(errno(&failed.unwrap_err()), Some(number));
        assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    }
}

fn sb3_standard_input_and_output_are_what_was_asked_for() {
    let (file, theirs) = file();
    with_loop(async |event_loop| {
        let line = "cat; echo out; echo err >&2";
        let shell = event_loop.create_subprocess_shell(line).stdin(Stdio::null()).stdout(theirs);
        shell.stderr_to_stdout().await?.wait().await
    });
    assert_eq!(written(file), "out\nerr\n");
    // Only what is passed is inherited.
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let reader: OwnedFd = reader.into();
    let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
    let line = format!("test -e /proc/$$/fd/{number}");
    with_loop(async |event_loop| {
        let without = event_loop.create_subprocess_shell(&line).await?.wait().await?;
        let with = event_loop.create_subprocess_shell(&line).pass_fd(reader).await?.wait().await?;
        assert_eq!((without.success(), with.success()), (false, true));
        Ok(())
    });
}

fn sb7_a_process_that_a_signal_ends_says_which() {
    with_loop(async |event_loop| {
        let process = sleeper(&event_loop).await?;
        process.send_signal(Signal::SIGUSR1)?;
        assert_eq!(process.wait().await?, ExitStatus::Signal(libc::SIGUSR1));
        assert_eq!(process.returncode().map(ExitStatus::returncode), Some(-libc::SIGUSR1));
        Ok(())
    });
}

fn sb9_r01_a_process_that_has_exited_gets_no_signal() {
    with_loop(async |event_loop| {
        let process = sleeper(&event_loop).await?;
        process.kill()?;
        process.wait().await?;
        let error = process.terminate().unwrap_err();
        assert_eq!(error.as_io().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        assert!(!is_there(process.pid()));
        Ok(())
    });
}

fn sb10_r05_of_many_ends_at_once_each_is_told() {
    const CHILDREN: usize = 100;
    let config = Config { calls: 1024, futures: 256, descriptors: 256, ..small() };
    let (event_loop, _clock) = manual_with(config);
    let handle = event_loop.handle();
    let ends = event_loop.run_until_complete(async move {
        let (gate, opener) = std::io::pipe()?;
        let mut children = Vec::new();
        for code in 0..CHILDREN {
            let line = format!("read x; exit {code}");
            let child = handle.create_subprocess_shell(line).stdin(OwnedFd::from(gate.try_clone()?)).await?;
            children.push(child);
        }
        drop((gate, opener));
        let mut ends = Vec::new();
        for child in &children {
            ends.push(child.wait().await?.code());
        }
        Ok::<_, rondel::Error>(ends)
    });
    let expected: Vec<_> = (0..CHILDREN as i32).map(Some).collect();
    assert_eq!(ends.expect("no error"), expected);
    assert_eq!(event_loop.child_processes(), 0);
}

fn sb11_a_wait_that_is_cancelled_leaves_the_process_waitable() {
    with_loop(async |event_loop| {
        let process = sleeper(&event_loop).await?;
        let waited = event_loop.timeout(core::time::Duration::from_secs(1), process.wait()).await;
        assert!(waited.is_err());
        process.kill()?;
        assert_eq!(process.wait().await?, ExitStatus::Signal(libc::SIGKILL));
        Ok(())
    });
}

fn r03_a_process_whose_handle_is_dropped_is_reaped() {
    with_loop(async |event_loop| {
        let (gate, opener) = std::io::pipe()?;
        let process = event_loop.create_subprocess_exec("cat").stdin(OwnedFd::from(gate)).await?;
        let pid = process.pid();
        drop(process);
        assert!(is_there(pid));
        drop(opener);
        while event_loop.child_processes() > 0 {
            event_loop.yield_now().await?;
        }
        assert!(!is_there(pid));
        Ok(())
    });
}

fn r03_a_process_is_killed_with_its_handle_if_that_is_wanted() {
    with_loop(async |event_loop| {
        let process = event_loop.create_subprocess_exec("sleep").arg("1000").kill_on_drop(true).await?;
        drop(process);
        while event_loop.child_processes() > 0 {
            event_loop.yield_now().await?;
        }
        Ok(())
    });
}

fn r04_a_grandchild_that_holds_the_output_does_not_delay_the_end() {
    with_loop(async |event_loop| {
        let (output, theirs) = std::io::pipe()?;
        let line = "sleep 1000 & echo $!";
        let process = event_loop.create_subprocess_shell(line).stdout(OwnedFd::from(theirs)).await?;
        assert!(process.wait().await?.success());
        let mut pid = [0; 16];
        let count = (&output).read(&mut pid)?;
        let pid: i32 = std::str::from_utf8(&pid[..count])?.trim().parse()?;
        // SAFETY: no pointers; the grandchild sleeps for longer than the test lasts.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
        Ok(())
    });
}

fn r09_a_readiness_that_is_none_is_no_end() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
    let handle = event_loop.handle();
    let end = event_loop.run_until_complete(async move {
        let process = sleeper(&handle).await?;
        faults.wake_all();
        handle.yield_now().await?;
        handle.yield_now().await?;
        assert_eq!((process.returncode(), faults.calls(Operation::WaitChild)), (None, 1));
        process.send_signal(libc::SIGSTOP)?;
        process.send_signal(libc::SIGCONT)?;
        handle.yield_now().await?;
        assert_eq!(process.returncode(), None);
        process.kill()?;
        process.wait().await
    });
    assert_eq!(end.expect("no error"), ExitStatus::Signal(libc::SIGKILL));
}

fn a_full_table_refuses_before_anything_is_started() {
    for config in [Config { children: 1, ..small() }, Config { descriptors: 1, ..small() }] {
        let (event_loop, _clock, faults) = EventLoop::with_faults(config).expect("a loop");
        let handle = event_loop.handle();
        let refused = event_loop.run_until_complete(async move {
            let first = sleeper(&handle).await?;
            let refused = sleeper(&handle).await.unwrap_err();
            first.kill()?;
            first.wait().await?;
            Ok::<_, rondel::Error>(refused.to_string())
        });
        assert!(refused.expect("no error").contains("limit 1"));
        assert_eq!(faults.calls(Operation::Spawn), 1);
    }
}

fn a_loop_that_is_closed_ends_its_processes() {
    let event_loop = manual();
    let handle = event_loop.handle();
    let process = event_loop.run_until_complete(async move { sleeper(&handle).await }).expect("a process");
    event_loop.close().expect("closed");
    assert_eq!(process.returncode(), Some(ExitStatus::Signal(libc::SIGKILL)));
    assert!(!is_there(process.pid()));
    assert!(process.kill().is_err());
}

fn without_a_pidfd_a_thread_tells_of_the_end() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
    faults.fail_every(Operation::OpenPidfd, libc::ENOSYS);
    let handle = event_loop.handle();
    let ends = event_loop.run_until_complete(async move {
        let exited = handle.create_subprocess_shell("exit 7").await?.wait().await?;
        let process = sleeper(&handle).await?;
        process.terminate()?;
        Ok::<_, rondel::Error>([exited, process.wait().await?])
    });
    assert_eq!(ends.expect("no error"), [ExitStatus::Code(7), ExitStatus::Signal(libc::SIGTERM)]);
}

fn environment_directory_and_limits_are_what_was_asked_for() {
    let (file, theirs) = file();
    with_loop(async |event_loop| {
        let line = "echo $A $B $PWD; ulimit -n";
        let shell = event_loop.create_subprocess_shell(line).env_clear().env("A", "1").env("B", "2");
        let shell = shell.env_remove("B").cwd("/").resource_limit(ProcessLimit::OpenFiles, 32, 64);
        shell.stdout(theirs).new_session(true).await?.wait().await
    });
    assert_eq!(written(file), "1 /\n32\n");
}
