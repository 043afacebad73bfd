//! The resources of [`bore_api::model`], and what only the relay keeps of certificates.

mod certificate;

pub use bore_api::model::*;
pub use bore_api::state::CertificateProblem;
pub use certificate::{AcmeAccount, Certificate, CertificateOrder, RenewalWindow, StandingOrder};
