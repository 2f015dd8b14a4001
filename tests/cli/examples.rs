//! What lies in `examples/` for other programs does what it says, as far as that can be seen without them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use crate::sandbox::{Output, Run, Sandbox, canary, is_installed, is_there};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(example(name)).unwrap()
}

/// A checkout that nobody may write to, a machine key that opens one category, and a program that shows what it was given.
struct Checkout {
    sandbox: Sandbox,
    secret: String,
    key: String,
    fingerprint: String,
}

impl Checkout {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let secret = format!("{}'\"$x", canary());
        sandbox.vault(&["set", "deploy/token", "--category", "ci"]).stdin(&secret).run().ok();
        sandbox.vault(&["set", "private"]).stdin("not for the job").run().ok();
        sandbox.vault(&["key", "add", "--label", "ci", "--key-file", "ci.key", "--only", "category:ci"]).run().ok();
        let key = base64::engine::general_purpose::STANDARD.encode(fs::read(sandbox.path("work/ci.key")).unwrap());
        fs::remove_file(sandbox.path("work/ci.key")).unwrap();
        let checked = sandbox.vault(&["check"]).run().ok().text();
        let fingerprint = checked.lines().find_map(|line| line.strip_prefix("fingerprint ")).unwrap().trim().to_owned();
        fs::copy(sandbox.file(), sandbox.path("work/secrets.vault")).unwrap();
        sandbox.script("deploy.sh", "printf '%s' \"${DEPLOY_TOKEN:-none}\"");
        fs::set_permissions(sandbox.path("work/secrets.vault"), fs::Permissions::from_mode(0o444)).unwrap();
        Self { sandbox, secret, key, fingerprint }
    }

    /// A run with nothing of a user's own: no home, no key but the machine's.
    fn job(&self, program: &str, arguments: &[&str]) -> Run {
        let mut run = self.sandbox.program(program, arguments);
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "VAULT_KEY_FILE"]
        {
            run = run.without_env(name);
        }
        // Without the variable it would be the home of whoever runs the tests; here nobody can make one.
        run.env("HOME", "/proc/none")
            .env("VAULT_KEY", &self.key)
            .env("VAULT_FILE", "secrets.vault")
            .env("VAULT_FINGERPRINT", &self.fingerprint)
    }

    /// Keeps the directory from being written to while something runs.
    fn read_only(&self, run: Run) -> Output {
        let work = self.sandbox.path("work");
        let mode = |mode| fs::set_permissions(&work, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o555);
        let before = self.sandbox.files("work");
        let output = run.run();
        assert_eq!(self.sandbox.files("work"), before, "the job left something in its checkout");
        mode(0o755);
        output
    }
}

#[derive(Deserialize)]
struct Workflow {
    jobs: std::collections::BTreeMap<String, Job>,
}

#[derive(Deserialize)]
struct Job {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    run: Option<String>,
}

#[test]
fn github_actions() {
    let checkout = Checkout::new();
    let workflow: Workflow = serde_saphyr::from_str(&text("github-actions.yml")).unwrap();
    let steps: Vec<String> = workflow.jobs.into_values().flat_map(|job| job.steps).filter_map(|step| step.run).collect();
    assert_eq!(steps.len(), 2);
    let variables = checkout.sandbox.path("tmp/github-env");
    let job = |script: &str| {
        let run = checkout.job("bash", &["--noprofile", "--norc", "-eo", "pipefail", "-c", script]);
        checkout.read_only(run.env("GITHUB_ACTIONS", "true").env("GITHUB_ENV", &variables)).ok()
    };
    let first = job(&steps[0]);
    let mask = format!("::add-mask::{}\n", checkout.secret);
    assert!(first.text() == checkout.secret && first.stderr.starts_with(&mask), "{}", first.stderr);
    let second = job(&steps[1]);
    assert!(second.stdout.is_empty() && second.stderr.starts_with(&mask), "{}", second.stderr);
    let written = fs::read_to_string(&variables).unwrap();
    assert!(
        written.starts_with("DEPLOY_TOKEN<<vault_") && written.contains(&checkout.secret) && !written.contains("not for the job")
    );
}

#[test]
fn gitlab_ci() {
    #[derive(Deserialize)]
    struct Pipeline {
        deploy: Script,
    }
    #[derive(Deserialize)]
    struct Script {
        script: Vec<String>,
    }
    let checkout = Checkout::new();
    let pipeline: Pipeline = serde_saphyr::from_str(&text("gitlab-ci.yml")).unwrap();
    let run = checkout.job("sh", &["-ec", &pipeline.deploy.script.join("\n")]).env("GITLAB_CI", "true");
    let output = checkout.read_only(run).ok();
    assert_eq!(output.text(), checkout.secret);
    assert!(output.stderr.contains("not masked") && !output.stderr.contains(&checkout.secret));
}

