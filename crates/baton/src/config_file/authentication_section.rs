//! `[virtual_router.NAME.authentication]`: how advertisements prove where they come from.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use vrrp::{HmacMode, KeyId, Password};

use super::field::Field;
use super::problem::{At, Problem};
use super::section::Section;

/// Every key of the table.
pub(super) const KEYS: &[&str] = &["active_key", "clock_tolerance", "keys", "mode", "simple_text"];

/// How far the clock of a sender that is heard for the first time may be behind, unless the file says otherwise.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// The longest such time, Keepalived's: for as long a recording would be believed by a node that has just been started.
const CLOCK_TOLERANCE_LIMIT: Duration = Duration::from_mins(5);

/// The table as it is written: one of two methods.
#[derive(Debug)]
pub(super) enum AuthenticationSection {
    /// A password in the clear.
    SimpleText(At<Password>),
    /// An HMAC trailer.
    Hmac(HmacSection),
}

/// The keys of the file that have to do with the HMAC trailer.
#[derive(Debug)]
pub(super) struct HmacSection {
    /// The files of the keys, by number; not empty.
    pub(super) keys: Vec<(KeyId, At<PathBuf>)>,
    /// The number of the key that signs; one of [`Self::keys`].
    pub(super) active: KeyId,
    /// What is sent, and what is accepted without a trailer.
    pub(super) mode: HmacMode,
    /// How far the clock of a sender may be behind.
    pub(super) clock_tolerance: Duration,
}

impl AuthenticationSection {
    /// Reads the table of a virtual router that is called `router` in a sentence.
    pub(super) fn read(router: &str, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("the authentication of {router}"), field.span(), field, KEYS)?;
        match (section.field("simple_text"), section.field("keys")) {
            (Some(text), Some(keys)) => {
                section.report(
                    text.problem(format!(
                        "The authentication of {router} has both simple text and keys for an HMAC trailer"
                    ))
                    .label("one of them")
                    .also(keys.span(), "or the other")
                    .help("leave `simple_text` out: it is no security, and a peer that asks for it knows no trailer"),
                );
                None
            }
            (Some(_), None) => {
                report_useless(&section);
                section.optional("simple_text", password).map(Self::SimpleText)
            }
            (None, Some(_)) => HmacSection::read(&section).map(Self::Hmac),
            (None, None) => {
                section.report(section.missing("keys", "keys = { 1 = \"/etc/baton/web-1.key\" }"));
                None
            }
        }
    }
}

impl HmacSection {
    fn read(section: &Section<'_>) -> Option<Self> {
        let keys = section.optional("keys", keys);
        let mode = section.optional("mode", |field| {
            field.word(&[
                ("enforce", HmacMode::Enforce),
                ("permissive", HmacMode::Permissive),
                ("receive-only", HmacMode::ReceiveOnly),
            ])
        });
        let clock_tolerance = section.optional("clock_tolerance", |field| {
            field.duration(Duration::from_secs(1)..=CLOCK_TOLERANCE_LIMIT)
        });
        let keys = keys?;
        let active = active_key(section, &keys.value);
        Some(Self {
            keys: keys.value,
            active: active?,
            mode: section.or(mode, HmacMode::Enforce).value,
            clock_tolerance: section.or(clock_tolerance, CLOCK_TOLERANCE).value,
        })
    }
}

fn password(field: Field<'_>) -> Option<Password> {
    let text = field.text()?;
    if text.is_empty() {
        field.report(
            field
                .problem("`simple_text` is empty")
                .label("nothing to send")
                .help("write the peer's auth_pass, or leave the table out"),
        );
        return None;
    }
    Password::new(text)
        .map_err(|error| {
            let problem = field.problem("`simple_text` is too long").label(error.to_string());
            field.report(problem.help(
                "write the first 8 bytes alone if they are what the peer sends: Keepalived cuts its auth_pass off there",
            ));
        })
        .ok()
}

/// Reads `{ 1 = "FILE", 2 = "FILE" }`.
fn keys(field: Field<'_>) -> Option<Vec<(KeyId, At<PathBuf>)>> {
    let DeValue::Table(table) = field.value() else {
        field.expected("a table of files by key number", "keys = { 1 = \"/etc/baton/web-1.key\" }");
        return None;
    };
    let mut keys = Vec::new();
    for (number, file) in table {
        let Some(id) = number.get_ref().parse().ok().and_then(KeyId::new) else {
            field.report(
                Problem::at(
                    number.span().into(),
                    format!("{:?} is no number of a key", number.get_ref().as_ref()),
                )
                .label("a key is named by a number from 1 to 255")
                .help("for example: keys = { 1 = \"/etc/baton/web-1.key\" }"),
            );
            continue;
        };
        let file = Field::new(number.get_ref(), file, field.problems());
        if let Some(path) = file.text() {
            keys.push((id, file.at(PathBuf::from(path))));
        }
    }
    if table.is_empty() {
        field.report(
            field
                .problem("`keys` names no key")
                .label("nothing to sign with")
                .help("for example: keys = { 1 = \"/etc/baton/web-1.key\" }"),
        );
    }
    (!keys.is_empty()).then_some(keys)
}

/// Which key signs: the one that is named, or the only one there is.
fn active_key(section: &Section<'_>, keys: &[(KeyId, At<PathBuf>)]) -> Option<KeyId> {
    let numbers = || keys.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ");
    let Some(field) = section.field("active_key") else {
        if let [(only, _)] = keys {
            return Some(*only);
        }
        section.report(section.missing("active_key", &format!("active_key = {}", keys[0].0)));
        return None;
    };
    let active = KeyId::new(field.integer(1..=255)?)?;
    if keys.iter().any(|(id, _)| *id == active) {
        return Some(active);
    }
    field.report(
        field
            .problem(format!("`active_key` is {active}, and there is no such key"))
            .label("nothing to sign with")
            .help(format!("the keys here are: {}", numbers())),
    );
    None
}

/// A key that does nothing would be a false promise.
fn report_useless(section: &Section<'_>) {
    for key in ["active_key", "clock_tolerance", "mode"] {
        if let Some(field) = section.field(key) {
            field.report(
                field
                    .problem(format!("`{key}` does nothing with `simple_text`"))
                    .label("is about keys")
                    .help("leave it out, or write `keys` instead of `simple_text`"),
            );
        }
    }
}
