//! When hooks run: in the order of what happened, one at a time for each virtual router or sync group, until they succeed
//! or something newer has come.

mod errand;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use monotonic::Instant;

pub use self::errand::{Errand, LONGEST_RETRY};
use self::errand::{Errands, Step};
use crate::config::{Config, HookConfig, Occasion};
use crate::name::{GroupName, HookName, RouterName};
use crate::report::{HookReport, Report};
use crate::status::HooksStatus;

/// Whose changes a hook follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A virtual router's.
    Router(RouterName),
    /// A sync group's.
    Group(GroupName),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Router(name) => fmt::Display::fmt(name, formatter),
            Self::Group(name) => fmt::Display::fmt(name, formatter),
        }
    }
}

/// What can happen to hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HooksInput {
    /// A virtual router has changed its state.
    Changed {
        /// The virtual router.
        router: RouterName,
        /// What it has become.
        occasion: Occasion,
        /// Why.
        reason: String,
    },
    /// A virtual router that may be Active is so still, and what an Active does may have been undone meanwhile.
    Reaffirmed {
        /// The virtual router.
        router: RouterName,
        /// Why that may be.
        reason: String,
    },
    /// A virtual router is about to be handed over.
    Prepare {
        /// Which.
        router: RouterName,
        /// Until when that waits.
        until: Instant,
        /// Why.
        reason: String,
    },
    /// The program of an errand was killed and does not go; [`Self::Finished`] follows when it is gone.
    Stuck {
        /// The hook.
        hook: HookName,
        /// Whose change it was for.
        subject: Subject,
        /// What is wrong.
        reason: String,
    },
    /// An errand has come to an end.
    Finished {
        /// The hook.
        hook: HookName,
        /// Whose change it was for.
        subject: Subject,
        /// Nothing, or what is wrong.
        outcome: Result<(), String>,
        /// How long it took.
        took: Duration,
    },
    /// [`Hooks::next_deadline`] has come.
    Deadline,
    /// Another configuration holds from now on.
    Reload(Arc<Config>),
}

impl HooksInput {
    /// Returns what an event means to hooks, if anything.
    pub fn of(report: &Report) -> Option<Self> {
        let changed = |router: &RouterName, occasion, reason: String| {
            Some(Self::Changed { router: router.clone(), occasion, reason })
        };
        if let Report::BecameActive { router, cause } = report {
            return changed(router, Occasion::Active, cause.to_string());
        }
        if let Report::RoleAdopted { router } = report {
            return changed(router, Occasion::Active, "the daemon before this one was Active".to_owned());
        }
        if let Report::BecameBackup { router, cause } = report {
            return changed(router, Occasion::Backup, cause.to_string());
        }
        if let Report::RouterFaulted { router, fault } = report {
            return changed(router, Occasion::Fault, fault.to_string());
        }
        if let Report::RouterStopped { router } = report {
            return changed(router, Occasion::Stop, "it takes part no longer".to_owned());
        }
        if let Report::DualActiveOver { router, .. } = report {
            let reason = "another node was Active besides this one and is not any more".to_owned();
            return Some(Self::Reaffirmed { router: router.clone(), reason });
        }
        if let Report::HandOverCalledOff { router } = report {
            let reason = "it was about to be handed over and is not any more".to_owned();
            return Some(Self::Reaffirmed { router: router.clone(), reason });
        }
        None
    }
}

/// What hooks want done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HooksOutput {
    /// Run this, and answer with [`HooksInput::Finished`].
    Run(Errand),
    /// All that had to be done before a virtual router is handed over is done.
    Prepared {
        /// Which.
        router: RouterName,
    },
    /// Tell the operator.
    Report(HookReport),
}

/// Every hook of a node.
#[derive(Clone, Debug)]
pub struct Hooks {
    config: Arc<Config>,
    /// Where each virtual router and sync group stands.
    standing: BTreeMap<Subject, Occasion>,
    errands: BTreeMap<(HookName, Subject), Errands>,
    preparations: Vec<Preparation>,
}

/// A hand-over that waits for hooks.
#[derive(Clone, Debug)]
struct Preparation {
    router: RouterName,
    awaited: BTreeSet<(HookName, Subject)>,
    until: Instant,
}

