//! What one end says, as the other hears it.

use std::io::Read;
use std::time::Duration;

use node::legacy::{Legacy, RoleLegacy};
use node::name::InterfaceName;
use node::routers::Transmission;
use node::status::Away;
use tokio::io::AsyncWriteExt;
use vrrp::Sequence;

use super::*;

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

fn said(text: &str) -> Transmission {
    Transmission {
        interface: InterfaceName::new("eth0").unwrap(),
        source: [10, 77, 0, 11].into(),
        destination: [224, 0, 0, 18].into(),
        mac: None,
        payload: text.as_bytes().into(),
    }
}

fn silent_until(milliseconds: u64) -> Beat {
    Beat::new(Some(Silence { limit: at(milliseconds), speak_by: at(milliseconds) }))
}

fn router(name: &str) -> RouterName {
    RouterName::new(name).unwrap()
}

fn role(interval: u64, last_will: &[&str], succeeded_within: u64) -> RouterLegacy {
    let role = RoleLegacy {
        since: at(4),
        reason: "no Active was heard".to_owned(),
        interval: Duration::from_millis(interval),
        last_will: last_will.iter().map(|text| said(text)).collect(),
        succeeded_within: Duration::from_millis(succeeded_within),
    };
    RouterLegacy { role: Some(role), away: None, said: Some(Sequence::new(u64::MAX)) }
}

/// An estate of two roles that have to be heard of by 5,750 ms, and may be claimed at 6,000 ms.
fn estate() -> Estate {
    let away = RouterLegacy { role: None, away: Some(Away { until: Some(at(9_000)) }), said: None };
    let web = ServerName::new("web").unwrap();
    let verdict = |last: u8, verdict| ((web.clone(), ([10, 78, 0, last], 80).into()), verdict);
    Estate {
        configuration: Some("[node.lb1]\n# \"two\"\n".to_owned()),
        legacy: Legacy {
            began: Some(at(1)),
            virtual_routers: BTreeMap::from([
                (router("a"), role(1_000, &["short", "release"], 60)),
                (router("b"), role(100, &["release"], 1_046)),
                (router("c"), away),
            ]),
            silence: Some(Silence { limit: at(6_000), speak_by: at(5_750) }),
            verdicts: BTreeMap::from([
                verdict(21, Verdict::Up { bad: 0 }),
                verdict(22, Verdict::Down { good: 0 }),
            ]),
        },
    }
}

fn pair() -> (Bond, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).unwrap();
    }
    (Bond::new(ours), theirs)
}

fn read(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Nothing more is there to read, for now.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// Returns the messages that arrive one octet after the other.
fn heard<T: Message>(octets: &[u8]) -> Vec<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut outlet, inlet) = tokio::io::duplex(1);
        let mut inlet = Inlet::new(inlet);
        let send = async {
            outlet.write_all(octets).await.unwrap();
            drop(outlet);
        };
        let hear = async {
            let mut heard = Vec::new();
            while let Some(message) = inlet.next().await.unwrap() {
                heard.push(message);
            }
            heard
        };
        tokio::join!(send, hear).1
    })
}

#[test]
fn an_estate_is_the_same_after_it_was_told_word_by_word() {
    let mut told = Estate::default();
    let mut octets = Vec::new();
    estate().words().for_each(|word| frame::append(&mut octets, &Order::Inherit { word }));
    for order in heard::<Order>(&octets) {
        let Order::Inherit { word } = order else { panic!("{order:?}") };
        told.take(word);
    }
    assert_eq!(told, estate());
}

#[test]
fn a_configuration_crosses_as_it_is() {
    let word = Word::Configuration { text: "[node.lb1]\n# \"two\"\n".to_owned() };
    let mut octets = Vec::new();
    frame::append(&mut octets, &word);
    assert_eq!(octets, b"#19\n[node.lb1]\n# \"two\"\n");
    assert_eq!(heard::<Word>(&octets), [word]);
}

#[test]
fn the_rest_of_a_message_that_never_comes_is_no_message() {
    let mut octets = Vec::new();
    let beat = Word::Beat(Beat::default());
    let configuration = Word::Configuration { text: "[node.lb1]".to_owned() };
    frame::append(&mut octets, &beat);
    frame::append(&mut octets, &configuration);
    for missing in 1..10 {
        assert_eq!(heard::<Word>(&octets[..octets.len() - missing]), std::slice::from_ref(&beat));
    }
    assert_eq!(heard::<Word>(&octets[..10]), []);
}

#[test]
fn what_a_daemon_takes_back_is_not_left() {
    let mut estate = estate();
    estate.take(Word::router(&router("a"), None));
    let server = ServerName::new("web").unwrap();
    estate.take(Word::real_server(&server, ([10, 78, 0, 21], 80).into(), None));
    assert_eq!(estate.legacy.active().collect::<Vec<_>>(), [&router("b")]);
    assert_eq!(estate.legacy.verdicts.len(), 1);
}

#[test]
fn a_guard_that_sleeps_costs_its_daemon_one_word_of_each_subject() {
    let (bond, mut guard) = pair();
    // More than any socket holds.
    for beat in 0..100_000 {
        bond.tell([Word::Beat(silent_until(beat))]);
    }
    assert_eq!(bond.0.lock().unwrap().waiting.len(), 1);
    let mut octets = read(&mut guard);
    bond.tell([Word::Configuration { text: "end".to_owned() }]);
    octets.extend(read(&mut guard));
    let words: Vec<Word> = heard(&octets);
    let [.., beat, end] = words.as_slice() else { panic!("{} words", words.len()) };
    assert_eq!(*beat, Word::Beat(silent_until(99_999)));
    assert_eq!(*end, Word::Configuration { text: "end".to_owned() });
    assert!(words.len() < 100_000);
}
