//! What an operator has done when a virtual router or a sync group changes its state.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::name::{GroupName, RouterName};
use crate::script::Script;

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookConfig {
    /// The virtual routers whose changes it is for.
    pub routers: BTreeSet<RouterName>,
    /// The sync groups whose changes it is for, each as a whole.
    pub groups: BTreeSet<GroupName>,
    /// The changes that it is for.
    pub occasions: BTreeSet<Occasion>,
    /// What is done.
    pub action: HookAction,
    /// How long one attempt may take; for [`Occasion::BeforeRelease`] also how long a hand-over waits at most.
    pub timeout: Duration,
    /// How long after the first failure it is tried again; twice as long after each further one.
    pub retry_after: Duration,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAction {
    /// A program is run.
    Command(Script),
    /// A JSON object is posted.
    Post(WebhookUrl),
}

/// What a hook can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// It became Active.
    Active,
    /// It became a Backup.
    Backup,
    /// It cannot take part.
    Fault,
    /// It takes part no longer.
    Stop,
    /// It is about to be handed over, and still serves.
    BeforeRelease,
}

impl Occasion {
    /// Every occasion, in the order in which they are listed for people.
    pub const ALL: [Self; 5] = [Self::Active, Self::Backup, Self::Fault, Self::Stop, Self::BeforeRelease];

    /// Returns the word for it in the configuration, in the log and in what hooks are told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backup => "backup",
            Self::Fault => "fault",
            Self::Stop => "stop",
            Self::BeforeRelease => "before_release",
        }
    }

    /// Returns the word by which Keepalived's notify scripts know it.
    pub const fn notify_word(self) -> &'static str {
        match self {
            Self::Active => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
            Self::BeforeRelease => "BEFORE_RELEASE",
        }
    }
}

impl fmt::Display for Occasion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// How a web service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Encrypted, with a service that has proven its name.
    Https,
}

impl Scheme {
    /// Every scheme, in the order in which they are listed for people.
    pub const ALL: [Self; 2] = [Self::Http, Self::Https];

    /// Returns the word for it in URLs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port where a URL names none.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a JSON object is posted, `http[s]://HOST[:PORT]/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
    path: String,
}

/// A text that is no such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It does not begin as it should.
    #[error("it begins neither with http:// nor with https://")]
    Scheme,
    /// It names no machine.
    #[error("it names no host")]
    Host,
    /// Its port is none.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// It has a character that has to be written as %XX.
    #[error("it cannot have {0:?} in it")]
    Character(char),
}

impl WebhookUrl {
    /// Returns the place of this text.
    ///
    /// # Errors
    /// [`UrlError`] when it is none.
    pub fn new(text: &str) -> Result<Self, UrlError> {
        if let Some(character) = text.chars().find(|character| !character.is_ascii_graphic()) {
            return Err(UrlError::Character(character));
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = Scheme::ALL.into_iter().find(|known| known.word() == scheme).ok_or(UrlError::Scheme)?;
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (authority, path) = match rest.find(['/', '?']) {
            Some(index) if rest[index..].starts_with('?') => (&rest[..index], format!("/{}", &rest[index..])),
            Some(index) => (&rest[..index], rest[index..].to_owned()),
            None => (rest, "/".to_owned()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            // Else the colon is one of an IPv6 address in brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| UrlError::Port)?),
            Some(_) | None => (authority, scheme.port()),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains('@') {
            return Err(UrlError::Host);
        }
        if port == 0 {
            return Err(UrlError::Port);
        }
        Ok(Self { scheme, authority: authority.to_owned(), host: host.to_owned(), port, path })
    }

    /// Returns how it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the machine, by name or address, and the port.
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Returns what the request says of the machine.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns the path with the query.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme.word(), self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_a_port_and_a_path() {
        let url = |text| WebhookUrl::new(text).unwrap();
        assert_eq!((url("http://a").place(), url("http://a").path()), (("a", 80), "/"));
        let bracketed = url("http://[fd77::1]:8080/a?b=c#d");
        assert_eq!((bracketed.place(), bracketed.path()), (("fd77::1", 8080), "/a?b=c"));
        assert_eq!(url("http://[fd77::1]?b").place(), ("fd77::1", 80));
        let encrypted = url("https://a.example?b");
        assert_eq!((encrypted.scheme(), encrypted.place()), (Scheme::Https, ("a.example", 443)));
        assert_eq!(encrypted.to_string(), "https://a.example/?b");
        assert_eq!(url("http://[fd77::1]?b").path(), "/?b");
        assert_eq!(bracketed.to_string(), "http://[fd77::1]:8080/a?b=c");
    }

    #[test]
    fn what_is_no_place_is_none() {
        for (text, error) in [
            ("ftp://a/", UrlError::Scheme),
            ("a/b", UrlError::Scheme),
            ("https:/a", UrlError::Scheme),
            ("https://", UrlError::Host),
            ("http:///x", UrlError::Host),
            ("http://user@a/", UrlError::Host),
            ("http://a:x/", UrlError::Port),
            ("http://a:0/", UrlError::Port),
            ("http://a/ b", UrlError::Character(' ')),
        ] {
            assert_eq!(WebhookUrl::new(text), Err(error), "{text}");
        }
    }
}
