//! How a child process is asked for.

use core::fmt;
use core::panic::Location;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::create::{AsProcess, AsTransport};
use super::launch::{self, Launch, ProcessLimit};
use super::protocol::SubprocessProtocol;
use super::stdio::Stdio;
use crate::EventLoopHandle;

impl EventLoopHandle {
    /// Starts a program as a child process; options follow, and then an await. Its standard input,
    /// output and error are ours unless the options say otherwise (contract SB-1, SB-3).
    ///
    /// ```
    /// use rondel::Stdio;
    ///
    /// rondel::run(async |event_loop| {
    ///     let grep = event_loop.create_subprocess_exec("grep").args(["-q", "root", "/etc/passwd"]);
    ///     let grep = grep.stdin(Stdio::null()).await?;
    ///     assert!(grep.wait().await?.success());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// A name without a slash is looked for along the `PATH` of the child's environment. The program
    /// gets no descriptor but the three and those of [`pass_fd`](CreateSubprocess::pass_fd), no signal
    /// that is blocked, and every signal with its default action, unless it is ignored here; `SIGPIPE`,
    /// `SIGXFSZ` and `SIGCHLD` have it in any case (FAULTS R-08). Directory, nice value and umask are
    /// ours.
    ///
    /// # Errors
    /// Those of [`CreateSubprocess`].
    ///
    /// # Cancellation
    /// As of [`CreateSubprocess`].
    ///
    /// # Python
    /// `asyncio.create_subprocess_exec(program, *args)`, which leaves `SIGCHLD` ignored.
    #[track_caller]
    pub fn create_subprocess_exec(&self, program: impl Into<OsString>) -> CreateSubprocess {
        CreateSubprocess::new(self, Launch::new(program.into()), AsProcess::default())
    }

    /// As [`create_subprocess_exec`](Self::create_subprocess_exec), for a line of the shell's language
    /// (`/bin/sh -c`). What comes from elsewhere must not be put into such a line: its spaces, quotes
    /// and semicolons mean something there. Further arguments are the shell's `$0`, `$1` and so on.
    ///
    /// # Errors
    /// Those of [`CreateSubprocess`].
    ///
    /// # Cancellation
    /// As of [`CreateSubprocess`].
    ///
    /// # Python
    /// `asyncio.create_subprocess_shell(cmd)`.
    #[track_caller]
    pub fn create_subprocess_shell(&self, command: impl Into<OsString>) -> CreateSubprocess {
        CreateSubprocess::new(self, launch::shell(command.into()), AsProcess::default())
    }

    /// Starts a program as a child process with a protocol made by `factory`; options follow, and then
    /// an await, which returns the transport and the protocol when `connection_made` was called. Its
    /// standard input, output and error are pipes unless the options say otherwise (contract SB-3).
    ///
    /// ```
    /// use rondel::{SubprocessProtocol, SubprocessTransport};
    ///
    /// struct Printer;
    ///
    /// impl SubprocessProtocol for Printer {
    ///     fn pipe_data_received(
    ///         &mut self,
    ///         _: &SubprocessTransport,
    ///         fd: i32,
    ///         data: &[u8],
    ///     ) -> rondel::Result<()> {
    ///         println!("{fd}: {}", data.escape_ascii());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// rondel::run(async |event_loop| {
    ///     let (transport, _printer) = event_loop.subprocess_exec(|| Printer, "date").arg("-u").await?;
    ///     assert!(transport.wait().await?.success());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), rondel::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`CreateSubprocess`].
    ///
    /// # Cancellation
    /// The process is killed and reaped, and its pipes are closed (SB-11).
    ///
    /// # Python
    /// `loop.subprocess_exec(factory, program, *args)`.
    #[track_caller]
    pub fn subprocess_exec<F, P>(
        &self,
        factory: F,
        program: impl Into<OsString>,
    ) -> CreateSubprocess<AsTransport<F>>
    where
        F: FnOnce() -> P + 'static,
        P: SubprocessProtocol,
    {
        CreateSubprocess::new(self, Launch::new(program.into()).with_pipes(), AsTransport(factory))
    }

    /// As [`subprocess_exec`](Self::subprocess_exec), for a line of the shell's language; mind what
    /// [`create_subprocess_shell`](Self::create_subprocess_shell) says of those.
    ///
    /// # Errors
    /// Those of [`CreateSubprocess`].
    ///
    /// # Cancellation
    /// As [`subprocess_exec`](Self::subprocess_exec).
    ///
    /// # Python
    /// `loop.subprocess_shell(factory, cmd)`.
    #[track_caller]
    pub fn subprocess_shell<F, P>(
        &self,
        factory: F,
        command: impl Into<OsString>,
    ) -> CreateSubprocess<AsTransport<F>>
    where
        F: FnOnce() -> P + 'static,
        P: SubprocessProtocol,
    {
        CreateSubprocess::new(self, launch::shell(command.into()).with_pipes(), AsTransport(factory))
    }
}

/// The options of a child process; await it to start it.
///
/// # Errors
/// Awaiting it fails before anything is started with `Full` if a table is, the one of
/// [`Config::children`](crate::Config) included, and with `InvalidInput` for a NUL byte in an argument
/// or a name that can't be a variable's. What the system refuses is of the kind `Io`, in the system's
/// words: `ENOENT` and `EACCES` for a program, `EAGAIN` for too many processes, `EMFILE`, `E2BIG`,
/// `ENOEXEC` for a script without its first line; the message begins with the call that failed, such
/// as `chdir`. No process and no descriptor is left (contract SB-2, FAULTS R-06).
///
/// # Cancellation
/// Safe: the process is started within one step.
///
/// # Python
/// The keyword arguments of `subprocess.Popen`, as `asyncio.create_subprocess_exec` takes them.
#[must_use = "does nothing until it is awaited"]
pub struct CreateSubprocess<Target = AsProcess> {
    pub(super) event_loop: EventLoopHandle,
    pub(super) launch: Launch,
    pub(super) target: Target,
    pub(super) location: &'static Location<'static>,
}

