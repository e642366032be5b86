//! Children with a protocol: what it is told, and in which order.

use rondel::{
    Error, EventLoop, EventLoopHandle, ExitStatus, Operation, ProtocolRef, Stdio, SubprocessProtocol,
    SubprocessTransport, TimeoutError,
};

use crate::fixture::{Oops, Trace, manual, reports, scenarios, small};

scenarios! {
    sb3_sb5_its_pipes_are_told_of_by_their_numbers_and_its_end_last
    sb4_what_happens_while_connection_made_runs_is_told_afterwards
    sb5_r04_a_grandchild_that_holds_the_output_delays_connection_lost_alone
    sb6_what_is_in_the_pipe_at_the_end_is_told
    sb8_a_close_kills_the_process_and_tells_of_its_end
    sb8_a_close_of_what_has_ended_cleans_up
    sb2_what_can_not_be_started_leaves_nothing_and_tells_nothing
    sb11_a_creation_that_is_cancelled_leaves_nothing
    r07_input_that_nobody_reads_is_an_error_of_its_pipe
    writing_is_paused_and_resumed
    a_loop_that_is_closed_tells_so
    an_error_of_a_method_is_reported
    a_process_without_pipes_ends_with_its_exit
    outputs_may_be_one
}

type Made = (SubprocessTransport, ProtocolRef<Recorder>);

/// Records what it is told.
#[derive(Default)]
struct Recorder {
    trace: Trace,
    /// Is called in `connection_made`.
    begin: Option<fn(&SubprocessTransport)>,
    fails: bool,
}

impl Recorder {
    fn tell(&self, what: String) -> rondel::Result<()> {
        self.trace.push(what);
        if self.fails { Err(Error::new(Oops(1))) } else { Ok(()) }
    }
}

impl SubprocessProtocol for Recorder {
    fn connection_made(&mut self, transport: &SubprocessTransport) -> rondel::Result<()> {
        self.trace.push("made");
        if let Some(begin) = self.begin {
            begin(transport);
            self.trace.push("began");
        }
        Ok(())
    }

    fn pipe_data_received(&mut self, _: &SubprocessTransport, fd: i32, data: &[u8]) -> rondel::Result<()> {
        self.tell(format!("{fd}: {}", String::from_utf8_lossy(data).trim()))
    }

    fn pipe_connection_lost(
        &mut self,
        _: &SubprocessTransport,
        fd: i32,
        error: Option<&Error>,
    ) -> rondel::Result<()> {
        self.tell(error.map_or(format!("{fd} lost"), |error| format!("{fd} lost: {error}")))
    }

    fn pause_writing(&mut self, _: &SubprocessTransport) -> rondel::Result<()> {
        self.tell("paused".into())
    }

    fn resume_writing(&mut self, _: &SubprocessTransport) -> rondel::Result<()> {
        self.tell("resumed".into())
    }

    fn process_exited(&mut self, transport: &SubprocessTransport) -> rondel::Result<()> {
        let status = transport.returncode().expect("exited");
        self.tell(status.to_string())
    }

    fn connection_lost(&mut self, _: &SubprocessTransport, error: Option<&Error>) -> rondel::Result<()> {
        self.tell(error.map_or("lost".into(), |error| format!("lost: {:?}", error.kind())))
    }
}

/// Runs `test` in a loop, and looks that it has left neither a process nor a pipe.
fn with_loop<R: 'static>(test: impl AsyncFnOnce(EventLoopHandle) -> rondel::Result<R>) -> R {
    let event_loop = manual();
    let told = reports(&event_loop);
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(test(handle)).expect("no error");
    assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    assert_eq!(told.take(), [""; 0]);
    result
}

/// Starts a line of the shell's language, whose protocol records into `trace`.
async fn shell(event_loop: &EventLoopHandle, line: &str, trace: &Trace) -> rondel::Result<Made> {
    let recorder = Recorder { trace: trace.clone(), ..Recorder::default() };
    event_loop.subprocess_shell(|| recorder, line).await
}

/// Goes on when something is told, and returns all that was.
async fn told_until(event_loop: &EventLoopHandle, trace: &Trace, what: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    while !told.iter().any(|told| told == what) {
        event_loop.yield_now().await.expect("room");
        told.extend(trace.take());
    }
    told
}

