//! Clients that are slow, large, or talk nonsense.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::sandbox::{PATIENCE, wait_until};
use crate::server::{Client, KEY, Server, sandbox, token};

#[test]
fn who_says_nothing_or_not_enough_is_not_waited_for() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let begin = |bytes: &'static [u8]| {
        let address = server.address;
        std::thread::spawn(move || {
            let start = Instant::now();
            let mut client = Client::connect(address);
            client.send(bytes);
            // A response or the end, either way it is not kept.
            while client.try_reply(false).is_some() {}
            start.elapsed()
        })
    };
    let slow: Vec<_> = [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea",
    ]
    .into_iter()
    .map(begin)
    .collect();
    // Honest clients do not feel it.
    server.ask("GET", "/health", &[], "").is(200);
    assert!(slow.iter().all(|slow| !slow.is_finished()));
    for (at, slow) in slow.into_iter().enumerate() {
        let took = slow.join().unwrap();
        assert!(took >= Duration::from_secs(10) && took < PATIENCE, "{at}: {took:?}");
    }
}

#[test]
fn what_is_too_large_is_refused_early() {
    let sandbox = sandbox();
    let bearer = token(&sandbox, &["--admin"]);
    let server = Server::start(&sandbox, &["--max-body", "1000", "--log-format", "quiet"]);
    let authorization = format!("authorization: Bearer {bearer}\r\n");
    let ask = |head: &str, body: &[u8]| {
        let mut client = Client::connect(server.address);
        // It need not be read to its end to be refused, and then cannot be sent to its end.
        for part in [format!("{head}\r\nhost: x\r\n{authorization}").as_bytes(), body] {
            let _ = client.0.get_mut().write_all(part);
        }
        client.try_reply(false).map(|reply| reply.status)
    };
    assert_eq!(ask("POST /configs HTTP/1.1", b"content-length: 1001\r\n\r\n"), Some(413), "before the body is there");
    let chunk = format!("transfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001));
    assert_eq!(ask("POST /configs HTTP/1.1", chunk.as_bytes()), Some(413));
    // However it is cut into pieces.
    for length in (60 << 10..140 << 10).step_by(5 << 10) {
        let header = format!("x-large: {}\r\n\r\n", "x".repeat(length));
        let expected = if length + 200 < 64 << 10 { 200 } else { 431 };
        assert_eq!(ask("GET /health HTTP/1.1", header.as_bytes()), Some(expected), "{length}");
    }
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    assert_eq!(ask("GET /health HTTP/1.1", format!("{many}\r\n").as_bytes()), Some(431));
    let deep = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let body = format!("content-length: {}\r\n\r\n{deep}", deep.len());
    assert_eq!(ask("POST /configs HTTP/1.1", body.as_bytes()), Some(422));
    let compressed = "content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    assert!(matches!(ask("POST /configs HTTP/1.1", compressed.as_bytes()), Some(415 | 422)));
    for nonsense in ["NONSENSE", "GET  HTTP/1.1", "GET / HTTP/9.9"] {
        let mut client = Client::connect(server.address);
        client.send(format!("{nonsense}\r\n\r\n").as_bytes());
        assert!(client.try_reply(false).is_none_or(|reply| reply.status == 400), "{nonsense}");
    }
    server.ask("GET", "/health", &[], "").is(200);
}

#[test]
fn paths_have_one_form() {
    let sandbox = sandbox();
    sandbox.set("a/b", "v");
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    for (path, status) in [
        ("/configs/a/b", 200),
        ("/configs/a%2fb", 200),
        ("/configs/a/./b", 404),
        ("/configs/a/../a/b", 404),
        ("/configs/a%2f..%2fa%2fb", 404),
        ("/configs//a/b", 404),
        ("/configs/a%00b", 422),
        ("/configs/a;x/b", 404),
        ("/configs/%ff", 422),
        ("/CONFIGS/a/b", 404),
        ("/configs/A/b", 404),
        ("/v1/../configs/a/b", 404),
    ] {
        let reply = server.with_key("GET", path, "");
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert!(reply.json().is_object(), "{path}");
    }
}

#[test]
fn many_connections_are_cheap() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    server.with_key("GET", "/configs", "").is(200);
    let mut clients = Vec::new();
    let mut connect = |count: usize| {
        for _ in 0..count {
            let mut client = Client::connect(server.address);
            client.ask("GET", "/health", &[("x-user-key", KEY)], "").is(200);
            clients.push(client);
        }
        server.memory("VmRSS")
    };
    // What the first of them make room for is not counted for those behind.
    let before = connect(200);
    let each = connect(600).saturating_sub(before) / 600;
    assert!(each <= 32, "{each} KiB a connection");
}

