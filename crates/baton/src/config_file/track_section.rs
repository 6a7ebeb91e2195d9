//! `[track.NAME]`: what else has to be well, as the file describes it for all nodes.

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node::name::{InterfaceName, NodeName, TrackName, UserName};
use node::script::{Script, ScriptError};
use node::track::{Delays, Effect, Requirement, Sense, TrackKind, TrackWeight, WEIGHT_LIMIT};
use toml::de::DeValue;

use super::field::Field;
use super::problem::{At, Problem};
use super::router_section::interface;
use super::section::Section;

/// Every key of a track.
pub(super) const KEYS: &[&str] = &[
    "down_delay",
    "fall",
    "file",
    "interface",
    "interval",
    "needs_address",
    "node",
    "process",
    "quorum",
    "reverse",
    "rise",
    "script",
    "timeout",
    "up_delay",
    "user",
    "weight",
];

/// Every key of `[track.NAME.node.NODE]`: what may differ on a node.
pub(super) const NODE_KEYS: &[&str] = &["interface", "weight"];

/// The keys of which a track has exactly one.
const KINDS: [&str; 4] = ["interface", "script", "process", "file"];

/// The other keys, and the kinds of track that they are for.
const KEYS_OF_KINDS: [(&str, &[&str]); 9] = [
    ("needs_address", &["interface"]),
    ("up_delay", &["interface", "process"]),
    ("down_delay", &["interface", "process"]),
    ("interval", &["script", "process", "file"]),
    ("timeout", &["script"]),
    ("rise", &["script"]),
    ("fall", &["script"]),
    ("user", &["script"]),
    ("quorum", &["process"]),
];

/// The default of `interval` of a script and of a process.
const INTERVAL: Duration = Duration::from_secs(1);

/// The default of `interval` of a file, which costs nothing to look at.
const FILE_INTERVAL: Duration = Duration::from_millis(200);

/// The longest delay and interval, an hour: what changes so slowly is no matter of failover.
const TIME_LIMIT: Duration = Duration::from_hours(1);

/// The shortest interval; more often would be load, not a look.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// The most processes of a name that can be asked for.
const QUORUM_LIMIT: u32 = 65_536;

/// A track as the file describes it for all nodes.
#[derive(Debug)]
pub(super) struct TrackSection {
    /// Its name.
    pub(super) name: At<TrackName>,
    /// What it looks at.
    pub(super) kind: At<TrackKind>,
    /// Whether it is up while the thing is well.
    pub(super) sense: Sense,
    /// What follows from it.
    pub(super) effect: At<Effect>,
    /// What differs on a node.
    pub(super) overrides: Vec<TrackOverride>,
}

/// What differs on one node.
#[derive(Debug)]
pub(super) struct TrackOverride {
    /// The node.
    pub(super) node: At<NodeName>,
    /// Its interface.
    pub(super) interface: Option<At<InterfaceName>>,
    /// Its weight.
    pub(super) effect: Option<At<Effect>>,
}

impl TrackSection {
    /// Reads the table of the track of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("track {}", name.value), name.span, field, KEYS)?;
        let name = section.name(name, TrackName::new);
        let kind = kind(&section);
        let reverse = section.optional("reverse", |field| field.boolean());
        let effect = section.optional("weight", weight);
        let overrides =
            section.named("node", |node, field| TrackOverride::read(section.title(), node, field));
        let effect = section.or(effect, Effect::Fault);
        if let (Some(At { value: true, span }), Some(TrackKind::File { .. }), Effect::Weight(_)) =
            (&reverse, kind.as_ref().map(|kind| &kind.value), effect.value)
        {
            section.report(
                Problem::at(*span, format!("`reverse` does nothing in {}", section.title()))
                    .label("the file's number is multiplied by the weight")
                    .also(effect.span, "the weight")
                    .help("give the weight the other sign, and leave `reverse` out"),
            );
        }
        let sense = if section.or(reverse, false).value { Sense::Reversed } else { Sense::Straight };
        Some(Self {
            name: name?,
            kind: kind?,
            sense,
            effect,
            overrides: overrides.into_iter().flatten().collect(),
        })
    }

    /// Returns what differs on a node.
    pub(super) fn on(&self, node: &NodeName) -> Option<&TrackOverride> {
        self.overrides.iter().find(|differing| differing.node.value == *node)
    }
}

impl TrackOverride {
    fn read(track: &str, node: At<&str>, field: Field<'_>) -> Option<Self> {
        let title = format!("{track} on node {}", node.value);
        let section = Section::open(title, node.span, field, NODE_KEYS)?;
        Some(Self {
            node: section.name(node, NodeName::new)?,
            interface: section.optional("interface", interface),
            effect: section.optional("weight", weight),
        })
    }
}

