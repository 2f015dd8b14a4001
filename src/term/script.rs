//! Shell commands that are handed secrets: on descriptors, and never in arguments or variables; for a time, and ended with all that they started.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use zeroize::Zeroizing;

use crate::process;
use crate::secret::SecretValue;

/// How long a command that is ended may take for it.
const GRACE: Duration = Duration::from_secs(2);

/// A command for `/bin/sh`.
pub struct Script<'a> {
    /// The text.
    pub text: &'a str,
    /// Variables that it gets beside those of this process, without what unlocks a vault.
    pub variables: &'a [(&'a str, &'a str)],
    /// What it may read from the descriptors 3, 4, and so on.
    pub values: &'a [&'a SecretValue],
    /// A descriptor that stays open as long as anything of the command runs, behind those.
    pub held: Option<BorrowedFd<'a>>,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a command ended.
pub enum Ended {
    /// Well.
    Well,
    /// In another way, in words.
    Badly(String),
    /// This process was asked to end, and ended the command.
    Interrupted,
}

impl Script<'_> {
    /// Runs it. What it prints goes to standard error; standard input is empty. `endings` is readable when this process is asked to end.
    pub fn run(&self, endings: &OwnedFd) -> io::Result<Ended> {
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        self.start(Stdio::from(stderr))?.wait(endings)
    }

    /// Runs it, and returns what it printed: at most `most` bytes, in memory that is wiped. `Err` in the inner result: why there is nothing.
    pub fn output(&self, most: usize, endings: &OwnedFd) -> io::Result<Result<Zeroizing<Vec<u8>>, Ended>> {
        let mut running = self.start(Stdio::piped())?;
        let Some(mut pipe) = running.child.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut all = Zeroizing::new(vec![0; 4096]);
        let mut length = 0;
        loop {
            if length == all.len() {
                // Growing a `Vec` in place would leave the old copy behind unwiped.
                let mut larger = Zeroizing::new(vec![0; all.len() * 2]);
                larger[..length].copy_from_slice(&all);
                all = larger;
            }
            let left = running.left().map(Timespec::try_from).and_then(Result::ok);
            let Some(left) = left else {
                return running.end_late().map(Err);
            };
            let mut ready = [PollFd::new(&pipe, PollFlags::IN), PollFd::new(endings, PollFlags::IN)];
            match poll(&mut ready, Some(&left)) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [has_come, is_ending] = ready.map(|fd| !fd.revents().is_empty());
            if is_ending {
                running.end()?;
                return Ok(Err(Ended::Interrupted));
            }
            if !has_come {
                continue;
            }
            match pipe.read(&mut all[length..])? {
                0 => break,
                count => length += count,
            }
            if length > most {
                running.end()?;
                return Ok(Err(Ended::Badly(format!("printed more than {most} bytes"))));
            }
        }
        all.truncate(length);
        // It has closed its output; it may still fail.
        Ok(match running.wait(endings)? {
            Ended::Well => Ok(all),
            other => Err(other),
        })
    }

    fn start(&self, stdout: Stdio) -> io::Result<Running> {
        let mut command: Command = process::child("/bin/sh");
        command.arg("-c").arg(self.text).stdin(Stdio::null()).stdout(stdout);
        command.envs(self.variables.iter().copied());
        let mut descriptors = self.values.iter().map(|value| readable(value.expose())).collect::<io::Result<Vec<_>>>()?;
        if let Some(held) = self.held {
            descriptors.push(held.try_clone_to_owned()?);
        }
        process::start_as_started(&mut command);
        process::hand_over(&mut command, &descriptors)?;
        let since = Instant::now();
        Ok(Running { child: command.spawn()?, since, timeout: self.timeout })
    }
}

struct Running {
    child: Child,
    since: Instant,
    timeout: Duration,
}

