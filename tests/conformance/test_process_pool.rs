//! Jobs in other processes: asyncio's `run_in_executor` with a `ProcessPoolExecutor`.

use core::num::NonZero;
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rondel::{
    Config, ErrorKind, EventLoop, JobRefusal, Operation, ProcessJobError, ProcessPoolConfig,
    ProcessPoolExecutor, WorkerExit,
};

use crate::fixture::{alone, descriptors, real, scenarios, small, turns};

scenarios! {
    ex1_a_function_runs_in_another_process_and_its_bytes_come_back
    ex1_an_error_and_a_panic_are_told_and_the_worker_goes_on
    r_a_crash_fails_its_own_job_alone_and_the_worker_is_replaced
    ex5_a_full_queue_gives_the_arguments_back
    sizes_are_limited_both_ways
    a_job_that_takes_too_long_is_killed
    ex3_a_job_that_nobody_waits_for_is_taken_back_or_runs_on
    a_worker_is_replaced_after_so_many_jobs
    a_worker_without_a_job_ends_after_its_time
    what_is_no_worker_is_an_error
    workers_that_misbehave_harm_only_their_job
    a_program_that_is_not_there_gives_the_arguments_back
    ex4_a_pool_that_was_shut_down_runs_what_it_took
    e03_a_shutdown_names_the_job_that_does_not_end
    a_closed_loop_takes_its_workers_along
    a_dropped_pool_runs_what_it_took
    without_room_in_the_loop_nothing_is_left_behind
}

fn config() -> ProcessPoolConfig {
    ProcessPoolConfig {
        max_workers: 1,
        executable: Some(env!("CARGO_BIN_EXE_worker").into()),
        ..ProcessPoolConfig::default()
    }
}

fn pool(event_loop: &EventLoop) -> ProcessPoolExecutor {
    ProcessPoolExecutor::new(event_loop, config())
}

/// Waits for the end of a pool, after which no child is left.
fn finish(event_loop: &EventLoop, pool: &ProcessPoolExecutor) {
    event_loop.run_until_complete(pool.shutdown_and_wait()).unwrap();
    assert_eq!((pool.workers(), pool.queued_jobs()), (0, 0));
}

