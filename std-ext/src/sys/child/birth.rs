//! What a child does between its creation and its program.
//!
//! It shares the memory of its parent, whose other threads run on, or has a copy of it in which they
//! stand still for ever, whatever locks they held (FAULTS R-10). So nothing here allocates, locks or
//! panics, and libc is asked for system calls alone: its `setuid` would tell threads that are not
//! there. All signals are blocked until no handler of the parent's is left (FAULTS G-06).

use core::mem::MaybeUninit;
use core::ptr;

use super::command::Command;
use super::report::{Failure, Stage};
use super::spawn::set_signal_mask;

/// Becomes the program of `command`; returns only if that fails.
pub(super) fn become_program(command: &Command, parent: libc::pid_t) -> Failure {
    match prepare(command, parent) {
        Ok(()) => execute(command),
        Err(failure) => failure,
    }
}

/// The order matters: limits and identity need what the parent may do, a change of identity clears
/// the parent-death signal, and a descriptor is moved before a limit forbids it.
fn prepare(command: &Command, parent: libc::pid_t) -> Result<(), Failure> {
    reset_signal_actions();
    leave_groups(command)?;
    arrange_stdio(command.stdio)?;
    hide_descriptors(&command.passed)?;
    set_limits(&command.limits)?;
    change_identity(command)?;
    enter_directory(command)?;
    die_with_parent(command, parent)?;
    set_signal_mask(0);
    Ok(())
}

/// Tries the files in their order, as `execvp` does: one that isn't there, or may not be executed,
/// doesn't end the search.
fn execute(command: &Command) -> Failure {
    let mut last = libc::ENOENT;
    for program in &command.programs {
        let (arguments, environment) = (command.arguments.as_ptr(), command.environment.as_ptr());
        // SAFETY: strings and arrays of them, each ended by a null, that outlive the call.
        unsafe { libc::execve(program.as_ptr(), arguments, environment) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => last = libc::EACCES,
            errno => return Failure { stage: Stage::Execute, errno },
        }
    }
    Failure { stage: Stage::Execute, errno: last }
}

/// Gives every signal its default action that has a handler, which would be the parent's, and those
/// ignored ones that programs don't expect so. Others stay ignored, as `nohup` wants it (FAULTS R-08).
fn reset_signal_actions() {
    const SIGNAL_MAX: i32 = 64;
    for signal in 1..=SIGNAL_MAX {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: room for the answer. A number that libc keeps for itself is refused: it has its own
        // ways to find out whether it is meant.
        let asked = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
        // SAFETY: numbers, zero at first.
        let mut action = unsafe { action.assume_init() };
        let resets = match action.sa_sigaction {
            libc::SIG_DFL => false,
            libc::SIG_IGN => matches!(signal, libc::SIGPIPE | libc::SIGXFSZ | libc::SIGCHLD),
            _ => true,
        };
        if asked == 0 && resets {
            (action.sa_sigaction, action.sa_flags) = (libc::SIG_DFL, 0);
            // SAFETY: a complete action; nothing runs by it in here.
            unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        }
    }
}

fn leave_groups(command: &Command) -> Result<(), Failure> {
    if command.has_new_session {
        // SAFETY: no pointers.
        check(Stage::Session, unsafe { libc::setsid() })?;
    }
    if let Some(group) = command.process_group {
        // SAFETY: no pointers.
        check(Stage::ProcessGroup, unsafe { libc::setpgid(0, group) })?;
    }
    Ok(())
}

/// Makes descriptors 0, 1 and 2 of others, some of which may have these very numbers.
fn arrange_stdio(mut sources: [i32; 3]) -> Result<(), Failure> {
    for (target, source) in (0..).zip(&mut sources) {
        if (0..3).contains(source) && *source != target {
            // SAFETY: no pointers.
            *source = check(Stage::Stdio, unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, 3) })?;
        }
    }
    for (target, source) in (0..).zip(sources) {
        if source == target {
            // Inherited. One that the parent has closed stays so.
            set_close_on_exec(target, false);
        } else {
            // SAFETY: no pointers.
            check(Stage::Stdio, unsafe { libc::dup2(source, target) })?;
        }
        make_blocking(target);
    }
    Ok(())
}

/// Lets operations on a descriptor block, as programs expect of their standard input and output.
fn make_blocking(fd: i32) {
    // SAFETY: no pointers.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags != -1 && flags & libc::O_NONBLOCK != 0 {
            libc::fcntl(fd, libc::F_SETFL, flags & !libc::O_NONBLOCK);
        }
    }
}

/// Has the program get no descriptor from 3 on but those of `passed` (contract SB-3), whoever opened
/// the others, and however.
fn hide_descriptors(passed: &[i32]) -> Result<(), Failure> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: no pointers.
    let hidden = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if hidden == -1 {
        // Before Linux 5.11.
        hide_one_by_one();
    }
    for &fd in passed {
        if !set_close_on_exec(fd, false) {
            return Err(Failure { stage: Stage::Stdio, errno: errno() });
        }
    }
    Ok(())
}