#[test]
fn who_does_not_take_what_was_asked_for_is_not_waited_for() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    // The server shows its descriptors to root alone, and everybody may see the connections of the machine: those at its port that a process holds.
    // What is left to the system, because it was not taken before the end, has no inode, and neither has what nobody accepted yet.
    let port = format!(":{:04X}", server.address.port());
    let held = || {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let of_server = connections.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        of_server.filter(|fields| fields[1].ends_with(&port) && fields[3] != "0A" && fields[9] != "0").count()
    };
    assert_eq!(held(), 0);
    let mut client = Client::connect(server.address);
    client.send("GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(60).as_bytes());
    wait_until("the connection", || held() == 1);
    wait_until("its end", || held() == 0);
    let mut answered = 0;
    while client.try_reply(false).is_some_and(|reply| reply.status == 200) {
        answered += 1;
    }
    assert!((1..60).contains(&answered), "{answered} of 60");
}

#[test]
fn bodies_have_so_much_room_altogether() {
    let sandbox = sandbox();
    std::fs::create_dir_all(sandbox.path("config/vault")).unwrap();
    std::fs::write(sandbox.path("config/vault/config.toml"), "[serve]\nmax-bodies = 1000000\n").unwrap();
    let bearer = token(&sandbox, &["--admin"]);
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let head = |length: usize| {
        format!("POST /configs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\ncontent-length: {length}\r\n")
    };
    let ask = |length: usize| {
        let mut client = Client::connect(server.address);
        client.send(format!("{}\r\n", head(length)).as_bytes());
        client.send(" ".repeat(length).as_bytes());
        client.reply(false)
    };
    ask(200_000).is(422);
    let mut large = Client::connect(server.address);
    // Its body is waited for once there is room for it.
    large.send(format!("{}expect: 100-continue\r\n\r\n", head(900_000)).as_bytes());
    large.reply(true).is(100);
    large.send(b"{");
    let refused = ask(200_000).is(503);
    assert!(refused.header("retry-after").is_some() && refused.body.contains("under way"), "{}", refused.body);
    ask(20_000).is(422);
    drop(large);
    crate::sandbox::wait_until("room", || ask(200_000).status == 422);
}

#[test]
fn one_address_has_so_many_connections() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet", "--max-connections-per-address", "3"]);
    let connect = || Client::connect(server.address);
    let is_heard = |client: &mut Client| {
        use std::io::Write as _;
        let _ = client.0.get_mut().write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
        client.try_reply(false).is_some_and(|reply| reply.status == 200)
    };
    let mut three = [connect(), connect(), connect()];
    assert!(three.iter_mut().all(is_heard));
    assert!(!is_heard(&mut connect()));
    assert!(three.iter_mut().all(is_heard));
    let metrics = three[0].ask("GET", "/metrics", &[], "").is(200).body;
    assert!(metrics.contains("vault_http_connections_refused_total 1\n"), "{metrics}");
    drop(three);
    crate::sandbox::wait_until("room", || is_heard(&mut connect()));
}

#[test]
fn one_address_asks_so_much_a_second() {
    let sandbox = sandbox();
    sandbox.set("k", "value");
    let bearer = format!("Bearer {}", token(&sandbox, &["--read"]));
    let options = ["--log-format", "quiet", "--rate-per-address", "5", "--trusted-proxy", "127.0.0.1"];
    let server = Server::start(&sandbox, &options);
    let mut client = Client::connect(server.address);
    // Of an address, whoever asks and whatever they ask for.
    let mut ask = |number: usize, from: &str| {
        let all = [("x-forwarded-for", from), ("authorization", &bearer)];
        match number % 2 {
            0 => client.ask("GET", "/configs/k", &all, ""),
            _ => client.ask("GET", "/health", &all[..1], ""),
        }
    };
    // What an address does not use is kept up to five: with a pause before a request, another address that is heard nowhere else asks instead.
    let (asked, least, most) = (1..=20)
        .find_map(|attempt| {
            let from = format!("10.0.1.{attempt}");
            let (mut asked, mut moments) = (Vec::new(), vec![Instant::now()]);
            for number in 0..60 {
                asked.push(ask(number, &from));
                moments.push(Instant::now());
            }
            // Between two of them not more than one comes back.
            let is_even = moments.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_millis(100));
            let (least, most) = (moments[59] - moments[1], moments[60] - moments[0]);
            is_even.then_some((asked, least.as_millis() / 200, most.as_millis() / 200))
        })
        .expect("sixty requests without a pause");
    // Five at once, and one more each fifth of a second.
    let heard = asked.iter().filter(|reply| reply.status == 200).count();
    assert!((5 + least..=5 + most).contains(&(heard as u128)), "{heard} in {least} to {most} fifths of a second");
    assert!(asked[..5].iter().all(|reply| reply.status == 200));
    for reply in asked.iter().filter(|reply| reply.status != 200) {
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")), "{reply:?}");
        assert_eq!(reply.json()["detail"], "Too many requests");
    }
    // Another one is not kept out by that; and what a network of IPv6 has is one address.
    ask(0, "10.0.0.2").is(200);
    let statuses: Vec<u16> = (0..60).map(|number| ask(number, &format!("2001:db8::{number:x}")).status).collect();
    assert!(statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
    // Where it is not said, there is no end.
    drop(server);
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let mut client = Client::connect(server.address);
    (0..300).for_each(|_| drop(client.ask("GET", "/configs/k", &[("authorization", &bearer)], "").is(200)));
}

