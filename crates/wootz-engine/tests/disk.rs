//! The cache on disk: what was stored comes back whole or not at all, whatever happened to the files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use wootz_engine::{BlockKey, DiskCache, DiskSettings, Stored};

const PAGE: usize = 96;
/// Bytes that a block of so few takes on disk.
const BLOCK: u64 = 4096;
const MODEL: [u8; 32] = [3; 32];

fn key(number: u64) -> BlockKey {
    BlockKey::root(&number.to_le_bytes())
}

fn page(number: u64) -> Vec<u8> {
    (0..PAGE as u64).map(|place| (number * 31 + place * 7) as u8).collect()
}

fn settings(folder: &Path, blocks: u64) -> DiskSettings {
    DiskSettings { folder: folder.to_owned(), bytes: blocks * BLOCK, model: MODEL }
}

fn open(folder: &Path, blocks: u64) -> DiskCache {
    DiskCache::open(&settings(folder, blocks), PAGE, || ()).unwrap()
}

/// A folder with these blocks, written by a cache that is closed.
fn with_blocks(numbers: impl IntoIterator<Item = u64>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1000);
    for number in numbers {
        assert_eq!(cache.store(key(number), page(number)), Stored::Queued);
    }
    folder
}

fn fetch(cache: &DiskCache, number: u64) -> Option<Vec<u8>> {
    cache.fetch(key(number));
    cache.flush();
    let mut arrived = cache.fetched();
    assert_eq!(arrived.len(), 1);
    let (arrived_key, page) = arrived.remove(0);
    assert_eq!(arrived_key, key(number));
    page
}

fn model_folder(folder: &Path) -> PathBuf {
    folder.join(format!("kv-{}", "03".repeat(16)))
}

fn file(folder: &Path, number: u64) -> PathBuf {
    model_folder(folder).join(key(number).to_string())
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(model_folder(folder)).unwrap().count()
}

#[test]
fn a_restart_finds_every_block_that_was_queued() {
    let folder = with_blocks(0..200);
    let cache = open(folder.path(), 1000);
    assert_eq!((cache.statistics().blocks, cache.statistics().bytes), (200, 200 * BLOCK));
    for number in 0..200 {
        assert!(cache.contains(&key(number)));
        assert_eq!(fetch(&cache, number), Some(page(number)));
    }
    assert!(!cache.contains(&key(200)));
    assert_eq!(fetch(&cache, 200), None);
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.corrupt), (200, 1, 0));
    assert_eq!(cache.store(key(7), page(7)), Stored::Known);
}

#[test]
fn a_block_can_be_fetched_while_it_waits_and_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let woken = Arc::new(AtomicU64::new(0));
    let count = woken.clone();
    let wake = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let cache = DiskCache::open(&settings(folder.path(), 1000), PAGE, wake).unwrap();
    (0..50).for_each(|number| assert_eq!(cache.store(key(number), page(number)), Stored::Queued));
    (0..50).chain(0..50).for_each(|number| cache.fetch(key(number)));
    cache.flush();
    let arrived: HashMap<_, _> = cache.fetched().into_iter().collect();
    assert!((0..50).all(|number| arrived[&key(number)] == Some(page(number))));
    assert!(cache.fetched().is_empty());
    assert!((50..=100).contains(&woken.load(Ordering::Relaxed)));
}

