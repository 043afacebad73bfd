//! A certificate authority of the test's own, in files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    roots: PathBuf,
    /// What a chain has besides the certificate itself.
    between: String,
}

/// A certificate and its key, in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one that keeps its files in `folder`.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        // Its own name: an issuer called like what it issues is taken for a self-signed certificate.
        let params = of_authority(&format!("authority of {}", folder.display()));
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let roots = folder.join("roots.pem");
        fs::write(&roots, issuer.pem()).expect("a file with the root");
        Self { issuer, roots, between: String::new() }
    }

    /// One that this one vouches for, as a public authority has: its certificate is part of each chain.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn below(&self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = of_authority(&format!("below {}", self.roots.display()));
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("a certificate");
        let between = issuer.pem() + &self.between;
        Self { issuer, roots: self.roots.clone(), between }
    }

    /// The file with its own certificate.
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// Writes a certificate for `names`; what was there before under this label is replaced, key first.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn issue(&self, label: &str, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let at = |kind: &str| self.roots.with_file_name(format!("{label}.{kind}"));
        let certified = Certified { chain: at("pem"), key: at("key") };
        replace(&certified.key, &key.serialize_pem());
        replace(&certified.chain, &(certificate.pem() + &self.between));
        certified
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// By renaming, as certbot does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(&new, path).expect("the same folder");
}
