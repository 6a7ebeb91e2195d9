//! `[engine]`: how the thread of the virtual routers gets its turn.

use std::time::Duration;

use node::config::{AnnouncementRate, EngineConfig, Memory, RealtimePriority, VirtualRouterConfig};
use node::name::NodeName;
use vrrp::Priority;

use super::field::Field;
use super::problem::{At, Problem, Problems};
use super::section::Section;

/// Every key of the engine.
pub(super) const KEYS: &[&str] =
    &["address_lease", "announcement_rate", "lock_memory", "node", "processors", "realtime_priority"];

/// Every key of `[engine.node.NODE]`: what may differ on a node.
pub(super) const NODE_KEYS: &[&str] =
    &["announcement_rate", "lock_memory", "processors", "realtime_priority"];

/// The highest number of a processor: what the kernel's calls take without asking it for more.
const PROCESSOR_LIMIT: u32 = 1023;

/// The longest lease; whoever dies leaves its addresses for so long.
const LEASE_LIMIT: Duration = Duration::from_hours(1);

/// How much longer than the others wait a lease has to be at least: it must not end under an engine that is only slow,
/// and the kernel counts it in seconds.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How the thread gets its turn.
#[derive(Debug, Default)]
pub(super) struct EngineSection {
    settings: Settings,
    address_lease: Option<At<Duration>>,
    /// What differs on a node.
    pub(super) overrides: Vec<(At<NodeName>, Settings)>,
}

/// What is written down of [`EngineConfig`].
#[derive(Debug, Default)]
pub(super) struct Settings {
    realtime_priority: Option<Precedence>,
    memory: Option<Memory>,
    processors: Option<Vec<u16>>,
    announcement_rate: Option<AnnouncementRate>,
}

/// What a number of `realtime_priority` means.
#[derive(Clone, Copy, Debug)]
enum Precedence {
    None,
    Over(RealtimePriority),
}

impl EngineSection {
    /// Reads the table.
    pub(super) fn read(field: Field<'_>) -> Option<Self> {
        let section = Section::open("the engine", field.span(), field, KEYS)?;
        let overrides = section.named("node", |node, field| {
            let section =
                Section::open(format!("the engine on node {}", node.value), node.span, field, NODE_KEYS)?;
            Some((section.name(node, NodeName::new)?, Settings::read(&section)))
        });
        Some(Self {
            settings: Settings::read(&section),
            address_lease: section.optional("address_lease", |field| lease(&field)),
            overrides: overrides.into_iter().flatten().collect(),
        })
    }

    /// Returns what holds on a node with these virtual routers.
    pub(super) fn resolve<'a>(
        &self,
        node: &NodeName,
        routers: impl Iterator<Item = &'a VirtualRouterConfig>,
        problems: &Problems,
    ) -> EngineConfig {
        let mut config = EngineConfig::default();
        self.settings.apply_to(&mut config);
        if let Some((_, settings)) = self.overrides.iter().find(|(name, _)| name.value == *node) {
            settings.apply_to(&mut config);
        }
        let wait =
            |router: &VirtualRouterConfig| router.interval.active_down(router.version, Priority::LOWEST);
        let least = shortest_lease(routers.map(wait).max().unwrap_or_default());
        match &self.address_lease {
            Some(written) if written.value < least => {
                let title = "`address_lease` ends before others may take over";
                let problem = Problem::at(written.span, title)
                    .label(format!("{} s at least", least.as_secs()))
                    .help(format!(
                        "the longest wait of a Backup and two seconds: address_lease = \"{}s\"",
                        least.as_secs()
                    ));
                problems.report_on(node, problem);
            }
            Some(written) => config.address_lease = written.value,
            None => config.address_lease = config.address_lease.max(least),
        }
        config
    }
}

/// Returns the shortest lease, in whole seconds, where a Backup waits no longer than this.
fn shortest_lease(wait: Duration) -> Duration {
    let least = wait + LEASE_MARGIN;
    Duration::from_secs(least.as_secs() + u64::from(least.subsec_nanos() > 0))
}

fn lease(field: &Field<'_>) -> Option<Duration> {
    let time = field.duration(LEASE_MARGIN..=LEASE_LIMIT)?;
    if time.subsec_nanos() != 0 {
        let problem = field.problem("The kernel counts leases in whole seconds").label("not whole seconds");
        field.report(problem.help(format!("for example: address_lease = \"{}s\"", time.as_secs() + 1)));
        return None;
    }
    Some(time)
}

impl Settings {
    fn read(section: &Section<'_>) -> Self {
        let precedence = |number| RealtimePriority::new(number).map_or(Precedence::None, Precedence::Over);
        let priority = section.optional("realtime_priority", |field| field.integer(0..=99).map(precedence));
        let memory = section.optional("lock_memory", |field| {
            Some(if field.boolean()? { Memory::Locked } else { Memory::Swappable })
        });
        let processors = section.field("processors").map(|_| {
            let numbers = section.list("processors", |field| field.integer(0..=PROCESSOR_LIMIT));
            numbers.into_iter().map(|number| number.value).collect()
        });
        let rate = section.optional("announcement_rate", |field| {
            field.integer(1..=AnnouncementRate::LIMIT).and_then(AnnouncementRate::new)
        });
        Self {
            announcement_rate: rate.map(|rate| rate.value),
            realtime_priority: priority.map(|priority| priority.value),
            memory: memory.map(|memory| memory.value),
            processors,
        }
    }

    fn apply_to(&self, config: &mut EngineConfig) {
        match self.realtime_priority {
            Some(Precedence::None) => config.realtime_priority = None,
            Some(Precedence::Over(priority)) => config.realtime_priority = Some(priority),
            None => {}
        }
        if let Some(memory) = self.memory {
            config.memory = memory;
        }
        if let Some(rate) = self.announcement_rate {
            config.announcement_rate = rate;
        }
        if let Some(processors) = &self.processors {
            config.processors = processors.iter().copied().collect();
        }
    }
}
