//! Certificates and keys as texts.

use core::fmt;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::Result;
use crate::tls::error::TlsError;

/// Where certificates, a private key or revocation lists are, in PEM (RFC 7468): a
/// file, or a text.
///
/// Sections of other kinds are skipped, so that one text may hold a certificate
/// chain and its key. Files are read when a configuration is built or reloaded, by
/// calls that block.
///
/// # Python
/// The arguments `certfile`, `keyfile`, `cafile` and `cadata` of an
/// `ssl.SSLContext`. A key with a password has to be decrypted first.
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text(Arc<[u8]>),
}

impl Pem {
    /// Names a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Takes a text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(text.into().into()))
    }

    /// Tells where the text is from, for messages.
    pub(super) fn origin(&self) -> String {
        match &self.0 {
            Source::File(path) => path.display().to_string(),
            Source::Text(_) => "the PEM text".into(),
        }
    }

    /// Returns all certificates, one at least.
    ///
    /// # Errors
    /// `Io` if the file can't be read; `Tls` with [`TlsError::BadPem`] or
    /// [`TlsError::NoCertificate`].
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let text = self.read()?;
        let certificates = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.bad(&error))?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate { origin: self.origin() }.into());
        }
        Ok(certificates)
    }

    /// Returns all revocation lists, one at least.
    ///
    /// # Errors
    /// `Io` if the file can't be read; `Tls` with [`TlsError::BadPem`] or
    /// [`TlsError::NoRevocationList`].
    pub(super) fn revocation_lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let text = self.read()?;
        let lists = CertificateRevocationListDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.bad(&error))?;
        if lists.is_empty() {
            return Err(TlsError::NoRevocationList { origin: self.origin() }.into());
        }
        Ok(lists)
    }

    /// Returns the first private key.
    ///
    /// # Errors
    /// `Io` if the file can't be read; `Tls` with [`TlsError::BadPem`],
    /// [`TlsError::NoPrivateKey`] or [`TlsError::EncryptedPrivateKey`].
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            // Of either kind: the label of PKCS #8, or the header of OpenSSL's older format.
            let is_encrypted = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"]
                .iter()
                .any(|mark| text.windows(mark.len()).any(|window| window == mark.as_bytes()));
            let origin = self.origin();
            match error {
                _ if is_encrypted => TlsError::EncryptedPrivateKey { origin }.into(),
                PemError::NoItemsFound => TlsError::NoPrivateKey { origin }.into(),
                error => self.bad(&error),
            }
        })
    }

    fn read(&self) -> Result<Cow<'_, [u8]>> {
        match &self.0 {
            Source::Text(text) => Ok(Cow::Borrowed(text)),
            Source::File(path) => fs::read(path)
                .map(Cow::Owned)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()),
        }
    }

    /// Leaves out what the library quotes: it could be a piece of a key.
    fn bad(&self, error: &PemError) -> crate::Error {
        let reason = match error {
            PemError::MissingSectionEnd { .. } => "a section has no end",
            PemError::IllegalSectionStart { .. } => "a line that begins a section is malformed",
            PemError::Base64Decode(_) => "what is in a section is not base64",
            PemError::SectionTooLarge => "a section is too large",
            _ => "it can't be read",
        };
        TlsError::BadPem { origin: self.origin(), reason }.into()
    }
}

impl fmt::Debug for Pem {
    /// Shows no text: it could be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.origin())
    }
}
