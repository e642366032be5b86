//! Children that nobody started here: what a process leaves behind goes to the first of its container,
//! or to an ancestor that has asked for it.

use std::fs;
use std::io;

use super::super::syscall::syscall;
use super::{Exit, wait};

/// Has the process become the parent of what its descendants leave behind (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// As `prctl`.
pub(in crate::sys) fn adopt() -> io::Result<()> {
    const YES: libc::c_ulong = 1;
    // SAFETY: no pointers.
    unsafe { syscall!(prctl(libc::PR_SET_CHILD_SUBREAPER, YES)) }.map(drop)
}

/// Returns the children of the process that have exited and were not reaped; of a system without
/// lists of children only the first.
pub(in crate::sys) fn zombies() -> Vec<i32> {
    match children() {
        Ok(children) => children.into_iter().filter(|&pid| peek(libc::P_PID, pid) == Some(pid)).collect(),
        Err(_) => peek(libc::P_ALL, 0).into_iter().collect(),
    }
}

/// Reaps one of them; `None` if it is none any more.
pub(in crate::sys) fn reap_orphan(pid: i32) -> Option<Exit> {
    let exit = wait(libc::P_PID, pid as libc::id_t, libc::WEXITED | libc::WNOHANG).ok()??;
    (exit != Exit::Unknown).then_some(exit)
}

/// Reads the children of all threads.
///
/// # Errors
/// If the system has no such lists (`CONFIG_PROC_CHILDREN`).
fn children() -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    // A thread that begins or ends meanwhile is looked at the next time.
    let own = fs::read_to_string("/proc/thread-self/children")?;
    let lists = fs::read_dir("/proc/self/task")?
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    for list in lists.chain([own]) {
        children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    children.sort_unstable();
    children.dedup();
    Ok(children)
}

/// Returns a child that has exited, without reaping it.
fn peek(by: libc::idtype_t, pid: i32) -> Option<i32> {
    let mut info = core::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: room for the answer.
    unsafe { syscall!(waitid(by, pid as libc::id_t, info.as_mut_ptr(), options)) }.ok()?;
    // SAFETY: numbers, zero at first.
    let pid = unsafe { info.assume_init().si_pid() };
    (pid != 0).then_some(pid)
}
