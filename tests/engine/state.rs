//! Files and their directory, live and durable, and what power cuts leave of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bytes::{BLOCK, Bytes};
use crate::medium::Failure;
use crate::random::Random;

#[derive(Clone)]
pub enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Length(u64),
}

#[derive(Clone, Default)]
pub struct File {
    pub live: Bytes,
    pub durable: Bytes,
    /// What was done since the last fsync, in order.
    pub pending: Vec<Change>,
    pub owner: Option<u64>,
}

impl File {
    /// After a failure the pages count as clean: a later fsync succeeds without writing them.
    pub fn sync(&mut self, failure: Option<Failure>) {
        let pending = std::mem::take(&mut self.pending);
        let reached = match failure {
            None => pending,
            Some(Failure::Partly(_)) => split(&pending, 512).into_iter().step_by(2).collect(),
            Some(_) => Vec::new(),
        };
        for change in &reached {
            match change {
                Change::Write { offset, bytes } => self.durable.write(*offset, bytes),
                Change::Length(length) => self.durable.set_length(*length),
            }
        }
        if failure.is_none() {
            // The length is the file system's own: it is durable with the next fsync, whatever became of the pages.
            self.durable.set_length(self.live.len());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Vault,
    Temporary,
    New,
}

#[derive(Clone, Copy)]
pub enum Entry {
    Link(Name, usize),
    Unlink(Name),
    Rename,
}

pub type Directory = BTreeMap<Name, usize>;

fn enter_into(directory: &mut Directory, entry: Entry) {
    match entry {
        Entry::Link(name, file) => {
            directory.insert(name, file);
        }
        Entry::Unlink(name) => {
            directory.remove(&name);
        }
        Entry::Rename => {
            if let Some(file) = directory.remove(&Name::Temporary) {
                directory.insert(Name::Vault, file);
            }
        }
    }
}

/// Files and directory at one moment, live and durable.
#[derive(Clone, Default)]
pub struct State {
    pub files: Vec<File>,
    pub live: Directory,
    pub durable: Directory,
    pub pending: Vec<Entry>,
}

impl State {
    /// A durable vault file with these bytes.
    pub fn with_vault(bytes: Bytes) -> Self {
        let file = File { live: bytes.clone(), durable: bytes, ..File::default() };
        let directory = Directory::from([(Name::Vault, 0)]);
        Self { files: vec![file], live: directory.clone(), durable: directory, pending: Vec::new() }
    }

    /// Puts more bytes behind those of the vault file, without making them durable.
    pub fn append(&mut self, bytes: &[u8]) {
        let file = &mut self.files[self.live[&Name::Vault]];
        let offset = file.live.len();
        file.live.write(offset, bytes);
        file.pending.push(Change::Write { offset, bytes: bytes.into() });
    }

    /// What the vault file holds, as processes see it.
    pub fn vault(&self) -> Option<&Bytes> {
        self.live.get(&Name::Vault).map(|&file| &self.files[file].live)
    }

    /// The processes die, the machine runs on.
    pub fn killed(&self) -> Self {
        let mut state = self.clone();
        for file in &mut state.files {
            file.owner = None;
        }
        state
    }

    /// An fsync of each file with something pending fails.
    pub fn fail_fsync(&mut self, failure: Failure) {
        for file in self.files.iter_mut().filter(|file| !file.pending.is_empty()) {
            file.sync(Some(failure));
        }
    }

    /// A name is made or unmade, and not durable yet.
    pub fn enter(&mut self, entry: Entry) {
        enter_into(&mut self.live, entry);
        self.pending.push(entry);
    }

    /// Only what is durable for certain.
    pub fn cut(&self) -> Self {
        let files = self.files.iter().map(|file| reboot(file.durable.clone())).collect();
        Self { files, live: self.durable.clone(), durable: self.durable.clone(), pending: Vec::new() }
    }

    /// What power cuts at this moment may leave: of each file and of the directory any part of what is pending.
    pub fn power_cuts(&self, random: &mut Random, samples: usize) -> Vec<(String, Self)> {
        let files: Vec<Vec<(String, Bytes)>> = self.files.iter().map(|file| remains(file, random, samples)).collect();
        let directories = remaining_names(&self.durable, &self.pending);
        let most = files.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut out = Vec::new();
        for index in 0..most {
            for (names, directory) in &directories {
                let mut what = names.clone();
                let mut kept = Vec::new();
                for variants in &files {
                    // The first file with many variants walks through all of them; the others are drawn.
                    let variant = if variants.len() == most { index } else { random.below(variants.len()) };
                    if variants.len() > 1 {
                        what = format!("{what}; {}", variants[variant].0);
                    }
                    kept.push(reboot(variants[variant].1.clone()));
                }
                let state = Self { files: kept, live: directory.clone(), durable: directory.clone(), pending: Vec::new() };
                out.push((what, state));
            }
        }
        out
    }
}

/// A file as a machine finds it that starts.
pub fn reboot(bytes: Bytes) -> File {
    File { live: bytes.clone(), durable: bytes, ..File::default() }
}

fn remaining_names(durable: &Directory, pending: &[Entry]) -> Vec<(String, Directory)> {
    let subsets = 1usize << pending.len().min(4);
    (0..subsets)
        .map(|subset| {
            let mut directory = durable.clone();
            for (index, entry) in pending.iter().enumerate() {
                if subset & (1 << index.min(3)) != 0 {
                    enter_into(&mut directory, *entry);
                }
            }
            let what = if pending.is_empty() { String::new() } else { format!("names {subset:b} of {}", pending.len()) };
            (what, directory)
        })
        .collect()
}

/// How long a file is after a power cut, and what stands where data was lost.
#[derive(Debug, Clone, Copy)]
enum Length {
    /// As far as data was kept.
    Natural,
    /// As long as it was made, zeros where data was lost.
    Full,
    /// As long as it was made, old blocks and random bytes where data was lost.
    Garbage,
    /// As long as it was before.
    Old,
}

/// What a power cut may leave of a file.
fn remains(file: &File, random: &mut Random, samples: usize) -> Vec<(String, Bytes)> {
    let mut out = vec![("nothing pending kept".to_owned(), file.durable.clone())];
    if file.pending.is_empty() {
        return out;
    }
    for (unit, units) in [("call", split(&file.pending, usize::MAX)), ("4096", split(&file.pending, 4096))] {
        let count = units.len();
        let mut keep = |what: String, length: Length, random: &mut Random, kept: &dyn Fn(usize) -> bool| {
            out.push((format!("{what} of {count} by {unit}, {length:?}"), keep_some(file, &units, length, random, kept)));
        };
        for index in chosen(count, samples, random) {
            keep(format!("all but {index}"), Length::Natural, random, &|unit| unit != index);
            keep(format!("all but {index}"), Length::Full, random, &|unit| unit != index);
        }
        for index in chosen(count, samples, random) {
            keep(format!("first {}", index + 1), Length::Natural, random, &|unit| unit <= index);
        }
        keep("none".to_owned(), Length::Full, random, &|_| false);
        keep("none".to_owned(), Length::Garbage, random, &|_| false);
        keep("all".to_owned(), Length::Old, random, &|_| true);
    }
    let sectors = split(&file.pending, 512);
    for _ in 0..samples {
        let percent = *random.pick(&[10, 50, 90]);
        let length = *random.pick(&[Length::Natural, Length::Full, Length::Garbage]);
        let kept: Vec<bool> = sectors.iter().map(|_| random.chance(percent)).collect();
        out.push((
            format!("{percent}% of {} sectors, {length:?}", sectors.len()),
            keep_some(file, &sectors, length, random, &|unit| kept[unit]),
        ));
        let lost = random.below(sectors.len());
        out.push((format!("all sectors but {lost}"), keep_some(file, &sectors, Length::Full, random, &|unit| unit != lost)));
        out.push((format!("sectors up to {lost}"), keep_some(file, &sectors, Length::Natural, random, &|unit| unit <= lost)));
    }
    out
}

/// All of `0..count` if they are few, else the ends and some in between.
fn chosen(count: usize, samples: usize, random: &mut Random) -> Vec<usize> {
    if count <= samples {
        return (0..count).collect();
    }
    let mut chosen: Vec<usize> = (0..samples - 2).map(|_| random.below(count)).collect();
    chosen.extend([0, count - 1]);
    chosen
}

/// Writes in pieces that lie in one aligned sector each.
fn split(changes: &[Change], sector: usize) -> Vec<Change> {
    let mut out = Vec::new();
    for change in changes {
        match change {
            Change::Write { offset, bytes } if sector < usize::MAX => {
                let mut done = 0;
                while done < bytes.len() {
                    let at = *offset as usize + done;
                    let part = (sector - at % sector).min(bytes.len() - done);
                    out.push(Change::Write { offset: at as u64, bytes: bytes[done..done + part].into() });
                    done += part;
                }
            }
            other => out.push(other.clone()),
        }
    }
    out
}

fn keep_some(file: &File, units: &[Change], length: Length, random: &mut Random, kept: &dyn Fn(usize) -> bool) -> Bytes {
    let mut bytes = file.durable.clone();
    let old = bytes.len();
    if let Length::Garbage = length {
        let mut at = old;
        while at < file.live.len() {
            let mut block = random.bytes(BLOCK);
            if random.chance(10) && old >= BLOCK as u64 {
                file.durable.read(random.below(old as usize / BLOCK) as u64 * BLOCK as u64, &mut block);
            }
            bytes.write(at, &block);
            at += BLOCK as u64;
        }
    }
    for (index, unit) in units.iter().enumerate() {
        match unit {
            Change::Write { offset, bytes: written } if kept(index) => bytes.write(*offset, written),
            Change::Length(length) if kept(index) => bytes.set_length(*length),
            _ => {}
        }
    }
    match length {
        Length::Natural => {}
        Length::Full | Length::Garbage => bytes.set_length(file.live.len()),
        Length::Old => bytes.set_length(old),
    }
    bytes
}
