//! Ctrl-C stops an answer; without one, the program.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::failure::Failure;

const IDLE: u8 = 0;
const ANSWERING: u8 = 1;
const INTERRUPTED: u8 = 2;

/// One for the process, as there is one Ctrl-C.
static STATE: AtomicU8 = AtomicU8::new(IDLE);

/// Takes over Ctrl-C. To be called once.
pub fn install() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        let answering =
            STATE.compare_exchange(ANSWERING, INTERRUPTED, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !answering {
            // Nothing to stop, or asked a second time: the program goes.
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::new(format!("cannot listen for Ctrl-C: {error}")))
}

/// While it lives, Ctrl-C is a wish to stop the answer.
#[derive(Debug)]
pub struct Answering(());

impl Answering {
    /// An answer begins.
    pub fn begin() -> Self {
        STATE.store(ANSWERING, Ordering::SeqCst);
        Self(())
    }

    /// Whether Ctrl-C was pressed since.
    pub fn interrupted(&self) -> bool {
        STATE.load(Ordering::SeqCst) == INTERRUPTED
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        STATE.store(IDLE, Ordering::SeqCst);
    }
}
