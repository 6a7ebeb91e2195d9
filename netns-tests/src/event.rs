//! What a daemon tells: one JSON object a line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// One event of a daemon's log.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its stable name.
    #[serde(rename = "event")]
    pub name: String,
    /// How urgent it is.
    pub level: String,
    /// Everything else that it says.
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

impl Event {
    /// Reads the events of a log; lines that are none are left out.
    pub fn all(log: &str) -> Vec<Self> {
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// A field as text, empty when the event has none of that name.
    pub fn field(&self, name: &str) -> String {
        match self.fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                other.to_string()
            }
        }
    }

    /// Whether it has this name and, among others, these fields.
    pub fn is(&self, name: &str, fields: &[(&str, &str)]) -> bool {
        self.name == name && fields.iter().all(|(field, value)| self.field(field) == *value)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.field("message"))
    }
}
