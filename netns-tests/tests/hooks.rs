//! An operator's programs and web services that follow what virtual routers do.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use lab::{Packet, Stranger, wait_until};
use netns_tests::{Event, LIMIT, Pair, StoppedTracer, VIRTUAL, WEB, pair};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream};

/// A pair whose nodes run a script of this text, which is `$HERE/hook`; `$HERE` is a folder for what the script writes.
fn with_script(keys: &str, text: &str) -> Pair {
    let pair = Pair::idle("");
    let here = pair.folder().path().display().to_string();
    let (keys, text) = (keys.replace("$HERE", &here), text.replace("$HERE", &here));
    let script = pair.folder().write("hook", &text);
    for path in [&script, pair.folder().path()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("the folder is this test's own");
    }
    let hook = format!(
        "[hook.test]\nvirtual_routers = [\"web\"]\nuser = \"root\"\ncommand = [{:?}]\n{keys}\n",
        script.display().to_string()
    );
    pair.configure(&netns_tests::pair(&[WEB, &hook]));
    pair
}

fn text(pair: &Pair, file: &str) -> String {
    fs::read_to_string(pair.folder().path().join(file)).unwrap_or_default()
}

#[track_caller]
fn wait_for_text(pair: &Pair, file: &str, is_there: impl Fn(&str) -> bool) {
    let waited = wait_until(&format!("What {file} has to hold"), LIMIT, || Ok(is_there(&text(pair, file))));
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", text(pair, file)));
}

#[track_caller]
fn told(pair: &mut Pair, node: &str, event: &str, state: &str) -> Event {
    let fields = [("hook", "test"), ("subject", "web"), ("state", state)];
    pair.daemon(node).wait_for(event, &fields, LIMIT)
}

#[test]
fn a_notify_script_of_keepalived_s_hears_each_state_in_order_and_the_stop_as_well() {
    let script = "#!/bin/sh\necho \"$1 $2 $3 $4 $BATON_STATE $BATON_ADDRESSES\" >> $HERE/said-$BATON_NODE\n";
    let mut pair = with_script("", script);
    pair.elect(VIRTUAL);
    told(&mut pair, "lb1", "hook_succeeded", "active");
    pair.daemon("lb1").stop(LIMIT);
    assert_eq!(
        text(&pair, "said-lb1"),
        "INSTANCE web BACKUP 150 backup 10.77.0.50\nINSTANCE web MASTER 150 active 10.77.0.50\n\
         INSTANCE web STOP 150 stop 10.77.0.50\n"
    );
    wait_for_text(&pair, "said-lb2", |text| text.ends_with("INSTANCE web MASTER 100 active 10.77.0.50\n"));
}

#[test]
fn while_one_runs_only_the_newest_waits_and_nobody_waits_for_either() {
    let script = "#!/bin/sh\nwhile [ $3 = BACKUP ] && [ ! -e $HERE/go ]; do sleep 0.05; done\n\
                  echo $3 >> $HERE/said-$BATON_NODE\n";
    let mut pair = with_script("timeout = \"1h\"", script);
    pair.start("lb1");
    pair.wait_for_holder(VIRTUAL, "lb1");
    pair.machine("lb1").run(&["ip", "link", "set", "eth0", "down"]).unwrap();
    let skipped = told(&mut pair, "lb1", "hook_skipped", "active");
    assert_eq!(skipped.field("newer"), "fault");
    assert_eq!(text(&pair, "said-lb1"), "");
    pair.folder().write("go", "");
    told(&mut pair, "lb1", "hook_succeeded", "fault");
    assert_eq!(text(&pair, "said-lb1"), "BACKUP\nFAULT\n");
}

#[test]
fn of_two_hooks_that_follow_one_virtual_router_neither_waits_for_the_other() {
    // Each ends only after both have begun, so neither ends where one of them waits.
    let script = "#!/bin/sh\necho $3 >> $HERE/said-$BATON_HOOK\n\
                  for hook in test other; do until grep -qs $3 $HERE/said-$hook; do sleep 0.02; done; done\n\
                  [ $BATON_HOOK = other ]\n";
    let other = "retry_after = \"100ms\"\n[hook.other]\nvirtual_routers = [\"web\"]\nuser = \"root\"\n\
                 command = [\"$HERE/hook\"]\n";
    let mut pair = with_script(other, script);
    pair.start("lb1");
    for state in ["backup", "active", "fault"] {
        if state == "fault" {
            pair.machine("lb1").run(&["ip", "link", "set", "eth0", "down"]).unwrap();
        }
        told(&mut pair, "lb1", "hook_failed", state);
        pair.daemon("lb1").wait_for("hook_succeeded", &[("hook", "other"), ("state", state)], LIMIT);
    }
    let third = [("hook", "test"), ("state", "fault"), ("attempt", "3")];
    pair.daemon("lb1").wait_for("hook_failed", &third, LIMIT);
    assert_eq!(text(&pair, "said-other"), "BACKUP\nMASTER\nFAULT\n");
    let mut said: Vec<_> = text(&pair, "said-test").lines().map(str::to_owned).collect();
    said.dedup();
    assert_eq!(said, ["BACKUP", "MASTER", "FAULT"]);
}

