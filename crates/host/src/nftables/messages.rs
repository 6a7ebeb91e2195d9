//! Baton's table in nfnetlink's terms (`/usr/include/linux/netfilter/nf_tables.h`): messages, attributes, and input drops
//! to and fro.
//!
//! What it looks like to `nft list table inet baton`:
//! ```text
//! table inet baton {
//!     set accept_off_ipv4 { type ipv4_addr; }
//!     set accept_off_ipv6 { type ipv6_addr; }
//!     set accept_off_link_local { type ifname . ipv6_addr; }
//!     chain accept_off {
//!         type filter hook input priority 110; policy accept;
//!         icmpv6 type 135-136 accept
//!         ip daddr @accept_off_ipv4 counter drop
//!         ip6 daddr @accept_off_ipv6 counter drop
//!         iifname . ip6 daddr @accept_off_link_local counter drop
//!     }
//! }
//! ```

use std::ffi::CStr;

use neli::consts::nl::NlmF;
use node::input_drop::InputDrop;

use super::rule::{ACCEPT, Rule};
use super::set::Set;
use crate::netlink::{Batch, Envelope};

/// The table and the chain.
pub(super) const TABLE: &CStr = c"baton";
pub(super) const CHAIN: &CStr = c"accept_off";

/// The most elements in one message: an attribute has at most 64 KiB, an element of the largest key 44 octets.
const ELEMENT_LIMIT: usize = 1000;

/// `NFNL_SUBSYS_NFTABLES`, the upper half of a message's type.
const SUBSYSTEM: u8 = 10;

/// `NFPROTO_INET`
const INET: u8 = 1;

/// `NFNL_MSG_BATCH_*`
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// The commands, `NFT_MSG_*`.
mod command {
    pub(super) const NEW_TABLE: u8 = 0;
    pub(super) const DEL_TABLE: u8 = 2;
    pub(super) const NEW_CHAIN: u8 = 3;
    pub(super) const GET_CHAIN: u8 = 4;
    pub(super) const NEW_RULE: u8 = 6;
    pub(super) const GET_RULE: u8 = 7;
    pub(super) const NEW_SET: u8 = 9;
    pub(super) const NEW_ELEMENTS: u8 = 12;
    pub(super) const GET_ELEMENTS: u8 = 13;
    pub(super) const DEL_ELEMENTS: u8 = 14;
}

/// `NFTA_LIST_ELEM`
pub(super) const ITEM: u16 = 1;
/// `NFTA_DATA_VALUE`
pub(super) const VALUE: u16 = 1;

/// `NFTA_*_TABLE` or `NFTA_TABLE_NAME`: the first attribute of whatever is in a table.
const TABLE_NAME: u16 = 1;

/// The attributes of a chain, `NFTA_CHAIN_*` and `NFTA_HOOK_*`.
mod chain {
    pub(super) const NAME: u16 = 3;
    pub(super) const HOOK: u16 = 4;
    pub(super) const POLICY: u16 = 5;
    pub(super) const TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
}

/// The attributes of a set and of its elements, `NFTA_SET_*` and `NFTA_SET_ELEM_*`.
mod set {
    pub(super) const NAME: u16 = 2;
    pub(super) const FLAGS: u16 = 3;
    pub(super) const KEY_TYPE: u16 = 4;
    pub(super) const KEY_LENGTH: u16 = 5;
    pub(super) const ID: u16 = 10;
    pub(super) const ELEMENTS: u16 = 3;
    pub(super) const ELEMENT_KEY: u16 = 1;
}

/// The attributes of a rule, `NFTA_RULE_*`.
mod rule {
    pub(super) const CHAIN: u16 = 2;
    pub(super) const EXPRESSIONS: u16 = 4;
    pub(super) const USER_DATA: u16 = 7;
}

/// `NF_INET_LOCAL_IN`
const LOCAL_IN: u32 = 1;

