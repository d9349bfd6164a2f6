//! The connection between the processes: changed bits, strangers, wrong secrets.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::ClusterScene;
use crate::support::certificates::Certificates;
use crate::support::peers::until;

/// The harm that a proxy does to a connection after each so many bytes in one direction.
#[derive(Clone, Copy)]
enum WireHarm {
    /// It turns a bit.
    Flip { every: usize },
    /// It ends the connection.
    Cut { after: usize },
}

/// A proxy to an address that does harm. Returns its address, and the number of times that it has done so.
fn harmful_proxy(to: String, harm: WireHarm) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    // It ends with the process of the tests.
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&to) else { continue };
            let pairs = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            for (from, to) in pairs {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || pump(from, to, harm, &counted));
            }
        }
    });
    (address, done)
}

fn pump(mut from: TcpStream, mut to: TcpStream, harm: WireHarm, done: &AtomicUsize) {
    let mut buffer = [0; 4096];
    let mut passed = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        passed += count;
        match harm {
            WireHarm::Flip { every } if passed >= every => {
                buffer[count / 2] ^= 0x10;
                done.fetch_add(1, Ordering::Relaxed);
                passed = 0;
            }
            WireHarm::Cut { after } if passed >= after => {
                done.fetch_add(1, Ordering::Relaxed);
                break;
            }
            WireHarm::Flip { .. } | WireHarm::Cut { .. } => {}
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

/// Has process 1 find process 0 through a proxy, with `--hosts hosts-1`. Gives the number of times that it does harm.
fn put_between(scene: &ClusterScene, harm: WireHarm) -> Arc<AtomicUsize> {
    let (proxy, done) = harmful_proxy(scene.address(), harm);
    let hosts = fs::read_to_string(scene.place.path("hosts")).unwrap();
    fs::write(scene.place.path("hosts-1"), hosts.replacen(&scene.address(), &proxy, 1)).unwrap();
    done
}

#[test]
fn a_bit_that_is_changed_on_the_wire_costs_a_connection_and_no_request() {
    let scene = ClusterScene::new(2, 24, ["sleep 0.1", "sleep 0.1"], "");
    let flipped = put_between(&scene, WireHarm::Flip { every: 5_000 });
    let mut first = scene.start(0, &[]);
    // The proxy takes connections also while process 0 is not there, and one that ends in its handshake is distrusted.
    scene.until_said(0, "waiting up to");
    let second = scene.start(1, &["--hosts", "hosts-1"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    scene.account();
    let bits = flipped.load(Ordering::Relaxed);
    eprintln!("{bits} bits turned; generations: {}", scene.said(1).matches("is there again").count() + 1);
    assert!(bits > 0);
    // It may have been without a connection when process 0 ended, and wait for it.
    drop(second);
}

#[test]
fn connections_that_carry_less_than_all_notes_bring_them_further() {
    let scene = ClusterScene::new(2, 8, ["true", "WAIT"], "");
    let text = fs::read_to_string(scene.place.path("two.yaml")).unwrap();
    let go = scene.place.path("log/go");
    // Small files are in the notes themselves.
    let files = "for part in 1 2 3; do head -c 400$part /dev/zero > out/$part; done";
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done; {files}", go.display());
    fs::write(scene.place.path("two.yaml"), text.replace("WAIT", &wait)).unwrap();
    // The handshake and one note of some 13 kB get through. Process 1 has four when process 0 is there again.
    let cuts = put_between(&scene, WireHarm::Cut { after: 24_000 });
    let first = scene.start(0, &[]);
    scene.until_said(0, "waiting up to");
    let second = scene.start(1, &["--hosts", "hosts-1"]);
    until("the first step of all requests is recorded", || (scene.recorded("first") == 8).then_some(()));
    drop(first);
    scene.until_said(1, "does not answer; waiting for it, 4 requests go on");
    fs::write(&go, "").unwrap();
    let seconds = || scene.ended().keys().filter(|line| line.starts_with("second")).count();
    until("its requests are finished", || (seconds() >= 4).then_some(()));
    let before = cuts.load(Ordering::Relaxed);
    let mut first = scene.start(0, &[]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    scene.account();
    // Without progress there are some hundred, until process 0 runs the requests again.
    let cuts = cuts.load(Ordering::Relaxed) - before;
    assert!(cuts <= 20, "each connection brings a note further: {cuts}");
    // It may have been without a connection when process 0 ended, and wait for it.
    drop(second);
}

/// Goes on sending a byte now and then, and comes again when it is cut off; `dripped` counts the bytes.
fn drip(address: &str, dripped: &AtomicUsize, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        // The head of a long message, of which nothing more comes soon.
        while !ends.load(Ordering::Relaxed) && stream.write_all(&[0x7F]).is_ok() {
            dripped.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn strangers_that_go_on_dripping_stop_neither_the_start_nor_the_work() {
    let scene = ClusterScene::new(2, 4, ["sleep 0.5", "true"], "");
    let (address, dripped, ends) = (scene.address(), AtomicUsize::new(0), AtomicBool::new(false));
    let mut first = scene.start(0, &[]);
    scene.until_said(0, "waiting up to");
    std::thread::scope(|scope| {
        let _end = DripsEnd(&ends);
        (0..8).for_each(|_| drop(scope.spawn(|| drip(&address, &dripped, &ends))));
        until("all of them drip", || (dripped.load(Ordering::Relaxed) > 40).then_some(()));
        let mut second = scene.start(1, &[]);
        assert_eq!(first.ended(), 0, "{}", scene.said(0));
        assert_eq!(second.ended(), 0, "{}", scene.said(1));
    });
    scene.account();
}

/// Ends the strangers, whatever happens to the test.
struct DripsEnd<'a>(&'a AtomicBool);

impl Drop for DripsEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_stranger_and_a_process_with_another_secret_are_refused_and_the_others_go_on() {
    let scene = ClusterScene::new(2, 4, ["sleep 0.5", "true"], "");
    fs::write(scene.place.path("right"), "a long random text, 32 characters or more").unwrap();
    fs::write(scene.place.path("wrong"), "another long random text, as long as that").unwrap();
    let mut first = scene.start(0, &["--secret", "right"]);
    scene.until_said(0, "waiting up to");
    let mut stranger = until("process 0 listens", || TcpStream::connect(scene.address()).ok());
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut wrong = scene.start(1, &["--secret", "wrong"]);
    assert_eq!(wrong.ended(), 70, "{}", scene.said(1));
    assert!(scene.said(1).contains("secret of the cluster"), "{}", scene.said(1));
    let mut second = scene.start(1, &["--secret", "right"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
    assert!(scene.said(0).contains("refused a connection"), "{}", scene.said(0));
    scene.account();
}

#[test]
fn a_process_whose_certificate_is_not_trusted_is_told_so() {
    let (Some(ours), Some(theirs)) = (Certificates::make(), Certificates::make()) else { return };
    let scene = ClusterScene::new(2, 1, ["true", "true"], "");
    let site = |name: &str, own: &Certificates| {
        let (identity, authority) = (own.identity(), ours.authority());
        let [certificate, key, authority] =
            [&identity.certificate, &identity.key, &authority].map(|path| path.display());
        let text = format!("tls: {{certificate: {certificate}, key: {key}, authorities: {authority}}}\n");
        fs::write(scene.place.path(name), text).unwrap();
    };
    site("right.yaml", &ours);
    site("wrong.yaml", &theirs);
    let mut first = scene.start(0, &["--site", "right.yaml"]);
    scene.until_said(0, "waiting up to");
    let mut wrong = scene.start(1, &["--site", "wrong.yaml"]);
    assert_eq!(wrong.ended(), 70, "{}", scene.said(1));
    assert!(scene.said(1).contains("no certificate that is trusted"), "{}", scene.said(1));
    let mut second = scene.start(1, &["--site", "right.yaml"]);
    assert_eq!(first.ended(), 0, "{}", scene.said(0));
    assert_eq!(second.ended(), 0, "{}", scene.said(1));
}
