//! Many messages for one system call.

use std::io::Cursor;
use std::mem;

use neli::consts::nl::NlmF;
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::{Size, ToBytes};

/// `NLA_F_NESTED`, a part of the type.
const NESTED: u16 = 0x8000;
/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;

/// Where a message goes and what comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// Who reads it: the number of a family of generic netlink, or a subsystem and what it is to do.
    pub(crate) kind: u16,
    /// Tells the answers to this message from others.
    pub(crate) sequence: u32,
    /// What is asked for besides.
    pub(crate) flags: NlmF,
}

/// Messages one after the other, as they are sent.
///
/// Attributes are written in place: a table of ten thousand destinations has a hundred thousand of them, and memory for
/// each would cost as much as the kernel's own work.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    octets: Vec<u8>,
}

impl Batch {
    /// Forgets all messages, but not the memory that they took.
    pub(crate) fn clear(&mut self) {
        self.octets.clear();
    }

    /// What is to be sent.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Adds a message, whose attributes the caller writes after the header of whoever reads it.
    pub(crate) fn message(
        &mut self,
        envelope: Envelope,
        header: impl Size + ToBytes,
        write_attributes: impl FnOnce(&mut Self),
    ) {
        let start = self.octets.len();
        let header = NlmsghdrBuilder::default()
            .nl_type(envelope.kind)
            .nl_flags(NlmF::REQUEST | envelope.flags)
            .nl_seq(envelope.sequence)
            .nl_payload(NlPayload::Payload(header))
            .build()
            .expect("type, flags and payload are all it needs");
        let mut end = Cursor::new(mem::take(&mut self.octets));
        end.set_position(start.try_into().expect("a batch has some kilobytes"));
        header.to_bytes(&mut end).expect("memory takes any number of bytes");
        self.octets = end.into_inner();
        write_attributes(self);
        let length = u32::try_from(self.octets.len() - start).expect("a message has a few hundred octets");
        self.octets[start..][..size_of_val(&length)].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds an attribute to the message that is being written.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.write_attribute(kind, |batch| batch.octets.extend_from_slice(value));
    }

    /// Adds an attribute that consists of others, which the caller writes.
    pub(crate) fn nested(&mut self, kind: u16, write_attributes: impl FnOnce(&mut Self)) {
        self.write_attribute(kind | NESTED, write_attributes);
    }

    /// The length is that of header and value, without what fills the value up.
    fn write_attribute(&mut self, kind: u16, write_value: impl FnOnce(&mut Self)) {
        let start = self.octets.len();
        self.octets.extend_from_slice(&[0; size_of::<u16>()]);
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        write_value(self);
        let length = u16::try_from(self.octets.len() - start).expect("an attribute has a few hundred octets");
        self.octets[start..][..size_of_val(&length)].copy_from_slice(&length.to_ne_bytes());
        self.octets.resize(self.octets.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
    use neli::types::Buffer;

    use super::*;

    const ENVELOPE: Envelope = Envelope { kind: 30, sequence: 7, flags: NlmF::ACK };

    fn plain(kind: u16, value: impl Size + ToBytes) -> Nlattr<u16, Buffer> {
        let kind = AttrTypeBuilder::default().nla_type(kind).build().unwrap();
        NlattrBuilder::default().nla_type(kind).nla_payload(value).build().unwrap()
    }

    /// The same message by neli's own means, which take memory for each attribute.
    fn by_neli() -> Vec<u8> {
        let kind = AttrTypeBuilder::default().nla_nested(true).nla_type(1).build().unwrap();
        let empty: &[u8] = &[];
        let outer = NlattrBuilder::default().nla_type(kind).nla_payload(empty).build().unwrap();
        let outer = outer.nest(&plain(6, "wlc")).unwrap().nest(&plain(7, 9_u16)).unwrap();
        let message: Genlmsghdr<u8, u16> = GenlmsghdrBuilder::default()
            .cmd(2)
            .version(1)
            .attrs([outer, plain(3, [1_u8, 2, 3, 4, 5])].into_iter().collect())
            .build()
            .unwrap();
        let message = NlmsghdrBuilder::default()
            .nl_type(ENVELOPE.kind)
            .nl_flags(NlmF::REQUEST | ENVELOPE.flags)
            .nl_seq(ENVELOPE.sequence)
            .nl_payload(NlPayload::Payload(message))
            .build()
            .unwrap();
        let mut octets = Cursor::new(Vec::new());
        message.to_bytes(&mut octets).unwrap();
        octets.into_inner()
    }

    fn add(batch: &mut Batch) {
        batch.message(ENVELOPE, [2_u8, 1, 0, 0], |message| {
            message.nested(1, |inner| {
                inner.attribute(6, b"wlc\0");
                inner.attribute(7, &9_u16.to_ne_bytes());
            });
            message.attribute(3, &[1, 2, 3, 4, 5]);
        });
    }

    #[test]
    fn a_message_is_written_as_neli_would() {
        let mut batch = Batch::default();
        add(&mut batch);
        assert_eq!(batch.octets(), by_neli());
    }

    #[test]
    fn messages_follow_each_other_until_they_are_forgotten() {
        let mut batch = Batch::default();
        add(&mut batch);
        add(&mut batch);
        assert_eq!(batch.octets(), [by_neli(), by_neli()].concat());
        batch.clear();
        add(&mut batch);
        assert_eq!(batch.octets(), by_neli());
    }
}
