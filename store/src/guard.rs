//! Calls into a backend that may panic: the panic becomes a text, and the process's panic hook is
//! not bothered with it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call`; the message of its panic is the error.
///
/// What `call` leaves behind is not looked at again by [`crate::checked::Checked`], which is why
/// it may be taken for unwind safe.
pub(crate) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    quieten();
    let before = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(before);
    result.map_err(|panic| message(panic.as_ref()))
}

/// Puts a hook before the present one, once, that keeps quiet about guarded calls of its own
/// thread and passes everything else on.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                next(info);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let error = guard(|| panic!("at byte {}", 7)).unwrap_err();
        assert_eq!(error, "it panicked: at byte 7");
    }

    #[test]
    fn the_hook_hears_of_panics_outside_the_guard_only() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static HEARD: AtomicU32 = AtomicU32::new(0);
        let heard = || HEARD.load(Ordering::SeqCst);
        guard(|| ()).unwrap();
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() && info.payload_as_str() == Some("mark") {
                HEARD.fetch_add(1, Ordering::SeqCst);
            } else {
                next(info);
            }
        }));
        guard(|| panic!("mark")).unwrap_err();
        assert_eq!(heard(), 0);
        std::thread::spawn(|| panic!("mark")).join().unwrap_err();
        assert_eq!(heard(), 1);
    }
}