impl Running {
    /// How much of its time is left.
    fn left(&self) -> Option<Duration> {
        self.timeout.checked_sub(self.since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Waits until it has ended; it is ended if it takes too long, or if this process is asked to end.
    fn wait(&mut self, endings: &OwnedFd) -> io::Result<Ended> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(ended(status));
            }
            let Some(left) = self.left() else { return self.end_late() };
            if is_readable(endings, left.min(pause))? {
                self.end()?;
                return Ok(Ended::Interrupted);
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Ends it because its time is over.
    fn end_late(&mut self) -> io::Result<Ended> {
        self.end()?;
        Ok(Ended::Badly(format!("took longer than {} s and was ended", self.timeout.as_secs_f64())))
    }

    /// Ends it with all that it started: asked first, and then without being asked.
    fn end(&mut self) -> io::Result<()> {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return self.child.kill() };
        let _ = kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            // Once its first process was waited for, the group is there as long as another one of it is.
            let gone = self.child.try_wait()?.is_some() && test_kill_process_group(group).is_err();
            if gone {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = kill_process_group(group, Signal::KILL);
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left who would end it in time.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.end();
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Well,
        (Some(code), _) => Ended::Badly(format!("ended with exit code {code}")),
        (None, Some(signal)) => Ended::Badly(format!("was ended by signal {signal}")),
        (None, None) => Ended::Badly("ended".to_owned()),
    }
}

fn is_readable(fd: &OwnedFd, within: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(within).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A descriptor from which a value can be read: a file in memory that nobody can alter.
#[cfg(target_os = "linux")]
fn readable(value: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Seek as _;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let mut file = std::fs::File::from(memfd_create("value", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(value)?;
    file.rewind()?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// A descriptor from which a value can be read: a pipe that a thread fills.
#[cfg(not(target_os = "linux"))]
fn readable(value: &[u8]) -> io::Result<OwnedFd> {
    let (reader, mut writer) = io::pipe()?;
    let value = Zeroizing::new(value.to_vec());
    // Whoever does not read it has no use for it.
    std::thread::spawn(move || drop(writer.write_all(&value)));
    Ok(reader.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn script<'a>(text: &'a str, values: &'a [&'a SecretValue], seconds: f64) -> Script<'a> {
        Script { text, variables: &[("PHASE", "x")], values, held: None, timeout: Duration::from_secs_f64(seconds) }
    }

    fn never() -> (OwnedFd, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        (reader.into(), writer.into())
    }

    fn badly(ended: Ended) -> String {
        match ended {
            Ended::Badly(how) => how,
            _ => String::new(),
        }
    }

    #[test]
    fn values_come_on_descriptors_and_are_read_only() {
        let (endings, _writer) = never();
        let (new, old) = (SecretValue::from("new"), SecretValue::from("old"));
        let values = [&new, &old];
        let all = script("cat <&3; cat /dev/fd/4; echo $PHASE", &values, 60.0).output(100, &endings).unwrap();
        assert_eq!(all.ok().unwrap().as_slice(), b"newoldx\n");
        assert!(matches!(script("test \"$(cat <&3)\" = new", &values, 60.0).run(&endings).unwrap(), Ended::Well));
        if cfg!(target_os = "linux") {
            let altered = script("echo x > /dev/fd/3", &values, 60.0).run(&endings).unwrap();
            assert!(badly(altered).starts_with("ended with"));
        }
        // Neither standard input nor any other descriptor.
        let open = "cat; for fd in 5 6 7 8 9; do ! [ -e /dev/fd/$fd ] || exit 1; done";
        assert!(matches!(script(open, &values, 60.0).run(&endings).unwrap(), Ended::Well));
    }

    #[test]
    fn how_it_ended_is_told() {
        let (endings, writer) = never();
        let run = |text: &str| badly(script(text, &[], 60.0).run(&endings).unwrap());
        assert_eq!(run("exit 7"), "ended with exit code 7");
        assert_eq!(run("kill -9 $$"), "was ended by signal 9");
        let output = |text: &str, most: usize| script(text, &[], 60.0).output(most, &endings).unwrap().err().map(badly);
        assert_eq!(output("echo x; exit 3", 100).unwrap(), "ended with exit code 3");
        assert_eq!(output("cat /dev/zero", 10_000).unwrap(), "printed more than 10000 bytes");
        assert_eq!(output("head -c 10000 /dev/zero", 10_000), None);
        std::fs::File::from(writer).write_all(b"x").unwrap();
        assert!(matches!(script("sleep 600", &[], 60.0).run(&endings).unwrap(), Ended::Interrupted));
    }

    #[test]
    fn what_has_closed_its_output_is_interrupted_too() {
        let (endings, writer) = never();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            std::fs::File::from(writer).write_all(b"x").map(|()| std::thread::sleep(Duration::from_secs(10)))
        });
        let ended = script("echo x; exec >&-; sleep 60", &[], 50.0).output(100, &endings).unwrap();
        assert!(matches!(ended, Err(Ended::Interrupted)));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let (endings, _writer) = never();
        let directory = std::env::temp_dir().join(format!("vault-script-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let number = directory.join("number");
        // The child of the command does not end when it is asked.
        let text = format!("sh -c 'trap \"\" TERM; echo $$. > {}; exec sleep 600' & wait", number.display());
        // Too little time where the machine is so busy that it has not even begun to run.
        let started = [0.3, 1.2, 4.8, 19.2].into_iter().find_map(|seconds| {
            let ended = badly(script(&text, &[], seconds).run(&endings).unwrap());
            assert!(ended.starts_with(&format!("took longer than {seconds} s")), "{ended}");
            std::fs::read_to_string(&number).unwrap_or_default().trim().strip_suffix('.').map(str::to_owned)
        });
        let status = format!("/proc/{}/status", started.unwrap());
        if cfg!(target_os = "linux") {
            let runs = || std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ"));
            let since = Instant::now();
            while runs() && since.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!runs());
        }
        let output = script("echo x; sleep 600", &[], 0.3).output(100, &endings).unwrap().err().map(badly);
        assert!(output.unwrap().starts_with("took longer"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
