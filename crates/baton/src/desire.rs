//! What the kernel should hold, put together from what two threads know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use host::reconciler::Reconciler;
use node::host_state::{Roles, Tables, Wanted};

/// Brings the engine's roles and the checker's tables together; the latest of both wins.
#[derive(Clone, Debug)]
pub struct Desire {
    reconciler: Arc<Reconciler>,
    /// Held while a wish is put together and said, which takes microseconds, so that the last one said is the latest.
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    roles: Option<Arc<Roles>>,
    tables: Option<Arc<Tables>>,
}

impl Desire {
    /// Returns what tells this reconciler; it says nothing before it knows both roles and tables.
    pub fn new(reconciler: Arc<Reconciler>) -> Self {
        Self { reconciler, parts: Arc::default() }
    }

    /// Takes over which virtual routers are Active.
    pub fn set_roles(&self, roles: Arc<Roles>) {
        let mut parts = self.parts();
        parts.roles = Some(roles);
        self.say(&parts);
    }

    /// Takes over what the tables of this node's virtual servers hold; what was said already does not interrupt the work
    /// on it.
    pub fn set_tables(&self, tables: Arc<Tables>) {
        let mut parts = self.parts();
        if !parts.tables.as_ref().is_some_and(|known| Arc::ptr_eq(known, &tables)) {
            parts.tables = Some(tables);
            self.say(&parts);
        }
    }

    /// Says how long the kernel keeps virtual addresses by itself.
    pub fn lend(&self, time: Duration) {
        self.reconciler.lend(time);
    }

    /// Has the kernel keep for as long again what is wanted and there.
    pub fn renew(&self) {
        self.reconciler.renew();
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, parts: &Parts) {
        if let Parts { roles: Some(roles), tables: Some(tables) } = parts {
            self.reconciler.want(Arc::new(Wanted::new(roles, tables)));
        }
    }
}
