//! HTTP_PROXY, HTTPS_PROXY and NO_PROXY by the rules of Go's
//! `golang.org/x/net/http/httpproxy`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::text::percent_decode;

use super::url::{Scheme, UserInfo, join_host_port};

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ProxyScheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS 5, names resolved by the proxy.
    Socks5,
}

/// One proxy out of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) scheme: ProxyScheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<UserInfo>,
    /// Host and port as they may be shown: go takes a part of a password for the host where the password holds a `/`.
    pub(crate) shown: String,
}

/// The values of the variables, the first of each pair that is not empty.
#[derive(Debug, Clone, Default)]
pub struct ProxyVars {
    /// HTTP_PROXY, http_proxy.
    pub http: String,
    /// HTTPS_PROXY, https_proxy.
    pub https: String,
    /// NO_PROXY, no_proxy.
    pub no_proxy: String,
    /// REQUEST_METHOD is set: HTTP_PROXY may come from a stranger's header.
    pub cgi: bool,
}

impl ProxyVars {
    /// True where go refuses every URL with http, whatever its host.
    #[must_use]
    pub(crate) fn refuses_http(&self) -> bool {
        self.cgi && !self.http.is_empty()
    }
}

/// Why go uses none rather than the proxy that is set, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableProxy {
    #[error("proxy: unknown scheme: {}", crate::text::safe(.0))]
    Scheme(String),
    #[error("refusing to use HTTP_PROXY value in CGI environment; see golang.org/s/cgihttpproxy")]
    Cgi,
}

/// The rules, read once.
#[derive(Debug, Default)]
pub(crate) struct ProxyRules {
    http: Option<Result<Proxy, UnusableProxy>>,
    https: Option<Result<Proxy, UnusableProxy>>,
    cgi: bool,
    matchers: Vec<Matcher>,
}

#[derive(Debug)]
enum Matcher {
    All,
    Net(IpAddr, u8),
    Ip(IpAddr, String),
    Domain {
        /// With a dot in front.
        suffix: String,
        itself: bool,
        port: String,
    },
}

impl ProxyRules {
    pub(crate) fn new(vars: &ProxyVars) -> Self {
        Self {
            http: parse_proxy(&vars.http),
            https: parse_proxy(&vars.https),
            cgi: vars.cgi,
            matchers: parse_no_proxy(&vars.no_proxy),
        }
    }

    /// The proxy for a request to this host, `None` for a direct one.
    ///
    /// # Errors
    /// Where a proxy is set that go would refuse to use.
    pub(crate) fn proxy_for(
        &self,
        scheme: Scheme,
        host: &str,
        port: u16,
    ) -> Result<Option<&Proxy>, UnusableProxy> {
        let proxy = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        let Some(proxy) = proxy else {
            return Ok(None);
        };
        if scheme == Scheme::Http && self.cgi {
            return Err(UnusableProxy::Cgi);
        }
        if !self.use_proxy(host, port) {
            return Ok(None);
        }
        proxy.as_ref().map(Some).map_err(Clone::clone)
    }

    /// The proxy that is set for such URLs, whatever their host.
    pub(crate) fn proxy_of(&self, scheme: Scheme) -> Option<&Proxy> {
        let proxy = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        proxy.as_ref()?.as_ref().ok()
    }

    fn use_proxy(&self, host: &str, port: u16) -> bool {
        let host = host.to_ascii_lowercase();
        if host == "localhost" {
            return false;
        }
        let ip = host.parse::<IpAddr>().ok().map(unmapped);
        if ip.is_some_and(|ip| ip.is_loopback()) {
            return false;
        }
        let port = port.to_string();
        !self
            .matchers
            .iter()
            .any(|matcher| matcher.matches(&host, &port, ip))
    }
}

impl Matcher {
    fn matches(&self, host: &str, port: &str, ip: Option<IpAddr>) -> bool {
        let port_fits = |own: &str| own.is_empty() || own == port;
        match (self, ip) {
            (Self::All, _) => true,
            (Self::Net(net, bits), Some(ip)) => in_net(ip, *net, *bits),
            (Self::Ip(own, own_port), Some(ip)) => ip == *own && port_fits(own_port),
            (
                Self::Domain {
                    suffix,
                    itself,
                    port: own,
                },
                None,
            ) => {
                let fits = host.ends_with(suffix.as_str()) || (*itself && Some(host) == suffix.get(1..));
                fits && port_fits(own)
            }
            _ => false,
        }
    }
}

fn parse_no_proxy(text: &str) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for word in text.split(',') {
        let word = word.trim().to_ascii_lowercase();
        if word.is_empty() {
            continue;
        }
        if word == "*" {
            return vec![Matcher::All];
        }
        if let Some((net, bits)) = parse_cidr(&word) {
            matchers.push(Matcher::Net(net, bits));
            continue;
        }
        let (host, port) = split_host_port(&word).unwrap_or((word.as_str(), ""));
        if host.is_empty() {
            continue;
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            matchers.push(Matcher::Ip(unmapped(ip), port.to_owned()));
            continue;
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        let itself = !host.starts_with('.');
        matchers.push(Matcher::Domain {
            suffix: if itself {
                format!(".{host}")
            } else {
                host.to_owned()
            },
            itself,
            port: port.to_owned(),
        });
    }
    matchers
}

/// `host:port` or `[v6]:port`; `None` where there is no port or too many colons.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return Some((host, port));
    }
    let (host, port) = text.split_once(':')?;
    (!port.contains(':')).then_some((host, port))
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, bits))
}