impl<Target> CreateSubprocess<Target> {
    #[track_caller]
    fn new(event_loop: &EventLoopHandle, launch: Launch, target: Target) -> Self {
        Self { event_loop: event_loop.clone(), launch, target, location: Location::caller() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.launch.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.launch.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets what the program is told to be called, instead of what it is.
    ///
    /// # Python
    /// `executable`, the other way round: there that is what is run, and `program` what it is told.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.launch.arg0 = Some(name.into());
        self
    }

    /// Sets a variable of the environment.
    ///
    /// # Python
    /// `env`, which replaces all variables, as here after [`env_clear`](Self::env_clear).
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.launch.environment.set(name.into(), Some(value.into()));
        self
    }

    /// Sets variables of the environment.
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in variables {
            self.launch.environment.set(name.into(), Some(value.into()));
        }
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.launch.environment.set(name.into(), None);
        self
    }

    /// Begins with an empty environment, instead of ours.
    ///
    /// # Python
    /// `env={}`.
    pub fn env_clear(mut self) -> Self {
        self.launch.environment.clear();
        self
    }

    /// Sets the child's directory; a program with a slash in its name is looked for from there.
    ///
    /// # Python
    /// `cwd`.
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.launch.directory = Some(directory.into());
        self
    }

    /// Sets the standard input.
    ///
    /// # Python
    /// `stdin`.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.launch.stdin = stdio.into();
        self
    }

    /// Sets the standard output.
    ///
    /// # Python
    /// `stdout`.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.launch.stdout = stdio.into();
        self
    }

    /// Sets the standard error.
    ///
    /// # Python
    /// `stderr`.
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.launch.stderr = Some(stdio.into());
        self
    }

    /// Makes the standard error the same as the standard output.
    ///
    /// # Python
    /// `stderr=subprocess.STDOUT`.
    pub fn stderr_to_stdout(mut self) -> Self {
        self.launch.stderr = None;
        self
    }

    /// Hands a further descriptor to the program, which has it under the same number, from 3 on; it is
    /// closed here when the program has it.
    ///
    /// # Python
    /// `pass_fds`. Nothing else is inherited, as with `close_fds=True`, the default there.
    pub fn pass_fd(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.launch.passed.push(descriptor.into());
        self
    }

    /// Sets the user whose rights the child has, by number. Further groups are left, if we may and
    /// unless [`groups`](Self::groups) are given.
    ///
    /// # Python
    /// `user`, which leaves the groups as they are.
    pub fn uid(mut self, uid: u32) -> Self {
        self.launch.uid = Some(uid);
        self
    }

    /// Sets the group whose rights the child has, by number.
    ///
    /// # Python
    /// `group`.
    pub fn gid(mut self, gid: u32) -> Self {
        self.launch.gid = Some(gid);
        self
    }

    /// Sets the further groups whose rights the child has, by number.
    ///
    /// # Python
    /// `extra_groups`.
    pub fn groups(mut self, groups: impl Into<Vec<u32>>) -> Self {
        self.launch.groups = Some(groups.into());
        self
    }

    /// Puts the child into a group of processes: 0 is one of its own. The terminal's Ctrl+C goes to
    /// the group in the foreground alone.
    ///
    /// # Python
    /// `process_group`.
    pub fn process_group(mut self, group: i32) -> Self {
        self.launch.process_group = Some(group);
        self
    }

    /// Chooses whether the child begins a session of its own, without a terminal. False by default.
    ///
    /// # Python
    /// `start_new_session`.
    pub fn new_session(mut self, new_session: bool) -> Self {
        self.launch.has_new_session = new_session;
        self
    }

    /// Has the system send a signal to the child when the thread of the loop ends, however that
    /// happens: what there is against children that outlive a program which was killed (FAULTS K-06).
    /// It is forgotten by a program that is set-user-ID.
    ///
    /// # Python
    /// None.
    pub fn parent_death_signal(mut self, signal: impl Into<i32>) -> Self {
        self.launch.parent_death_signal = Some(signal.into());
        self
    }

    /// Limits what the child may use, from its first instruction on: the value that counts, and the
    /// highest to which it may raise that; `u64::MAX` is no limit.
    ///
    /// # Python
    /// `preexec_fn` and `resource.setrlimit`.
    pub fn resource_limit(mut self, limit: ProcessLimit, soft: u64, hard: u64) -> Self {
        self.launch.limits.push((limit, [soft, hard]));
        self
    }
}

impl CreateSubprocess {
    /// Sets the most bytes that the reader of each pipe buffers, so the longest line; 64 KiB by default.
    ///
    /// # Python
    /// `limit`.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.target.limit = bytes;
        self
    }

    /// Chooses whether the child is killed when the [`Process`](crate::Process) is dropped. False by
    /// default: it runs on, and is reaped when it ends.
    pub fn kill_on_drop(mut self, kill_on_drop: bool) -> Self {
        self.target.kill_on_drop = kill_on_drop;
        self
    }
}

impl<Target> fmt::Debug for CreateSubprocess<Target> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CreateSubprocess({:?} {:?})", self.launch.program, self.launch.args)
    }
}