#[test]
fn a_file_of_any_other_length_is_no_block() {
    let folder = with_blocks([1]);
    let whole = std::fs::read(file(folder.path(), 1)).unwrap();
    let longer = whole.len() + 1;
    for length in (0..whole.len()).chain([longer]) {
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        // Found at the start, and found when it is read.
        std::fs::write(file(folder.path(), 1), &bytes).unwrap();
        let cache = open(folder.path(), 1000);
        assert_eq!((cache.contains(&key(1)), cache.statistics().corrupt), (false, 1), "{length}");
        std::fs::write(file(folder.path(), 1), &bytes).unwrap();
        assert_eq!(fetch(&cache, 1), None, "{length}");
        assert_eq!(cache.statistics().corrupt, 2, "{length}");
        assert!(!file(folder.path(), 1).exists());
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_the_block_can_be_stored_again() {
    let folder = with_blocks([1]);
    let whole = std::fs::read(file(folder.path(), 1)).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(file(folder.path(), 1), &bytes).unwrap();
        let cache = open(folder.path(), 1000);
        assert!(cache.contains(&key(1)));
        assert_eq!(fetch(&cache, 1), None, "{place}");
        assert_eq!(cache.statistics().corrupt, 1);
        assert!(!cache.contains(&key(1)) && !file(folder.path(), 1).exists());
        assert_eq!(cache.store(key(1), page(1)), Stored::Queued);
        assert_eq!(fetch(&cache, 1), Some(page(1)));
    }
}

#[test]
fn a_block_under_the_name_of_another_is_found() {
    let folder = with_blocks([1, 2]);
    std::fs::copy(file(folder.path(), 1), file(folder.path(), 2)).unwrap();
    let cache = open(folder.path(), 1000);
    assert_eq!(fetch(&cache, 2), None);
    assert_eq!(fetch(&cache, 1), Some(page(1)));
    assert_eq!(cache.statistics().corrupt, 1);
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_others_put_there_is_not() {
    let folder = with_blocks([1, 2]);
    let inside = model_folder(folder.path());
    let old = inside.join("writing-1-2-3");
    std::fs::write(&old, [1; 50]).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::open(&old).unwrap().set_modified(hour_ago).unwrap();
    let fresh = inside.join("writing-1-2-4");
    std::fs::write(&fresh, [1; 50]).unwrap();
    let foreign = [inside.join("notes.txt"), folder.path().join("letter"), folder.path().join("kv-mine")];
    foreign.iter().for_each(|path| std::fs::write(path, "dear me").unwrap());
    let cache = open(folder.path(), 1000);
    assert_eq!(cache.statistics().blocks, 2);
    assert!(!old.exists() && fresh.exists());
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(fetch(&cache, 2), Some(page(2)));
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let folder = with_blocks([1]);
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("precious");
    std::fs::copy(file(folder.path(), 1), &target).unwrap();
    std::fs::remove_file(file(folder.path(), 1)).unwrap();
    std::os::unix::fs::symlink(&target, file(folder.path(), 1)).unwrap();
    // A model's folder that is a link to files with the right names.
    let other = folder.path().join(format!("kv-{}", "05".repeat(16)));
    std::fs::write(outside.path().join(key(9).to_string()), [0; 5000]).unwrap();
    std::os::unix::fs::symlink(outside.path(), &other).unwrap();
    let cache = open(folder.path(), 1);
    assert_eq!(cache.statistics().blocks, 0);
    assert_eq!(fetch(&cache, 1), None);
    assert_eq!(cache.store(key(1), page(1)), Stored::Queued);
    assert_eq!(fetch(&cache, 1), Some(page(1)));
    assert!(target.exists() && outside.path().join(key(9).to_string()).exists());
    drop(cache);
    // The own model's folder.
    std::fs::remove_dir_all(model_folder(folder.path())).unwrap();
    std::os::unix::fs::symlink(outside.path(), model_folder(folder.path())).unwrap();
    let refused = DiskCache::open(&settings(folder.path(), 10), PAGE, || ()).unwrap_err().to_string();
    assert!(refused.contains("can't hold pages"), "{refused}");
}

#[test]
fn the_cap_holds_and_the_least_recently_used_go_first_across_restarts() {
    let folder = with_blocks(0..20);
    for (number, seconds) in (0..20).zip(0..) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        std::fs::File::open(file(folder.path(), number)).unwrap().set_modified(time).unwrap();
    }
    let cache = open(folder.path(), 1000);
    assert_eq!(fetch(&cache, 3), Some(page(3)));
    assert_eq!(cache.store(key(5), page(5)), Stored::Known);
    drop(cache);
    let cache = open(folder.path(), 6);
    assert_eq!((cache.statistics().blocks, cache.statistics().evicted), (6, 14));
    let kept: Vec<u64> = (0..20).filter(|number| cache.contains(&key(*number))).collect();
    assert_eq!(kept, [3, 5, 16, 17, 18, 19]);
    cache.store(key(30), page(30));
    cache.flush();
    assert!(!cache.contains(&key(16)) && cache.contains(&key(30)));
    assert_eq!(files(folder.path()), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against a list: whatever is stored, fetched and touched in whichever way, the blocks that were used last are those
    /// that a smaller cache finds after a restart.
    #[test]
    fn the_order_of_use_outlives_a_restart(
        actions in prop::collection::vec((0_u8..5, 0_u64..12), 1..60), flushes: bool, left in 1_u64..12,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = open(folder.path(), 1000);
        let mut order: Vec<u64> = Vec::new();
        for (action, number) in actions {
            let known = order.contains(&number);
            match action {
                0 if !known => {
                    prop_assert_eq!(cache.store(key(number), page(number)), Stored::Queued);
                    cache.flush();
                }
                0 | 1 if known => prop_assert_eq!(cache.store(key(number), page(number)), Stored::Known),
                2 => prop_assert_eq!(cache.touch(&key(number)), known),
                3 => prop_assert_eq!(fetch(&cache, number).is_some(), known),
                4 => {
                    drop(cache);
                    cache = open(folder.path(), 1000);
                    continue;
                }
                _ => continue,
            }
            if known {
                order.retain(|&other| other != number);
            }
            if known || action == 0 {
                order.push(number);
            }
            if flushes {
                cache.flush();
            }
        }
        drop(cache);
        let cache = open(folder.path(), left);
        let kept = order.split_off(order.len().saturating_sub(left as usize));
        for number in 0..12 {
            prop_assert_eq!(cache.contains(&key(number)), kept.contains(&number), "{} of {:?}", number, kept);
        }
    }
}

#[test]
fn other_models_blocks_count_and_go_too() {
    let folder = with_blocks(0..5);
    let other = DiskSettings { model: [4; 32], ..settings(folder.path(), 8) };
    let cache = DiskCache::open(&other, 2 * PAGE, || ()).unwrap();
    assert!(!cache.contains(&key(1)));
    assert_eq!(cache.statistics().blocks, 5);
    for number in 0..6 {
        cache.store(key(number), [page(number), page(number)].concat());
        cache.flush();
    }
    assert_eq!((cache.statistics().blocks, cache.statistics().evicted), (8, 3));
    assert_eq!(files(folder.path()), 2);
}

#[test]
fn nothing_is_stored_in_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 0);
    assert_eq!(cache.store(key(1), page(1)), Stored::Full);
    assert_eq!((cache.statistics().dropped, cache.statistics().blocks), (1, 0));
}