#[test]
fn what_fails_is_tried_again_until_it_succeeds() {
    let script = "#!/bin/sh\n[ -e $HERE/works ] && echo $BATON_ATTEMPT > $HERE/done && exit\n\
                  echo the cloud is away\nexit 3\n";
    let mut pair = with_script("on = [\"active\"]\nretry_after = \"100ms\"", script);
    pair.start("lb1");
    let failed = told(&mut pair, "lb1", "hook_failed", "active");
    let (reason, again) = (failed.field("reason"), failed.field("retry_after"));
    assert!(reason.contains("exit code 3: the cloud is away"), "{failed:?}");
    assert_eq!(again, "100ms");
    pair.folder().write("works", "");
    let succeeded = told(&mut pair, "lb1", "hook_succeeded", "active");
    let attempt: u32 = succeeded.field("attempt").parse().unwrap();
    assert!(attempt > 1, "{succeeded:?}");
    assert_eq!(text(&pair, "done"), format!("{attempt}\n"));
}

#[test]
fn the_status_says_what_a_hook_failed_by_and_that_it_has_succeeded() {
    let script = "#!/bin/sh\n[ -e $HERE/works ] && exit\necho the cloud is away\nexit 3\n";
    let mut pair = with_script("on = [\"active\"]\nretry_after = \"100ms\"", script);
    pair.start("lb1");
    assert!(pair.daemon("lb1").ask(&["status"]).output.contains("HOOK"), "a hook is listed before it is run");
    told(&mut pair, "lb1", "hook_failed", "active");
    let standing = |pair: &mut Pair, outcome: &str| {
        let daemon = pair.daemon("lb1");
        let errand = || daemon.status().hooks["test"].virtual_routers["web"].clone();
        let is_so = || Ok(errand().is_some_and(|errand| errand.outcome == outcome));
        wait_until(&format!("A hook that is {outcome}"), LIMIT, is_so).unwrap();
        (errand().expect("it has been run"), daemon.ask(&["status"]).output)
    };
    let (failing, table) = standing(&mut pair, "waiting");
    assert_eq!(failing.state, "active");
    assert!(failing.error.is_some_and(|error| error.contains("exit code 3: the cloud is away")), "{table}");
    assert!(table.contains("exit code 3: the cloud is away"), "{table}");
    pair.folder().write("works", "");
    let (done, table) = standing(&mut pair, "succeeded");
    assert!(done.attempt > 1, "{table}");
    assert!(table.contains("succeeded"), "{table}");
}

#[test]
fn what_takes_too_long_is_ended_with_all_that_it_started() {
    let script = "#!/bin/sh\nsleep 1000 &\necho $! > $HERE/child\nwait\n";
    let mut pair = with_script("on = [\"active\"]\ntimeout = \"500ms\"\nretry_after = \"1h\"", script);
    pair.start("lb1");
    let failed = told(&mut pair, "lb1", "hook_failed", "active");
    assert!(failed.field("reason").contains("did not end within 500ms"), "{failed:?}");
    let child = text(&pair, "child").trim().to_owned();
    assert!(!child.is_empty());
    let is_gone = || Ok(!Path::new("/proc").join(&child).exists());
    wait_until("The end of what the script started", LIMIT, is_gone).unwrap();
}

