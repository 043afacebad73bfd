//! Certificates that the operator keeps in files, read again when they change.
//!
//! A new file that is broken, or does not fit its key, is told once and changes nothing: the certificate before it goes on answering.

use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::certificates::{CertificateOrigin, Certificates};
use super::limits::{FILE_BYTES_MAX, FILES_INTERVAL};
use super::names::{Leaf, LeafError};

/// Where a certificate is, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those that lead to its root.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why files give no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The kernel says no.
    #[error("cannot read {path}: {cause}; may the relay's user read it?")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's words.
        cause: std::io::Error,
    },
    /// Too much for a certificate.
    #[error("{path} has more than {FILE_BYTES_MAX} bytes: is it the right file?")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not PEM, or nothing of the kind in it.
    #[error("{path} has no {what} in PEM form: {cause}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What was found.
        cause: pem::Error,
    },
    /// A certificate that names nobody.
    #[error("the certificate in {path} cannot be served: {cause}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// The two do not belong together, or the key is of an unknown kind.
    #[error(
        "the key in {key} does not fit the certificate in {chain}: {cause}; write both files before the relay looks again"
    )]
    Mismatch {
        /// The certificate.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says.
        cause: rustls::Error,
    },
}

/// The files of one relay, and how they looked when they were last read.
#[derive(Debug)]
pub struct Files(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    seen: [Looks; 2],
}

impl Files {
    /// Serves the certificates in `files`.
    ///
    /// # Errors
    /// The first that cannot be served: a relay that starts without a certificate which it was told to show is no use.
    pub fn load(
        files: &[CertificateFiles],
        certificates: &Certificates,
    ) -> Result<Self, FileError> {
        let watched: Vec<Watched> = files.iter().cloned().map(Watched::new).collect();
        for item in &watched {
            item.serve(certificates)?;
        }
        Ok(Self(watched))
    }

    /// Looks at the files for ever.
    pub async fn watch(mut self, certificates: Arc<Certificates>, reload: Arc<Notify>) {
        let mut tick = interval(FILES_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = reload.notified() => {}
            }
            let certificates = Arc::clone(&certificates);
            let looking = tokio::task::spawn_blocking(move || {
                self.0.iter_mut().for_each(|item| item.look(&certificates));
                self
            });
            // Only a fault of the program ends it: then what was served last goes on being served.
            let Ok(looked) = looking.await else { return };
            self = looked;
        }
    }
}

impl Watched {
    fn new(files: CertificateFiles) -> Self {
        let seen = Looks::of(&files);
        Self { files, seen }
    }

    fn look(&mut self, certificates: &Certificates) {
        let looks = Looks::of(&self.files);
        if looks == self.seen {
            return;
        }
        self.seen = looks;
        let chain = self.files.chain.display();
        match self.serve(certificates) {
            Ok(()) => tracing::info!(%chain, "certificate read again"),
            Err(error) => {
                tracing::warn!(%chain, %error, "certificate not replaced, the old one stays")
            }
        }
    }

    fn serve(&self, certificates: &Certificates) -> Result<(), FileError> {
        let certificate = Arc::new(read(&self.files)?);
        certificates.put(CertificateOrigin::File(self.files.chain.clone()), certificate);
        Ok(())
    }
}

/// Changes whenever a file is written, replaced or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looks(Option<(u64, u64, i64, i64)>);

impl Looks {
    fn of(files: &CertificateFiles) -> [Self; 2] {
        [&files.chain, &files.key]
            .map(|path| Self(fs::metadata(path).ok().map(|found| signs(&found))))
    }
}

fn signs(found: &Metadata) -> (u64, u64, i64, i64) {
    (found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, FileError> {
    let chain = chain(&files.chain)?;
    let text = text(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|cause| FileError::Pem {
        path: files.key.clone(),
        what: "private key",
        cause,
    })?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|cause| FileError::Mismatch {
        chain: files.chain.clone(),
        key: files.key.clone(),
        cause,
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = text(path)?;
    let wrong = |cause| FileError::Pem { path: path.to_owned(), what: "certificate", cause };
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(wrong)?;
    let leaf = chain.first().ok_or_else(|| wrong(pem::Error::NoItemsFound))?;
    Leaf::read(leaf).map_err(|error: LeafError| FileError::Certificate {
        path: path.to_owned(),
        cause: error.to_string(),
    })?;
    Ok(chain)
}

/// A file's content, which may be a key.
fn text(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |cause| FileError::Read { path: path.to_owned(), cause };
    let file = fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_certificate_is_replaced_when_both_its_files_fit() {
        let lab = Lab::new("old.example");
        let mut watched = lab.load().unwrap().0.remove(0);
        assert!(lab.serves("old.example"));

        lab.write("chain.pem", &new_pair("new.example").0);
        watched.look(&lab.certificates);
        assert!(lab.serves("old.example"), "a chain that does not fit the key changes nothing");

        let (chain, key) = new_pair("new.example");
        lab.write("chain.pem", &chain);
        lab.write("key.pem", &key);
        watched.look(&lab.certificates);
        assert!(lab.serves("new.example") && !lab.serves("old.example"));
    }

    #[test]
    fn a_broken_or_absent_file_leaves_the_old_certificate() {
        let lab = Lab::new("old.example");
        let mut watched = lab.load().unwrap().0.remove(0);
        for text in
            ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\0\u{1}"]
        {
            lab.write("chain.pem", text);
            watched.look(&lab.certificates);
            assert!(lab.serves("old.example"), "{text:?}");
        }
        fs::remove_file(lab.folder.path().join("key.pem")).unwrap();
        watched.look(&lab.certificates);
        assert!(lab.serves("old.example"));
    }

    #[test]
    fn a_start_without_a_certificate_says_which_file_and_why() {
        let lab = Lab::new("old.example");
        lab.write("key.pem", "nothing");
        assert!(lab.load().unwrap_err().to_string().contains("key.pem has no private key"));
        lab.write("key.pem", &new_pair("old.example").1);
        assert!(matches!(lab.load(), Err(FileError::Mismatch { .. })));
        fs::remove_file(lab.folder.path().join("chain.pem")).unwrap();
        assert!(lab.load().unwrap_err().to_string().contains("cannot read"));
    }

    struct Lab {
        folder: TempDir,
        certificates: Certificates,
    }

    impl Lab {
        fn new(name: &str) -> Self {
            let lab = Self {
                folder: tempfile::tempdir().unwrap(),
                certificates: Certificates::default(),
            };
            let (chain, key) = new_pair(name);
            lab.write("chain.pem", &chain);
            lab.write("key.pem", &key);
            lab
        }

        /// By replacing the file, as certbot and Kubernetes do.
        fn write(&self, name: &str, text: &str) {
            let new = self.folder.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, self.folder.path().join(name)).unwrap();
        }

        fn load(&self) -> Result<Files, FileError> {
            let at = |name| self.folder.path().join(name);
            let files = CertificateFiles { chain: at("chain.pem"), key: at("key.pem") };
            Files::load(&[files], &self.certificates)
        }

        fn serves(&self, name: &str) -> bool {
            self.certificates.for_name(name).is_some()
        }
    }

    fn new_pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }
}