/// Sorts what is told in any order between the first and the last.
fn sorted(mut told: Vec<String>) -> Vec<String> {
    let last = told.len() - 1;
    told[1..last].sort();
    told
}

/// Waits until nothing is left, and returns all that was told, sorted between the first and the last.
async fn ended(
    event_loop: &EventLoopHandle,
    trace: &Trace,
    mut told: Vec<String>,
) -> rondel::Result<Vec<String>> {
    while told.last().is_none_or(|last| last != "lost") {
        event_loop.yield_now().await?;
        told.extend(trace.take());
    }
    // It is the last, and whatever came after it would be seen.
    event_loop.yield_now().await?;
    told.extend(trace.take());
    Ok(sorted(told))
}

fn sb3_sb5_its_pipes_are_told_of_by_their_numbers_and_its_end_last() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let line = "read x; echo \"got $x\"; echo oh >&2; exit 3";
        let (transport, protocol) = shell(&event_loop, line, &trace).await?;
        assert!(transport.pid() > 1 && transport.returncode().is_none() && !transport.is_closing());
        transport.stdin().expect("a pipe").write(b"this\n")?;
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        let expected =
            ["made", "0 lost", "1 lost", "1: got this", "2 lost", "2: oh", "exited with 3", "lost"];
        assert_eq!(told, expected);
        assert_eq!(transport.returncode(), Some(ExitStatus::Code(3)));
        assert!(transport.is_closing() && protocol.with(|protocol| protocol.fails).is_ok());
        Ok(())
    });
}

fn sb4_what_happens_while_connection_made_runs_is_told_afterwards() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let begin = |transport: &SubprocessTransport| {
            transport.stdin().expect("a pipe").close();
            transport.stdout().expect("a pipe").close();
        };
        let recorder = Recorder { trace: trace.clone(), begin: Some(begin), ..Recorder::default() };
        let (transport, _) = event_loop.subprocess_exec(|| recorder, "cat").await?;
        transport.wait().await?;
        let told = told_until(&event_loop, &trace, "began").await;
        assert_eq!(told[..2], ["made", "began"]);
        let told = ended(&event_loop, &trace, told).await?;
        assert_eq!(told, ["made", "0 lost", "1 lost", "2 lost", "began", "exited with 0", "lost"]);
        Ok(())
    });
}

// Not among the scenarios: a thread reaps the child, and closes its descriptor when it has.
#[test]
fn sb4_an_exit_that_is_noticed_before_connection_made_is_told_after_it() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
    // Whoever looks first is told that there is no such child.
    faults.fail(Operation::WaitChild, libc::ECHILD);
    let trace = Trace::new();
    let begin = |transport: &SubprocessTransport| assert!(transport.returncode().is_some(), "too late");
    let recorder = Recorder { trace: trace.clone(), begin: Some(begin), ..Recorder::default() };
    let handle = event_loop.handle();
    // A shutdown looks at all children, in the very turn in which this one is started.
    let task = event_loop.create_task(async move {
        handle.sleep(core::time::Duration::from_secs(60)).await.expect_err("cancelled");
        handle.subprocess_exec(|| recorder, "true").await.map(drop)
    });
    let handle = event_loop.handle();
    let shut = event_loop.run_until_complete(async move {
        handle.yield_now().await?;
        handle.shutdown(core::time::Duration::from_secs(5)).await
    });
    assert!(shut.expect("no error").is_clean());
    let told = trace.take();
    assert_eq!((told[0].as_str(), told[1].as_str()), ("made", "began"));
    assert_eq!(told.iter().filter(|told| *told == "ended, nobody knows how").count(), 1);
    assert_eq!(told.last().map(String::as_str), Some("lost"));
    drop(task);
}

