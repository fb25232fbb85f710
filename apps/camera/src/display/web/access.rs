//! Who may look.
//!
//! From this machine everybody may, unless there is a token. From elsewhere it takes the token: once in the address, which
//! answers with a cookie, or as a bearer in a header. A `Host` that is a name of somebody else's is refused, since a page of
//! theirs could otherwise read ours through DNS that they control.

use super::request::Request;
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;

/// Characters that a token has at least.
pub(super) const SHORTEST: usize = 12;

/// What it takes to look.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<String>,
    /// What the cookie says: the token itself is never sent back.
    session: String,
    cookie: String,
    names: Vec<String>,
}

/// What a request is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What it asked for.
    Granted,
    /// A cookie with this text, and the address without the token.
    Enter(String),
    /// This status.
    Refused(u16),
}

impl Access {
    /// For a server at `address`. `names` are those that it has beside addresses, `localhost` and the machine's own.
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
        // Cookies do not know ports: two previews on one machine must not take each other's.
        let cookie = format!("resnext-{}", address.port());
        Ok(Self { token, session: random()?, cookie, names })
    }

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
            // Players and scripts ask for one thing and know no cookies.
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

    /// Lax rather than strict: who follows a link to the preview from elsewhere gets in.
    fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800", self.cookie, self.session)
    }

    /// Addresses cannot be rebound.
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

/// In a time that depends on the lengths alone.
fn same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// 128 random bits in letters and digits.
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
