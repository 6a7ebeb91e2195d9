//! What a hook is told, in the ways in which programs and web services like to hear it.

use node::config::Config;
use node::hooks::{Errand, Subject};
use node::name::RouterName;
use node::status::{RouterStatus, RoutersStatus};
use serde::Serialize;

/// What a hook is told. The names stay.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    node: String,
    hook: String,
    /// `INSTANCE` or `GROUP`, as Keepalived calls them.
    #[serde(skip)]
    kind: &'static str,
    #[serde(skip)]
    subject: String,
    #[serde(skip)]
    notify_word: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_router: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_group: Option<String>,
    state: &'static str,
    reason: String,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    addresses: Vec<String>,
    attempt: u32,
}

impl Message {
    /// Returns what is told on an errand, with the virtual routers as they are now.
    pub fn new(config: &Config, status: &RoutersStatus, errand: &Errand) -> Self {
        let name = errand.subject.to_string();
        let (kind, virtual_router, sync_group, members) = match &errand.subject {
            Subject::Router(router) => ("INSTANCE", Some(name.clone()), None, vec![router]),
            Subject::Group(group) => {
                let members = config.sync_groups.get(group).into_iter().flatten().collect();
                ("GROUP", None, Some(name.clone()), members)
            }
        };
        let routers: Vec<&RouterStatus> =
            members.into_iter().filter_map(|name: &RouterName| status.virtual_routers.get(name)).collect();
        let is_alone = virtual_router.is_some();
        Self {
            node: config.node.to_string(),
            hook: errand.hook.to_string(),
            kind,
            subject: name,
            notify_word: errand.occasion.notify_word(),
            virtual_router,
            sync_group,
            state: errand.occasion.word(),
            reason: errand.reason.clone(),
            // A sync group has none; its members' lowest is what Keepalived's scripts could compare.
            priority: routers.iter().map(|router| router.priority.effective().get()).min().unwrap_or(0),
            interface: routers.first().filter(|_| is_alone).map(|router| router.interface.to_string()),
            addresses: routers
                .iter()
                .flat_map(|router| &router.addresses)
                .map(|address| address.address.to_string())
                .collect(),
            attempt: errand.attempt,
        }
    }

    /// Returns what follows a program's own arguments: what Keepalived gives its notify scripts.
    pub fn arguments(&self) -> [String; 4] {
        [self.kind.to_owned(), self.subject.clone(), self.notify_word.to_owned(), self.priority.to_string()]
    }

    /// Returns the variables of a program's environment.
    pub fn variables(&self) -> Vec<(String, String)> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            ("BATON_NODE", self.node.clone()),
            ("BATON_HOOK", self.hook.clone()),
            ("BATON_VIRTUAL_ROUTER", text(&self.virtual_router)),
            ("BATON_SYNC_GROUP", text(&self.sync_group)),
            ("BATON_STATE", self.state.to_owned()),
            ("BATON_REASON", self.reason.clone()),
            ("BATON_PRIORITY", self.priority.to_string()),
            ("BATON_INTERFACE", text(&self.interface)),
            ("BATON_ADDRESSES", self.addresses.join(" ")),
            ("BATON_ATTEMPT", self.attempt.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Returns the JSON object for web services.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("text, numbers and lists of text can be written")
    }
}
