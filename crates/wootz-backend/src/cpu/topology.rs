//! Which cores this process may use.

/// Logical processors that this process may use (its affinity mask and its cgroup's quota).
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that a step uses unless told otherwise: one a physical core.
pub fn default_threads() -> usize {
    cores().len().clamp(1, available())
}

/// One logical processor of each physical core that this process may use, in order; empty where the system
/// does not say.
#[cfg(target_os = "linux")]
pub fn cores() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let is_first_of_core = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let siblings = std::fs::read_to_string(path).unwrap_or_default();
        !parse_list(&siblings).any(|sibling| sibling < cpu && sibling < LIMIT && allowed.is_set(sibling))
    };
    (0..LIMIT).filter(|&cpu| allowed.is_set(cpu) && is_first_of_core(cpu)).collect()
}

/// Processors that an affinity mask can name.
#[cfg(target_os = "linux")]
const LIMIT: usize = rustix::thread::CpuSet::MAX_CPU;

/// The numbers of a list such as `0-3,8`.
#[cfg(target_os = "linux")]
fn parse_list(text: &str) -> impl Iterator<Item = usize> {
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?.min(LIMIT))
        })
        .flatten()
}

/// One logical processor of each physical core; not known here.
#[cfg(not(target_os = "linux"))]
pub fn cores() -> Vec<usize> {
    (0..available()).collect()
}

/// Keeps this thread on one logical processor.
#[cfg(target_os = "linux")]
pub fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    // A system that forbids it schedules the thread as it likes.
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// Does nothing: this system places threads itself.
#[cfg(not(target_os = "linux"))]
pub fn pin(_cpu: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse_list("0-3,8\n").collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list("").count(), 0);
        assert_eq!(parse_list("x,4-z,5").collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn there_is_a_core_for_the_default_threads() {
        assert!(default_threads() >= 1);
        assert!(cores().len() <= LIMIT);
    }
}