#[test]
fn a_program_that_cannot_even_be_killed_is_told_and_holds_no_other_hook_up() {
    let script = "#!/bin/sh\necho $3 >> $HERE/said-$BATON_HOOK\n\
                  [ $BATON_HOOK = other ] || [ $3 != MASTER ] && exit\necho $$ > $HERE/pid\nexec sleep 1000\n";
    let other = "timeout = \"1s\"\nretry_after = \"100ms\"\n[hook.other]\nvirtual_routers = [\"web\"]\n\
                 user = \"root\"\ncommand = [\"$HERE/hook\"]\n";
    let mut pair = with_script(other, script);
    pair.start("lb1");
    let pid = pair.folder().path().join("pid");
    let tracer = StoppedTracer::of_process_in(&pid, pair.machine("lb1"));
    let stuck = told(&mut pair, "lb1", "hook_stuck", "active");
    let reason = stuck.field("reason");
    assert_eq!(reason, "did not end within 1s; it was killed and is still not gone");
    let errand = pair.daemon("lb1").status().hooks["test"].virtual_routers["web"].clone().unwrap();
    assert_eq!((errand.outcome.as_str(), errand.error.as_ref()), ("stuck", Some(&reason)));
    let status = pair.daemon("lb1").ask(&["status"]).output;
    assert!(status.contains(&reason), "{status}");

    let before = text(&pair, "said-test");
    pair.machine("lb1").run(&["ip", "link", "set", "eth0", "down"]).unwrap();
    pair.daemon("lb1").wait_for("hook_succeeded", &[("hook", "other"), ("state", "fault")], LIMIT);
    assert_eq!(text(&pair, "said-test"), before, "two runs never overlap");
    let times = pair.daemon("lb1").events().iter().filter(|event| event.is("hook_stuck", &[])).count();
    assert_eq!(times, 1);
    tracer.let_go();
    told(&mut pair, "lb1", "hook_failed", "active");
    told(&mut pair, "lb1", "hook_succeeded", "fault");
    assert_eq!(text(&pair, "said-test"), before + "FAULT\n");

    // Neither does it hold up a daemon that ends.
    pair.look_from_now();
    fs::remove_file(&pid).unwrap();
    pair.machine("lb1").run(&["ip", "link", "set", "eth0", "up"]).unwrap();
    let tracer = StoppedTracer::of_process_in(&pid, pair.machine("lb1"));
    told(&mut pair, "lb1", "hook_stuck", "active");
    pair.daemon("lb1").stop(LIMIT);
    tracer.let_go();
}

