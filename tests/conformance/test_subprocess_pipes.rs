//! Children whose standard input, output and error are pipes of ours: in tasks.

use std::io::ErrorKind as IoErrorKind;
use std::os::fd::OwnedFd;

use rondel::{
    Config, ErrorKind, EventLoop, EventLoopHandle, ExitStatus, Operation, Process, Stdio, TimeoutError,
};

use crate::fixture::{alone, manual, manual_with, scenarios, small};

scenarios! {
    sb3_a_pipe_is_written_to_and_read_from
    sb3_each_output_has_a_pipe_of_its_own_or_both_have_one
    sb3_a_child_has_none_of_our_ends
    sb6_r04_what_is_in_the_pipe_at_the_end_is_read
    sb2_r06_a_process_that_can_not_be_started_leaves_no_pipe
    sb11_a_communication_that_is_cancelled_goes_on_with_the_next
    r07_much_goes_in_both_directions_at_once
    r07_a_process_that_does_not_read_its_input_is_no_error
    r07_more_output_than_is_collected_is_an_error_that_loses_nothing
    r07_a_line_that_is_longer_than_the_limit_is_refused
    g05_a_child_has_no_pipe_of_another
    a_process_without_pipes_communicates_by_its_end
    a_process_whose_input_is_dropped_reads_the_end
}

const MIB: usize = 1 << 20;

/// Runs `test` in a loop, and looks that it has left neither a process nor a pipe.
fn with_loop<R: 'static>(test: impl AsyncFnOnce(EventLoopHandle) -> rondel::Result<R>) -> R {
    let event_loop = manual();
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(test(handle)).expect("no error");
    assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    result
}

/// Starts a line of the shell's language, with pipes.
async fn shell(event_loop: &EventLoopHandle, line: &str) -> rondel::Result<Process> {
    let shell = event_loop.create_subprocess_shell(line).stdin(Stdio::pipe());
    shell.stdout(Stdio::pipe()).stderr(Stdio::pipe()).await
}

fn sb3_a_pipe_is_written_to_and_read_from() {
    with_loop(async |event_loop| {
        let cat = event_loop.create_subprocess_exec("cat").stdin(Stdio::pipe()).stdout(Stdio::pipe());
        let mut cat = cat.await?;
        assert!(cat.stderr.is_none());
        let (mut stdin, mut stdout) = (cat.stdin.take().expect("a pipe"), cat.stdout.take().expect("a pipe"));
        for line in ["one\n", "two\n"] {
            stdin.write_all(line.as_bytes()).await?;
            assert_eq!(stdout.read_line().await?, line.as_bytes());
        }
        stdin.close();
        assert_eq!(stdout.read_line().await?, b"");
        assert!(cat.wait().await?.success());
        Ok(())
    });
}

fn sb3_each_output_has_a_pipe_of_its_own_or_both_have_one() {
    with_loop(async |event_loop| {
        let line = "echo out; echo err >&2";
        let apart = shell(&event_loop, line).await?.communicate("").await?;
        assert_eq!((&*apart.stdout, &*apart.stderr), (&b"out\n"[..], &b"err\n"[..]));
        let both = event_loop.create_subprocess_shell(line).stdout(Stdio::pipe()).stderr_to_stdout();
        let both = both.await?.communicate("").await?;
        assert_eq!((&*both.stdout, &*both.stderr), (&b"out\nerr\n"[..], &b""[..]));
        Ok(())
    });
}

fn sb3_a_child_has_none_of_our_ends() {
    with_loop(async |event_loop| {
        // Of the shell itself: 0, 1 and 2, and what it opens to list them.
        let listed = shell(&event_loop, "echo /proc/$$/fd/*").await?.communicate("").await?.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let numbers: Vec<_> = listed.split_whitespace().filter_map(|path| path.rsplit('/').next()).collect();
        assert!(numbers.starts_with(&["0", "1", "2"]) && numbers.len() <= 4, "{listed}");
        Ok(())
    });
}

fn sb6_r04_what_is_in_the_pipe_at_the_end_is_read() {
    with_loop(async |event_loop| {
        let mut process = shell(&event_loop, "echo last; sleep 1000 & echo $!").await?;
        // The sleeper holds the outputs.
        assert!(process.wait().await?.success());
        let stdout = process.stdout.as_mut().expect("a pipe");
        assert_eq!(stdout.read_line().await?, b"last\n");
        let sleeper = String::from_utf8_lossy(stdout.read_line().await?).trim().parse::<i32>()?;
        // SAFETY: no pointers; the process sleeps for longer than the test lasts.
        assert_eq!(unsafe { libc::kill(sleeper, libc::SIGKILL) }, 0);
        let rest = process.communicate("").await?;
        assert_eq!((rest.stdout, rest.status), (Vec::new(), ExitStatus::Code(0)));
        Ok(())
    });
}

fn sb2_r06_a_process_that_can_not_be_started_leaves_no_pipe() {
    let failures = [(Operation::Pipe, libc::EMFILE), (Operation::Spawn, libc::EAGAIN)];
    for (operation, number) in failures {
        let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
        faults.fail(operation, number);
        let handle = event_loop.handle();
        let failed = event_loop.run_until_complete(async move { shell(&handle, "exit").await.map(drop) });
        let failed = failed.unwrap_err();
        assert_eq!(failed.as_io().and_then(std::io::Error::raw_os_error), Some(number), "{failed}");
        assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    }
    // Room for two pipes, of three.
    let (event_loop, _clock) = manual_with(Config { descriptors: 2, ..small() });
    let handle = event_loop.handle();
    let refused = event_loop.run_until_complete(async move { shell(&handle, "exit").await.map(drop) });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
}

