//! One value of the file, read into the type that it should have.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use node::name::NameError;
use toml::Spanned;
use toml::de::DeValue;

use super::duration;
use super::problem::{At, Problem, Problems, Span};
use super::suggestion::closest;

/// A value and the key that it was found under; what is wrong with it goes to the problems.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    key: &'a str,
    value: &'a Spanned<DeValue<'a>>,
    problems: &'a Problems,
}

impl<'a> Field<'a> {
    /// Returns the field of a key.
    pub(super) fn new(key: &'a str, value: &'a Spanned<DeValue<'a>>, problems: &'a Problems) -> Self {
        Self { key, value, problems }
    }

    /// Returns the key.
    pub(super) fn key(&self) -> &'a str {
        self.key
    }

    /// Returns where the value stands.
    pub(super) fn span(&self) -> Span {
        self.value.span().into()
    }

    /// Returns the value as the parser left it.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Returns where problems go.
    pub(super) fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// Returns a problem with this value.
    pub(super) fn problem(&self, title: impl Into<String>) -> Problem {
        Problem::at(self.span(), title)
    }

    /// Adds a problem.
    pub(super) fn report(&self, problem: Problem) {
        self.problems.report(problem);
    }

    /// Returns a read value with its place.
    pub(super) fn at<T>(&self, value: T) -> At<T> {
        At { value, span: self.span() }
    }

    /// Reports that the value is of the wrong kind; `example` is what to write instead.
    pub(super) fn expected(&self, expected: &str, example: &str) {
        let found = match self.value() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a decimal number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let problem = self
            .problem(format!("`{}` has to be {expected}, not {found}", self.key))
            .label(format!("expected {expected}"))
            .help(format!("for example: {example}"));
        self.report(problem);
    }

    /// Reads text.
    pub(super) fn text(&self) -> Option<&'a str> {
        if let DeValue::String(text) = self.value() {
            return Some(text);
        }
        self.expected("text in quotes", &format!("{} = \"...\"", self.key));
        None
    }

    /// Reads true or false.
    pub(super) fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(boolean) = self.value() {
            return Some(*boolean);
        }
        self.expected("true or false", &format!("{} = true", self.key));
        None
    }

    /// Reads a whole number of a range.
    pub(super) fn integer<T: TryFrom<u32>>(&self, range: RangeInclusive<u32>) -> Option<T> {
        let DeValue::Integer(digits) = self.value() else {
            self.expected("a whole number", &format!("{} = {}", self.key, range.start()));
            return None;
        };
        let number = u32::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        if number.is_none() {
            let (least, most) = range.into_inner();
            let problem = self
                .problem(format!("`{}` has to be between {least} and {most}", self.key))
                .label(format!("{digits} is out of range"));
            self.report(problem);
        }
        number
    }

    /// Reads a time of a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let DeValue::String(text) = self.value() else {
            self.expected("a time with its unit in quotes", &format!("{} = \"1s\"", self.key));
            return None;
        };
        let time = match duration::parse(text) {
            Ok(time) => time,
            Err(error) => {
                let problem = self
                    .problem(format!("`{}` is no time", self.key))
                    .label(error.to_string())
                    .help("write a number and a unit: \"10ms\", \"1s\", \"5m\" or \"1h\"");
                self.report(problem);
                return None;
            }
        };
        if range.contains(&time) {
            return Some(time);
        }
        let (least, most) = range.into_inner();
        let problem = self
            .problem(format!(
                "`{}` has to be between {} and {}",
                self.key,
                duration::show(least),
                duration::show(most)
            ))
            .label("out of range");
        self.report(problem);
        None
    }

    /// Reads one of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names = words.iter().map(|(word, _)| *word);
        let all = names.clone().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let problem = self.problem(format!("{text:?} is no value of `{}`", self.key)).label("unknown word");
        self.report(match closest(text, names) {
            Some(close) => problem.help(format!("did you mean \"{close}\"? The values are {all}")),
            None => problem.help(format!("the values are {all}")),
        });
        None
    }

    /// Reads the name of a thing.
    pub(super) fn name<T>(&self, new: impl FnOnce(&str) -> Result<T, NameError>) -> Option<T> {
        let text = self.text()?;
        new(text)
            .map_err(|error| {
                self.report(
                    self.problem(format!("{text:?} is no name for `{}`", self.key)).label(error.to_string()),
                );
            })
            .ok()
    }

    /// Reads a list into its elements.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        if let DeValue::Array(values) = self.value() {
            return Some(values.iter().map(|value| Self { value, ..*self }).collect());
        }
        self.expected("a list", &format!("{} = [...]", self.key));
        None
    }

    /// Reads an address of a machine, without a prefix and without a port.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let text = self.text()?;
        let Ok(address) = text.parse() else {
            self.report(self.not_an_address(text));
            return None;
        };
        self.unicast(address)
    }

    /// Returns an address that one machine can have; reports any other.
    pub(super) fn unicast(&self, address: IpAddr) -> Option<IpAddr> {
        let kind = match address {
            _ if address.is_unspecified() => "the unspecified address",
            _ if address.is_multicast() => "a multicast address",
            IpAddr::V4(address) if address.is_broadcast() => "the broadcast address",
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
            IpAddr::V4(_) | IpAddr::V6(_) => return Some(address),
        };
        self.report(
            self.problem(format!("{address} cannot be the address of a machine"))
                .label(format!("{kind} stands for no single machine"))
                .help("write the unicast address that is meant"),
        );
        None
    }

    /// Reads an address and a port; the port may be left out.
    pub(super) fn endpoint(&self) -> Option<(IpAddr, Option<u16>)> {
        let text = self.text()?;
        if let Ok(endpoint) = text.parse::<SocketAddr>() {
            return Some((self.unicast(endpoint.ip())?, Some(endpoint.port())));
        }
        match text.parse() {
            Ok(address @ IpAddr::V4(_)) => return Some((self.unicast(address)?, None)),
            Ok(IpAddr::V6(_)) => {
                let problem = self
                    .problem(format!("The IPv6 address in `{}` has no brackets", self.key))
                    .label("cannot tell where the address ends and the port begins")
                    .help("write \"[fd77::50]:80\"");
                self.report(problem);
                return None;
            }
            Err(_) => {}
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(Ok(address)) = bare.map(str::parse) {
            return Some((self.unicast(IpAddr::V6(address))?, None));
        }
        self.report(self.not_an_address(text));
        None
    }

    fn not_an_address(&self, text: &str) -> Problem {
        let problem = self.problem(format!("{text:?} is no address for `{}`", self.key));
        if text.contains('/') {
            return problem
                .label("a prefix length is not expected here")
                .help("leave out everything from the slash on");
        }
        let port =
            text.rsplit_once(':').filter(|(host, _)| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok());
        if let Some((_, port)) = port {
            return problem.label(format!("{port:?} is no port")).help("a port is a number from 1 to 65535");
        }
        if text.contains(|character: char| character.is_alphabetic() && !character.is_ascii_hexdigit()) {
            return problem
                .label("not an IP address")
                .help("write the IP address; host names are not resolved");
        }
        problem.label("not an IP address").help("an address looks like \"10.77.0.50\" or \"fd77::50\", with a port like \"10.77.0.50:80\" or \"[fd77::50]:80\"")
    }
}