impl Hooks {
    /// Returns the hooks of this configuration; nothing has happened yet.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, standing: BTreeMap::new(), errands: BTreeMap::new(), preparations: Vec::new() }
    }

    /// Returns when [`HooksInput::Deadline`] is wanted.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.errands.values().filter_map(Errands::next_deadline).min()
    }

    /// Tells whether nothing runs that comes to an end.
    pub fn is_idle(&self) -> bool {
        !self.errands.values().any(Errands::is_running)
    }

    /// Returns what came of each hook for each virtual router and sync group that it follows.
    pub fn status(&self) -> HooksStatus {
        let entry = |hook: &HookName, subject| {
            let key = (hook.clone(), subject);
            let status = self.errands.get(&key).and_then(Errands::status);
            (key, status)
        };
        let of_hook = |(name, hook): (&HookName, &Arc<HookConfig>)| {
            let routers = hook.routers.iter().cloned().map(Subject::Router);
            let groups = hook.groups.iter().cloned().map(Subject::Group);
            routers.chain(groups).map(|subject| entry(name, subject)).collect::<Vec<_>>()
        };
        HooksStatus { errands: self.config.hooks.iter().flat_map(of_hook).collect() }
    }

    /// Takes one input and answers with what is to be done.
    #[must_use]
    pub fn handle(&mut self, input: HooksInput, now: Instant) -> Vec<HooksOutput> {
        let mut outputs = Vec::new();
        match input {
            HooksInput::Changed { router, occasion, reason } => {
                self.change(router, occasion, &reason, now, &mut outputs);
            }
            HooksInput::Reaffirmed { router, reason } => {
                self.reaffirm(router, &reason, now, &mut outputs);
            }
            HooksInput::Prepare { router, until, reason } => {
                self.prepare(router, until, &reason, now, &mut outputs);
            }
            HooksInput::Stuck { hook, subject, reason } => {
                let key = (hook, subject);
                if let Some(errands) = self.errands.get_mut(&key) {
                    let steps = errands.note_stuck(reason, now);
                    self.follow_up(&key, steps, &mut outputs);
                }
            }
            HooksInput::Finished { hook, subject, outcome, took } => {
                let key = (hook, subject);
                if let Some(errands) = self.errands.get_mut(&key) {
                    let steps = errands.finish(outcome, took, now);
                    self.follow_up(&key, steps, &mut outputs);
                }
            }
            HooksInput::Deadline => {
                let keys: Vec<_> = self.errands.keys().cloned().collect();
                for key in keys {
                    let steps = self.errands.get_mut(&key).map(|errands| errands.fire(now));
                    self.follow_up(&key, steps.unwrap_or_default(), &mut outputs);
                }
            }
            HooksInput::Reload(config) => self.reload(config),
        }
        outputs
    }

    fn change(
        &mut self,
        router: RouterName,
        occasion: Occasion,
        reason: &str,
        now: Instant,
        outputs: &mut Vec<HooksOutput>,
    ) {
        let group = self.group_of(&router);
        let subject = Subject::Router(router);
        // What an Active does may have been undone where it released the role and nobody took over.
        let is_again = self.standing.insert(subject.clone(), occasion) == Some(Occasion::Active)
            && occasion == Occasion::Active;
        self.offer(&subject, occasion, reason, now, outputs);
        let Some((group, members)) = group else { return };
        let together = self.standing_of(&members);
        let group = Subject::Group(group);
        // Members move one after the other; between them the group stands where it stood.
        if let Some(together) = together {
            let is_other = self.standing.insert(group.clone(), together) != Some(together);
            if is_other || is_again {
                self.offer(&group, together, reason, now, outputs);
            }
        }
    }

    fn group_of(&self, router: &RouterName) -> Option<(GroupName, BTreeSet<RouterName>)> {
        let groups = self.config.sync_groups.iter();
        let mut of_router = groups.filter(|(_, members)| members.contains(router));
        of_router.next().map(|(group, members)| (group.clone(), members.clone()))
    }

    /// Where all members stand; a fault of one is the group's.
    fn standing_of(&self, members: &BTreeSet<RouterName>) -> Option<Occasion> {
        let standing = |name: &RouterName| self.standing.get(&Subject::Router(name.clone())).copied();
        let all: BTreeSet<_> = members.iter().map(standing).collect();
        if all.contains(&Some(Occasion::Fault)) {
            return Some(Occasion::Fault);
        }
        match all.into_iter().collect::<Vec<_>>()[..] {
            [alone] => alone,
            _ => None,
        }
    }

    fn reaffirm(&mut self, router: RouterName, reason: &str, now: Instant, outputs: &mut Vec<HooksOutput>) {
        let group = self.group_of(&router).map(|(group, _)| Subject::Group(group));
        for subject in [Some(Subject::Router(router)), group].into_iter().flatten() {
            if self.standing.get(&subject) == Some(&Occasion::Active) {
                self.offer(&subject, Occasion::Active, reason, now, outputs);
            }
        }
    }

    /// Lets every hook of a virtual router or sync group know what it has become; also those that are not for that, since
    /// what they are about is over.
    fn offer(
        &mut self,
        subject: &Subject,
        occasion: Occasion,
        reason: &str,
        now: Instant,
        outputs: &mut Vec<HooksOutput>,
    ) {
        let config = Arc::clone(&self.config);
        for (name, hook) in config.hooks.iter().filter(|(_, hook)| hook.follows(subject)) {
            let key = (name.clone(), subject.clone());
            let errands = self.errands.entry(key.clone()).or_default();
            let steps = if hook.occasions.contains(&occasion) {
                errands.add(errand(&key, hook, occasion, reason), now)
            } else {
                errands.supersede(occasion)
            };
            self.follow_up(&key, steps, outputs);
        }
    }

    fn prepare(
        &mut self,
        router: RouterName,
        until: Instant,
        reason: &str,
        now: Instant,
        outputs: &mut Vec<HooksOutput>,
    ) {
        let config = Arc::clone(&self.config);
        let group = self.group_of(&router).map(|(group, _)| Subject::Group(group));
        let subjects: Vec<_> = [Subject::Router(router.clone())].into_iter().chain(group).collect();
        let hooks = config.hooks.iter().filter(|(_, hook)| hook.occasions.contains(&Occasion::BeforeRelease));
        let wanted: Vec<_> = hooks
            .flat_map(|(name, hook)| {
                let subjects = subjects.iter().filter(|subject| hook.follows(subject));
                subjects.map(move |subject| ((name.clone(), subject.clone()), hook))
            })
            .collect();
        let awaited = wanted.iter().map(|(key, _)| key.clone()).collect();
        self.preparations.retain(|preparation| preparation.until > now);
        self.preparations.push(Preparation { router, awaited, until });
        for (key, hook) in wanted {
            let errands = self.errands.entry(key.clone()).or_default();
            // Another member of the group has asked for it already.
            if errands.are_before_release() {
                continue;
            }
            let errand = Errand { until: Some(until), ..errand(&key, hook, Occasion::BeforeRelease, reason) };
            let steps = errands.add(errand, now);
            self.follow_up(&key, steps, outputs);
        }
        self.tell_prepared(outputs);
    }

    fn follow_up(&mut self, key: &(HookName, Subject), steps: Vec<Step>, outputs: &mut Vec<HooksOutput>) {
        for step in steps {
            match step {
                Step::Run(errand) => outputs.push(HooksOutput::Run(errand)),
                Step::Tell(occasion, event) => {
                    let (hook, subject) = key.clone();
                    outputs.push(HooksOutput::Report(HookReport { hook, subject, occasion, event }));
                }
                Step::Prepared => {
                    for preparation in &mut self.preparations {
                        preparation.awaited.remove(key);
                    }
                }
            }
        }
        self.tell_prepared(outputs);
    }

    fn tell_prepared(&mut self, outputs: &mut Vec<HooksOutput>) {
        let ready = self.preparations.extract_if(.., |preparation| preparation.awaited.is_empty());
        outputs.extend(ready.map(|preparation| HooksOutput::Prepared { router: preparation.router }));
    }

    /// What runs is let run; what is not for anybody any more is not tried again.
    fn reload(&mut self, config: Arc<Config>) {
        self.errands
            .retain(|(name, subject), _| config.hooks.get(name).is_some_and(|hook| hook.follows(subject)));
        self.standing.retain(|subject, _| match subject {
            Subject::Router(name) => config.virtual_routers.contains_key(name),
            Subject::Group(name) => config.sync_groups.contains_key(name),
        });
        self.config = config;
    }
}

impl HookConfig {
    /// Tells whether it is for this virtual router or sync group.
    pub fn follows(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Router(name) => self.routers.contains(name),
            Subject::Group(name) => self.groups.contains(name),
        }
    }
}

fn errand(
    (name, subject): &(HookName, Subject),
    hook: &Arc<HookConfig>,
    occasion: Occasion,
    reason: &str,
) -> Errand {
    Errand {
        hook: name.clone(),
        config: Arc::clone(hook),
        subject: subject.clone(),
        occasion,
        reason: reason.to_owned(),
        attempt: 1,
        limit: hook.timeout,
        until: None,
        error: None,
    }
}
