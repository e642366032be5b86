//! The search list: under which names a short one is looked for.

use crate::Result;
use crate::dns::{EaiError, host_name};

use super::config::NameServers;
use super::message::{Kind, Records};
use super::{Asker, InLoop};

impl InLoop {
    /// Looks for a name under all its candidates, until one has records.
    ///
    /// # Errors
    /// Of a name that exists without such records, `NoData`; else that of the name as it is.
    pub(super) async fn search(&self, asker: Asker<'_>, host: &str, kinds: &[Kind]) -> Result<Records> {
        let mut error = EaiError::NoName;
        for name in candidates(host, &self.servers(asker.event_loop)) {
            match self.ask(asker, &name, kinds).await {
                Err(other) if other.as_eai() == Some(EaiError::NoData) => error = EaiError::NoData,
                Err(other) if other.as_eai() == Some(EaiError::NoName) => {}
                // Nobody answered: asking for further names would take as long again.
                decided => return decided,
            }
        }
        Err(error.into())
    }
}

/// Returns the names to look for, in their order.
pub(super) fn candidates(host: &str, config: &NameServers) -> Vec<String> {
    if host.ends_with('.') {
        return vec![host.to_owned()];
    }
    let in_domain = |domain: &String| format!("{host}.{}", domain.trim_matches('.'));
    let mut names: Vec<String> = config.search.iter().map(in_domain).collect();
    let has_dots = host.bytes().filter(|&byte| byte == b'.').count() >= config.ndots;
    names.insert(if has_dots { 0 } else { names.len() }, host.to_owned());
    // What is too long with a domain is no name, and isn't asked for cut short.
    names.retain(|name| host_name::check(name).is_ok());
    names
}
