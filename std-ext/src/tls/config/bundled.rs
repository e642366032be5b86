//! Mozilla's list of trusted authorities, built in.

use super::client::TlsClientConfigBuilder;

impl TlsClientConfigBuilder {
    /// Trusts the authorities that Mozilla trusted when the crate `webpki-roots` was
    /// released: for devices that have no list of their own. A program has to be
    /// rebuilt for the list to change.
    ///
    /// # Python
    /// `context.load_verify_locations(certifi.where())`.
    pub fn load_webpki_roots(mut self) -> Self {
        self.roots.anchors.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::TlsClientConfig;

    #[test]
    fn the_list_that_is_built_in_needs_no_system() {
        TlsClientConfig::builder().load_webpki_roots().build().unwrap();
        assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 50);
    }
}
