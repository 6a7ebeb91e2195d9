//! What in this kernel is Baton's own.
//!
//! Addresses carry a tag where the kernel has such a thing; IPVS services never do. So a file names both, and names them
//! before they come into being: whenever the process dies, the next one knows what it left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use node::config::{InterfaceAddress, Scope};
use node::name::{AddressLabel, InterfaceName};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use virtual_server::service::{MarkFamily, Protocol, ServiceKey};

use crate::device::ParentSettings;
use crate::link::Address;

/// What marks an address as Baton's own, `IFA_PROTO`: the number of VRRP among the Internet protocols.
pub(crate) const OWNERSHIP_TAG: u8 = vrrp::PROTOCOL;

/// The first kernel with `IFA_PROTO`.
const FIRST_KERNEL_WITH_TAGS: (u32, u32) = (5, 18);

/// Why the record can be neither read nor written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file system says no.
    #[error("The record of what Baton owns in the kernel, {}, cannot be {verb}: {source}", path.display())]
    File {
        /// The file or its folder.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// It is not what Baton writes.
    #[error(
        "The record of what Baton owns in the kernel, {}, is damaged: {reason}. Remove by hand what Baton left behind \
         (`ip address`, `ipvsadm -Ln`), then the file", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is Baton's own, and the file that says so.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    tags: AddressTags,
    addresses: BTreeSet<InterfaceAddress>,
    services: BTreeSet<ServiceKey>,
    /// What was set on interfaces before devices were put on top.
    parents: BTreeMap<InterfaceName, ParentSettings>,
}

/// Whether this kernel keeps the tag of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressTags {
    Kept,
    Unknown,
}

