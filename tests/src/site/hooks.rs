//! What is done on a node before it hands over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use node::config::{HookAction, HookConfig, Occasion};
use node::name::HookName;
use node::script::Script;

use super::{Site, router_name};

const NAME: &str = "drain";

impl Site {
    /// The one hook of a site where hand-overs wait for such: for every virtual router, each for itself.
    pub(super) fn hooks(&self) -> BTreeMap<HookName, Arc<HookConfig>> {
        let hook = self.preparation.map(|timeout| HookConfig {
            routers: self.router_indices().map(router_name).collect(),
            groups: BTreeSet::new(),
            occasions: [Occasion::BeforeRelease].into(),
            action: HookAction::Command(
                Script::new(vec!["/bin/true".to_owned()], None).expect("the words start a program"),
            ),
            timeout,
            retry_after: timeout,
        });
        let name = HookName::new(NAME).expect("the names of a site are plain");
        hook.into_iter().map(|hook| (name.clone(), Arc::new(hook))).collect()
    }
}