/// Reads the kind of a track, and reports the keys that are for others.
fn kind(section: &Section<'_>) -> Option<At<TrackKind>> {
    let named: Vec<_> = KINDS.into_iter().filter_map(|key| section.field(key)).collect();
    let [field] = named[..] else {
        let problem = match &named[..] {
            [first, second, ..] => Problem::at(
                second.span(),
                format!(
                    "{} looks at two things: `{}` and `{}`",
                    capitalized(section.title()),
                    first.key(),
                    second.key()
                ),
            )
            .label("the second one")
            .also(first.span(), "the first one")
            .help("make a track of each: a virtual router can have several, track = [\"one\", \"other\"]"),
            _ => section.missing("interface", "interface = \"eth1\", or one of: script, process, file"),
        };
        section.report(problem);
        return None;
    };
    for (key, kinds) in KEYS_OF_KINDS {
        if let Some(other) = section.field(key).filter(|_| !kinds.contains(&field.key())) {
            section.report(
                Problem::at(other.span(), format!("`{key}` does nothing in {}", section.title()))
                    .label(format!("for {} alone", kinds.join(" and ")))
                    .also(field.span(), format!("this track is of the kind {}", field.key()))
                    .help("leave it out"),
            );
        }
    }
    let kind = match field.key() {
        "interface" => {
            let needs_address = section.optional("needs_address", |field| field.boolean());
            let requirement = if section.or(needs_address, false).value {
                Requirement::Address
            } else {
                Requirement::Carrier
            };
            TrackKind::Interface { interface: interface(field)?, requirement, delays: delays(section) }
        }
        "script" => script(section, field)?,
        "process" => {
            let minimum = section.optional("quorum", |field| field.integer(1..=QUORUM_LIMIT));
            TrackKind::Process {
                name: process(field)?,
                minimum: section.or(minimum, 1).value,
                interval: interval(section, INTERVAL),
                delays: delays(section),
            }
        }
        _ => TrackKind::File { path: whole_path(field)?, interval: interval(section, FILE_INTERVAL) },
    };
    Some(field.at(kind))
}

fn capitalized(title: &str) -> String {
    title.replacen("track", "Track", 1)
}

fn delays(section: &Section<'_>) -> Delays {
    let delay = |key| {
        let time = section.optional(key, |field| field.duration(Duration::ZERO..=TIME_LIMIT));
        section.or(time, Duration::ZERO).value
    };
    Delays { up: delay("up_delay"), down: delay("down_delay") }
}

fn interval(section: &Section<'_>, default: Duration) -> Duration {
    let time = section.optional("interval", |field| field.duration(SHORTEST_INTERVAL..=TIME_LIMIT));
    section.or(time, default).value
}

fn script(section: &Section<'_>, field: Field<'_>) -> Option<TrackKind> {
    let one = NonZeroU8::MIN;
    let interval = interval(section, INTERVAL);
    let timeout = section.optional("timeout", |field| field.duration(Duration::from_millis(1)..=interval));
    let rise = section.optional("rise", |field| field.integer(1..=255));
    let fall = section.optional("fall", |field| field.integer(1..=255));
    let user = section.optional("user", |field| field.name(UserName::new));
    Some(TrackKind::Script {
        script: words(field, user.map(|user| user.value))?,
        interval,
        timeout: section.or(timeout, interval).value,
        rise: section.or(rise.and_then(nonzero), one).value,
        fall: section.or(fall.and_then(nonzero), one).value,
    })
}

fn nonzero(number: At<u8>) -> Option<At<NonZeroU8>> {
    Some(At { value: NonZeroU8::new(number.value)?, span: number.span })
}

/// Reads a program and its arguments: `["/usr/local/bin/check", "--fast"]`.
pub(super) fn words(field: Field<'_>, user: Option<UserName>) -> Option<Script> {
    const EXAMPLE: &str = "[\"/usr/local/bin/check\", \"--fast\"]";
    if let DeValue::String(text) = field.value() {
        let words: Vec<_> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
        field.report(
            field
                .problem(format!("`{}` has to be a list of words, not text", field.key()))
                .label("no shell reads it")
                .help(format!("write each word by itself: {} = [{}]", field.key(), words.join(", "))),
        );
        return None;
    }
    let words: Vec<_> = field.list()?.into_iter().map(|word| Some(word.text()?.to_owned())).collect();
    let words: Option<Vec<_>> = words.into_iter().collect();
    Script::new(words?, user)
        .map_err(|error| {
            let help = match error {
                ScriptError::Empty => format!("for example: {} = {EXAMPLE}", field.key()),
                ScriptError::NotAbsolute => format!(
                    "write the whole path, so that no other program of its name can be meant: {} = {EXAMPLE}",
                    field.key()
                ),
                ScriptError::ZeroByte => "leave it out".to_owned(),
            };
            let title = format!("`{}` starts no program", field.key());
            field.report(field.problem(title).label(error.to_string()).help(help));
        })
        .ok()
}

fn process(field: Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !text.is_empty() && !text.contains(['/', '\0']) {
        return Some(text.to_owned());
    }
    field.report(
        field
            .problem(format!("{text:?} is no name of a process"))
            .label("the program's name, without its path")
            .help("for example: process = \"named\""),
    );
    None
}

fn whole_path(field: Field<'_>) -> Option<PathBuf> {
    let text = field.text()?;
    if Path::new(text).is_absolute() && !text.contains('\0') {
        return Some(text.into());
    }
    field.report(
        field
            .problem(format!("{text:?} is no whole path"))
            .label("relative to nothing")
            .help(format!("write it from the root on: {} = \"/run/baton/weight\"", field.key())),
    );
    None
}

fn weight(field: Field<'_>) -> Option<Effect> {
    let DeValue::Integer(digits) = field.value() else {
        field.expected("a whole number", "weight = -60");
        return None;
    };
    let number = i64::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(i64::MAX);
    if number == 0 {
        field.report(
            field
                .problem("A weight of 0 does nothing")
                .label("neither more nor less")
                .help("leave `weight` out: the virtual router faults then while the track is down"),
        );
        return None;
    }
    TrackWeight::new(number)
        .map(Effect::Weight)
        .map_err(|_| {
            field.report(
                field
                    .problem(format!("`weight` has to be between -{WEIGHT_LIMIT} and {WEIGHT_LIMIT}"))
                    .label(format!("{digits} is out of range"))
                    .help("leave `weight` out if the virtual router is to fault while the track is down"),
            );
        })
        .ok()
}