impl Record {
    /// Reads what an earlier process has left behind, and makes sure that the file can be written; where there is one a full
    /// disk is no reason to give up what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        let record = Self::read(path)?;
        match record.write() {
            Err(RecordError::File { source, .. })
                if source.kind() == io::ErrorKind::StorageFull && path.exists() => {}
            written => written?,
        }
        Ok(record)
    }

    /// Reads what an earlier process has left behind.
    pub(crate) fn read(path: &Path) -> Result<Self, RecordError> {
        let contents = match fs::read(path) {
            Ok(text) => Contents::parse(&text)
                .map_err(|reason| RecordError::Damaged { path: path.to_owned(), reason })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Owned::default(),
            Err(source) => return Err(RecordError::File { path: path.to_owned(), verb: "read", source }),
        };
        let release = rustix::system::uname();
        let tags = AddressTags::of_kernel(&release.release().to_string_lossy());
        let Owned { addresses, services, parents } = contents;
        Ok(Self { path: path.to_owned(), tags, addresses, services, parents })
    }

    /// Tells whether Baton has put this address there.
    pub(crate) fn owns_address(&self, interface: &InterfaceName, address: &Address) -> bool {
        match self.tags {
            AddressTags::Kept => address.tag == Some(OWNERSHIP_TAG),
            AddressTags::Unknown => {
                // The same address without label and scope of its own is the first one of its kind in the set.
                let first = InterfaceAddress::new(interface.clone(), address.ip, address.prefix_length);
                let kind =
                    |owned: &InterfaceAddress| (owned.interface.clone(), owned.address, owned.prefix_length);
                self.addresses.range(&first..).next().is_some_and(|owned| kind(owned) == kind(&first))
            }
        }
    }

    /// Returns the services that Baton has made or was about to make.
    pub(crate) fn services(&self) -> &BTreeSet<ServiceKey> {
        &self.services
    }

    /// Returns what was set on interfaces before Baton put devices on top.
    pub(crate) fn parents(&self) -> BTreeMap<InterfaceName, ParentSettings> {
        self.parents.clone()
    }

    /// Writes down what is set on an interface before Baton puts a device on top, unless it has one already.
    pub(crate) fn note_parent(
        &mut self,
        parent: &InterfaceName,
        before: ParentSettings,
    ) -> Result<(), RecordError> {
        if self.parents.contains_key(parent) {
            return Ok(());
        }
        self.parents.insert(parent.clone(), before);
        // What is not written down must not be taken for written down the next time.
        self.write().inspect_err(|_| {
            self.parents.remove(parent);
        })
    }

    /// Forgets what was set on an interface, since it is set again.
    pub(crate) fn forget_parent(&mut self, parent: &InterfaceName) -> Result<(), RecordError> {
        self.parents.remove(parent);
        self.write()
    }

    /// Adds what is about to come into being; only afterwards may it.
    pub(crate) fn announce(
        &mut self,
        addresses: impl IntoIterator<Item = InterfaceAddress>,
        services: impl IntoIterator<Item = ServiceKey>,
    ) -> Result<(), RecordError> {
        let addresses: Vec<_> =
            addresses.into_iter().filter(|address| self.addresses.insert(address.clone())).collect();
        let services: Vec<_> = services.into_iter().filter(|key| self.services.insert(*key)).collect();
        if addresses.is_empty() && services.is_empty() {
            return Ok(());
        }
        self.write().inspect_err(|_| {
            self.addresses.retain(|address| !addresses.contains(address));
            self.services.retain(|key| !services.contains(key));
        })
    }

    /// Tells whether an address has to be on record to be known as Baton's own.
    pub(crate) fn decides_on_addresses(&self) -> bool {
        match self.tags {
            AddressTags::Kept => false,
            AddressTags::Unknown => true,
        }
    }

    /// Forgets what is neither there nor about to be.
    pub(crate) fn retain(
        &mut self,
        mut address: impl FnMut(&InterfaceAddress) -> bool,
        mut service: impl FnMut(&ServiceKey) -> bool,
    ) -> Result<(), RecordError> {
        let before = self.addresses.len() + self.services.len();
        self.addresses.retain(|owned| address(owned));
        self.services.retain(|owned| service(owned));
        if self.addresses.len() + self.services.len() == before { Ok(()) } else { self.write() }
    }

    /// Whoever reads the file sees it as it was before or as it is after, never in between.
    fn write(&self) -> Result<(), RecordError> {
        let failed = |source| RecordError::File { path: self.path.clone(), verb: "written", source };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let next = self.path.with_extension("next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)
            .map_err(failed)?;
        let contents = Contents::new(&self.addresses, &self.services, &self.parents);
        let text = serde_json::to_vec_pretty(&contents).expect("the record is plain data");
        file.write_all(&text).map_err(failed)?;
        fs::rename(&next, &self.path).map_err(failed)
    }
}

impl AddressTags {
    /// A release that cannot be read is taken for an old one: the record then decides, and it is always right.
    fn of_kernel(release: &str) -> Self {
        let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= FIRST_KERNEL_WITH_TAGS => Self::Kept,
            (_, _) => Self::Unknown,
        }
    }
}

/// The file's form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    addresses: Vec<AddressEntry>,
    services: Vec<ServiceEntry>,
    #[serde(default)]
    parents: BTreeMap<String, ParentSettings>,
}

