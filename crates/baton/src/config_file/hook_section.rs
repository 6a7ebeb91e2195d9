//! `[hook.NAME]`: what is done when virtual routers and sync groups change their state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use node::config::{HookAction, HookConfig, Occasion, UrlError, WebhookUrl};
use node::name::{GroupName, HookName, RouterName, UserName};

use super::document::Document;
use super::field::Field;
use super::problem::{At, Problem, Problems};
use super::section::Section;
use super::suggestion::closest;
use super::track_section::words;

/// Every key of a hook.
pub(super) const KEYS: &[&str] =
    &["command", "on", "retry_after", "sync_groups", "timeout", "url", "user", "virtual_routers"];

/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest `timeout` of a hook that a hand-over waits for, and its default: the daemon has to be able to end within
/// what systemd gives it.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest `timeout` of other hooks, and the longest `retry_after`.
const TIME_LIMIT: Duration = Duration::from_hours(1);

/// The default of `retry_after`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The shortest `retry_after`; more often would be a burden and no help.
const SHORTEST_RETRY: Duration = Duration::from_millis(100);

/// A hook.
#[derive(Debug)]
pub(super) struct HookSection {
    /// Its name.
    pub(super) name: At<HookName>,
    /// What it does.
    pub(super) action: At<HookAction>,
    /// What is followed, by their names as they are written.
    virtual_routers: Vec<At<RouterName>>,
    sync_groups: Vec<At<GroupName>>,
    occasions: BTreeSet<Occasion>,
    timeout: Duration,
    retry_after: Duration,
}

impl HookSection {
    /// Reads the table of the hook of this name.
    pub(super) fn read(name: At<&str>, field: Field<'_>) -> Option<Self> {
        let section = Section::open(format!("hook {}", name.value), name.span, field, KEYS)?;
        let name = section.name(name, HookName::new);
        let occasions = occasions(&section);
        let longest = if occasions.contains(&Occasion::BeforeRelease) { RELEASE_TIMEOUT } else { TIME_LIMIT };
        let timeout = section.optional("timeout", |field| field.duration(Duration::from_millis(1)..=longest));
        let retry_after =
            section.optional("retry_after", |field| field.duration(SHORTEST_RETRY..=TIME_LIMIT));
        let virtual_routers = section.list("virtual_routers", |field| field.name(RouterName::new));
        let sync_groups = section.list("sync_groups", |field| field.name(GroupName::new));
        if section.field("virtual_routers").is_none() && section.field("sync_groups").is_none() {
            section.report(section.missing("virtual_routers", "virtual_routers = [\"web\"], or sync_groups"));
        }
        Some(Self {
            action: action(&section)?,
            name: name?,
            virtual_routers,
            sync_groups,
            occasions,
            timeout: section.or(timeout, TIMEOUT.min(longest)).value,
            retry_after: section.or(retry_after, RETRY_AFTER).value,
        })
    }

    /// Returns the hook, and reports what it follows that is not there.
    pub(super) fn resolve(&self, document: &Document, problems: &Problems) -> Arc<HookConfig> {
        let routers = document.routers.iter().map(|router| router.name.value.as_str());
        let groups = document.routers.iter().filter_map(|router| router.sync_group.as_ref());
        let groups = groups.map(|group| group.value.as_str());
        let routers: BTreeSet<_> = routers.collect();
        let groups: BTreeSet<_> = groups.collect();
        for router in &self.virtual_routers {
            let known = router.map(RouterName::as_str);
            self.report_unknown("virtual router", known, &routers, document, problems);
        }
        for group in &self.sync_groups {
            self.report_unknown("sync group", group.map(GroupName::as_str), &groups, document, problems);
        }
        Arc::new(HookConfig {
            routers: self.virtual_routers.iter().map(|router| router.value.clone()).collect(),
            groups: self.sync_groups.iter().map(|group| group.value.clone()).collect(),
            occasions: self.occasions.clone(),
            action: self.action.value.clone(),
            timeout: self.timeout,
            retry_after: self.retry_after,
        })
    }

    fn report_unknown(
        &self,
        what: &str,
        name: At<&str>,
        known: &BTreeSet<&str>,
        document: &Document,
        problems: &Problems,
    ) {
        if known.contains(name.value) || !document.all_routers {
            return;
        }
        let problem = Problem::at(
            name.span,
            format!("Hook {} follows {what} {}, which is not there", self.name.value, name.value),
        )
        .label(format!("no such {what}"));
        problems.report(match closest(name.value, known.iter().copied()) {
            Some(close) => problem.help(format!("did you mean {close}?")),
            None if known.is_empty() => problem.help(format!("the file has no {what}")),
            None => {
                let known: Vec<_> = known.iter().copied().collect();
                problem.help(format!("the file has: {}", known.join(", ")))
            }
        });
    }
}

fn occasions(section: &Section<'_>) -> BTreeSet<Occasion> {
    let words = Occasion::ALL.map(|occasion| (occasion.word(), occasion));
    let usual = Occasion::ALL.into_iter().filter(|occasion| *occasion != Occasion::BeforeRelease);
    let Some(field) = section.field("on") else { return usual.collect() };
    let listed = section.list("on", |field| field.word(&words));
    if field.list().is_some_and(|list| list.is_empty()) {
        field.report(
            field
                .problem(format!("{} is for nothing", section.title()))
                .label("no state")
                .help("for example: on = [\"active\"]"),
        );
    }
    let occasions: BTreeSet<_> = listed.iter().map(|occasion| occasion.value).collect();
    if let Some(release) = listed.iter().find(|occasion| occasion.value == Occasion::BeforeRelease)
        && occasions.len() > 1
    {
        section.report(
            Problem::at(release.span, format!("\"before_release\" stands alone in {}", section.title()))
                .label("holds a hand-over up, the others do not")
                .help("write a hook of its own for it, with a `timeout` of its own"),
        );
    }
    occasions
}

fn action(section: &Section<'_>) -> Option<At<HookAction>> {
    let user = section.optional("user", |field| field.name(UserName::new));
    match (section.field("command"), section.field("url")) {
        (Some(command), None) => {
            let script = words(command, user.map(|user| user.value))?;
            Some(command.at(HookAction::Command(script)))
        }
        (None, Some(url)) => {
            if let Some(user) = user {
                section.report(
                    Problem::at(user.span, format!("`user` does nothing in {}", section.title()))
                        .label("nobody runs a URL")
                        .help("leave it out: it is for `command`"),
                );
            }
            Some(url.at(HookAction::Post(webhook(url)?)))
        }
        (None, None) => {
            section.report(section.missing("command", "command = [\"/usr/local/sbin/notify\"], or url"));
            None
        }
        (Some(command), Some(url)) => {
            section.report(
                url.problem(format!("{} has both `command` and `url`", section.title()))
                    .label("one too many")
                    .also(command.span(), "the other one")
                    .help("leave one out, or write two hooks"),
            );
            None
        }
    }
}

fn webhook(field: Field<'_>) -> Option<WebhookUrl> {
    WebhookUrl::new(field.text()?)
        .map_err(|error| {
            let help = match error {
                UrlError::Scheme | UrlError::Host | UrlError::Port => {
                    "for example: url = \"https://hooks.example.net/baton\" or url = \"http://10.0.0.9:8080/baton\""
                }
                UrlError::Character(_) => "write it as %XX, as URLs have it",
            };
            let title = format!("`{}` names no web service", field.key());
            field.report(field.problem(title).label(error.to_string()).help(help));
        })
        .ok()
}
