//! GOSUMDB: which checksum database vouches for modules, and where it is asked.

/// A checksum database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sumdb {
    /// Its name, which is also its host where no URL is given.
    pub(crate) name: String,
    /// Where it is asked in place of that, and past every proxy.
    pub(crate) url: Option<String>,
}

impl Sumdb {
    /// Reads `NAME`, `NAME+KEY` or `NAME+KEY URL`; `None` for `off`.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_whitespace();
        let key = fields.next()?;
        let url = fields.next().map(str::to_owned);
        match key {
            "off" => None,
            // The address of sum.golang.org in China.
            "sum.golang.google.cn" => Some(Self {
                name: "sum.golang.org".to_owned(),
                url: url.or_else(|| Some("https://sum.golang.google.cn".to_owned())),
            }),
            _ => Some(Self {
                name: key.split('+').next().unwrap_or(key).to_owned(),
                url,
            }),
        }
    }
}
