//! What shells make of an export: every byte of every value, and no program of somebody else's choice.

use crate::sandbox::{Sandbox, is_installed};

const HOSTILE: &[&str] = &[
    "",
    " ",
    "  two  blanks  ",
    "it's",
    "'",
    "''",
    "\"",
    "a\nb\n",
    "\n",
    "\n\n\n",
    "\r\n",
    "\t",
    "$HOME ${X} $(id) $((1+1))",
    "`id`",
    "\\",
    "\\\\",
    "\\n\\'",
    "\\\n",
    "%s%25",
    "#x",
    "=1",
    "-n",
    "~",
    "*",
    "?",
    "[a-z]",
    "!x !! !$",
    ";id",
    "&& id",
    "| id",
    "(id)",
    "{a,b}",
    "<(id)",
    "EOF\n",
    "\u{1}\u{7f}\u{1b}[31m",
    "😀 é",
    "\u{2018}x\u{2019}",
    "\u{feff}",
];

/// Each shell, and how it evaluates what is written for it.
const SHELLS: &[(&str, &[&str], &[&str])] = &[
    (
        "bash",
        &["--norc", "-c"],
        &["eval \"$(vault export --format shell)\"", "source ./v.sh", "source <(vault export --format shell)"],
    ),
    ("dash", &["-c"], &["eval \"$(vault export --format shell)\"", ". ./v.sh"]),
    (
        "zsh",
        &["-f", "-c"],
        &["eval \"$(vault export --format shell)\"", "source ./v.sh", "source <(vault export --format shell)"],
    ),
    (
        "fish",
        &["--no-config", "-c"],
        &["vault export --format fish | source", "source ./v.fish", "eval (vault export --format fish | string collect)"],
    ),
];

#[test]
fn every_byte_arrives_in_every_shell() {
    let sandbox = Sandbox::new();
    let large = "x'\"$é`\\\n".repeat(1 << 17);
    let values = || HOSTILE.iter().copied().chain([large.as_str()]).enumerate();
    for (at, value) in values() {
        sandbox.set(&format!("V{at}"), value);
    }
    for (format, file) in [("shell", "v.sh"), ("fish", "v.fish")] {
        sandbox.vault(&["export", "--format", format, "--out", file]).run().ok();
    }
    let expected: Vec<u8> = values().flat_map(|(_, value)| [value.as_bytes(), b"\0"].concat()).collect();
    for (shell, options, ways) in SHELLS {
        if !is_installed(shell) {
            continue;
        }
        for way in *ways {
            // A variable of more than 128 kB cannot be handed to a program; `printf` is part of each of these shells.
            let print: String = values().map(|(at, _)| format!("printf '%s\\0' \"$V{at}\"\n")).collect();
            let out = sandbox.program(shell, options).arg(format!("{way}\n{print}")).run();
            assert!(out.stderr.is_empty(), "{shell}, {way}: {}", out.stderr);
            let parts = |bytes: &[u8]| bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>();
            for ((at, value), found) in values().zip(parts(&out.stdout)) {
                assert!(found == value.as_bytes(), "{shell}, {way}: V{at} {:?}", String::from_utf8_lossy(&found).get(..100));
            }
            assert!(out.stdout == expected, "{shell}, {way}");
        }
    }
}

#[test]
fn a_value_with_a_nul_is_refused_for_every_shell() {
    let sandbox = Sandbox::new();
    sandbox.set("nul", "a\0b");
    for format in ["shell", "fish", "powershell"] {
        sandbox.vault(&["export", "--format", format]).run().fails(2, "\"nul\"");
    }
}

#[test]
fn what_would_decide_which_programs_run_is_left_out() {
    let sandbox = Sandbox::new();
    for name in ["path", "ld/library-path", "bash-env", "git ssh command", "good"] {
        sandbox.set(name, "evil-value");
    }
    sandbox.vault(&["set", "editor", "--json"]).stdin(r#""evil-value""#).run().ok();
    sandbox.vault(&["set", "git", "--json"]).stdin(r#"{"pager":"evil-value"}"#).run().ok();
    let note = "note: left out, because their variables decide which programs or code run: \
                bash-env, editor, git, git ssh command, ld/library-path, path (--prefix gives other names)\n";
    for (done, format) in ["shell", "fish", "powershell", "github-env"].into_iter().enumerate() {
        let out = sandbox.vault(&["export", "--format", format]).run().ok();
        assert_eq!((out.text().matches("evil-value").count(), out.stderr.as_str()), (1, note), "{format}");
        assert!(out.text().contains("GOOD"));
        // What did not leave is not in the log as if it had.
        let log = sandbox.vault(&["audit", "show", "--format", "json"]).run().ok().json();
        let exported: Vec<_> = log["records"].as_array().unwrap().iter().filter(|record| record["action"] == "export").collect();
        assert_eq!(exported.len(), 1 + done * 8);
        assert_eq!(exported.last().unwrap()["name"], "good");
        let prefixed = sandbox.vault(&["export", "--format", format, "--prefix", "P_"]).run().ok();
        assert_eq!((prefixed.text().matches("evil-value").count(), prefixed.stderr.as_str()), (7, ""), "{format}");
    }
    // To these it is data.
    for format in ["dotenv", "docker", "json", "yaml", "toml", "csv"] {
        let out = sandbox.vault(&["export", "--format", format]).run().ok();
        assert_eq!((out.text().matches("evil-value").count(), out.stderr.as_str()), (7, ""), "{format}");
    }
}
