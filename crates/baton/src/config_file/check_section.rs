//! `[virtual_server.NAME.check]`: how the real servers of a virtual server are checked.

use std::num::NonZeroU8;
use std::time::Duration;

use toml::de::DeValue;
use virtual_server::health::{Check, CheckKind, HttpCheck};

use super::field::Field;
use super::problem::{At, Problem};
use super::section::Section;

/// Every key of a check.
pub(super) const KEYS: &[&str] =
    &["body", "fall", "host", "interval", "path", "rise", "status", "timeout", "type"];

/// The keys that only a check of this type has.
const HTTP_KEYS: [&str; 4] = ["body", "host", "path", "status"];

/// The shortest interval; more often would be load, not a check.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The longest interval, an hour: a check that seldom asks knows nothing.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// The default of `interval`.
const INTERVAL: Duration = Duration::from_secs(2);

/// The default of `timeout`, unless the interval is shorter.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The default of `rise`.
const RISE: NonZeroU8 = NonZeroU8::new(2).expect("not zero");

/// The default of `fall`.
const FALL: NonZeroU8 = NonZeroU8::new(3).expect("not zero");

/// The default of `status`.
const STATUS: (u16, u16) = (200, 299);

/// The longest path, host or body to look for, in bytes; what a server sends back is not searched further either.
const TEXT_LIMIT: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckType {
    Tcp,
    Http,
}

/// Reads the check of the virtual server called `server` in a sentence.
pub(super) fn read(server: &str, field: Field<'_>) -> Option<Check> {
    let section = Section::open(format!("the check of {server}"), field.span(), field, KEYS)?;
    let times = times(&section);
    let rise = section.optional("rise", |field| field.integer(1..=255));
    let fall = section.optional("fall", |field| field.integer(1..=255));
    let kind = section.required("type", "type = \"http\"", |field| {
        field.word(&[("http", CheckType::Http), ("tcp", CheckType::Tcp)])
    });
    let http = http(&section);
    let kind = match kind?.value {
        CheckType::Http => CheckKind::Http(http),
        CheckType::Tcp => {
            for field in HTTP_KEYS.iter().filter_map(|key| section.field(key)) {
                section.report(
                    field
                        .problem(format!("A check of type \"tcp\" has no `{}`", field.key()))
                        .label("belongs to type \"http\"")
                        .help("write type = \"http\", or leave this key out"),
                );
            }
            CheckKind::Tcp
        }
    };
    let (interval, timeout) = times?;
    Some(Check {
        kind,
        interval,
        timeout,
        rise: rise.and_then(|rise| NonZeroU8::new(rise.value)).unwrap_or(RISE),
        fall: fall.and_then(|fall| NonZeroU8::new(fall.value)).unwrap_or(FALL),
    })
}

/// Returns interval and timeout.
fn times(section: &Section<'_>) -> Option<(Duration, Duration)> {
    let interval = section.optional("interval", |field| field.duration(SHORTEST_INTERVAL..=LONGEST_INTERVAL));
    let interval = section.or(interval, INTERVAL);
    let timeout =
        section.optional("timeout", |field| field.duration(Duration::from_millis(1)..=LONGEST_INTERVAL));
    let timeout = section.or(timeout, TIMEOUT.min(interval.value));
    if timeout.value > interval.value {
        section.report(
            Problem::at(timeout.span, "The timeout of a check is longer than its interval")
                .label(format!("waits {:?}", timeout.value))
                .also(interval.span, format!("asks again after {:?}", interval.value))
                .help("shorten the timeout or lengthen the interval: one probe ends before the next begins"),
        );
        return None;
    }
    Some((interval.value, timeout.value))
}

fn http(section: &Section<'_>) -> HttpCheck {
    let path = section.optional("path", |field| {
        let path = printable(&field)?;
        if path.starts_with('/') && !path.contains(' ') {
            return Some(path.to_owned());
        }
        let problem = field.problem(format!("{path:?} is no path to ask a server for"));
        field.report(
            problem.label("begins with a slash and has no spaces").help("for example: path = \"/healthz\""),
        );
        None
    });
    let host = section.optional("host", |field| {
        let host = printable(&field)?;
        if !host.contains([' ', '/']) {
            return Some(host.to_owned());
        }
        let problem = field.problem(format!("{host:?} is no host name"));
        field.report(
            problem
                .label("has no scheme, no slash and no space")
                .help("for example: host = \"www.example.org\""),
        );
        None
    });
    let body = section.optional("body", |field| {
        let body = field.text()?;
        (within_limit(&field, body)).then(|| body.to_owned())
    });
    let statuses = section.field("status").map(|_| section.list("status", status));
    let statuses = match statuses {
        Some(ranges) => ranges.into_iter().map(|range| range.value).collect(),
        None => vec![STATUS],
    };
    HttpCheck {
        path: path.map_or_else(|| "/".to_owned(), |path| path.value),
        host: value(host),
        status: statuses,
        body: value(body),
    }
}

fn value<T>(found: Option<At<T>>) -> Option<T> {
    found.map(|found| found.value)
}

/// Reads `301` or `"200-299"`.
fn status(field: Field<'_>) -> Option<(u16, u16)> {
    let valid = 100..=599;
    if let DeValue::Integer(_) = field.value() {
        let code = field.integer(valid)?;
        return Some((code, code));
    }
    let text = field.text()?;
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse::<u16>(), high.trim().parse::<u16>()) {
        (Ok(low), Ok(high)) if low <= high && valid.contains(&low.into()) && valid.contains(&high.into()) => {
            Some((low, high))
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => {
            field.report(
                field
                    .problem(format!("{text:?} is no range of status codes"))
                    .label("status codes go from 100 to 599")
                    .help("for example: status = [\"200-299\", 301]"),
            );
            None
        }
    }
}

/// Reads text that can stand in a line of an HTTP request.
fn printable<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text()?;
    if !within_limit(field, text) {
        return None;
    }
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Some(text);
    }
    field.report(
        field
            .problem(format!("`{}` has a character that cannot stand in a request", field.key()))
            .label("only printable ASCII characters can")
            .help("write anything else percent-encoded"),
    );
    None
}

fn within_limit(field: &Field<'_>, text: &str) -> bool {
    let fits = (1..=TEXT_LIMIT).contains(&text.len());
    if !fits {
        field.report(
            field
                .problem(format!("`{}` has to have 1 to {TEXT_LIMIT} bytes", field.key()))
                .label(format!("this has {}", text.len())),
        );
    }
    fits
}