#[test]
fn a_hand_over_waits_for_what_has_to_run_before_it() {
    let script = "#!/bin/sh\nip -o address show to 10.77.0.50 | grep -c . > $HERE/held\n";
    let mut pair = with_script("on = [\"before_release\"]", script);
    pair.elect(VIRTUAL);
    let client = pair.ping(VIRTUAL);
    let passed = Instant::now();
    let answer = pair.daemon("lb1").ask(&["pass", "web"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    told(&mut pair, "lb1", "hook_succeeded", "before_release");
    assert_eq!(text(&pair, "held"), "1\n");
    pair.wait_for_holder(VIRTUAL, "lb2");
    client.wait_for_answer(Instant::now(), LIMIT).unwrap();
    let seen = client.stop().unwrap().since(passed);
    assert_eq!(seen.lost(), 0, "{seen}");
}

#[test]
fn nothing_holds_a_hand_over_up_beyond_its_bound() {
    let mut pair = with_script("on = [\"before_release\"]\ntimeout = \"300ms\"", "#!/bin/sh\nsleep 1000\n");
    pair.elect(VIRTUAL);
    pair.daemon("lb1").stop(LIMIT);
    let failed = told(&mut pair, "lb1", "hook_failed", "before_release");
    assert_eq!(failed.field("retry_after"), "");
    pair.daemon("lb1").wait_for("handed_over", &[("virtual_router", "web")], LIMIT);
    pair.wait_for_holder(VIRTUAL, "lb2");
}

#[test]
fn a_pass_that_is_called_off_while_hooks_prepare_it_has_those_of_the_active_run_again() {
    let script = "#!/bin/sh\necho $BATON_STATE >> $HERE/said\n\
                  until [ $BATON_STATE = active ] || [ -e $HERE/go ]; do sleep 0.02; done\n";
    let active = "on = [\"before_release\"]\n[hook.serve]\nvirtual_routers = [\"web\"]\non = [\"active\"]\n\
                  user = \"root\"\ncommand = [\"$HERE/hook\"]\n";
    let mut pair = with_script(active, script);
    pair.start("lb1");
    pair.daemon("lb1").wait_for("hook_succeeded", &[("hook", "serve")], LIMIT);
    let mut pass = pair.place("lb1").command(&["pass", "web"]);
    let pass = pass.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_text(&pair, "said", |text| text == "active\nbefore_release\n");
    let answer = pair.daemon("lb1").ask(&["release", "web"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    pair.daemon("lb1").wait_for("hand_over_called_off", &[("virtual_router", "web")], LIMIT);
    let passed = pass.wait_with_output().unwrap();
    let complaint = "error: web was released before it was handed over\n";
    assert_eq!((passed.status.code(), &*String::from_utf8_lossy(&passed.stderr)), (Some(1), complaint));
    wait_for_text(&pair, "said", |text| text == "active\nbefore_release\nactive\n");

    // That what prepares it is done changes nothing any more.
    pair.folder().write("go", "");
    told(&mut pair, "lb1", "hook_succeeded", "before_release");
    assert_eq!(pair.daemon("lb1").router("web").state, "active");
    assert_eq!(pair.daemon("lb1").transitions(), ["became_backup", "became_active"]);
}

#[test]
fn after_another_active_is_over_the_hooks_of_the_active_run_again() {
    let mut pair =
        with_script("on = [\"active\"]", "#!/bin/sh\necho $BATON_REASON >> $HERE/said-$BATON_NODE\n");
    pair.elect(VIRTUAL);
    told(&mut pair, "lb1", "hook_succeeded", "active");
    Stranger::at(pair.machine("client")).unwrap().send(&Packet::version_3(50)).unwrap();
    pair.daemon("lb1").wait_for("dual_active_over", &[("virtual_router", "web")], LIMIT);
    wait_for_text(&pair, "said-lb1", |text| {
        text.ends_with("another node was Active besides this one and is not any more\n")
    });
    assert_eq!(text(&pair, "said-lb1").lines().count(), 2);
    assert_eq!(pair.daemon("lb1").transitions(), ["became_backup", "became_active"]);
}

/// Reads one request, answers it with a status, and returns its body.
fn answer(connection: &mut (impl Read + Write), status: &str) -> String {
    let mut request = Vec::new();
    let mut octets = [0; 4096];
    loop {
        let length = connection.read(&mut octets).expect("the daemon says all that it has to");
        request.extend_from_slice(&octets[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if length == 0 || text.contains("\r\n\r\n{") && text.ends_with('}') {
            write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")
                .expect("the daemon waits for the answer");
            return text;
        }
    }
}

#[test]
fn a_web_service_is_told_until_it_takes_it() {
    let hook = "[hook.test]\nvirtual_routers = [\"web\"]\non = [\"active\"]\nretry_after = \"100ms\"\n\
                url = \"http://127.0.0.1:8080/baton?x=1\"\n";
    let mut pair = Pair::idle(&pair(&[WEB, hook]));
    let service = pair.machine("lb1").enter(|| TcpListener::bind("127.0.0.1:8080")).unwrap().unwrap();
    let served = thread::spawn(move || {
        ["503 Service Unavailable", "204 No Content"]
            .map(|status| answer(&mut service.accept().unwrap().0, status))
    });
    pair.start("lb1");
    let failed = told(&mut pair, "lb1", "hook_failed", "active");
    assert!(failed.field("reason").contains("answered 503"), "{failed:?}");
    told(&mut pair, "lb1", "hook_succeeded", "active");
    let [first, second] = served.join().unwrap();
    assert!(first.starts_with("POST /baton?x=1 HTTP/1.1\r\n"), "{first}");
    let (_, body) = second.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    for (field, value) in [
        ("node", "\"lb1\""),
        ("hook", "\"test\""),
        ("virtual_router", "\"web\""),
        ("state", "\"active\""),
        ("priority", "150"),
        ("interface", "\"eth0\""),
        ("addresses", "[\"10.77.0.50\"]"),
        ("attempt", "2"),
    ] {
        assert_eq!(body[field].to_string(), value, "{field} in {body}");
    }
}

#[test]
fn an_encrypted_web_service_is_told_once_whoever_signed_its_certificate_is_trusted() {
    let hook = "[hook.test]\nvirtual_routers = [\"web\"]\non = [\"active\"]\nretry_after = \"100ms\"\n\
                url = \"https://127.0.0.1:8443/baton\"\n";
    let mut pair = Pair::idle(&pair(&[WEB, hook]));
    let mut issuer = CertificateParams::default();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let config = Arc::new(config);
    let service = pair.machine("lb1").enter(|| TcpListener::bind("127.0.0.1:8443")).unwrap().unwrap();
    let served = thread::spawn(move || {
        loop {
            let mut connection = service.accept().unwrap().0;
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Who does not trust it says so and goes.
            if session.complete_io(&mut connection).is_ok() && !session.is_handshaking() {
                return answer(&mut Stream::new(&mut session, &mut connection), "204 No Content");
            }
        }
    });
    let trusted = pair.folder().path().join("trusted.pem");
    pair.launch_by("lb1", &["env", "--unset=SSL_CERT_DIR", &format!("SSL_CERT_FILE={}", trusted.display())]);
    let failed = told(&mut pair, "lb1", "hook_failed", "active");
    assert!(failed.field("reason").contains("install the package ca-certificates"), "{failed:?}");
    pair.folder().write("trusted.pem", &issuer.pem());
    told(&mut pair, "lb1", "hook_succeeded", "active");
    let request = served.join().unwrap();
    assert!(request.starts_with("POST /baton HTTP/1.1\r\n"), "{request}");
}