fn sb5_r04_a_grandchild_that_holds_the_output_delays_connection_lost_alone() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let line = "sleep 1000 2>&- <&- & echo $!";
        let (transport, _) = shell(&event_loop, line, &trace).await?;
        assert!(transport.wait().await?.success());
        let mut told = told_until(&event_loop, &trace, "exited with 0").await;
        while told.iter().filter(|told| told.ends_with(" lost")).count() < 2
            || !told.iter().any(|told| told.starts_with("1: "))
        {
            event_loop.yield_now().await?;
            told.extend(trace.take());
        }
        assert!(!told.contains(&"lost".into()) && !told.contains(&"1 lost".into()), "{told:?}");
        let sleeper = told.iter().find_map(|told| told.strip_prefix("1: ")).expect("a number");
        // SAFETY: no pointers; the process sleeps for longer than the test lasts.
        assert_eq!(unsafe { libc::kill(sleeper.parse()?, libc::SIGKILL) }, 0);
        let told = ended(&event_loop, &trace, told).await?;
        assert_eq!(told.iter().filter(|told| *told == "exited with 0").count(), 1);
        assert_eq!(told.iter().filter(|told| *told == "lost").count(), 1);
        assert!(told.contains(&"1 lost".into()));
        Ok(())
    });
}

fn sb6_what_is_in_the_pipe_at_the_end_is_told() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let begin = |transport: &SubprocessTransport| transport.stdout().expect("a pipe").pause_reading();
        let recorder = Recorder { trace: trace.clone(), begin: Some(begin), ..Recorder::default() };
        let (transport, _) = event_loop.subprocess_exec(|| recorder, "echo").arg("last").await?;
        transport.wait().await?;
        let told = told_until(&event_loop, &trace, "exited with 0").await;
        assert!(!told.contains(&"1: last".into()), "{told:?}");
        transport.stdout().expect("a pipe").resume_reading();
        let told = ended(&event_loop, &trace, told).await?;
        let expected = ["made", "0 lost", "1 lost", "1: last", "2 lost", "began", "exited with 0", "lost"];
        assert_eq!(told, expected);
        Ok(())
    });
}

fn sb8_a_close_kills_the_process_and_tells_of_its_end() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let (transport, _) = shell(&event_loop, "exec sleep 1000", &trace).await?;
        transport.close();
        transport.close();
        assert!(transport.is_closing());
        assert_eq!(transport.wait().await?, ExitStatus::Signal(libc::SIGKILL));
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        assert_eq!(told, ["made", "0 lost", "1 lost", "2 lost", "ended by signal 9", "lost"]);
        transport.close();
        assert!(transport.kill().is_err());
        Ok(())
    });
}

fn sb8_a_close_of_what_has_ended_cleans_up() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        // The sleeper has all three pipes.
        let line = "sleep 1000 & echo $! >&2; exit 5";
        let (transport, _) = shell(&event_loop, line, &trace).await?;
        let mut told = told_until(&event_loop, &trace, "exited with 5").await;
        while !told.iter().any(|told| told.starts_with("2: ")) {
            event_loop.yield_now().await?;
            told.extend(trace.take());
        }
        transport.close();
        let told = ended(&event_loop, &trace, told).await?;
        assert_eq!(transport.returncode(), Some(ExitStatus::Code(5)));
        let sleeper = told.iter().find_map(|told| told.strip_prefix("2: ")).expect("a number");
        // SAFETY: no pointers; the process sleeps for longer than the test lasts.
        assert_eq!(unsafe { libc::kill(sleeper.parse()?, libc::SIGKILL) }, 0);
        Ok(())
    });
}

fn sb2_what_can_not_be_started_leaves_nothing_and_tells_nothing() {
    let failures = [(Operation::Pipe, libc::EMFILE), (Operation::Spawn, libc::EAGAIN)];
    for (operation, number) in failures {
        let (event_loop, _clock, faults) = EventLoop::with_faults(small()).expect("a loop");
        faults.fail(operation, number);
        let (handle, trace) = (event_loop.handle(), Trace::new());
        let told = trace.clone();
        let failed =
            event_loop.run_until_complete(async move { shell(&handle, "exit", &told).await.map(drop) });
        let errno = failed.unwrap_err().as_io().and_then(std::io::Error::raw_os_error);
        assert_eq!((errno, trace.count()), (Some(number), 0));
        assert_eq!((event_loop.child_processes(), event_loop.watched_descriptors()), (0, 0));
    }
}

