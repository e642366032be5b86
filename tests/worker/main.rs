//! The program that the tests of pools of processes start: a worker, one that misbehaves, or the owner
//! of a pool who is killed. Which of them, the variable `RONDEL_TEST_WORKER` says.
#![allow(unsafe_code, reason = "a worker that misbehaves takes its socket by hand")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::process::{Command, abort, exit};

use rondel::{Error, ProcessPoolConfig, ProcessPoolExecutor, WorkerFunction};

const FUNCTIONS: &[(&str, WorkerFunction)] = &[
    ("echo", |arguments| Ok(arguments.into())),
    ("fail", |arguments| Err(Error::new(String::from_utf8_lossy(arguments).into_owned()))),
    ("panic", |arguments| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("{}", String::from_utf8_lossy(arguments))
    }),
    ("pid", |_| Ok(std::process::id().to_le_bytes().into())),
    ("zeros", |length| Ok(vec![0; usize::from_le_bytes(length.try_into().map_err(Error::new)?)])),
    ("abort", |_| abort()),
    ("exit", |code| exit(i32::from(code[0]))),
    ("kill", |_| {
        kill_self();
        Ok(Vec::new())
    }),
    ("block", |_| block()),
    ("until", |path| {
        while !std::fs::exists(String::from_utf8_lossy(path).as_ref())? {
            std::thread::yield_now();
        }
        Ok(Vec::new())
    }),
    ("descriptors", |_| {
        let files = std::fs::read_dir("/proc/self/fd")?.flatten();
        let numbers: Vec<_> = files.map(|file| file.file_name().into_string().unwrap_or_default()).collect();
        Ok(numbers.join("\n").into_bytes())
    }),
    ("inherited", |_| Ok(Command::new("sh").args(["-c", "ls /proc/self/fd"]).output()?.stdout)),
    ("status", |_| Ok(std::fs::read("/proc/self/status")?)),
    ("stdin", |_| {
        let mut input = Vec::new();
        std::io::stdin().read_to_end(&mut input)?;
        Ok(input)
    }),
];

fn main() {
    match std::env::var("RONDEL_TEST_WORKER").as_deref() {
        Err(_) => {
            rondel::process_worker(FUNCTIONS);
            exit(3)
        }
        Ok("owner") => {
            rondel::process_worker(FUNCTIONS);
            own();
        }
        Ok("unaware") => be_unaware(),
        Ok(manner) => misbehave(manner),
    }
}

fn block() -> ! {
    loop {
        std::thread::park();
    }
}

fn kill_self() {
    let _ = Command::new("sh").args(["-c", "kill -KILL $PPID"]).status();
}

/// Owns a pool with two jobs that don't end, tells the numbers of the processes, and never ends.
fn own() {
    let owned = rondel::run::<_, ()>(async |event_loop| {
        let pool =
            ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig { max_workers: 2, ..Default::default() });
        let _jobs = [pool.submit("block", []).start()?, pool.submit("block", []).start()?];
        let pids: Vec<String> = pool.pids().iter().map(ToString::to_string).collect();
        println!("{}", pids.join(" "));
        block()
    });
    owned.expect("a pool");
}

/// Was started as a worker and makes a pool itself, which must be refused.
fn be_unaware() {
    let refused = rondel::run(async |event_loop| {
        let pool = ProcessPoolExecutor::new(&event_loop, ProcessPoolConfig::default());
        Ok::<_, Error>(pool.submit("echo", []).await.map_err(|error| error.to_string()))
    });
    let is_refused = refused.is_ok_and(|answer| answer.is_err_and(|error| error.contains("a worker itself")));
    exit(if is_refused { 42 } else { 1 })
}

/// Does what no worker does.
fn misbehave(manner: &str) {
    const HELLO: &[u8] = b"rondel worker \0\x01";
    let marker = std::env::var("RONDEL_WORKER").expect("started by a pool");
    let fd = marker.split(':').next().and_then(|fd| fd.parse().ok()).expect("a descriptor");
    // SAFETY: meant for this process, which takes it once.
    let mut socket = unsafe { File::from_raw_fd(fd) };
    let answer = |id: u64, kind: u64, length: u64| [id, kind, length].map(u64::to_le_bytes).concat();
    let said = match manner {
        "bad-hello" => b"Usage: program [options]".to_vec(),
        "no-hello" => block(),
        "closes" => {
            drop(socket);
            block()
        }
        "chatty" => [HELLO, b"and so on"].concat(),
        "other-job" => answer(u64::MAX, 0, 0),
        "no-kind" => answer(1, 99, 0),
        "endless" => answer(1, 0, u64::MAX),
        "more" => [answer(1, 0, 0), vec![7; 100]].concat(),
        "no-length" => answer(1, 4, 0),
        "half" => [answer(1, 0, 100), vec![7; 50]].concat(),
        _ => exit(5),
    };
    // Non-blocking, as the pool made it; so little fits.
    if manner == "bad-hello" || manner == "chatty" {
        socket.write_all(&said).expect("sent");
        block();
    }
    socket.write_all(HELLO).expect("sent");
    while socket.read(&mut [0]).is_err() {
        std::thread::yield_now();
    }
    socket.write_all(&said).expect("sent");
    if manner == "half" {
        exit(6);
    }
    block();
}
