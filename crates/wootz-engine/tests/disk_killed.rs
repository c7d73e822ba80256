//! A process that is killed while it writes leaves a folder in which every block is whole or absent.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use wootz_engine::{BlockKey, DiskCache, DiskSettings, Stored};

/// Large enough that a kill often hits the middle of a file.
const PAGE: usize = 1 << 18;
/// Set for the process that writes: the folder.
const FOLDER: &str = "WOOTZ_TEST_DISK_FOLDER";

fn open(folder: &Path) -> DiskCache {
    let settings = DiskSettings { folder: folder.to_owned(), bytes: 1 << 30, model: [1; 32] };
    DiskCache::open(&settings, PAGE, || ()).unwrap()
}

fn key(number: u64) -> BlockKey {
    BlockKey::root(&number.to_le_bytes())
}

fn page(number: u64) -> Vec<u8> {
    (0..PAGE as u64).map(|place| (number * 31 + place * 7 + place / 251) as u8).collect()
}

/// Writes blocks and says which are certain to be on disk, until it is killed. No test of its own: the other starts it.
#[test]
#[ignore = "the writing process of the other test"]
fn write_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let cache = open(Path::new(&folder));
    for number in 0..2000 {
        let _ = cache.store(key(number), page(number));
        if number % 5 == 0 {
            cache.flush();
            println!("\nwritten up to {number}");
        }
    }
}

#[test]
fn a_kill_in_the_middle_of_writing_leaves_whole_blocks_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut certain = 0;
    for round in 1..=8 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "write_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut numbers = lines.filter_map(|line| line.ok()?.strip_prefix("written up to ")?.parse().ok());
        // Some that are known from the last round, then new ones; the kill comes while the next ones are written.
        let wanted = 20 * round;
        certain = numbers.find(|number: &u64| *number >= wanted).unwrap();
        writer.kill().unwrap();
        writer.wait().unwrap();

        let cache = open(folder.path());
        for number in 0..2000 {
            let known = cache.contains(&key(number));
            assert!(known || number > certain, "block {number} was written and is gone");
            if known {
                cache.fetch(key(number));
                cache.flush();
                assert_eq!(cache.fetched().pop().unwrap().1, Some(page(number)), "block {number}");
            }
        }
        assert_eq!(cache.statistics().corrupt, 0);
    }
    assert_eq!(open(folder.path()).store(key(certain), page(certain)), Stored::Known);
}