/// Reads which descriptors there are from `/proc`. Without that those are hidden that were opened so.
fn hide_one_by_one() {
    /// Are where a `linux_dirent64` has its length and its name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: a string.
    let folder = unsafe { libc::open(c"/proc/self/fd".as_ptr(), flags) };
    let mut entries = [0_u8; 1024];
    loop {
        // SAFETY: room for so many bytes.
        let read =
            unsafe { libc::syscall(libc::SYS_getdents64, folder, entries.as_mut_ptr(), entries.len()) };
        let Some(mut rest) = usize::try_from(read).ok().and_then(|read| entries.get(..read)) else { return };
        if rest.is_empty() {
            return;
        }
        while let [.., _] = rest {
            let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) else { return };
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let (Some(entry), Some(next)) = (rest.get(NAME..length), rest.get(length..)) else { return };
            if let Some(fd) = number(entry)
                && fd >= 3
            {
                set_close_on_exec(fd, true);
            }
            rest = next;
        }
    }
}

/// Reads a number that ends with a null; `None` for what isn't one.
fn number(text: &[u8]) -> Option<i32> {
    let digits = text.split(|&byte| byte == 0).next()?;
    let value = digits.iter().try_fold(0_i32, |value, byte| {
        let digit = byte.is_ascii_digit().then_some(i32::from(byte & 0xF))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    value.filter(|_| !digits.is_empty())
}

/// Tells whether there is such a descriptor.
fn set_close_on_exec(fd: i32, closes: bool) -> bool {
    let flags = if closes { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_SETFD, flags) != -1 }
}

fn set_limits(limits: &[(u32, [u64; 2])]) -> Result<(), Failure> {
    for (resource, values) in limits {
        let no_former = ptr::null_mut::<[u64; 2]>();
        // SAFETY: two numbers, good for reading.
        let set =
            unsafe { libc::syscall(libc::SYS_prlimit64, 0, *resource, ptr::from_ref(values), no_former) };
        check(Stage::Limits, set)?;
    }
    Ok(())
}

/// Groups first: afterwards it may not change them any more. Another user doesn't keep ours, which
/// would give it rights of ours; who may not change groups has none that another lacks.
fn change_identity(command: &Command) -> Result<(), Failure> {
    // SAFETY: so many numbers.
    let set_groups =
        |groups: &[libc::gid_t]| unsafe { libc::syscall(identity::SETGROUPS, groups.len(), groups.as_ptr()) };
    if let Some(groups) = &command.groups {
        check(Stage::Groups, set_groups(groups))?;
    } else if command.uid.is_some() {
        set_groups(&[]);
    }
    if let Some(gid) = command.gid {
        // SAFETY: no pointers.
        check(Stage::Gid, unsafe { libc::syscall(identity::SETGID, gid) })?;
    }
    if let Some(uid) = command.uid {
        // SAFETY: no pointers.
        check(Stage::Uid, unsafe { libc::syscall(identity::SETUID, uid) })?;
    }
    Ok(())
}

/// The calls for identities of 32 bits, which have names of their own where there were others before.
#[cfg(any(target_arch = "arm", target_arch = "x86"))]
mod identity {
    pub(super) const SETGROUPS: libc::c_long = libc::SYS_setgroups32;
    pub(super) const SETGID: libc::c_long = libc::SYS_setgid32;
    pub(super) const SETUID: libc::c_long = libc::SYS_setuid32;
}
#[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
mod identity {
    pub(super) const SETGROUPS: libc::c_long = libc::SYS_setgroups;
    pub(super) const SETGID: libc::c_long = libc::SYS_setgid;
    pub(super) const SETUID: libc::c_long = libc::SYS_setuid;
}

fn enter_directory(command: &Command) -> Result<(), Failure> {
    if let Some(directory) = &command.directory {
        // SAFETY: a string.
        check(Stage::Directory, unsafe { libc::chdir(directory.as_ptr()) })?;
    }
    Ok(())
}

/// Asks for a signal at the end of the parent, and sends it if that has come already.
fn die_with_parent(command: &Command, parent: libc::pid_t) -> Result<(), Failure> {
    let Some(signal) = command.parent_death_signal else { return Ok(()) };
    // SAFETY: no pointers.
    check(Stage::ParentDeath, unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) })?;
    // SAFETY: no pointers.
    if unsafe { libc::getppid() } != parent {
        // SAFETY: no pointers. Blocked until the mask is.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    Ok(())
}

fn check<T: PartialEq + From<i8>>(stage: Stage, answer: T) -> Result<T, Failure> {
    if answer == T::from(-1) { Err(Failure { stage, errno: errno() }) } else { Ok(answer) }
}

fn errno() -> i32 {
    // SAFETY: the address of this thread's `errno` is always valid.
    unsafe { *libc::__errno_location() }
}
