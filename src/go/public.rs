//! Servers that everybody may ask, and that ask nobody for credentials: the public module proxies, the checksum database
//! of the Go project, and the hosts that these keep their files on.

/// A public module proxy: everybody may ask it, and everybody's module names
/// may be known to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicProxy {
    /// Host name; scheme is https and the port the default one.
    pub host: &'static str,
    /// Path prefix without a slash at the end; empty for none.
    pub path: &'static str,
}

impl PublicProxy {
    const fn new(host: &'static str, path: &'static str) -> Self {
        Self { host, path }
    }

    /// True where `url` is this proxy: https, this host, default port, this path.
    #[must_use]
    pub fn is(&self, url: &str) -> bool {
        let Some(rest) = strip_prefix_ignore_case(url, "https://") else {
            return false;
        };
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let host = authority.strip_suffix(":443").unwrap_or(authority);
        host.eq_ignore_ascii_case(self.host) && path.trim_end_matches('/') == self.path
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

pub(crate) const GOLANG: PublicProxy = PublicProxy::new("proxy.golang.org", "");
pub(crate) const GOPROXY_CN: PublicProxy = PublicProxy::new("goproxy.cn", "");
pub(crate) const ALIYUN: PublicProxy = PublicProxy::new("mirrors.aliyun.com", "/goproxy");
pub(crate) const GOPROXY_IO: PublicProxy = PublicProxy::new("goproxy.io", "");
pub(crate) const GOLANG_COM_CN: PublicProxy = PublicProxy::new("proxy.golang.com.cn", "");
pub(crate) const HUAWEI: PublicProxy = PublicProxy::new("mirrors.huaweicloud.com", "/repository/goproxy");
pub(crate) const HUAWEI_OLD: PublicProxy = PublicProxy::new("mirrors.huaweicloud.com", "/goproxy");

/// Every public module proxy that gofix knows.
pub const PROXIES: &[PublicProxy] = &[
    GOLANG,
    GOPROXY_CN,
    ALIYUN,
    GOPROXY_IO,
    GOLANG_COM_CN,
    HUAWEI,
    HUAWEI_OLD,
];

/// Public hosts that are no module proxies.
const OTHERS: &[&str] = &[
    "sum.golang.org",
    "sum.golang.google.cn",
    "storage.googleapis.com",
    "repo.huaweicloud.com",
    "mirrors.cloud.tencent.com",
];

/// True for a server that asks nobody for credentials.
#[must_use]
pub fn is_public(host: &str) -> bool {
    let host = host.strip_suffix(":443").unwrap_or(host);
    PROXIES.iter().any(|proxy| proxy.host == host) || OTHERS.contains(&host)
}
