//! The memory of a process, as Linux tells it.

/// A line of its status, in KiB: `VmRSS`, `RssAnon`, `RssFile`. The process is a number, or `self`.
pub(crate) fn kib(process: &str, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let rest = status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}
