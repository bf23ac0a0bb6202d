//! The public proxies that gofix knows, and the presets made of them.
//!
//! One table serves two questions. *Is a proxy of the user's own list public?* Then its being down may be answered by another
//! public one, because the module names were public before. *Which routes does `preset:NAME` stand for?* Nothing of it is in
//! force by default: third-party mirrors come and go, and each learns which modules are asked for.
//!
//! A row's evidence says where and when the proxy was last seen to work; what was only seen broken or not at all in the last
//! two years is in no preset. Known to be imperfect: evidence ages. `gofix routes test` measures.

/// A module proxy that serves everybody. Only https on the default port counts as this proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicProxy {
    /// The host, in lower case.
    pub host: &'static str,
    /// The path that the proxy's URLs start with: empty or `/…`, without a slash at its end.
    pub path: &'static str,
    /// Who runs it, as far as it says.
    pub operator: &'static str,
    /// Whether it serves the checksum database sum.golang.org as well; `None` where nothing was found about it.
    pub checksum_database: Option<bool>,
    /// What was seen of it.
    pub evidence: &'static str,
    /// When: year and month.
    pub seen: &'static str,
}

/// Every public proxy that gofix knows.
pub const PUBLIC_PROXIES: &[PublicProxy] = &[
    PublicProxy {
        host: "proxy.golang.org",
        path: "",
        operator: "Google, for the Go project",
        checksum_database: Some(false),
        evidence: "Go's own default; module zips are redirected to storage.googleapis.com, a second host",
        seen: "2026-08",
    },
    PublicProxy {
        host: "goproxy.cn",
        path: "",
        operator: "the goproxy.cn project, at Qiniu Cloud",
        checksum_database: Some(true),
        evidence: "first choice of the mirror switcher chsrc; was down or slow for days in 2022, 2023, 2024 and 2025",
        seen: "2026-07",
    },
    PublicProxy {
        host: "mirrors.aliyun.com",
        path: "/goproxy",
        operator: "Alibaba Cloud",
        checksum_database: None,
        evidence: "listed by chsrc",
        seen: "2026-07",
    },
    PublicProxy {
        host: "goproxy.io",
        path: "",
        operator: "the goproxy.io project",
        checksum_database: Some(true),
        evidence: "listed by chsrc; HTTP/2 GOAWAY reported in 2025, its program has not changed since 2024",
        seen: "2026-07",
    },
    PublicProxy {
        host: "proxy.golang.com.cn",
        path: "",
        operator: "the goproxy.io project",
        checksum_database: None,
        evidence: "alive, with 502 answers reported",
        seen: "2026-08",
    },
    PublicProxy {
        host: "mirrors.huaweicloud.com",
        path: "/repository/goproxy",
        operator: "Huawei Cloud",
        checksum_database: Some(false),
        evidence: "serves modules; the checksum database is not served",
        seen: "2025-07",
    },
    PublicProxy {
        host: "mirrors.huaweicloud.com",
        path: "/goproxy",
        operator: "Huawei Cloud",
        checksum_database: Some(false),
        evidence: "the old path; answers 418",
        seen: "2025-07",
    },
];

/// Routes that go under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name behind `preset:`.
    pub name: &'static str,
    /// The GOPROXY lists, in order. They end in `direct` as Go's own default does.
    pub lists: &'static [&'static str],
    /// For whom it is.
    pub about: &'static str,
}

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "cn",
        lists: &[
            "https://goproxy.cn,direct",
            "https://mirrors.aliyun.com/goproxy/,direct",
            "https://goproxy.io,direct",
        ],
        about: "networks in mainland China, where proxy.golang.org does not answer",
    },
    Preset {
        name: "global",
        lists: &["https://proxy.golang.org,direct", "https://goproxy.io,direct"],
        about: "everywhere else: Go's own proxy, then one mirror",
    },
];

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proxy_of_a_preset_is_public_and_not_known_to_be_broken() {
        for preset in PRESETS {
            for list in preset.lists {
                let (url, end) = list.split_once(',').expect("a proxy and what follows it");
                assert_eq!(end, "direct");
                let rest = url.strip_prefix("https://").expect("https").trim_end_matches('/');
                let row = PUBLIC_PROXIES
                    .iter()
                    .find(|row| format!("{}{}", row.host, row.path) == rest)
                    .unwrap_or_else(|| panic!("{url} is not in the table"));
                assert!(
                    row.seen >= "2026-01",
                    "{} was last seen in {}",
                    row.host,
                    row.seen
                );
                assert!(!row.evidence.contains("418"));
            }
        }
    }

    #[test]
    fn rows_are_written_the_way_they_are_compared() {
        for row in PUBLIC_PROXIES {
            assert_eq!(row.host, row.host.to_lowercase());
            assert!(
                row.path.is_empty() || (row.path.starts_with('/') && !row.path.ends_with('/')),
                "{}",
                row.path
            );
            assert!(
                row.seen.len() == 7 && row.seen.as_bytes()[4] == b'-',
                "{}",
                row.seen
            );
        }
    }
}