fn sb11_a_communication_that_is_cancelled_goes_on_with_the_next() {
    with_loop(async |event_loop| {
        let mut process = shell(&event_loop, "cat; sleep 1000").await?;
        let input = vec![b'x'; MIB];
        // It doesn't end, and is given up.
        let second = core::time::Duration::from_secs(1);
        let given_up = event_loop.timeout(second, async { process.communicate(&input).await }).await;
        assert!(matches!(given_up, Err(TimeoutError::TimedOut)), "{given_up:?}");
        process.kill()?;
        process.wait().await?;
        Ok(())
    });
    with_loop(async |event_loop| {
        let mut process = shell(&event_loop, "cat").await?;
        let input: Vec<u8> = (0..MIB).map(|index| index as u8).collect();
        let at_once = core::time::Duration::ZERO;
        let first = event_loop.timeout(at_once, async { process.communicate(&input).await }).await;
        assert!(matches!(first, Err(TimeoutError::TimedOut)), "{first:?}");
        let output = process.communicate(&input).await?;
        assert!(output.stdout == input && output.status.success());
        Ok(())
    });
}

#[test]
fn r05_of_500_that_end_at_once_each_is_told() {
    const CHILDREN: usize = 500;
    let test = "test_subprocess_pipes::r05_of_500_that_end_at_once_each_is_told";
    // One for each, and those of the process and the loop.
    alone(test, CHILDREN + 64, || {
        let config = Config { calls: 1024, futures: 1024, descriptors: 1024, ..small() };
        let (event_loop, _clock) = manual_with(config);
        let handle = event_loop.handle();
        let ends = event_loop.run_until_complete(async move {
            let (gate, opener) = std::io::pipe()?;
            let mut children = Vec::new();
            for index in 0..CHILDREN {
                let line = format!("read x; exit {}", index % 256);
                let child = handle.create_subprocess_shell(line).stdin(OwnedFd::from(gate.try_clone()?));
                children.push(child.await?);
            }
            drop((gate, opener));
            let mut ends = Vec::new();
            for child in &children {
                ends.push(child.wait().await?.code());
            }
            Ok::<_, rondel::Error>(ends)
        });
        let expected: Vec<_> = (0..CHILDREN as i32).map(|index| Some(index % 256)).collect();
        assert_eq!(ends.expect("no error"), expected);
        assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    });
}

fn r07_much_goes_in_both_directions_at_once() {
    with_loop(async |event_loop| {
        let input: Vec<u8> = (0..10 * MIB).map(|index| (index / 7) as u8).collect();
        let output = shell(&event_loop, "tee /dev/stderr").await?.communicate(&input).await?;
        assert!(output.status.success() && output.stdout == input && output.stderr == input);
        Ok(())
    });
}

fn r07_a_process_that_does_not_read_its_input_is_no_error() {
    with_loop(async |event_loop| {
        let input = vec![b'x'; MIB];
        let output = shell(&event_loop, "echo done; exit 3").await?.communicate(&input).await?;
        assert_eq!((&*output.stdout, output.status), (&b"done\n"[..], ExitStatus::Code(3)));
        // By itself a write to it is an error, and never a signal.
        let mut process = shell(&event_loop, "exit 4").await?;
        process.wait().await?;
        let error = process.stdin.as_mut().expect("a pipe").write_all(&input).await.unwrap_err();
        assert_eq!(error.as_io().map(std::io::Error::kind), Some(IoErrorKind::BrokenPipe));
        Ok(())
    });
}

fn r07_more_output_than_is_collected_is_an_error_that_loses_nothing() {
    with_loop(async |event_loop| {
        let mut process = shell(&event_loop, "head -c 100000 /dev/zero; echo end").await?;
        let error = process.communicate("").limit(70_000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("70000"), "{error}");
        let output = process.communicate("").limit(100_004).await?;
        assert_eq!(output.stdout, [vec![0; 100_000], b"end\n".to_vec()].concat());
        Ok(())
    });
}

fn r07_a_line_that_is_longer_than_the_limit_is_refused() {
    with_loop(async |event_loop| {
        let echo = event_loop.create_subprocess_exec("echo").arg("a long line").stdout(Stdio::pipe());
        let mut echo = echo.limit(4).await?;
        let stdout = echo.stdout.as_mut().expect("a pipe");
        assert_eq!(stdout.read_line().await.unwrap_err().kind(), ErrorKind::TooLarge);
        assert!(echo.wait().await?.success());
        Ok(())
    });
}

fn g05_a_child_has_no_pipe_of_another() {
    with_loop(async |event_loop| {
        let mut cat = shell(&event_loop, "cat").await?;
        let sleeper = event_loop.create_subprocess_exec("sleep").arg("1000").await?;
        // The sleeper would hold the input open.
        assert!(cat.communicate("x").await?.status.success());
        sleeper.kill()?;
        sleeper.wait().await?;
        Ok(())
    });
}

fn a_process_without_pipes_communicates_by_its_end() {
    with_loop(async |event_loop| {
        let output = event_loop.create_subprocess_shell("exit 9").await?.communicate("unheard").await?;
        let expected = (Vec::new(), Vec::new(), Some(9));
        assert_eq!((output.stdout, output.stderr, output.status.code()), expected);
        Ok(())
    });
}

fn a_process_whose_input_is_dropped_reads_the_end() {
    with_loop(async |event_loop| {
        let mut cat = shell(&event_loop, "cat; echo end").await?;
        let mut stdin = cat.stdin.take().expect("a pipe");
        // More than a pipe takes: the rest is written in the background, before the end.
        stdin.write(&vec![b'x'; 200_000])?;
        drop(stdin);
        let stdout = cat.communicate("").await?.stdout;
        assert_eq!((stdout.len(), stdout.ends_with(b"xend\n")), (200_004, true));
        Ok(())
    });
}
