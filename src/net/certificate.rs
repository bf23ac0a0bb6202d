//! The few fields of an X.509 certificate that a person wants to read: who
//! issued it, for whom, and until when.
//!
//! Chains and signatures are rustls's business. The bytes come from an unknown
//! server, so every length is checked and nothing recurses.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const VERSION: u8 = 0xa0;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// What stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Organisation and common name of the issuer.
    pub(crate) issuer: String,
    /// Organisation and common name of the subject.
    pub(crate) subject: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Reads a certificate; `None` for anything that is none.
pub(crate) fn parse(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = expect(der, SEQUENCE)?;
    let (mut fields, _) = expect(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    let rest = element(fields)?.2; // serial number
    let rest = element(rest)?.2; // signature algorithm
    let (issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, rest) = expect(rest, SEQUENCE)?;
    let (subject, _) = expect(rest, SEQUENCE)?;
    let (tag, before, after) = element(validity)?;
    let not_before = time(tag, before)?;
    let (tag, after, _) = element(after)?;
    Some(Certificate {
        issuer: name(issuer),
        subject: name(subject),
        not_before,
        not_after: time(tag, after)?,
    })
}

/// False for a certificate whose extended key usage (RFC 5280, 4.2.1.12) names
/// neither servers nor anything.
pub(crate) fn may_be_a_server(der: &[u8]) -> bool {
    const EXTENDED_KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x25";
    const SERVER_AUTH: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
    const ANY: &[u8] = b"\x06\x04\x55\x1d\x25\x00";
    let has = |oid| memchr::memmem::find(der, oid).is_some();
    !has(EXTENDED_KEY_USAGE) || has(SERVER_AUTH) || has(ANY)
}

/// Splits off one element: its tag, its content, what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let digits = usize::from(first & 0x7f);
        if digits == 0 || digits > 4 {
            return None;
        }
        let (len, rest) = rest.split_at_checked(digits)?;
        (len.iter().fold(0usize, |n, &b| n << 8 | usize::from(b)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    (tag == wanted).then_some((content, rest))
}

/// `Organisation, Common Name` of a distinguished name.
fn name(mut sets: &[u8]) -> String {
    let (mut organization, mut common) = (None, None);
    while let Some((tag, set, rest)) = element(sets) {
        sets = rest;
        let Some((pair, _)) = (tag == SET).then(|| expect(set, SEQUENCE)).flatten() else {
            continue;
        };
        let Some((oid, value)) = expect(pair, OID) else {
            continue;
        };
        let Some((kind, text, _)) = element(value) else {
            continue;
        };
        let slot = match oid {
            COMMON_NAME => &mut common,
            ORGANIZATION => &mut organization,
            _ => continue,
        };
        slot.get_or_insert_with(|| string(kind, text));
    }
    match (organization, common) {
        (Some(o), Some(c)) if o != c => format!("{o}, {c}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "without a name".to_owned(),
    }
}

fn string(kind: u8, text: &[u8]) -> String {
    if kind == BMP_STRING {
        let units: Vec<u16> = text
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(text).into_owned()
}

/// `YYMMDDHHMMSSZ` (RFC 5280: 50..99 are of the 20th century) or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_suffix('Z')?;
    let full = match tag {
        UTC_TIME if digits.len() == 12 => {
            let century = if digits.get(..2)?.parse::<u8>().ok()? >= 50 {
                "19"
            } else {
                "20"
            };
            format!("{century}{digits}")
        }
        GENERALIZED_TIME if digits.len() == 14 => digits.to_owned(),
        _ => return None,
    };
    let number = |from: usize, to: usize| full.get(from..to)?.parse::<i8>().ok();
    let year = full.get(..4)?.parse::<i16>().ok()?;
    let civil = DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10)?,
        number(10, 12)?,
        number(12, 14)?,
        0,
    )
    .ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made() -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Middle Box Ltd");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Inspection CA");
        params.not_before = rcgen::date_time_ymd(2019, 2, 3);
        params.not_after = rcgen::date_time_ymd(2051, 4, 5);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn issuer_and_validity_are_read() {
        let certificate = parse(&made()).unwrap();
        assert_eq!(certificate.issuer, "Middle Box Ltd, Inspection CA");
        assert_eq!(certificate.subject, certificate.issuer);
        assert_eq!(certificate.not_before.to_string(), "2019-02-03T00:00:00Z");
        assert_eq!(certificate.not_after.to_string(), "2051-04-05T00:00:00Z");
    }

    #[test]
    fn a_cut_certificate_is_none() {
        let whole = made();
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_changed_byte_can_make_it_panic(at in 0usize..400, byte: u8) {
            let mut certificate = made();
            let at = at % certificate.len();
            certificate[at] = byte;
            let _ = parse(&certificate);
        }
    }
}
