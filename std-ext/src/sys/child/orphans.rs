//! Children that nobody started here: what a process leaves behind goes to the first of its container,
//! or to an ancestor that has asked for it.
//!
//! The kernel gives such a child to the first thread of the process (`find_new_reaper` of its
//! `exit.c`), and it tells the children of each thread. So those of other threads are none: somebody
//! here has started them. Of the first thread's own children there is no way to know.

use core::iter;
use std::fs;
use std::io;
use std::path::Path;

use super::super::syscall::syscall;
use super::{Exit, awaited, wait};

/// Chooses whether the process becomes the parent of what its descendants leave behind
/// (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// As `prctl`.
pub(in crate::sys) fn set_subreaper(is_subreaper: bool) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall!(prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(is_subreaper))) }.map(drop)
}

/// Reaps the children that have exited and that nobody here waits for; those that are `spared` stay,
/// and are taken off that list when they are no children any more.
pub(in crate::sys) fn reap(spared: &mut Vec<i32>) -> Vec<(i32, Exit)> {
    spared.retain(|&pid| !matches!(look(libc::P_PID, pid), Found::NoChild));
    awaited::while_none_is_started(|is_awaited| {
        let is_orphan = |pid: &i32| !is_awaited(*pid) && !spared.contains(pid);
        let reap = |pid: i32| Some((pid, reap_one(pid)?));
        match children() {
            Some(children) => children.into_iter().filter(is_orphan).filter_map(reap).collect(),
            // One that is waited for hides the others, until it was reaped.
            None => iter::from_fn(|| first_zombie().filter(is_orphan).and_then(reap)).collect(),
        }
    })
}

/// Reaps a child if it has exited; `None` too for one that is none.
fn reap_one(pid: i32) -> Option<Exit> {
    let exit = wait(libc::P_PID, pid as libc::id_t, libc::WEXITED | libc::WNOHANG).ok()??;
    (exit != Exit::Unknown).then_some(exit)
}

/// Returns the children of the first thread; `None` if the system has no such list
/// (`CONFIG_PROC_CHILDREN`), or `/proc` is missing or another namespace's, whose numbers mean others.
fn children() -> Option<Vec<i32>> {
    let first = std::process::id().to_string();
    if fs::read_link("/proc/self").ok()? != Path::new(&first) {
        return None;
    }
    let list = fs::read_to_string(format!("/proc/self/task/{first}/children")).ok()?;
    Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Returns the first child that has exited, of whatever thread.
fn first_zombie() -> Option<i32> {
    if let Found::Zombie(pid) = look(libc::P_ALL, 0) { Some(pid) } else { None }
}

/// What there is when a child is looked for.
enum Found {
    NoChild,
    Running,
    Zombie(i32),
}

/// Looks for a child without reaping it.
fn look(by: libc::idtype_t, pid: i32) -> Found {
    let mut info = core::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: room for the answer.
    if unsafe { syscall!(waitid(by, pid as libc::id_t, info.as_mut_ptr(), options)) }.is_err() {
        return Found::NoChild;
    }
    // SAFETY: numbers, zero at first, and still so if nobody has exited.
    match unsafe { info.assume_init().si_pid() } {
        0 => Found::Running,
        pid => Found::Zombie(pid),
    }
}