#[test]
fn an_error_pauses_writing_and_a_folder_that_is_gone_is_made_again() {
    let folder = with_blocks([1]);
    let cache = open(folder.path(), 1000);
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!(cache.store(key(2), page(2)), Stored::Queued);
    cache.flush();
    assert_eq!((cache.statistics().errors, cache.statistics().paused), (1, true));
    assert_eq!(fetch(&cache, 1), None);
    let mut paused = 0;
    while cache.store(key(3), page(3)) == Stored::Paused {
        paused += 1;
    }
    cache.flush();
    assert_eq!((paused, cache.statistics().dropped), (64, 65));
    assert_eq!(fetch(&cache, 3), Some(page(3)));
    assert_eq!((cache.statistics().errors, cache.statistics().blocks), (1, 1));
}

#[test]
fn a_folder_that_can_not_be_made_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let inside = folder.path().join("file/kv");
    let message = DiskCache::open(&settings(&inside, 10), PAGE, || ()).unwrap_err().to_string();
    assert!(message.contains("file/kv") && message.contains("name another"), "{message}");
}

#[test]
fn two_caches_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let caches = [open(folder.path(), 1000), open(folder.path(), 1000)];
    std::thread::scope(|scope| {
        for cache in &caches {
            scope.spawn(|| {
                for number in 0..100 {
                    cache.store(key(number), page(number));
                }
                cache.flush();
            });
        }
    });
    for cache in &caches {
        for number in 0..100 {
            assert_eq!(fetch(cache, number), Some(page(number)));
        }
    }
    // One that evicts takes nothing but a chance from the other.
    let small = open(folder.path(), 10);
    assert_eq!(small.statistics().blocks, 10);
    let left = (0..100).filter(|number| fetch(&caches[0], *number).is_some()).count();
    assert_eq!(left, 10);
    let statistics = caches[0].statistics();
    assert_eq!((statistics.corrupt, statistics.errors, statistics.blocks), (0, 0, 10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is stored, fetched, damaged and restarted: a page is right or absent, and the folder is within its cap.
    #[test]
    fn pages_are_right_or_absent(
        cap in 1_u64..12,
        actions in prop::collection::vec((0_u8..5, 0_u64..16, any::<prop::sample::Index>()), 1..60),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = open(folder.path(), cap);
        for (action, number, place) in actions {
            match action {
                0 | 1 => {
                    cache.store(key(number), page(number));
                }
                2 => {
                    let known = cache.contains(&key(number));
                    let found = fetch(&cache, number);
                    prop_assert!(found.is_none() || known);
                    prop_assert!(found.is_none_or(|found| found == page(number)));
                }
                3 => {
                    cache.flush();
                    if let Ok(mut bytes) = std::fs::read(file(folder.path(), number)) {
                        let place = place.index(bytes.len());
                        match place % 2 {
                            0 => bytes[place] ^= 0x40,
                            _ => bytes.truncate(place),
                        }
                        std::fs::write(file(folder.path(), number), bytes).unwrap();
                    }
                }
                _ => {
                    drop(cache);
                    cache = open(folder.path(), cap);
                }
            }
            cache.flush();
            prop_assert!(files(folder.path()) as u64 <= cap);
            prop_assert!(cache.statistics().bytes <= cap * BLOCK);
            prop_assert_eq!(cache.statistics().queued_bytes, 0);
        }
    }
}
