//! The hooks of a node, as an operator sees them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use node::hooks::Subject;
use node::status::{ErrandOutcome, ErrandStatus, HooksStatus};
use serde::{Deserialize, Serialize};

use super::{Calendar, Table, short};

/// One hook: what came of it for each that it follows; nothing where it has not been run yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct HookView {
    pub virtual_routers: BTreeMap<String, Option<ErrandView>>,
    pub sync_groups: BTreeMap<String, Option<ErrandView>>,
}

/// What came of the last that a hook had to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrandView {
    /// running, stuck (it was killed and is still not gone), waiting (it has failed and is tried again), succeeded or failed.
    pub outcome: String,
    /// What it was run for: active, backup, fault, stop or `before_release`.
    pub state: String,
    /// Which time it was tried last, from 1.
    pub attempt: u32,
    /// When the outcome came to be so.
    pub since: Timestamp,
    /// When it is tried again, while it waits for that.
    pub retry_at: Option<Timestamp>,
    /// What was wrong with the last attempt that failed, even if a later one has not.
    pub error: Option<String>,
}

/// Puts hooks into the view's terms.
pub fn views(status: &HooksStatus, calendar: Calendar) -> BTreeMap<String, HookView> {
    let mut views = BTreeMap::<String, HookView>::new();
    for ((hook, subject), errand) in &status.errands {
        let view = views.entry(hook.to_string()).or_default();
        let errands = match subject {
            Subject::Router(_) => &mut view.virtual_routers,
            Subject::Group(_) => &mut view.sync_groups,
        };
        let errand = errand.as_ref().map(|errand| ErrandView::new(errand, calendar));
        errands.insert(subject.to_string(), errand);
    }
    views
}

impl ErrandView {
    fn new(errand: &ErrandStatus, calendar: Calendar) -> Self {
        let retry_at = match errand.outcome {
            ErrandOutcome::Waiting { until } => Some(calendar.time(until)),
            ErrandOutcome::Running
            | ErrandOutcome::Stuck
            | ErrandOutcome::Succeeded
            | ErrandOutcome::Failed => None,
        };
        Self {
            outcome: errand.outcome.name().to_owned(),
            state: errand.occasion.word().to_owned(),
            attempt: errand.attempt,
            since: calendar.time(errand.since),
            retry_at,
            error: errand.error.clone(),
        }
    }
}

/// Lists hooks for people, a row for each that they follow.
pub fn table(hooks: &BTreeMap<String, HookView>) -> Table<7> {
    let mut table = Table::new(["hook", "of", "for", "outcome", "attempt", "since", "last error"]);
    for (name, hook) in hooks {
        for (subject, errand) in hook.virtual_routers.iter().chain(&hook.sync_groups) {
            let Some(ErrandView { outcome, state, attempt, since, retry_at, error }) = errand else {
                table.row([name, subject, "-", "not run yet", "-", "-", ""]);
                continue;
            };
            let outcome = match retry_at {
                Some(time) => format!("{outcome} until {}", short(*time)),
                None => outcome.clone(),
            };
            let error = error.as_deref().unwrap_or_default();
            table.row([name, subject, state, &outcome, &attempt.to_string(), &short(*since), error]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use monotonic::Instant;
    use node::config::Occasion;
    use node::name::{GroupName, HookName, RouterName};

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn each_hook_says_what_came_of_it_for_each_that_it_follows() {
        let key = |hook, subject| (HookName::new(hook).unwrap(), subject);
        let router = |name| Subject::Router(RouterName::new(name).unwrap());
        let group = Subject::Group(GroupName::new("web").unwrap());
        let errand = |outcome, attempt, error: Option<&str>| {
            let error = error.map(str::to_owned);
            Some(ErrandStatus { occasion: Occasion::Active, attempt, outcome, since: at(60), error })
        };
        let waiting = ErrandOutcome::Waiting { until: at(64) };
        let status = HooksStatus {
            errands: [
                (key("move", router("web")), errand(waiting, 3, Some("exit code 1: away"))),
                (key("tell", router("inside")), None),
                (key("tell", group), errand(ErrandOutcome::Succeeded, 1, None)),
            ]
            .into(),
        };
        let views = views(&status, Calendar::new(at(0), Timestamp::UNIX_EPOCH));
        assert_eq!(
            table(&views).to_string(),
            "HOOK  OF      FOR     OUTCOME                             ATTEMPT  SINCE                 LAST ERROR\n\
             move  web     active  waiting until 1970-01-01 00:01:04Z  3        1970-01-01 00:01:00Z  exit code 1: away\n\
             tell  inside  -       not run yet                         -        -\n\
             tell  web     active  succeeded                           1        1970-01-01 00:01:00Z\n"
        );
        let json = serde_json::to_value(&views).unwrap();
        assert_eq!(json["tell"]["virtual_routers"]["inside"], serde_json::Value::Null);
        assert_eq!(json["tell"]["sync_groups"]["web"]["outcome"], "succeeded");
        assert_eq!(json["move"]["virtual_routers"]["web"]["retry_at"], "1970-01-01T00:01:04Z");
    }
}
