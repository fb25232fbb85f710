//! Access control.
//!
//! Without a token everybody may connect, so a preview without one listens only on a loopback address. A client sends the token
//! once in the address, for which it gets a cookie, or as a bearer in a header. Requests with an unknown name in `Host` are
//! refused. Otherwise a page of another site could read the preview through DNS that it controls.

use super::request::Request;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// The least number of characters of a token.
pub(super) const MIN_TOKEN: usize = 12;

/// Decides which requests are answered.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<String>,
    /// The value of the cookie. The token itself is never sent to a client.
    session: String,
    cookie: String,
    names: Vec<String>,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The requested resource.
    Granted,
    /// A cookie, and a redirection to the address without the token.
    Enter(String),
    /// An error with this status.
    Refused(u16),
}

impl Access {
    /// Makes the access control of a server at `address`. `names` are its names besides addresses, `localhost` and the name of the
    /// machine.
    pub(super) fn new(
        address: SocketAddr,
        token: Option<String>,
        names: &[String],
    ) -> Result<Self, getrandom::Error> {
        let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.push("localhost".to_owned());
        if let Ok(machine) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            let machine = machine.trim().to_ascii_lowercase();
            names.push(format!("{machine}.local"));
            names.push(machine);
        }
        // Cookies do not depend on ports, so two previews on one machine need different ones.
        let cookie = format!("resnext-{}", address.port());
        Ok(Self { token, session: random()?, cookie, names })
    }

    /// Decides how to answer a request.
    pub(super) fn judge(&self, request: &Request) -> Verdict {
        match &request.host {
            None => return Verdict::Refused(400),
            Some(host) if !self.is_ours(host) => return Verdict::Refused(421),
            Some(_) => {}
        }
        if request.embedded_elsewhere {
            return Verdict::Refused(403);
        }
        let Some(token) = &self.token else { return Verdict::Granted };
        let bearer = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        let given = request.token.as_deref();
        if given.is_some_and(|given| same(given, token)) {
            // Players and scripts request a single resource and do not keep cookies.
            return match request.path.as_str() {
                "/" => Verdict::Enter(self.set_cookie()),
                _ => Verdict::Granted,
            };
        }
        let session = request.cookies.iter().filter_map(|cookie| cookie.split_once('='));
        let known =
            session.filter(|(name, _)| *name == self.cookie).any(|(_, value)| same(value, &self.session));
        if known || bearer.is_some_and(|bearer| same(bearer.trim(), token)) {
            return Verdict::Granted;
        }
        Verdict::Refused(401)
    }

    /// Returns the cookie. It is lax, so that a link to the preview from another site works.
    fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800", self.cookie, self.session)
    }

    /// Returns whether `host` is an address or one of our names. Addresses are safe, because DNS cannot rebind them.
    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => {
                return rest.split(']').next().is_some_and(|address| address.parse::<IpAddr>().is_ok());
            }
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.trim_end_matches('.');
        name.parse::<IpAddr>().is_ok() || self.names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    }
}

/// Compares two secrets, in a time that depends only on their lengths.
fn same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Returns 128 random bits in hexadecimal digits.
pub(super) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: Option<&str>) -> Access {
        let address = "0.0.0.0:8080".parse().unwrap();
        Access::new(address, token.map(str::to_owned), &["camera.example".to_owned()]).unwrap()
    }

    fn request(host: &str, path: &str) -> Request {
        Request { host: Some(host.to_owned()), path: path.to_owned(), ..Request::default() }
    }

    #[test]
    fn only_our_own_names() {
        let access = access(None);
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7", "Camera.example.:1"]
        {
            assert_eq!(access.judge(&request(host, "/")), Verdict::Granted, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8080", "", "[evil]", "127.0.0.1.evil.example"] {
            assert_eq!(access.judge(&request(host, "/")), Verdict::Refused(421), "{host}");
        }
        assert_eq!(access.judge(&Request::default()), Verdict::Refused(400));
        let embedded = Request { embedded_elsewhere: true, ..request("localhost", "/stream") };
        assert_eq!(access.judge(&embedded), Verdict::Refused(403));
    }

    #[test]
    fn a_token_opens_once_and_a_cookie_after_that() {
        let access = access(Some("correct horse"));
        let at = |path: &str| request("localhost", path);
        assert_eq!(access.judge(&at("/")), Verdict::Refused(401));
        let with = |token: &str, path: &str| Request { token: Some(token.to_owned()), ..at(path) };
        for wrong in ["", "correct", "correct horsf", "correct horse "] {
            assert_eq!(access.judge(&with(wrong, "/")), Verdict::Refused(401), "{wrong}");
        }
        let Verdict::Enter(set) = access.judge(&with("correct horse", "/")) else { panic!() };
        assert!(set.contains("HttpOnly; SameSite=Lax") && !set.contains("correct"), "{set}");
        assert_eq!(access.judge(&with("correct horse", "/stream")), Verdict::Granted);
        let cookie = set.split(';').next().unwrap().to_owned();
        let entered = Request { cookies: vec!["other=1".to_owned(), cookie], ..at("/stream") };
        assert_eq!(access.judge(&entered), Verdict::Granted);
        let forged = Request { cookies: vec!["resnext-8080=correct horse".to_owned()], ..at("/") };
        assert_eq!(access.judge(&forged), Verdict::Refused(401));
        let bearer = Request { authorization: Some("Bearer correct horse".to_owned()), ..at("/events") };
        assert_eq!(access.judge(&bearer), Verdict::Granted);
    }

    #[test]
    fn tokens_differ() {
        let tokens = [random().unwrap(), random().unwrap()];
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(tokens[0].len(), 32);
    }
}
