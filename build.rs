//! Keeps the start of the program cheap, and lays out the word list.
//!
//! A process that lives for a millisecond pays for every shared library that the loader maps and for every page that it relocates
//! (`docs/performance.md`). So the binary is linked at a fixed address, with the C library and the compiler's support library from their static
//! archives where the C compiler has them, and holds the word list as one text without pointers. `VAULT_PIE=1` asks for a position-independent
//! binary that is linked with the C library of the system, whose relocations are packed where that library understands it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let words = diceware_wordlists::EFF_LONG_WORDLIST.join("\n");
    std::fs::write(out.join("words.txt"), words).expect("OUT_DIR is writable");

    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo::rerun-if-env-changed=VAULT_KEEP_SYMBOLS");
    if variable("CARGO_CFG_TARGET_OS") == "linux" && variable("PROFILE") == "release" && variable("VAULT_KEEP_SYMBOLS").is_empty()
    {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    let native = variable("HOST") == variable("TARGET");
    if native && variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ENV") == "gnu" {
        link_support_library(&out);
        order_functions();
        println!("cargo::rerun-if-env-changed=VAULT_PIE");
        if variable("VAULT_PIE").is_empty() {
            println!("cargo::rustc-link-arg-bins=-no-pie");
            link_c_library(&out);
        } else if glibc().is_some_and(|version| version >= (2, 36)) {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

/// Lays the functions of an everyday command next to one another: the kernel maps code in pieces of 64 KiB, and a `get` that finds its functions all
/// over the binary pays for five times as many. `link/order.sh` makes the list; a name in it that no longer exists is passed over.
fn order_functions() {
    println!("cargo::rerun-if-changed=link/order.txt");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    // Only lld, which is what the compiler uses on this target unless told otherwise, understands the option.
    let lld = std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu")
        && !flags.contains("linker")
        && !flags.contains("fuse-ld")
        && std::env::var_os("RUSTC_LINKER").is_none();
    if lld {
        let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
        println!("cargo::rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", root.join("link/order.txt").display());
        println!("cargo::rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    }
}

/// Links the binary with the archive of the C library: without a loader that maps, relocates and looks up symbols, a third of what a short process
/// costs is gone. The compiler asks for the shared libraries by name; linker scripts of these names, which only the binary's link sees, name the
/// archives instead.
fn link_c_library(out: &Path) {
    let directory = out.join("libc");
    let _ = std::fs::remove_dir_all(&directory);
    // Where these are parts of the C library, their archives are there and empty.
    let libraries = ["c", "m", "rt", "pthread", "util", "dl"];
    let archives: Vec<_> = libraries.iter().filter_map(|name| Some((name, archive_path(&format!("lib{name}.a"))?))).collect();
    let support = archive_path("libgcc_eh.a");
    if archives.len() < libraries.len() || support.is_none() || !is_gnu_compatible_linker() {
        return;
    }
    std::fs::create_dir_all(&directory).expect("OUT_DIR is writable");
    for (name, path) in archives {
        std::fs::write(directory.join(format!("lib{name}.so")), format!("INPUT({})\n", path.display()))
            .expect("OUT_DIR is writable");
    }
    println!("cargo::rustc-link-arg-bins=-L{}", directory.display());
    println!("cargo::rustc-link-arg-bins=-static");
}

/// Whether the linker is the one that the compiler brings or a C compiler, and not something that was named in its place.
fn is_gnu_compatible_linker() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    !flags.contains("linker") && !flags.contains("crt-static") && std::env::var_os("RUSTC_LINKER").is_none()
}

/// Puts a linker script before the shared library of the same name that names the archive instead.
fn link_support_library(out: &Path) {
    let directory = out.join("link");
    // What an earlier build left there would still be found.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("OUT_DIR is writable");
    if let Some(path) = archive_path("libgcc_eh.a") {
        std::fs::write(directory.join("libgcc_s.so"), format!("INPUT({})\n", path.display())).expect("OUT_DIR is writable");
    }
    println!("cargo::rustc-link-search=native={}", directory.display());
}

/// Where the C compiler has an archive; it prints the bare name if it has none.
fn archive_path(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

/// The version of the C library, which is the one that will load the binary: packed relocations need 2.36.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