fn sb11_a_creation_that_is_cancelled_leaves_nothing() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let at_once = core::time::Duration::ZERO;
        let made = event_loop.timeout(at_once, shell(&event_loop, "exec sleep 1000", &trace)).await;
        assert!(matches!(made, Err(TimeoutError::TimedOut)));
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        assert_eq!(told, ["made", "0 lost", "1 lost", "2 lost", "ended by signal 9", "lost"]);
        Ok(())
    });
}

fn r07_input_that_nobody_reads_is_an_error_of_its_pipe() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let (transport, _) = shell(&event_loop, "read x; exit 4", &trace).await?;
        transport.stdin().expect("a pipe").write(&[b"x\n".to_vec(), vec![b'y'; 200_000]].concat())?;
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        assert!(told.iter().any(|told| told.starts_with("0 lost: ")), "{told:?}");
        assert_eq!(transport.returncode(), Some(ExitStatus::Code(4)));
        Ok(())
    });
}

fn writing_is_paused_and_resumed() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let (transport, _) = shell(&event_loop, "cat > /dev/null", &trace).await?;
        let stdin = transport.stdin().expect("a pipe");
        stdin.write(&vec![b'x'; 200_000])?;
        let told = told_until(&event_loop, &trace, "resumed").await;
        assert_eq!(told, ["made", "paused", "resumed"]);
        stdin.close();
        ended(&event_loop, &trace, told).await?;
        assert_eq!(transport.returncode(), Some(ExitStatus::Code(0)));
        Ok(())
    });
}

fn a_loop_that_is_closed_tells_so() {
    let event_loop = manual();
    let (handle, trace) = (event_loop.handle(), Trace::new());
    let made = trace.clone();
    let (transport, _) = event_loop
        .run_until_complete(async move { shell(&handle, "exec sleep 1000", &made).await })
        .expect("a process");
    event_loop.close().expect("closed");
    assert_eq!(transport.returncode(), Some(ExitStatus::Signal(libc::SIGKILL)));
    let told = trace.take();
    assert_eq!((told[0].as_str(), told.last().map(String::as_str)), ("made", Some("lost: Closed")));
    assert_eq!(told.iter().filter(|told| told.starts_with("lost")).count(), 1);
}

fn an_error_of_a_method_is_reported() {
    let event_loop = manual();
    let told = reports(&event_loop);
    let (handle, trace) = (event_loop.handle(), Trace::new());
    let lost = trace.clone();
    let ran = event_loop.run_until_complete(async move {
        let recorder = Recorder { trace: lost.clone(), fails: true, ..Recorder::default() };
        let (transport, _) = handle.subprocess_exec(|| recorder, "true").await?;
        transport.wait().await?;
        ended(&handle, &lost, Vec::new()).await
    });
    assert_eq!(ran.expect("no error").last().map(String::as_str), Some("lost"));
    let mut told = told.take();
    told.sort();
    told.dedup();
    let methods = ["connection_lost", "pipe_connection_lost", "process_exited"];
    assert_eq!(told, methods.map(|method| format!("protocol.{method}() failed: oops 1")));
}

fn a_process_without_pipes_ends_with_its_exit() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let recorder = Recorder { trace: trace.clone(), ..Recorder::default() };
        let quiet = event_loop.subprocess_exec(|| recorder, "true").stdin(Stdio::null());
        let (transport, _) = quiet.stdout(Stdio::null()).stderr(Stdio::inherit()).await?;
        assert!(transport.stdin().is_none() && transport.stdout().is_none() && transport.stderr().is_none());
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        assert_eq!(told, ["made", "exited with 0", "lost"]);
        Ok(())
    });
}

fn outputs_may_be_one() {
    with_loop(async |event_loop| {
        let trace = Trace::new();
        let recorder = Recorder { trace: trace.clone(), ..Recorder::default() };
        let both = event_loop.subprocess_shell(|| recorder, "echo oh >&2").stderr_to_stdout();
        let (transport, _) = both.await?;
        assert!(transport.stderr().is_none());
        let told = ended(&event_loop, &trace, Vec::new()).await?;
        assert_eq!(told, ["made", "0 lost", "1 lost", "1: oh", "exited with 0", "lost"]);
        Ok(())
    });
}
