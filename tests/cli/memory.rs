//! Looking into the memory of a process, as root may.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::sandbox::is_root;

/// What is looked for, and what it is called.
#[derive(Clone)]
pub struct Needle {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Needle {
    /// Every sixteen bytes of a secret: a copy that was overwritten in part still shows.
    pub fn pieces(name: &str, secret: &[u8]) -> Vec<Self> {
        secret.chunks_exact(16).map(|piece| Self { name: name.to_owned(), bytes: piece.to_vec() }).collect()
    }
}

/// Whether this user may look; if not, says what is skipped.
pub fn can_be_read() -> bool {
    let may = is_root() && Path::new("/proc/self/mem").exists();
    if !may {
        assert!(std::env::var_os("VAULT_TEST_REQUIRE").is_none(), "only root may look into the memory of a process");
        eprintln!("skipped: only root may look into the memory of a process");
    }
    may
}

/// Where which of the needles is in the memory of a process, map by map (not by a core dump, which leaves out what is marked so).
pub fn found(process: u32, needles: &[Needle]) -> Vec<String> {
    let finders: Vec<_> = needles.iter().map(|needle| memchr::memmem::Finder::new(&needle.bytes)).collect();
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let (mut found, mut looked_at) = (Vec::new(), Vec::new());
    for line in maps.lines() {
        let mut parts = line.split_ascii_whitespace();
        let (range, mode, _, _, inode) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let place = parts.next().unwrap_or("memory without a name");
        // What a file gave and nobody writes to holds what the file holds.
        if !mode.unwrap().starts_with("rw") && inode != Some("0") {
            continue;
        }
        let (start, end) = range.unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            looked_at.push(place);
            for (finder, needle) in finders.iter().zip(needles) {
                if finder.find(&bytes).is_some() {
                    found.push(format!("{} in {place}", needle.name));
                }
            }
        }
    }
    assert!(looked_at.contains(&"[heap]") && looked_at.contains(&"[stack]"), "the memory could not be read: {looked_at:?}");
    found
}
