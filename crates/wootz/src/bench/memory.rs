//! The most memory that this process has had at a time.

/// Begins anew, where the system can: what was measured before a model was loaded does not count.
pub fn reset_peak() {
    // Linux: writing 5 resets the high-water mark (proc_pid_clear_refs(5)). Elsewhere the file does not exist.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes; `None` where the system does not say.
pub fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    parse_peak(&status)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(parse_peak("Name:\twootz\nVmHWM:\t   2048 kB\nVmRSS:\t 1024 kB\n"), Some(2048 * 1024));
        assert_eq!(parse_peak("Name:\twootz\n"), None);
    }
}
