//! The loopback GOPROXY that stands between go and the proxies for one invocation.
