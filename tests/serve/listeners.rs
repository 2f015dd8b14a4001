//! Where it listens: addresses, TLS, Unix sockets, what a service manager passes.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};

use crate::sandbox::{PATIENCE, is_installed, wait_until};
use crate::server::{Server, sandbox};

#[test]
fn nothing_goes_over_the_network_in_plain_unless_it_is_said() {
    let sandbox = sandbox();
    for address in ["0.0.0.0:0", "[::]:0"] {
        sandbox.vault(&["serve", "--listen", address]).run().fails(2, "in plain");
    }
    let server = Server::of(&sandbox, &["serve", "--listen", "0.0.0.0:0", "--insecure-plain-http"]);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    crate::server::Client::connect(address).ask("GET", "/health", &[], "").is(200);
    sandbox.vault(&["serve", "--listen", "nonsense"]).run().fails(2, "no address");
    sandbox.vault(&["serve", "--tls-cert", "c"]).run().ends(2);
}

#[test]
fn a_unix_socket_is_this_users_alone() {
    let sandbox = sandbox();
    let path = sandbox.path("runtime/api.sock");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&sandbox, &["--listen", &listen]);
    wait_until("the socket", || path.exists());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(ask().starts_with("HTTP/1.1 200"));
    // Two do not share it, and what a killed one left makes room.
    sandbox.vault(&["serve", "--listen", &listen]).run().fails(13, "listens there");
    drop(server);
    assert!(path.exists());
    let server = Server::start(&sandbox, &["--listen", &listen]);
    wait_until("the new socket", || UnixStream::connect(&path).is_ok());
    assert!(ask().starts_with("HTTP/1.1 200"));
    assert_eq!(server.end(), 0);
    assert!(!path.exists(), "who ends well leaves nothing");
}

#[test]
fn a_service_manager_is_told_and_passes_sockets() {
    let mut sandbox = sandbox();
    let notify = sandbox.path("runtime/notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    sandbox.set_env("NOTIFY_SOCKET", &notify);
    let server = Server::start(&sandbox, &[]);
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    drop(server);
    if !is_installed("python3") {
        return;
    }
    // As systemd does it: descriptor 3, and whose it is.
    let script = r#"
import os, socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(8)
sys.stderr.write("bound://127.0.0.1:%d\n" % s.getsockname()[1]); sys.stderr.flush()
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"; os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp("vault", ["vault", "serve", "--listen", "systemd"])
"#;
    let mut child = sandbox.program("python3", &["-c", script]).into_command();
    let mut child = child.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let port: u16 = lines.next().unwrap().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    assert!(lines.next().unwrap().unwrap().contains("listening on http://127.0.0.1"));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    crate::server::Client::connect(address).ask("GET", "/health", &[], "").is(200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn tls_is_new_and_reloads() {
    if !is_installed("openssl") {
        return;
    }
    let sandbox = sandbox();
    let make = |name: &str| {
        let arguments =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj"];
        let subject = format!("/CN={name}");
        let rest = [subject.as_str(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"];
        sandbox.program("openssl", &[&arguments[..], &rest].concat()).run().ok();
    };
    make("first");
    std::fs::set_permissions(sandbox.path("work/key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let options = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    sandbox.vault(&[&["serve", "--listen", "127.0.0.1:0"][..], &options].concat()).run().fails(2, "everybody can read it");
    std::fs::set_permissions(sandbox.path("work/key.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(&sandbox, &options);
    let connect = |more: &[&str]| {
        let address = server.address.to_string();
        let arguments = [&["s_client", "-connect", &address][..], more].concat();
        let request = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        // It waits for the answer, whose end the server says.
        sandbox.program("openssl", &[&arguments[..], &["-ign_eof"]].concat()).stdin(request).run()
    };
    let good = connect(&["-alpn", "http/1.1"]);
    assert!(good.text().contains("HTTP/1.1 200") && good.text().contains("TLSv1.3"), "{}", good.text());
    assert!(good.text().contains("strict-transport-security"));
    let is_second = || connect(&[]).text().replace(' ', "").contains("CN=second");
    assert!(connect(&["-tls1_2", "-alpn", "http/1.1"]).text().contains("HTTP/1.1 200"));
    for old in [&["-tls1_1"][..], &["-tls1_2", "-cipher", "AES128-SHA256"]] {
        assert!(!connect(old).text().contains("HTTP/1.1 200"), "{old:?}");
    }
    let mut plain = crate::server::Client::connect(server.address);
    plain.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(plain.try_reply(false).is_none());
    // A new certificate counts from the signal on; one that cannot be used does not.
    make("second");
    let hang_up = || {
        let process = rustix::process::Pid::from_child(&server.child);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    };
    hang_up();
    wait_until("the new certificate", is_second);
    std::fs::write(sandbox.path("work/cert.pem"), "nonsense").unwrap();
    hang_up();
    wait_until("the complaint", || server.log().contains("cannot be used"));
    assert!(is_second());
}
