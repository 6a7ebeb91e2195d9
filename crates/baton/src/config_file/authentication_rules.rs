//! How the virtual routers are authenticated, with the keys from their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use node::name::RouterName;
use vrrp::{Authentication, Hmac, Key, KeyRing, Measure, Version};

use super::authentication_section::{AuthenticationSection, HmacSection};
use super::document::Document;
use super::key_file::{self, KeyFileError};
use super::node_section::{NodeKind, NodeSection};
use super::problem::{Problem, Problems};
use super::router_section::RouterSection;

/// Returns how each virtual router is authenticated; what is wrong with one is reported. A file that is not named by an
/// absolute path is looked for in `folder`.
pub(super) fn resolve(
    document: &Document,
    folder: &Path,
    problems: &Problems,
) -> BTreeMap<RouterName, Authentication> {
    let keys = Keys { folder, by_path: key_file::read_all(paths(document, folder)) };
    let routers = document.routers.iter();
    routers
        .filter_map(|router| {
            Some((router.name.value.clone(), resolve_one(router, measure(document), &keys, problems)?))
        })
        .collect()
}

/// Returns the files of all keys, each once.
fn paths(document: &Document, folder: &Path) -> BTreeSet<PathBuf> {
    let files = document.routers.iter().flat_map(|router| match &router.authentication {
        Some(AuthenticationSection::Hmac(hmac)) => hmac.keys.as_slice(),
        Some(AuthenticationSection::SimpleText(_)) | None => &[],
    });
    files.map(|(_, file)| folder.join(&file.value)).collect()
}

/// What the files of keys gave.
struct Keys<'a> {
    folder: &'a Path,
    by_path: BTreeMap<PathBuf, Result<Key, KeyFileError>>,
}

/// A node that is no Baton measures as Keepalived does, for want of any other that knows the trailer.
fn measure(document: &Document) -> Measure {
    let is_foreign = |node: &NodeSection| node.kind == NodeKind::Vrrp;
    if document.nodes.iter().any(is_foreign) { Measure::Clock } else { Measure::Growth }
}

fn resolve_one(
    router: &RouterSection,
    measure: Measure,
    keys: &Keys<'_>,
    problems: &Problems,
) -> Option<Authentication> {
    let Some(section) = &router.authentication else { return Some(Authentication::None) };
    match section {
        AuthenticationSection::SimpleText(password) => {
            if router.version.value == Version::V3 {
                problems.report(
                    Problem::at(
                        password.span,
                        format!(
                            "Virtual router {} speaks version 3, which has no simple text",
                            router.name.value
                        ),
                    )
                    .label("only version 2 has room for it")
                    .also(router.version.span, "version 3")
                    .help("write `keys` for an HMAC trailer instead, or version = 2 if the peer speaks it"),
                );
                return None;
            }
            Some(Authentication::SimpleText(password.value.clone()))
        }
        AuthenticationSection::Hmac(hmac) => key_ring(hmac, keys, problems).map(|keys| {
            Authentication::Hmac(Hmac {
                keys,
                mode: hmac.mode,
                clock_tolerance: hmac.clock_tolerance,
                measure,
            })
        }),
    }
}

fn key_ring(section: &HmacSection, known: &Keys<'_>, problems: &Problems) -> Option<KeyRing> {
    let mut keys = BTreeMap::new();
    for (id, file) in &section.keys {
        let path = known.folder.join(&file.value);
        match &known.by_path[&path] {
            Ok(key) => {
                keys.insert(*id, key.clone());
            }
            Err(error) => problems.report(
                Problem::at(file.span, format!("The file of key {id} gives no key"))
                    .label(error.to_string())
                    .help(error.help(&path)),
            ),
        }
    }
    if keys.len() < section.keys.len() {
        return None;
    }
    KeyRing::new(keys, section.active)
}
