//! `[engine]`: how the thread of the virtual routers gets its turn.

use node::config::{AnnouncementRate, EngineConfig, Memory, RealtimePriority};
use node::name::NodeName;

use super::field::Field;
use super::problem::At;
use super::section::Section;

/// Every key of the engine.
pub(super) const KEYS: &[&str] =
    &["announcement_rate", "lock_memory", "node", "processors", "realtime_priority"];

/// Every key of `[engine.node.NODE]`: what may differ on a node.
pub(super) const NODE_KEYS: &[&str] =
    &["announcement_rate", "lock_memory", "processors", "realtime_priority"];

/// The highest number of a processor: what the kernel's calls take without asking it for more.
const PROCESSOR_LIMIT: u32 = 1023;

/// How the thread gets its turn.
#[derive(Debug, Default)]
pub(super) struct EngineSection {
    settings: Settings,
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
            overrides: overrides.into_iter().flatten().collect(),
        })
    }

    /// Returns what holds on a node.
    pub(super) fn resolve(&self, node: &NodeName) -> EngineConfig {
        let mut config = EngineConfig::default();
        self.settings.apply_to(&mut config);
        if let Some((_, settings)) = self.overrides.iter().find(|(name, _)| name.value == *node) {
            settings.apply_to(&mut config);
        }
        config
    }
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
