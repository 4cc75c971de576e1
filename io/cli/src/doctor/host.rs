//! What a host says of itself under `/proc` and `/sys`.

use std::fs;
use std::path::{Path, PathBuf};

/// A host, seen through its files.
pub(super) struct Host {
    root: PathBuf,
    /// Cores of the hot agents: named by the operator, else those that are isolated.
    pub(super) hot: Vec<usize>,
}

impl Host {
    pub(super) fn at(root: &Path, cores: &[usize]) -> Self {
        let mut host = Self { root: root.to_path_buf(), hot: cores.to_vec() };
        if cores.is_empty() {
            host.hot = host.isolated();
        }
        host
    }

    /// The text of a file, trimmed; `None` when it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The number in a file.
    pub(super) fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, in order.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(path)) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// The cores set apart at boot.
    pub(super) fn isolated(&self) -> Vec<usize> {
        self.text("sys/devices/system/cpu/isolated").map_or(Vec::new(), |text| cores(&text))
    }

    /// The cores that are switched on.
    pub(super) fn online(&self) -> Vec<usize> {
        self.text("sys/devices/system/cpu/online").map_or(Vec::new(), |text| cores(&text))
    }

    /// The hot cores; all that are on where none is set apart or named.
    pub(super) fn hot_or_all(&self) -> Vec<usize> {
        if self.hot.is_empty() { self.online() } else { self.hot.clone() }
    }

    /// True when a process of this name runs.
    pub(super) fn runs(&self, name: &str) -> bool {
        let is_process = |entry: &String| entry.bytes().all(|byte| byte.is_ascii_digit());
        self.names("proc")
            .into_iter()
            .filter(is_process)
            .any(|process| self.text(&format!("proc/{process}/comm")).as_deref() == Some(name))
    }

    /// The soft limit of this process by its name in `/proc/self/limits`; `None` where it is not
    /// told. Unlimited is the greatest number.
    pub(super) fn limit(&self, name: &str) -> Option<u64> {
        let text = self.text("proc/self/limits")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        match line.split_whitespace().next()? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }
}

/// A list of cores as the kernel writes it, such as `2-4,7`; empty for anything else.
pub(super) fn cores(list: &str) -> Vec<usize> {
    let mut found = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            return Vec::new();
        };
        if first > last || last >= CORES_MAX {
            return Vec::new();
        }
        found.extend(first..=last);
    }
    found
}

/// A list of cores as the kernel reads it.
pub(super) fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

const CORES_MAX: usize = 8_192;