/// The same in terms of its own.
#[derive(Debug, Default)]
struct Owned {
    addresses: BTreeSet<InterfaceAddress>,
    services: BTreeSet<ServiceKey>,
    parents: BTreeMap<InterfaceName, ParentSettings>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressEntry {
    interface: String,
    address: IpAddr,
    prefix_length: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default)]
    scope: ScopeEntry,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScopeEntry {
    #[default]
    Global,
    Site,
    Link,
    Host,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ServiceEntry {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Sctp(SocketAddr),
    MarkV4(NonZeroU32),
    MarkV6(NonZeroU32),
}

impl Contents {
    fn new(
        addresses: &BTreeSet<InterfaceAddress>,
        services: &BTreeSet<ServiceKey>,
        parents: &BTreeMap<InterfaceName, ParentSettings>,
    ) -> Self {
        let addresses = addresses.iter().map(|owned| AddressEntry {
            interface: owned.interface.to_string(),
            address: owned.address,
            prefix_length: owned.prefix_length,
            label: owned.label.as_ref().map(ToString::to_string),
            scope: match owned.scope {
                Scope::Global => ScopeEntry::Global,
                Scope::Site => ScopeEntry::Site,
                Scope::Link => ScopeEntry::Link,
                Scope::Host => ScopeEntry::Host,
            },
        });
        let services = services.iter().map(|key| match *key {
            ServiceKey::Address { protocol: Protocol::Tcp, address } => ServiceEntry::Tcp(address),
            ServiceKey::Address { protocol: Protocol::Udp, address } => ServiceEntry::Udp(address),
            ServiceKey::Address { protocol: Protocol::Sctp, address } => ServiceEntry::Sctp(address),
            ServiceKey::Mark { family: MarkFamily::V4, mark } => ServiceEntry::MarkV4(mark),
            ServiceKey::Mark { family: MarkFamily::V6, mark } => ServiceEntry::MarkV6(mark),
        });
        let parents = parents.iter().map(|(name, before)| (name.to_string(), *before));
        Self { addresses: addresses.collect(), services: services.collect(), parents: parents.collect() }
    }

    fn parse(text: &[u8]) -> Result<Owned, String> {
        let contents: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let address = |entry: AddressEntry| {
            let AddressEntry { interface, address, prefix_length, label, scope } = entry;
            let interface = InterfaceName::new(&interface).map_err(|error| error.to_string())?;
            let label = label.map(|label| AddressLabel::new(&label)).transpose();
            let label = label.map_err(|error| error.to_string())?;
            let scope = match scope {
                ScopeEntry::Global => Scope::Global,
                ScopeEntry::Site => Scope::Site,
                ScopeEntry::Link => Scope::Link,
                ScopeEntry::Host => Scope::Host,
            };
            Ok(InterfaceAddress { interface, address, prefix_length, label, scope })
        };
        let service = |entry| match entry {
            ServiceEntry::Tcp(address) => ServiceKey::Address { protocol: Protocol::Tcp, address },
            ServiceEntry::Udp(address) => ServiceKey::Address { protocol: Protocol::Udp, address },
            ServiceEntry::Sctp(address) => ServiceKey::Address { protocol: Protocol::Sctp, address },
            ServiceEntry::MarkV4(mark) => ServiceKey::Mark { family: MarkFamily::V4, mark },
            ServiceEntry::MarkV6(mark) => ServiceKey::Mark { family: MarkFamily::V6, mark },
        };
        let addresses = contents.addresses.into_iter().map(address).collect::<Result<_, String>>()?;
        let parent = |(name, before): (String, ParentSettings)| {
            Ok((InterfaceName::new(&name).map_err(|error| error.to_string())?, before))
        };
        Ok(Owned {
            addresses,
            services: contents.services.into_iter().map(service).collect(),
            parents: contents.parents.into_iter().map(parent).collect::<Result<_, String>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn address(last: u8) -> InterfaceAddress {
        let interface = InterfaceName::new("eth0").unwrap();
        InterfaceAddress::new(interface, [10, 77, 0, last].into(), 24)
    }

    fn services() -> [ServiceKey; 3] {
        let mark = NonZeroU32::new(7).unwrap();
        [
            ServiceKey::Address { protocol: Protocol::Udp, address: "[fd77::50]:53".parse().unwrap() },
            ServiceKey::Mark { family: MarkFamily::V4, mark },
            ServiceKey::Mark { family: MarkFamily::V6, mark },
        ]
    }

    /// A folder of this test's own, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("baton-record-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_next_process_knows_what_was_about_to_be_made_and_not_yet_settled() {
        let folder = Folder::new("next");
        let path = folder.0.join("owned.json");
        let mut record = Record::open(&path).unwrap();
        let labelled =
            InterfaceAddress { label: AddressLabel::new("eth0:web").ok(), scope: Scope::Link, ..address(51) };
        record.announce([address(50), labelled.clone()], services()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let mut next = Record::open(&path).unwrap();
        assert_eq!(next.services(), &BTreeSet::from(services()));
        assert_eq!(next.addresses, BTreeSet::from([address(50), labelled]));
        next.retain(|_| false, |key| *key == services()[0]).unwrap();
        let last = Record::open(&path).unwrap();
        assert_eq!((last.addresses.len(), last.services().len()), (0, 1));
    }

    #[test]
    fn what_could_not_be_written_down_is_not_on_record() {
        let folder = Folder::new("refused");
        let path = folder.0.join("owned.json");
        let mut record = Record::open(&path).unwrap();
        record.announce([address(50)], []).unwrap();
        // No file can be made below a file.
        fs::remove_dir_all(&folder.0).unwrap();
        fs::write(&folder.0, "").unwrap();
        for _ in 0..2 {
            assert!(record.announce([address(50), address(51)], [services()[0]]).is_err());
            assert_eq!((record.addresses.len(), record.services().len()), (1, 0));
        }
        record.announce([address(50)], []).unwrap();

        fs::remove_file(&folder.0).unwrap();
        record.announce([address(51)], []).unwrap();
        assert_eq!(Record::open(&path).unwrap().addresses, BTreeSet::from([50, 51].map(address)));
    }

    #[test]
    fn a_damaged_record_is_an_error_that_says_what_to_do() {
        let folder = Folder::new("damaged");
        fs::create_dir_all(&folder.0).unwrap();
        let path = folder.0.join("owned.json");
        fs::write(&path, "{\"addresses\": [").unwrap();
        let message = Record::open(&path).unwrap_err().to_string();
        assert!(message.contains("is damaged") && message.contains("then the file"), "{message}");
    }

    #[test]
    fn a_record_that_cannot_be_written_is_found_out_at_the_start() {
        let folder = Folder::new("unwritable");
        fs::create_dir_all(&folder.0).unwrap();
        let file = folder.0.join("file");
        fs::write(&file, "").unwrap();
        let message = Record::open(&file.join("owned.json")).unwrap_err().to_string();
        assert!(message.contains("owned.json, cannot be"), "{message}");
    }

    #[test]
    fn a_tag_decides_where_the_kernel_keeps_it_and_the_record_elsewhere() {
        let folder = Folder::new("tags");
        let mut record = Record::open(&folder.0.join("owned.json")).unwrap();
        record.announce([address(50)], []).unwrap();
        let eth0 = InterfaceName::new("eth0").unwrap();
        let there = |last: u8, tag| Address {
            ip: [10, 77, 0, last].into(),
            prefix_length: 24,
            tag,
            flags: netlink_packet_route::address::AddressFlags::empty(),
            label: None,
            scope: Scope::Global,
        };
        record.tags = AddressTags::Kept;
        assert!(record.owns_address(&eth0, &there(1, Some(OWNERSHIP_TAG))));
        assert!(!record.owns_address(&eth0, &there(50, None)));
        record.tags = AddressTags::Unknown;
        assert!(!record.owns_address(&eth0, &there(1, None)));
        assert!(record.owns_address(&eth0, &there(50, None)));
        let labelled = InterfaceAddress { label: AddressLabel::new("eth0:web").ok(), ..address(60) };
        record.announce([labelled], []).unwrap();
        assert!(record.owns_address(&eth0, &there(60, None)));
    }

    #[test]
    fn kernels_keep_tags_from_5_18_on() {
        for release in ["5.18.0", "5.18-rc1", "6.1.0-31-amd64", "10.0.3"] {
            assert_eq!(AddressTags::of_kernel(release), AddressTags::Kept, "{release}");
        }
        for release in ["5.17.9", "4.19.0", "", "bsd"] {
            assert_eq!(AddressTags::of_kernel(release), AddressTags::Unknown, "{release}");
        }
    }
}