/// Waits until so many jobs are left that no worker has begun.
fn begun(event_loop: &EventLoop, pool: &ProcessPoolExecutor, queued: usize) {
    event_loop
        .run_until_complete(async {
            while pool.queued_jobs() > queued {
                event_loop.yield_now().await?;
            }
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
}

/// Waits for the result of a job.
fn outcome(
    event_loop: &EventLoop,
    job: impl IntoFuture<Output = Result<Vec<u8>, ProcessJobError>>,
) -> Result<Vec<u8>, ProcessJobError> {
    event_loop.run_until_complete(async { Ok::<_, rondel::Error>(job.await) }).unwrap()
}

/// Is a program that is the worker of the tests in a certain manner; removed with the value.
struct Manner(PathBuf);

impl Manner {
    fn new(manner: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rondel-{}-{manner}", std::process::id()));
        let worker = env!("CARGO_BIN_EXE_worker");
        fs::write(&path, format!("#!/bin/sh\nRONDEL_TEST_WORKER={manner} exec '{worker}' \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    fn pool(&self, event_loop: &EventLoop) -> ProcessPoolExecutor {
        self.pool_with(event_loop, config())
    }

    fn pool_with(&self, event_loop: &EventLoop, config: ProcessPoolConfig) -> ProcessPoolExecutor {
        ProcessPoolExecutor::new(event_loop, ProcessPoolConfig { executable: Some(self.0.clone()), ..config })
    }
}

impl Drop for Manner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Tells whether a process runs.
fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

fn ex1_a_function_runs_in_another_process_and_its_bytes_come_back() {
    let event_loop = real();
    let pool = pool(&event_loop);
    event_loop
        .run_until_complete(async {
            assert_eq!(pool.submit("echo", "hello").await?, b"hello");
            assert_eq!(pool.submit("echo", []).await?, b"");
            // Much more than a socket takes at once.
            let large: Vec<u8> = (0..5_000_000_u32).map(|n| n as u8).collect();
            assert!(pool.submit("echo", large.clone()).await? == large);
            let pid = pool.submit("pid", []).await?;
            let pid = i32::from_le_bytes(pid.try_into().unwrap());
            assert_eq!(pool.pids(), [pid]);
            assert_ne!(pid as u32, std::process::id());
            // An empty input, and not that of this process.
            assert_eq!(pool.submit("stdin", []).await?, b"");
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);
}

fn ex1_an_error_and_a_panic_are_told_and_the_worker_goes_on() {
    let event_loop = real();
    let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { result_bytes_max: 100, ..config() });
    event_loop
        .run_until_complete(async {
            let error = pool.submit("fail", "no such number").await.unwrap_err();
            assert!(
                matches!(&error, ProcessJobError::Failed(message) if message == "no such number"),
                "{error}"
            );
            let pids = pool.pids();
            let error = pool.submit("panic", "no 7").await.unwrap_err();
            assert!(matches!(&error, ProcessJobError::Panicked(message) if message == "no 7"), "{error}");
            assert_eq!(rondel::Error::from(error).kind(), ErrorKind::Panicked);
            let error = pool.submit("fail", "x".repeat(1000)).await.unwrap_err();
            assert!(matches!(&error, ProcessJobError::Failed(message) if message.len() == 100), "{error}");
            let error = pool.submit("nothing", []).await.unwrap_err();
            assert!(matches!(&error, ProcessJobError::UnknownFunction(name) if name == "nothing"), "{error}");
            assert_eq!(pool.submit("echo", "on").await?, b"on");
            assert_eq!(pool.pids(), pids);
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);
}

// Where Python breaks the whole pool.
fn r_a_crash_fails_its_own_job_alone_and_the_worker_is_replaced() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let crashes = [
        ("abort", WorkerExit::Signal(libc::SIGABRT)),
        ("exit", WorkerExit::Code(9)),
        ("kill", WorkerExit::Signal(libc::SIGKILL)),
    ];
    for (function, expected) in crashes {
        let crash = pool.submit(function, [9]).start().unwrap();
        let behind = pool.submit("echo", "behind").start().unwrap();
        event_loop
            .run_until_complete(async {
                let error = crash.await.unwrap_err();
                assert!(matches!(error, ProcessJobError::BrokenProcess(exit) if exit == expected), "{error}");
                assert_eq!(behind.await?, b"behind");
                Ok::<_, rondel::Error>(())
            })
            .unwrap();
    }
    // One that dies without a job takes nobody along.
    let [pid] = pool.pids()[..] else { unreachable!("one worker") };
    // SAFETY: no pointers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    event_loop
        .run_until_complete(async {
            while pool.workers() > 0 {
                event_loop.yield_now().await?;
            }
            assert_eq!(pool.submit("echo", "new").await?, b"new");
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    assert_ne!(pool.pids(), [pid]);
    finish(&event_loop, &pool);
}

fn ex5_a_full_queue_gives_the_arguments_back() {
    let event_loop = real();
    let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { jobs: 1, ..config() });
    // The first has the worker that starts.
    let first = pool.submit("echo", "first").start().unwrap();
    let second = pool.submit("echo", "second").start().unwrap();
    let refused = pool.submit("echo", "third").start().unwrap_err();
    assert!(refused.is_full(), "{refused}");
    assert_eq!(refused.into_value(), b"third");
    // What is taken back makes room at once.
    drop(second);
    let third = pool.submit("echo", "third").start().unwrap();
    event_loop
        .run_until_complete(async {
            assert_eq!((first.await?, third.await?), (b"first".to_vec(), b"third".to_vec()));
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);
}

fn sizes_are_limited_both_ways() {
    let event_loop = real();
    let limits = ProcessPoolConfig { arguments_bytes_max: 12, result_bytes_max: 8, ..config() };
    let pool = ProcessPoolExecutor::new(&event_loop, limits);
    // The name counts.
    let refused = pool.submit("echo", "123456789").start().unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::TooLarge { bytes: 13, limit: 12 }), "{refused}");
    assert_eq!(refused.into_value(), b"123456789");
    assert_eq!(pool.workers(), 0);
    event_loop
        .run_until_complete(async {
            assert_eq!(pool.submit("echo", "12345678").await?, b"12345678");
            let length = 9_usize.to_le_bytes();
            let refused = pool.submit("zeros", &length[..7]).await.unwrap_err();
            assert!(matches!(refused, ProcessJobError::Failed(_)), "{refused}");
            let error = pool.submit("pid", []).await;
            assert!(error.is_ok());
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);

    let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { result_bytes_max: 8, ..config() });
    event_loop
        .run_until_complete(async {
            let error = pool.submit("zeros", 1_000_000_usize.to_le_bytes()).await.unwrap_err();
            let is_told = matches!(error, ProcessJobError::ResultTooLarge { bytes: 1_000_000, limit: 8 });
            assert!(is_told, "{error}");
            assert_eq!(rondel::Error::from(error).kind(), ErrorKind::TooLarge);
            assert_eq!(pool.submit("zeros", 8_usize.to_le_bytes()).await?, [0; 8]);
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);
}

fn a_job_that_takes_too_long_is_killed() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let limit = Duration::from_millis(1);
    let stuck = pool.submit("block", []).timeout(limit).start().unwrap();
    let behind = pool.submit("echo", "behind").start().unwrap();
    event_loop
        .run_until_complete(async {
            let error = stuck.await.unwrap_err();
            assert!(matches!(error, ProcessJobError::TimedOut(told) if told == limit), "{error}");
            assert!(rondel::Error::from(error).is_timed_out());
            assert_eq!(behind.await?, b"behind");
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    finish(&event_loop, &pool);

    // For all jobs of a pool.
    let config = ProcessPoolConfig { job_timeout: Some(limit), ..config() };
    let pool = ProcessPoolExecutor::new(&event_loop, config);
    let error = outcome(&event_loop, pool.submit("block", [])).unwrap_err();
    assert!(matches!(error, ProcessJobError::TimedOut(_)), "{error}");
    finish(&event_loop, &pool);
}

fn ex3_a_job_that_nobody_waits_for_is_taken_back_or_runs_on() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let running = pool.submit("block", []).kill_when_dropped().start().unwrap();
    let task = event_loop.create_task(pool.submit("echo", "queued").start().unwrap()).unwrap();
    begun(&event_loop, &pool, 1);
    task.cancel();
    turns(&event_loop, 2);
    assert!(task.done());
    assert_eq!(pool.queued_jobs(), 0);
    drop(running);
    assert_eq!(outcome(&event_loop, pool.submit("echo", "first")).unwrap(), b"first");
    let pids = pool.pids();
    // One that runs goes on: the worker takes the next when it has ended.
    drop(pool.submit("echo", "running").start().unwrap());
    assert_eq!(outcome(&event_loop, pool.submit("echo", "next")).unwrap(), b"next");
    assert_eq!(pool.pids(), pids);
    // Unless it is to be killed.
    drop(pool.submit("block", []).kill_when_dropped().start().unwrap());
    assert_eq!(outcome(&event_loop, pool.submit("echo", "next")).unwrap(), b"next");
    assert_ne!(pool.pids(), pids);
    finish(&event_loop, &pool);
}

fn a_worker_is_replaced_after_so_many_jobs() {
    let event_loop = real();
    let config = ProcessPoolConfig { max_tasks_per_child: NonZero::new(2), ..config() };
    let pool = ProcessPoolExecutor::new(&event_loop, config);
    let pids: Vec<Vec<u8>> = (0..6).map(|_| outcome(&event_loop, pool.submit("pid", [])).unwrap()).collect();
    for pair in pids.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert!(pids[0] != pids[2] && pids[2] != pids[4]);
    finish(&event_loop, &pool);
}

fn a_worker_without_a_job_ends_after_its_time() {
    let event_loop = real();
    let config = ProcessPoolConfig { idle_timeout: Duration::ZERO, ..config() };
    let pool = ProcessPoolExecutor::new(&event_loop, config);
    for _ in 0..3 {
        assert_eq!(outcome(&event_loop, pool.submit("echo", "on")).unwrap(), b"on");
        event_loop
            .run_until_complete(async {
                while pool.workers() > 0 {
                    event_loop.yield_now().await?;
                }
                Ok::<_, rondel::Error>(())
            })
            .unwrap();
    }
    finish(&event_loop, &pool);
}

fn what_is_no_worker_is_an_error() {
    let event_loop = real();
    // Ends at once; says something else; says nothing; makes a pool itself, which would do the same.
    let manners = [("quits", "status 5"), ("bad-hello", "something else"), ("unaware", "status 42")];
    for (manner, why) in manners {
        let manner = Manner::new(manner);
        let pool = manner.pool(&event_loop);
        let jobs: Vec<_> = (0..2).map(|_| pool.submit("echo", []).start().unwrap()).collect();
        for job in jobs {
            let error = outcome(&event_loop, job).unwrap_err();
            assert!(matches!(error, ProcessJobError::NotAWorker(_)), "{error}");
            assert!(
                error.to_string().contains(why) && error.to_string().contains("process_worker"),
                "{error}"
            );
        }
        finish(&event_loop, &pool);
    }
    let manner = Manner::new("no-hello");
    let soon = ProcessPoolConfig { grace: Duration::from_millis(1), ..config() };
    let pool = manner.pool_with(&event_loop, soon);
    let error = outcome(&event_loop, pool.submit("echo", [])).unwrap_err();
    assert!(error.to_string().contains("nothing in time"), "{error}");
    finish(&event_loop, &pool);
}

fn workers_that_misbehave_harm_only_their_job() {
    let event_loop = real();
    for name in ["other-job", "no-kind", "endless", "no-length", "half"] {
        let manner = Manner::new(name);
        let pool = manner.pool(&event_loop);
        let error = outcome(&event_loop, pool.submit("echo", [])).unwrap_err();
        let is_told = match name {
            "half" => matches!(error, ProcessJobError::BrokenProcess(WorkerExit::Code(6))),
            _ => matches!(error, ProcessJobError::Garbled(_)),
        };
        assert!(is_told, "{name}: {error}");
        // The worker of "no-length" has answered, and is idle.
        pool.kill_workers();
        finish(&event_loop, &pool);
    }
    // What was answered before is an answer.
    let manner = Manner::new("more");
    let pool = manner.pool(&event_loop);
    assert_eq!(outcome(&event_loop, pool.submit("echo", [])).unwrap(), b"");
    finish(&event_loop, &pool);
    for name in ["chatty", "closes"] {
        let manner = Manner::new(name);
        let pool = manner.pool(&event_loop);
        let error = outcome(&event_loop, pool.submit("echo", [])).unwrap_err();
        assert!(matches!(error, ProcessJobError::NotAWorker(_)), "{name}: {error}");
        finish(&event_loop, &pool);
    }
}

fn a_program_that_is_not_there_gives_the_arguments_back() {
    let event_loop = real();
    for path in ["/nowhere/at/all", "/dev/null", "/a\0b"] {
        let config = ProcessPoolConfig { executable: Some(path.into()), ..config() };
        let pool = ProcessPoolExecutor::new(&event_loop, config);
        let refused = pool.submit("echo", "kept").start().unwrap_err();
        assert!(matches!(refused.reason(), JobRefusal::NoProcess(_)), "{refused}");
        assert_eq!(refused.into_value(), b"kept");
        let error = outcome(&event_loop, pool.submit("echo", [])).unwrap_err();
        assert_eq!(rondel::Error::from(error).kind(), ErrorKind::Io);
        finish(&event_loop, &pool);
    }
}

fn ex4_a_pool_that_was_shut_down_runs_what_it_took() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let jobs: Vec<_> = (0..3_u8).map(|n| pool.submit("echo", [n]).start().unwrap()).collect();
    pool.shutdown();
    let refused = pool.submit("echo", "late").start().unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::ShutDown), "{refused}");
    assert_eq!(refused.into_value(), b"late");
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(outcome(&event_loop, job).unwrap(), [n as u8]);
    }
    finish(&event_loop, &pool);
    // One that was never used has nothing to wait for.
    let unused = ProcessPoolExecutor::new(&event_loop, config());
    finish(&event_loop, &unused);
    event_loop.close().unwrap();
    let refused = unused.submit("echo", []).start().unwrap_err();
    assert!(matches!(refused.reason(), JobRefusal::Closed), "{refused}");
}

fn e03_a_shutdown_names_the_job_that_does_not_end() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let line = line!() + 1;
    let stuck = pool.submit("block", []).start().unwrap();
    let queued = pool.submit("echo", []).start().unwrap();
    begun(&event_loop, &pool, 1);
    let [pid] = pool.pids()[..] else { unreachable!("one worker") };
    let limit = Duration::from_millis(1);
    let error = event_loop.run_until_complete(pool.shutdown_timeout(limit)).unwrap_err();
    assert!(error.is_timed_out());
    let text = error.to_string();
    let place = format!("test_process_pool.rs:{line}:");
    assert!(text.contains("block") && text.contains(&place) && text.contains("1 more"), "{text}");
    assert!(text.contains(&format!("process {pid}")), "{text}");
    pool.kill_workers();
    let error = outcome(&event_loop, stuck).unwrap_err();
    assert!(matches!(error, ProcessJobError::Killed), "{error}");
    let error = outcome(&event_loop, queued).unwrap_err();
    assert!(matches!(error, ProcessJobError::Lost), "{error}");
    finish(&event_loop, &pool);
    assert!(!is_alive(pid));
}

