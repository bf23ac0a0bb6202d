//! A certificate authority of one's own, and what it signs.

use gofix::faultproxy::Tls;

/// A certificate authority.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// A self-signed authority of this organization.
    pub(crate) fn new(organization: &str) -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, organization);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for loopback.
    pub(crate) fn server(&self, http2: bool) -> Tls {
        self.server_of(&["localhost", "127.0.0.1"], (2020, 2090), http2)
    }

    /// A certificate for these names, good from the beginning of one year to that of the other.
    pub(crate) fn server_of(&self, names: &[&str], years: (i32, i32), http2: bool) -> Tls {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Tls {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            http2,
        }
    }
}