#[test]
fn docker_compose() {
    let checkout = Checkout::new();
    #[derive(Deserialize)]
    struct Compose {
        secrets: std::collections::BTreeMap<String, Secret>,
    }
    #[derive(Deserialize)]
    struct Secret {
        environment: String,
    }
    let compose: Compose = serde_saphyr::from_str(&text("compose.yml")).unwrap();
    let variables: Vec<&str> = compose.secrets.values().map(|secret| secret.environment.as_str()).collect();
    assert_eq!(variables, ["DEPLOY_TOKEN"]);
    let command = text("compose.yml").lines().find_map(|line| line.strip_prefix("#   ")).unwrap().to_owned();
    let command = command.replace("docker compose up", "./deploy.sh");
    assert_eq!(checkout.read_only(checkout.job("sh", &["-c", &command])).ok().text(), checkout.secret);
    if is_there("docker") {
        let file = example("compose.yml");
        let config = ["compose", "-f", file.to_str().unwrap(), "config", "--quiet"];
        let known = checkout.sandbox.program("docker", &["compose", "version"]).run().code == 0;
        if known {
            checkout.sandbox.program("docker", &config).env("DEPLOY_TOKEN", "x").run().ok();
        } else {
            eprintln!("skipped: docker compose is not installed");
        }
    }
}

#[test]
fn systemd() {
    let checkout = Checkout::new();
    let directory = checkout.sandbox.path("tmp/credentials");
    let unit = text("app.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("#   ")).unwrap();
    let command = command.replace("/etc/app/credentials", directory.to_str().unwrap());
    let said = checkout.read_only(checkout.job("sh", &["-c", &command])).ok().text();
    let load = unit.lines().find(|line| line.starts_with("LoadCredential=")).unwrap();
    assert_eq!(said, format!("{}\n", load.replace("/etc/app/credentials", directory.to_str().unwrap())));
    assert_eq!(fs::read_to_string(directory.join("DEPLOY_TOKEN")).unwrap(), checkout.secret);
    if is_there("systemd-analyze") {
        let file = example("app.service");
        let verified = checkout.sandbox.program("systemd-analyze", &["verify", "--man=no", file.to_str().unwrap()]).run();
        assert!(!verified.stderr.contains("app.service:"), "{}", verified.stderr);
    }
}

#[test]
fn direnv() {
    let checkout = Checkout::new();
    let script = format!("watch_file() {{ :; }}\n. '{}'\n./deploy.sh", example("envrc").display());
    assert_eq!(checkout.read_only(checkout.job("bash", &["-c", &script])).ok().text(), checkout.secret);
    let failed = checkout.read_only(checkout.job("bash", &["-c", &script]).env("VAULT_FILE", "none"));
    assert!(failed.code == 5 && failed.stdout.is_empty());
    if is_installed("direnv") {
        fs::copy(example("envrc"), checkout.sandbox.path("work/.envrc")).unwrap();
        let home = checkout.sandbox.path("home");
        let direnv = |arguments: &[&str]| checkout.job("direnv", arguments).env("HOME", &home);
        direnv(&["allow", "."]).run().ok();
        assert_eq!(direnv(&["exec", ".", "./deploy.sh"]).run().ok().text(), checkout.secret);
    }
}

#[test]
fn make() {
    if !is_installed("make") {
        return;
    }
    let checkout = Checkout::new();
    let file = example("Makefile");
    let run = |vault: &str| {
        checkout.read_only(checkout.job("make", &["-s", "-f", file.to_str().unwrap(), "deploy"]).env("VAULT_FILE", vault))
    };
    assert_eq!(run("secrets.vault").ok().text(), checkout.secret);
    assert!(run("none").ends(2).stdout.is_empty());
}

/// A vault with an entry that is due, and what runs a line of an example as its timer would.
fn due() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.set("a", "old");
    let mut schedule = vault::format::schedule::Schedule::new(3_600_000, 1000);
    schedule.generate = Some("pin:6".to_owned());
    let then = crate::sandbox::now() - 7_200_000;
    sandbox.library(vault::Options::default()).set_schedules(&[(crate::sandbox::plain("a"), schedule)], then).unwrap();
    sandbox
}

