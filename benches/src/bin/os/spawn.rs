//! How long a child process takes: started, until its end is known.

#![allow(unsafe_code, reason = "the bare start is libc's")]

use core::ptr;
use std::process::Command;

use rondel::{EventLoop, ExitStatus};
use tokio::runtime::Builder;

use crate::case::{Case, ns_each};
use crate::python;

const PROGRAM: &str = "/bin/true";

pub(crate) fn spawn_and_wait(case: &mut Case<'_>) {
    const BARE: &str = "posix_spawn, waitpid";
    case.name("spawn `true` and wait");
    let count = case.scaled(200);
    case.add(BARE, || posix_spawn(count));
    case.add("std::process", || standard(count));
    case.add("tokio process", || tokio_process(count));
    case.try_add("asyncio create_subprocess_exec", || python::rounds("asyncio", "children", count));
    case.try_add("uvloop create_subprocess_exec", || python::rounds("uvloop", "children", count));
    case.add("rondel", || rondel_process(count));
    case.goal_times("rondel", 1.10, BARE);
}

unsafe extern "C" {
    static environ: *const *mut libc::c_char;
}

fn posix_spawn(count: usize) -> impl FnMut() -> f64 {
    let program = c"/bin/true";
    move || {
        let arguments = [program.as_ptr().cast_mut(), ptr::null_mut()];
        ns_each(count, || {
            for _ in 0..count {
                let (mut pid, mut status) = (0, -1);
                // SAFETY: strings and arrays of them, each ended by a null; numbers good for writing.
                // Nobody changes the environment.
                unsafe {
                    let started = libc::posix_spawn(
                        &raw mut pid,
                        program.as_ptr(),
                        ptr::null(),
                        ptr::null(),
                        arguments.as_ptr(),
                        environ,
                    );
                    assert_eq!(started, 0);
                    assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                }
                assert_eq!(status, 0);
            }
        })
    }
}

fn standard(count: usize) -> impl FnMut() -> f64 {
    move || {
        ns_each(count, || {
            for _ in 0..count {
                assert!(Command::new(PROGRAM).status().expect("starts").success());
            }
        })
    }
}

fn tokio_process(count: usize) -> impl FnMut() -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("opens");
    move || {
        ns_each(count, || {
            runtime.block_on(async {
                for _ in 0..count {
                    let ended = tokio::process::Command::new(PROGRAM).status().await;
                    assert!(ended.expect("starts").success());
                }
            });
        })
    }
}

fn rondel_process(count: usize) -> impl FnMut() -> f64 {
    let event_loop = EventLoop::new().expect("opens");
    move || {
        ns_each(count, || {
            let all = async {
                for _ in 0..count {
                    let process = event_loop.create_subprocess_exec(PROGRAM).await?;
                    assert_eq!(process.wait().await?, ExitStatus::Code(0));
                }
                Ok::<(), rondel::Error>(())
            };
            event_loop.run_until_complete(all).expect("they end");
        })
    }
}