/// When the chain looks at a packet: after IPVS, which takes those of its services at 98 and 99 (`NF_IP_PRI_NAT_SRC` less
/// 2 and 1, `net/netfilter/ipvs/ip_vs_core.c`). So an address that is not accepted still answers for its virtual servers.
const PRIORITY: u32 = 110;

/// What the kernel is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Every chain of the family, since no others can be asked for.
    Chains,
    /// The rules of Baton's chain.
    Rules,
    /// What one of its sets has.
    Elements(Set),
}

/// Messages of one transaction, or one question.
pub(super) struct Writer<'a> {
    batch: &'a mut Batch,
    sequence: &'a mut u32,
}

impl<'a> Writer<'a> {
    /// Forgets what was written before.
    pub(super) fn new(batch: &'a mut Batch, sequence: &'a mut u32) -> Self {
        batch.clear();
        Self { batch, sequence }
    }

    pub(super) fn begin(&mut self) {
        self.edge(BATCH_BEGIN);
    }

    pub(super) fn end(&mut self) {
        self.edge(BATCH_END);
    }

    /// Makes the table where it is not there.
    pub(super) fn table(&mut self) {
        self.message(command::NEW_TABLE, NlmF::CREATE, |message| message.attribute(TABLE_NAME, text(TABLE)));
    }

    /// Removes the table and what is in it.
    pub(super) fn remove_table(&mut self) {
        self.message(command::DEL_TABLE, NlmF::ACK, |message| message.attribute(TABLE_NAME, text(TABLE)));
    }

    /// Makes what is in the table, the sets empty.
    pub(super) fn contents(&mut self) {
        self.message(command::NEW_CHAIN, NlmF::CREATE, |message| {
            message.attribute(TABLE_NAME, text(TABLE));
            message.attribute(chain::NAME, text(CHAIN));
            message.nested(chain::HOOK, |hook| {
                hook.attribute(chain::HOOK_NUMBER, &LOCAL_IN.to_be_bytes());
                hook.attribute(chain::HOOK_PRIORITY, &PRIORITY.to_be_bytes());
            });
            message.attribute(chain::POLICY, &ACCEPT.to_be_bytes());
            message.attribute(chain::TYPE, text(c"filter"));
        });
        for set in Set::ALL {
            self.message(command::NEW_SET, NlmF::CREATE, |message| {
                message.attribute(TABLE_NAME, text(TABLE));
                message.attribute(set::NAME, text(set.name()));
                message.attribute(set::FLAGS, &0_u32.to_be_bytes());
                message.attribute(set::KEY_TYPE, &set.key_type().to_be_bytes());
                message.attribute(set::KEY_LENGTH, &set.key_octets().to_be_bytes());
                message.attribute(set::ID, &set.id().to_be_bytes());
            });
        }
        for rule in Rule::ALL {
            self.message(command::NEW_RULE, NlmF::CREATE | NlmF::APPEND, |message| {
                message.attribute(TABLE_NAME, text(TABLE));
                message.attribute(rule::CHAIN, text(CHAIN));
                message.nested(rule::EXPRESSIONS, |list| rule.write_expressions(list));
                message.attribute(rule::USER_DATA, &rule.user_data());
            });
        }
    }

