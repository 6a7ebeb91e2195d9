//! The rules of Baton's chain, in the packet filter's expressions.

use std::ffi::CStr;

use super::messages::{ITEM, VALUE, text};
use super::set::Set;
use crate::netlink::Batch;

/// `NF_ACCEPT` and `NF_DROP`.
pub(super) const ACCEPT: u32 = 1;
const DROP: u32 = 0;

/// `NFTA_EXPR_*`
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;

/// `NFTA_DATA_VERDICT`
const VERDICT: u16 = 2;

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// `enum nft_registers`
const REGISTER_OF_VERDICTS: u32 = 0;
const REGISTER_1: u32 = 1;
const REGISTER_2: u32 = 2;

/// `enum nft_meta_keys`
const INPUT_INTERFACE_NAME: u32 = 6;
const FAMILY: u32 = 15;
const TRANSPORT_PROTOCOL: u32 = 16;

/// `enum nft_payload_bases`
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// Where a destination stands in its header, in octets.
const IPV4_DESTINATION: u32 = 16;
const IPV6_DESTINATION: u32 = 24;

/// `enum nft_cmp_ops`
const EQUAL: u32 = 0;
const AT_MOST: u32 = 3;
const AT_LEAST: u32 = 5;

const IPPROTO_ICMPV6: u8 = 58;
/// The types of neighbour solicitations and advertisements.
/// [RFC 4861, section 4](https://www.rfc-editor.org/rfc/rfc4861#section-4)
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// What a rule's user data begins with where `nft` shows it as a comment (`NFTNL_UDATA_RULE_COMMENT`).
const COMMENT: u8 = 0;

/// A rule of the chain; by its comment it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// [RFC 9568, section 6.1](https://www.rfc-editor.org/rfc/rfc9568#section-6.1)
    NeighbourDiscovery,
    Drop(Set),
}

impl Rule {
    pub(super) const ALL: [Self; 4] =
        [Self::NeighbourDiscovery, Self::Drop(Set::Ipv4), Self::Drop(Set::Ipv6), Self::Drop(Set::LinkLocal)];

    const fn comment(self) -> &'static CStr {
        match self {
            Self::NeighbourDiscovery => c"neighbour discovery",
            Self::Drop(Set::Ipv4) => c"accept = false, IPv4",
            Self::Drop(Set::Ipv6) => c"accept = false, IPv6",
            Self::Drop(Set::LinkLocal) => c"accept = false, link-local",
        }
    }

    /// What it is known again by.
    pub(super) fn user_data(self) -> Vec<u8> {
        let comment = self.comment().to_bytes_with_nul();
        let length = u8::try_from(comment.len()).expect("a comment has a few words");
        [&[COMMENT, length], comment].concat()
    }

    /// Tells whether these are the user data of all rules, in their order.
    pub(super) fn are_all(user_data: &[Option<Vec<u8>>]) -> bool {
        let expected = Self::ALL.map(|rule| Some(rule.user_data()));
        user_data == expected
    }

    /// Writes what it consists of.
    pub(super) fn write_expressions(self, list: &mut Batch) {
        match self {
            Self::NeighbourDiscovery => {
                load_meta(list, TRANSPORT_PROTOCOL, REGISTER_1);
                compare(list, EQUAL, IPPROTO_ICMPV6);
                load_payload(list, TRANSPORT_HEADER, 0, 1, REGISTER_1);
                compare(list, AT_LEAST, NEIGHBOUR_SOLICITATION);
                compare(list, AT_MOST, NEIGHBOUR_ADVERTISEMENT);
                verdict(list, ACCEPT);
            }
            Self::Drop(set) => {
                load_meta(list, FAMILY, REGISTER_1);
                match set {
                    Set::Ipv4 => {
                        compare(list, EQUAL, IPV4);
                        load_payload(list, NETWORK_HEADER, IPV4_DESTINATION, 4, REGISTER_1);
                    }
                    Set::Ipv6 => {
                        compare(list, EQUAL, IPV6);
                        load_payload(list, NETWORK_HEADER, IPV6_DESTINATION, 16, REGISTER_1);
                    }
                    Set::LinkLocal => {
                        compare(list, EQUAL, IPV6);
                        load_meta(list, INPUT_INTERFACE_NAME, REGISTER_1);
                        load_payload(list, NETWORK_HEADER, IPV6_DESTINATION, 16, REGISTER_2);
                    }
                }
                expression(list, c"lookup", |lookup| {
                    lookup.attribute(1, text(set.name()));
                    lookup.attribute(2, &REGISTER_1.to_be_bytes());
                    lookup.attribute(4, &set.id().to_be_bytes());
                });
                expression(list, c"counter", |_| {});
                verdict(list, DROP);
            }
        }
    }
}

/// `NFTA_META_*`
fn load_meta(list: &mut Batch, key: u32, register: u32) {
    expression(list, c"meta", |meta| {
        meta.attribute(1, &register.to_be_bytes());
        meta.attribute(2, &key.to_be_bytes());
    });
}

/// `NFTA_PAYLOAD_*`
fn load_payload(list: &mut Batch, base: u32, offset: u32, octets: u32, register: u32) {
    expression(list, c"payload", |payload| {
        payload.attribute(1, &register.to_be_bytes());
        payload.attribute(2, &base.to_be_bytes());
        payload.attribute(3, &offset.to_be_bytes());
        payload.attribute(4, &octets.to_be_bytes());
    });
}

/// `NFTA_CMP_*`, of the first register's first octet.
fn compare(list: &mut Batch, operation: u32, with: u8) {
    expression(list, c"cmp", |cmp| {
        cmp.attribute(1, &REGISTER_1.to_be_bytes());
        cmp.attribute(2, &operation.to_be_bytes());
        cmp.nested(3, |data| data.attribute(VALUE, &[with]));
    });
}

/// `NFTA_IMMEDIATE_*`, and `NFTA_VERDICT_CODE`.
fn verdict(list: &mut Batch, code: u32) {
    expression(list, c"immediate", |immediate| {
        immediate.attribute(1, &REGISTER_OF_VERDICTS.to_be_bytes());
        immediate.nested(2, |data| {
            data.nested(VERDICT, |verdict| verdict.attribute(1, &code.to_be_bytes()));
        });
    });
}

fn expression(list: &mut Batch, name: &CStr, write_attributes: impl FnOnce(&mut Batch)) {
    list.nested(ITEM, |item| {
        item.attribute(EXPRESSION_NAME, text(name));
        item.nested(EXPRESSION_DATA, write_attributes);
    });
}
