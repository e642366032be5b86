//! Certificates and keys as texts that are spoilt.

use fastrand::Rng;
use rondel::{Pem, TlsClientConfig, TlsServerConfig};

use crate::tls_fixture::pki;
use crate::{Blame, mutate, seeds};

#[test]
fn l08_spoilt_certificates_and_keys_are_refused_or_used() {
    let good = pki();
    for seed in seeds(2_000) {
        let _blame = Blame("a text", seed);
        let mut random = Rng::with_seed(seed);
        let mut spoilt = |text: &str| Pem::text(mutate::text(&mut random, text.as_bytes()));
        let (chain, key) = (good.server.chain_pem(), good.server.key_pem());
        let bad = match seed % 4 {
            0 => TlsServerConfig::builder(spoilt(&good.server.chain), key).build().err(),
            1 => TlsServerConfig::builder(chain, spoilt(&good.server.key)).build().err(),
            2 => {
                let roots = spoilt(&good.authority.text());
                TlsServerConfig::builder(chain, key).require_client_certificates(roots).build().err()
            }
            _ => {
                TlsClientConfig::builder().load_verify_locations(spoilt(&good.authority.text())).build().err()
            }
        };
        assert!(bad.is_none_or(|error| error.as_tls().is_some()));
    }
}