    /// Has these dropped too.
    pub(super) fn add<'b>(&mut self, drops: impl Iterator<Item = &'b InputDrop>) {
        self.elements(command::NEW_ELEMENTS, NlmF::CREATE | NlmF::ACK, drops);
    }

    /// Has these dropped no longer.
    pub(super) fn remove<'b>(&mut self, drops: impl Iterator<Item = &'b InputDrop>) {
        self.elements(command::DEL_ELEMENTS, NlmF::ACK, drops);
    }

    /// Asks the kernel.
    pub(super) fn ask(&mut self, question: Question) {
        match question {
            Question::Chains => self.message(command::GET_CHAIN, NlmF::DUMP, |_| {}),
            Question::Rules => self.message(command::GET_RULE, NlmF::DUMP, |message| {
                message.attribute(TABLE_NAME, text(TABLE));
                message.attribute(rule::CHAIN, text(CHAIN));
            }),
            Question::Elements(set) => self.message(command::GET_ELEMENTS, NlmF::DUMP, |message| {
                message.attribute(TABLE_NAME, text(TABLE));
                message.attribute(set::NAME, text(set.name()));
            }),
        }
    }

    fn elements<'b>(&mut self, command: u8, flags: NlmF, drops: impl Iterator<Item = &'b InputDrop>) {
        let drops: Vec<_> = drops.collect();
        for set in Set::ALL {
            let of_set: Vec<_> = drops.iter().filter(|drop| Set::of(drop) == set).collect();
            for some in of_set.chunks(ELEMENT_LIMIT) {
                self.message(command, flags, |message| {
                    message.attribute(TABLE_NAME, text(TABLE));
                    message.attribute(set::NAME, text(set.name()));
                    message.nested(set::ELEMENTS, |list| {
                        for drop in some {
                            list.nested(ITEM, |item| {
                                item.nested(set::ELEMENT_KEY, |key| key.attribute(VALUE, &Set::key_of(drop)));
                            });
                        }
                    });
                });
            }
        }
    }

    fn message(&mut self, command: u8, flags: NlmF, write_attributes: impl FnOnce(&mut Batch)) {
        let kind = u16::from_be_bytes([SUBSYSTEM, command]);
        self.write(kind, flags, [INET, 0, 0, 0], write_attributes);
    }

    fn edge(&mut self, kind: u16) {
        self.write(kind, NlmF::empty(), [0, 0, 0, SUBSYSTEM], |_| {});
    }

    /// The header is that of `struct nfgenmsg`: family, version, resource.
    fn write(&mut self, kind: u16, flags: NlmF, header: [u8; 4], write_attributes: impl FnOnce(&mut Batch)) {
        *self.sequence = self.sequence.wrapping_add(1);
        self.batch.message(Envelope { kind, sequence: *self.sequence, flags }, header, write_attributes);
    }
}

pub(super) fn text(text: &CStr) -> &[u8] {
    text.to_bytes_with_nul()
}

/// Tells whether the kernel speaks of something in Baton's table.
pub(super) fn is_about_table(payload: &[u8]) -> bool {
    find(contents_of(payload), TABLE_NAME) == Some(text(TABLE))
}

/// Reads the name of a chain of Baton's table.
pub(super) fn read_chain(payload: &[u8]) -> Option<String> {
    let name = is_about_table(payload).then(|| find(contents_of(payload), chain::NAME))??;
    Some(CStr::from_bytes_until_nul(name).ok()?.to_string_lossy().into_owned())
}

/// Reads the user data of a rule.
pub(super) fn read_rule(payload: &[u8]) -> Option<Vec<u8>> {
    find(contents_of(payload), rule::USER_DATA).map(<[u8]>::to_vec)
}

/// Reads some of the elements of a set.
pub(super) fn read_elements(payload: &[u8], set: Set) -> impl Iterator<Item = InputDrop> {
    let list = find(contents_of(payload), set::ELEMENTS).unwrap_or_default();
    attributes(list).filter_map(move |(_, item)| set.drop_of(find(find(item, set::ELEMENT_KEY)?, VALUE)?))
}

/// Returns what follows `struct nfgenmsg`.
fn contents_of(payload: &[u8]) -> &[u8] {
    payload.get(4..).unwrap_or_default()
}

fn find(octets: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(octets).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// Splits attributes into their types, without the flags in them, and values.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const TYPE_MASK: u16 = 0x3FFF;
    std::iter::from_fn(move || {
        let [l0, l1, k0, k1] = *rest.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & TYPE_MASK, value))
    })
}