/// The variables that an example names are there, with the places of the sandbox instead.
fn is_named(text: &str) {
    for name in ["VAULT_FILE=/", "VAULT_KEY_FILE=/"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn a_timer_rotates_what_is_due() {
    let sandbox = due();
    let unit = text("vault-rotate.service");
    is_named(&unit);
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
    sandbox.program("sh", &["-c", &format!("exec {command}")]).run().ok();
    assert_eq!(sandbox.get("a").len(), 6);
    let timer = text("vault-rotate.timer");
    assert!(timer.contains("OnCalendar=") && timer.contains("WantedBy=timers.target"));
    if is_there("systemd-analyze") {
        for name in ["vault-rotate.service", "vault-rotate.timer"] {
            let file = example(name);
            let verified = sandbox.program("systemd-analyze", &["verify", "--man=no", file.to_str().unwrap()]).run();
            // That the program is not installed there is no fault of the unit.
            let said: Vec<&str> =
                verified.stderr.lines().filter(|line| line.contains(name) && !line.contains("is not executable")).collect();
            assert!(said.is_empty(), "{said:?}");
        }
    }
}

#[test]
fn cron_rotates_what_is_due_and_says_what_it_cannot() {
    let sandbox = due();
    let table = text("crontab");
    is_named(&table);
    let line = table.lines().find(|line| line.starts_with('*')).unwrap();
    let command = line.splitn(6, ' ').nth(5).unwrap();
    // A percent sign would be a line end to cron.
    assert!(!command.contains('%'));
    let quiet = sandbox.program("sh", &["-c", command]).run().ok();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
    assert_eq!(sandbox.get("a").len(), 6);
    let then = crate::sandbox::now() - 7_200_000;
    let reminder = vault::format::schedule::Schedule::new(3_600_000, 1000);
    sandbox.library(vault::Options::default()).set_schedules(&[(crate::sandbox::plain("a"), reminder)], then).unwrap();
    let loud = sandbox.program("sh", &["-c", command]).run().ends(10);
    assert!(loud.text().starts_with("a") && loud.text().contains("due"), "{}", loud.text());
}

#[test]
fn secrets_are_made_and_fetched_by_shell_scripts() {
    let scene = crate::remote::Scene::new();
    let sandbox = &scene.sandbox;
    let run = |name: &str, arguments: &[&str]| {
        let script = example(&format!("server/{name}"));
        let run = sandbox.program("sh", &[&[script.to_str().unwrap()], arguments].concat());
        run.env("VAULT_SERVER", &scene.server.addresses[0]).env("VAULT_SERVER_TOKEN_FILE", sandbox.path("work/token"))
    };
    sandbox.write("token", &scene.token);
    for name in ["create_secret.sh", "fetch_secret.sh"] {
        for arguments in [&[][..], &["a", "b"]] {
            let said = run(name, arguments).run().ends(1);
            assert!(said.stdout.is_empty() && said.stderr.starts_with(&format!("usage: {name}")), "{}", said.stderr);
        }
        if is_installed("dash") {
            sandbox.program("dash", &["-n", example(&format!("server/{name}")).to_str().unwrap()]).run().ok();
        }
    }
    if !is_installed("curl") {
        return;
    }
    let secret = [&[0, 0xff, b'\n'], canary().as_bytes(), b"\n"].concat();
    let file = sandbox.write("secret", &secret);
    for (arguments, stdin) in [(file.to_str().unwrap(), ""), ("-", "piped\n")] {
        let id = run("create_secret.sh", &[arguments]).stdin(stdin).run().ok().text();
        let fetched = run("fetch_secret.sh", &[id.trim_end()]).run().ok().stdout;
        assert_eq!(fetched, if stdin.is_empty() { secret.clone() } else { stdin.as_bytes().to_vec() });
    }
    let none = run("fetch_secret.sh", &["00000000-0000-4000-8000-000000000000"]).run();
    assert!(none.code != 0 && none.stdout.is_empty(), "{}", none.stderr);
    let injected = run("fetch_secret.sh", &["x\"\nurl = \"http://127.0.0.1:1"]).run().ends(1);
    assert!(injected.stdout.is_empty() && injected.stderr.contains("an id is a UUID"));
}

#[test]
fn units_of_the_server_start_what_there_is() {
    let commands = vault::commands::command();
    for unit in ["vault.service", "vault-backup.service"] {
        let text = text(&format!("server/{unit}"));
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        commands.clone().try_get_matches_from(words).unwrap_or_else(|error| panic!("{unit}: {error}"));
        for hardening in
            ["NoNewPrivileges=yes", "ProtectSystem=strict", "LoadCredential=vault.key:", "User=vault", "CapabilityBoundingSet="]
        {
            assert!(text.lines().any(|line| line.starts_with(hardening)), "{unit} lacks {hardening}");
        }
    }
    for name in ["compose.yaml", "stack.yaml"] {
        let stack: serde_json::Value = serde_saphyr::from_str(&text(&format!("server/{name}"))).unwrap();
        let server = &stack["services"]["vault"];
        assert_eq!((&server["read_only"], &server["user"]), (&true.into(), &"10001:10001".into()), "{name}");
        let words = server["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        commands
            .clone()
            .try_get_matches_from(std::iter::once("vault").chain(words))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
