//! How a process is to be started, as the user says it, and what the system needs of that.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::stdio::Stdio;
use crate::Result;
use crate::sys::child::{Command, StringArray, limit};

/// Is where a program is looked for if the environment doesn't say, as in Python (`os.defpath`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What a process is to be.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: OsString,
    pub(super) arg0: Option<OsString>,
    pub(super) args: Vec<OsString>,
    pub(super) environment: Environment,
    pub(super) directory: Option<PathBuf>,
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    /// Is the same as standard output if it is none.
    pub(super) stderr: Option<Stdio>,
    pub(super) passed: Vec<OwnedFd>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) groups: Option<Vec<u32>>,
    pub(super) process_group: Option<i32>,
    pub(super) has_new_session: bool,
    pub(super) parent_death_signal: Option<i32>,
    pub(super) limits: Vec<(ProcessLimit, [u64; 2])>,
}

impl Launch {
    pub(super) fn new(program: OsString) -> Self {
        Self {
            program,
            arg0: None,
            args: Vec::new(),
            environment: Environment::default(),
            directory: None,
            stdin: Stdio::inherit(),
            stdout: Stdio::inherit(),
            stderr: Some(Stdio::inherit()),
            passed: Vec::new(),
            uid: None,
            gid: None,
            groups: None,
            process_group: None,
            has_new_session: false,
            parent_death_signal: None,
            limits: Vec::new(),
        }
    }

    /// Makes the standard descriptors pipes.
    pub(super) fn with_pipes(mut self) -> Self {
        (self.stdin, self.stdout, self.stderr) = (Stdio::pipe(), Stdio::pipe(), Some(Stdio::pipe()));
        self
    }

    /// Writes down what the system needs, for a child whose standard descriptors are made of `stdio`.
    ///
    /// # Errors
    /// `InvalidInput` for a NUL byte, and for a variable whose name is none.
    pub(super) fn command(&self, stdio: [i32; 3]) -> Result<Command> {
        let variables = self.environment.variables()?;
        let arguments = [self.arg0.as_ref().unwrap_or(&self.program)].into_iter().chain(&self.args);
        let limits = self.limits.iter().map(|(limit, values)| (limit.number(), *values));
        Ok(Command {
            programs: programs(&self.program, &variables)?,
            arguments: StringArray::new(arguments.map(|arg| c_string(arg)).collect::<Result<_>>()?),
            environment: StringArray::new(variables.into_iter().map(entry).collect::<Result<_>>()?),
            directory: self.directory.as_ref().map(|path| c_string(path.as_os_str())).transpose()?,
            stdio,
            passed: self.passed.iter().map(AsRawFd::as_raw_fd).collect(),
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            process_group: self.process_group,
            has_new_session: self.has_new_session,
            parent_death_signal: self.parent_death_signal,
            limits: limits.collect(),
        })
    }
}

/// Returns the files that a program may be, in the order in which they are tried: itself if there is a
/// slash in its name, else along the path of the child's own environment.
fn programs(program: &OsStr, variables: &[(OsString, OsString)]) -> Result<Vec<CString>> {
    if program.as_bytes().contains(&b'/') || program.is_empty() {
        return Ok(vec![c_string(program)?]);
    }
    let path = variables.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, path)| path.as_bytes());
    let folders = path.split(|&byte| byte == b':');
    folders
        .map(|folder| {
            // An empty entry is the child's directory.
            let slash: &[u8] = if folder.is_empty() || folder.ends_with(b"/") { b"" } else { b"/" };
            c_string(OsStr::from_bytes(&[folder, slash, program.as_bytes()].concat()))
        })
        .collect()
}

/// Writes a variable as programs get it.
fn entry((mut name, value): (OsString, OsString)) -> Result<CString> {
    name.push("=");
    name.push(value);
    c_string(&name)
}

fn c_string(string: &OsStr) -> Result<CString> {
    CString::new(string.as_bytes()).map_err(|_| {
        let message = format!("{string:?} has a NUL byte, and nothing behind it would reach the child");
        io::Error::new(io::ErrorKind::InvalidInput, message).into()
    })
}

/// What a child's environment has other than ours.
#[derive(Debug, Default)]
pub(super) struct Environment {
    is_cleared: bool,
    /// Are the changes in their order; a variable without a value is taken out.
    changes: Vec<(OsString, Option<OsString>)>,
}

impl Environment {
    pub(super) fn clear(&mut self) {
        self.is_cleared = true;
        self.changes.clear();
    }

    pub(super) fn set(&mut self, name: OsString, value: Option<OsString>) {
        self.changes.push((name, value));
    }

    /// Returns the child's variables.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is empty or has a `=` in it.
    fn variables(&self) -> Result<Vec<(OsString, OsString)>> {
        let mut variables: Vec<_> = if self.is_cleared { Vec::new() } else { std::env::vars_os().collect() };
        for (name, value) in &self.changes {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                let message = format!("{name:?} can't be the name of an environment variable");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
            }
            variables.retain(|(other, _)| other != name);
            variables.extend(value.clone().map(|value| (name.clone(), value)));
        }
        Ok(variables)
    }
}

/// Is what the shell is to be for a line of its language.
pub(super) fn shell(command: OsString) -> Launch {
    let mut launch = Launch::new("/bin/sh".into());
    launch.args = vec!["-c".into(), command];
    launch
}

/// What a child process may be limited in; see getrlimit(2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ProcessLimit {
    /// Bytes of its address space.
    AddressSpace,
    /// Bytes of a core file.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of its data segment and heap.
    Data,
    /// Bytes of a file that it writes.
    FileSize,
    /// Bytes that it may lock in memory.
    LockedMemory,
    /// 20 minus the lowest nice value that it may take.
    Nice,
    /// One more than the highest descriptor that it may have.
    OpenFiles,
    /// Processes and threads of its user, in the whole system.
    Processes,
    /// Bytes of its stack.
    Stack,
}

impl ProcessLimit {
    const fn number(self) -> u32 {
        match self {
            Self::AddressSpace => limit::ADDRESS_SPACE,
            Self::Core => limit::CORE,
            Self::Cpu => limit::CPU,
            Self::Data => limit::DATA,
            Self::FileSize => limit::FILE_SIZE,
            Self::LockedMemory => limit::LOCKED_MEMORY,
            Self::Nice => limit::NICE,
            Self::OpenFiles => limit::OPEN_FILES,
            Self::Processes => limit::PROCESSES,
            Self::Stack => limit::STACK,
        }
    }
}
