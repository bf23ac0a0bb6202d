//! The public proxies that gofix knows, and the presets made of them.
//!
//! One table serves two questions. *Is a proxy of the user's own list public?* Then its being down may be answered by another
//! public one, because the module names were public before. *Which routes does `preset:NAME` stand for?* Nothing of it is in
//! force by default: third-party mirrors come and go, and each learns which modules are asked for.
//!
//! A row's evidence says where and when the proxy was last seen to work; what was only seen broken or not at all in the last
//! two years is in no preset. Known limitations: evidence ages. `gofix routes test` measures.

use crate::go::public::{self, PublicProxy};

/// A public module proxy and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mirror {
    /// Host and path; only https on the default port is this proxy.
    pub proxy: PublicProxy,
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
pub const MIRRORS: &[Mirror] = &[
    Mirror {
        proxy: public::GOLANG,
        operator: "Google, for the Go project",
        checksum_database: Some(false),
        evidence: "Go's own default; module zips are redirected to storage.googleapis.com, a second host",
        seen: "2026-08",
    },
    Mirror {
        proxy: public::GOPROXY_CN,
        operator: "the goproxy.cn project, at Qiniu Cloud",
        checksum_database: Some(true),
        evidence: "first choice of the mirror switcher chsrc; was down or slow for days in 2022, 2023, 2024 and 2025",
        seen: "2026-07",
    },
    Mirror {
        proxy: public::ALIYUN,
        operator: "Alibaba Cloud",
        checksum_database: None,
        evidence: "listed by chsrc",
        seen: "2026-07",
    },
    Mirror {
        proxy: public::GOPROXY_IO,
        operator: "the goproxy.io project",
        checksum_database: Some(true),
        evidence: "listed by chsrc; HTTP/2 GOAWAY reported in 2025, its program has not changed since 2024",
        seen: "2026-07",
    },
    Mirror {
        proxy: public::GOLANG_COM_CN,
        operator: "the goproxy.io project",
        checksum_database: None,
        evidence: "alive, with 502 answers reported",
        seen: "2026-08",
    },
    Mirror {
        proxy: public::HUAWEI,
        operator: "Huawei Cloud",
        checksum_database: Some(false),
        evidence: "serves modules; the checksum database is not served",
        seen: "2025-07",
    },
    Mirror {
        proxy: public::HUAWEI_OLD,
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

/// What is known of the public proxy behind `url`, if it is one.
pub fn mirror(url: &str) -> Option<&'static Mirror> {
    MIRRORS.iter().find(|mirror| mirror.proxy.is(url))
}

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proxy_of_a_preset_is_public_and_not_known_to_be_broken() {
        for list in PRESETS.iter().flat_map(|preset| preset.lists) {
            let (url, end) = list.split_once(',').expect("a proxy and what follows it");
            assert_eq!(end, "direct");
            let row = mirror(url).unwrap_or_else(|| panic!("{url} is not in the table"));
            assert!(row.seen >= "2026-01", "{url} was last seen in {}", row.seen);
            assert!(!row.evidence.contains("418"), "{url} is known to be broken");
        }
    }

    #[test]
    fn rows_are_written_the_way_they_are_compared() {
        for row in MIRRORS {
            let PublicProxy { host, path } = row.proxy;
            assert_eq!(host, host.to_lowercase());
            assert!(
                path.is_empty() || (path.starts_with('/') && !path.ends_with('/')),
                "{path}"
            );
            assert!(
                row.seen.len() == 7 && row.seen.as_bytes()[4] == b'-',
                "{}",
                row.seen
            );
        }
        let of_the_table: Vec<PublicProxy> = MIRRORS.iter().map(|row| row.proxy).collect();
        assert_eq!(of_the_table, public::PROXIES);
    }
}