fn a_closed_loop_takes_its_workers_along() {
    let event_loop = real();
    let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { max_workers: 3, ..config() });
    let idle = pool.submit("echo", []).start().unwrap();
    outcome(&event_loop, idle).unwrap();
    let jobs: Vec<_> = (0..4).map(|_| pool.submit("block", []).start().unwrap()).collect();
    turns(&event_loop, 2);
    let pids = pool.pids();
    assert_eq!(pids.len(), 3);
    event_loop.close().unwrap();
    assert_eq!((pool.workers(), pool.queued_jobs()), (0, 0));
    for pid in pids {
        // Reaped, so not even a zombie.
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    }
    drop(jobs);
}

fn a_dropped_pool_runs_what_it_took() {
    let event_loop = real();
    let pool = pool(&event_loop);
    let first = pool.submit("echo", "first").start().unwrap();
    let second = pool.submit("echo", "second").start().unwrap();
    drop(pool);
    assert_eq!(outcome(&event_loop, first).unwrap(), b"first");
    assert_eq!(outcome(&event_loop, second).unwrap(), b"second");
}

fn without_room_in_the_loop_nothing_is_left_behind() {
    for calls in 0..2 {
        let event_loop = EventLoop::with_config(Config { calls, ..small() }).unwrap();
        let pool = pool(&event_loop);
        let refused = pool.submit("echo", "kept").start().unwrap_err();
        assert!(matches!(refused.reason(), JobRefusal::NoProcess(_)), "{refused}");
        assert_eq!(refused.into_value(), b"kept");
        assert_eq!(pool.workers(), 0);
    }
    for descriptors in 0..2 {
        let event_loop = EventLoop::with_config(Config { descriptors, ..small() }).unwrap();
        let pool = pool(&event_loop);
        let refused = pool.submit("echo", "kept").start().unwrap_err();
        assert!(matches!(refused.reason(), JobRefusal::NoProcess(_)), "{refused}");
        assert_eq!(pool.workers(), 0);
    }
    // Room for a worker with its timer, and for the run; what else takes a place takes that of the timer.
    let event_loop = EventLoop::with_config(Config { calls: 3, ..small() }).unwrap();
    let pool = pool(&event_loop);
    let sign = std::env::temp_dir().join(format!("rondel-{}-sign", std::process::id()));
    let first = pool.submit("until", sign.to_str().unwrap()).start().unwrap();
    let limited = pool.submit("echo", "limited").timeout(Duration::from_secs(60)).start().unwrap();
    event_loop
        .run_until_complete(async {
            while event_loop.call_later(Duration::from_secs(3600), |_| {}).is_err() {
                event_loop.yield_now().await?;
            }
            fs::write(&sign, "").unwrap();
            assert_eq!(first.await?, b"");
            let refused = match limited.await {
                Err(ProcessJobError::Refused(refused)) => refused,
                other => panic!("there was a timer: {other:?}"),
            };
            assert!(matches!(refused.reason(), JobRefusal::NoTimer(_)), "{refused}");
            assert_eq!(refused.into_value(), b"limited");
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    fs::remove_file(sign).unwrap();
}

#[test]
fn a_worker_has_no_descriptor_or_signal_of_its_parent() {
    let event_loop = real();
    let pool = pool(&event_loop);
    // Not closed on exec, as by a library that doesn't care.
    // SAFETY: no pointers.
    let stray = unsafe { libc::dup(0) };
    event_loop
        .run_until_complete(async {
            let listed = String::from_utf8(pool.submit("descriptors", []).await?).unwrap();
            let numbers: Vec<i32> = listed.lines().map(|line| line.parse().unwrap()).collect();
            assert!(!numbers.contains(&stray), "{listed}");
            // Its socket goes to no program that it starts itself.
            let inherited = String::from_utf8(pool.submit("inherited", []).await?).unwrap();
            assert_eq!(inherited.lines().take(3).collect::<Vec<_>>(), ["0", "1", "2"]);
            assert!(inherited.lines().count() <= 4, "{inherited}");
            let status = String::from_utf8(pool.submit("status", []).await?).unwrap();
            assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
            Ok::<_, rondel::Error>(())
        })
        .unwrap();
    // SAFETY: made above.
    unsafe { libc::close(stray) };
    finish(&event_loop, &pool);
}

#[test]
fn workers_work_at_the_same_time() {
    let event_loop = real();
    let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { max_workers: 2, ..config() });
    let stuck = pool.submit("block", []).start().unwrap();
    for n in 0..100_u8 {
        assert_eq!(outcome(&event_loop, pool.submit("echo", [n])).unwrap(), [n]);
    }
    assert_eq!(pool.workers(), 2);
    pool.kill_workers();
    drop(stuck);
    finish(&event_loop, &pool);
}

#[test]
fn a_parent_that_is_killed_leaves_no_orphan() {
    let mut parent = Command::new(env!("CARGO_BIN_EXE_worker"))
        .env("RONDEL_TEST_WORKER", "owner")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pids: Vec<i32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    while pids.iter().any(|&pid| is_alive(pid)) {
        std::thread::yield_now();
    }
}

// E-01: each call of a start fails in its turn.
#[test]
fn e01_a_start_that_the_system_refuses_gives_the_arguments_back_and_leaves_nothing() {
    let (event_loop, _clock, faults) = EventLoop::with_faults(small()).unwrap();
    let pool = pool(&event_loop);
    let failing = [
        (Operation::SocketPair, libc::EMFILE),
        (Operation::Register, libc::ENOMEM),
        (Operation::Spawn, libc::EAGAIN),
        (Operation::Spawn, libc::ENOMEM),
    ];
    for (operation, errno) in failing {
        faults.fail(operation, errno);
        let refused = pool.submit("echo", "kept").start().unwrap_err();
        let JobRefusal::NoProcess(error) = refused.reason() else { panic!("{refused}") };
        assert_eq!(error.kind(), std::io::Error::from_raw_os_error(errno).kind(), "{operation:?}: {error}");
        assert_eq!(refused.into_value(), b"kept");
        assert_eq!((pool.workers(), pool.queued_jobs()), (0, 0));
    }
    let job = pool.submit("echo", "on").start().unwrap();
    assert_eq!(pool.workers(), 1);
    drop(job);
    event_loop.close().unwrap();
    assert_eq!(pool.workers(), 0);
}

// Out of descriptors, and then not.
#[test]
fn out_of_descriptors_the_arguments_come_back_and_later_it_goes() {
    alone("test_process_pool::out_of_descriptors_the_arguments_come_back_and_later_it_goes", 32, || {
        let event_loop = real();
        let pool = pool(&event_loop);
        let mut taken = Vec::new();
        let before = descriptors();
        while let Ok(file) = fs::File::open("/dev/null") {
            taken.push(file);
        }
        // Each has room for some of what is needed.
        while pool.workers() == 0 {
            match pool.submit("echo", "kept").start() {
                Ok(job) => assert_eq!(outcome(&event_loop, job).unwrap(), b"kept"),
                Err(refused) => {
                    assert!(matches!(refused.reason(), JobRefusal::NoProcess(_)), "{refused}");
                    assert_eq!(refused.into_value(), b"kept");
                    drop(taken.pop());
                }
            }
        }
        assert!(taken.len() > 1);
        finish(&event_loop, &pool);
        drop(taken);
        assert_eq!(descriptors(), before);
    });
}
