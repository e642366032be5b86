//! Where processes run, and what they use.

use core::fmt;
use std::fs;

use crate::sys;

/// Servers run on one core, the load on another.
pub(crate) struct Cores {
    server: usize,
    load: usize,
}

impl Cores {
    pub(crate) fn choose() -> Self {
        let cores = sys::cores();
        let (server, load) = (cores.first().copied(), cores.get(1).copied());
        let server = server.unwrap_or(0);
        Self { server, load: load.unwrap_or(server) }
    }

    /// Moves this process to where servers run, so that one that it starts now
    /// stays there.
    pub(crate) fn server(&self) {
        sys::pin(self.server);
    }

    pub(crate) fn load(&self) {
        sys::pin(self.load);
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "servers on core {}, the load on core {}", self.server, self.load)?;
        if self.server == self.load { f.write_str(": the only one, so they take turns") } else { Ok(()) }
    }
}

/// Returns how much memory a process has in use, in bytes.
pub(crate) fn resident_bytes(process: u32) -> usize {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * sys::page_size()
}

/// Returns how often the threads of a process went to sleep.
pub(crate) fn sleeps(process: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of_thread = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    threads
        .flatten()
        .map(|thread| of_thread(fs::read_to_string(thread.path().join("status")).unwrap_or_default()))
        .sum()
}