/// Frames of HTTP/2 (RFC 9113, section 4.1): kind, flags, stream, and what is in it.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn next_frame(client: &mut Client) -> Option<(u8, Vec<u8>)> {
    use std::io::Read as _;
    let mut head = [0; 9];
    client.0.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    client.0.read_exact(&mut payload).ok()?;
    Some((head[3], payload))
}

#[test]
fn http_2_has_limits_and_keeps_them() {
    let sandbox = sandbox();
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let begin = || {
        let mut client = Client::connect(server.address);
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(&frame(4, 0, 0, &[]));
        client
    };
    let mut client = begin();
    let (kind, settings) = next_frame(&mut client).unwrap();
    assert_eq!(kind, 4);
    let said: std::collections::BTreeMap<u16, u32> = settings
        .chunks(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])))
        .collect();
    // Streams at once, the window of a stream, the size of headers.
    assert_eq!((said.get(&3), said.get(&4), said.get(&6)), (Some(&128), Some(&(128 << 10)), Some(&(64 << 10))), "{said:?}");
    // GET / of the authority x, and away: again and again.
    let mut client = begin();
    let mut many = Vec::new();
    for number in 0..4000 {
        let stream = 2 * number + 1;
        many.extend(frame(1, 5, stream, b"\x82\x86\x84\x41\x01x"));
        many.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
    }
    {
        use std::io::Write as _;
        let _ = client.0.get_mut().write_all(&many);
    }
    let mut away = false;
    while let Some((kind, _)) = next_frame(&mut client) {
        away |= kind == 7;
        if away {
            break;
        }
    }
    assert!(away, "whoever gives up that much is sent away");
    server.ask("GET", "/health", &[], "").is(200);
}

#[test]
fn a_body_has_so_much_time_however_it_is_sent() {
    let sandbox = sandbox();
    let bearer = token(&sandbox, &["--admin"]);
    let server = Server::start(&sandbox, &["--log-format", "quiet"]);
    let mut client = Client::connect(server.address);
    let head = format!("POST /configs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\ncontent-length: 1000\r\n\r\n{{");
    let start = Instant::now();
    client.send(head.as_bytes());
    // A byte each second, so that it never stands still: thirty seconds are all that there is.
    let mut sending = client.0.get_ref().try_clone().unwrap();
    let (told, is_answered) = std::sync::mpsc::channel::<()>();
    let sent = std::thread::spawn(move || {
        let mut sent = 0;
        while is_answered.recv_timeout(Duration::from_secs(1)).is_err() && sending.write_all(b" ").is_ok() {
            sent += 1;
        }
        sent
    });
    let refused = client.reply(false);
    let took = start.elapsed();
    drop(told);
    assert_eq!((refused.status, &refused.json()["detail"]), (408, &serde_json::json!("The body took too long")));
    assert!(took >= Duration::from_secs(30) && took < PATIENCE, "{took:?}");
    assert!(sent.join().unwrap() >= 20);
    // Whoever is slow and in time is heard.
    let mut client = Client::connect(server.address);
    client.send(head.replace("1000", "30").as_bytes());
    for piece in [r#""key":"slow""#, r#","value":{}}     "#] {
        std::thread::sleep(Duration::from_millis(300));
        client.send(piece.as_bytes());
    }
    client.reply(false).is(201);
    assert_eq!(sandbox.get("slow"), b"{}");
}
