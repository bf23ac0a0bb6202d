//! The routes that this invocation may use: the user's own list, and the
//! configured ones behind it where the user's list allows it.

use crate::{
    config::Config,
    go::{
        env::GoEnv,
        proxy_list::{ListError, ProxyList},
    },
    policy::{routes as policy, widen::Narrow},
};

/// The routes, and why there are no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routes {
    /// Route 1 first: always the user's own effective GOPROXY.
    pub(crate) lists: Vec<ProxyList>,
    /// Why configured routes are not used, where there are some.
    pub(crate) narrow: Option<Narrow>,
}

impl Routes {
    /// Reads the user's list and applies the rule for what may stand behind it.
    ///
    /// # Errors
    /// Where GOPROXY is a value that go refuses; go says so in its own words.
    pub(crate) fn allowed(env: &GoEnv, config: &Config) -> Result<Self, ListError> {
        let own = ProxyList::parse(&env.text("GOPROXY"))?;
        let configured = config.route_lists();
        let counted = policy::Routes::of(Some(&own), &configured, *config.widen);
        let mut lists = counted.later(configured);
        lists.insert(0, own);
        Ok(Self {
            lists,
            narrow: counted.narrow,
        })
    }
}