fn in_net(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (ip, unmapped(net)) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let shift = 32_u32.saturating_sub(u32::from(bits));
            let cut = |ip: Ipv4Addr| u32::from(ip).checked_shr(shift).unwrap_or(0);
            cut(ip) == cut(net)
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let shift = 128_u32.saturating_sub(u32::from(bits));
            let cut = |ip: Ipv6Addr| u128::from(ip).checked_shr(shift).unwrap_or(0);
            cut(ip) == cut(net)
        }
        _ => false,
    }
}

fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// A value without a scheme is one of http. What is no URL at all is as if it
/// were not there; a scheme that go does not know is an error when it is used.
fn parse_proxy(value: &str) -> Option<Result<Proxy, UnusableProxy>> {
    if value.is_empty() {
        return None;
    }
    let with_scheme = match value.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => value.to_owned(),
        _ => format!("http://{value}"),
    };
    let (scheme, rest) = with_scheme.split_once("://")?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (ProxyScheme::Http, 80),
        "https" => (ProxyScheme::Https, 443),
        "socks5" | "socks5h" => (ProxyScheme::Socks5, 1080),
        other => return Some(Err(UnusableProxy::Scheme(other.to_owned()))),
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..authority_end];
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, authority)) => (Some(parse_user(user)?), authority),
        None => (None, authority),
    };
    let (host, port) = split_host_port(authority).unwrap_or((authority, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = if port.is_empty() {
        default_port
    } else {
        port.parse().ok()?
    };
    // Without a host it is this machine, as for go.
    if !host.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let is_cut_short = user.is_some() && rest[authority_end..].contains('@');
    let shown = match is_cut_short {
        true => "xxxxx".to_owned(),
        false => crate::text::safe(&join_host_port(host, port)),
    };
    Some(Ok(Proxy {
        scheme,
        host: host.to_owned(),
        port,
        user,
        shown,
    }))
}

fn parse_user(text: &str) -> Option<UserInfo> {
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password)),
        None => (text, None),
    };
    Some(UserInfo {
        name: percent_decode(name)?,
        password: match password {
            Some(password) => Some(percent_decode(password)?),
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(no_proxy: &str) -> ProxyRules {
        ProxyRules::new(&ProxyVars {
            http: "proxy:3128".to_owned(),
            https: "https://me:secret@proxy".to_owned(),
            no_proxy: no_proxy.to_owned(),
            cgi: false,
        })
    }

    fn proxied(no_proxy: &str, host: &str, port: u16) -> bool {
        rules(no_proxy)
            .proxy_for(Scheme::Https, host, port)
            .unwrap()
            .is_some()
    }

    #[test]
    fn proxies_by_scheme() {
        let rules = rules("");
        let http = rules.proxy_for(Scheme::Http, "h", 80).unwrap().unwrap();
        assert_eq!(
            (http.scheme, http.host.as_str(), http.port),
            (ProxyScheme::Http, "proxy", 3128)
        );
        let https = rules.proxy_for(Scheme::Https, "h", 443).unwrap().unwrap();
        assert_eq!((https.scheme, https.port), (ProxyScheme::Https, 443));
        assert_eq!(https.user.as_ref().unwrap().password.as_deref(), Some("secret"));
        assert!(!format!("{rules:?}").contains("secret"));
    }

    #[test]
    fn loopback_is_never_proxied() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "LOCALHOST"] {
            assert!(!proxied("", host, 443), "{host}");
        }
        assert!(proxied("", "localhost.example", 443));
    }

    #[test]
    fn no_proxy_words() {
        for (word, host, port, expected) in [
            ("example.com", "example.com", 443, false),
            ("example.com", "a.example.com", 443, false),
            ("example.com", "badexample.com", 443, true),
            (".example.com", "example.com", 443, true),
            (".example.com", "a.example.com", 443, false),
            ("*.example.com", "a.example.com", 443, false),
            ("*.example.com", "example.com", 443, true),
            ("example.com:8443", "example.com", 443, true),
            ("example.com:8443", "example.com", 8443, false),
            ("EXAMPLE.com", "Example.COM", 443, false),
            ("10.0.0.0/8", "10.1.2.3", 443, false),
            ("10.0.0.0/8", "11.1.2.3", 443, true),
            ("0.0.0.0/0", "11.1.2.3", 443, false),
            ("10.1.2.3", "10.1.2.3", 443, false),
            ("10.1.2.3:80", "10.1.2.3", 443, true),
            ("fd00::/8", "fd12::1", 443, false),
            ("[fd12::1]:443", "fd12::1", 443, false),
            ("2.3", "10.1.2.3", 443, true),
            (" , a.test , b.test ", "b.test", 443, false),
            ("*", "anything", 443, false),
            ("a,*", "10.0.0.1", 443, false),
            (":80", "h", 80, true),
        ] {
            assert_eq!(proxied(word, host, port), expected, "{word} {host}:{port}");
        }
    }

    #[test]
    fn values_that_are_odd() {
        let with = |http: &str, cgi| {
            ProxyRules::new(&ProxyVars {
                http: http.to_owned(),
                cgi,
                ..ProxyVars::default()
            })
        };
        assert!(with("ftp://p", false).proxy_for(Scheme::Http, "h", 80).is_err());
        assert!(
            with("http://p:port", false)
                .proxy_for(Scheme::Http, "h", 80)
                .unwrap()
                .is_none()
        );
        assert!(with("http://p", true).proxy_for(Scheme::Http, "h", 80).is_err());
        let own = with(":8080", false);
        let own = own.proxy_for(Scheme::Http, "h", 80).unwrap().unwrap();
        assert_eq!((own.host.as_str(), own.port), ("", 8080));
        let socks = with("socks5://p", false);
        assert_eq!(
            socks.proxy_for(Scheme::Http, "h", 80).unwrap().unwrap().port,
            1080
        );
        assert!(
            with("", false)
                .proxy_for(Scheme::Http, "h", 80)
                .unwrap()
                .is_none()
        );
    }
}
