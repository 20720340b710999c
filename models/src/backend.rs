//! What llama.cpp has once per process: its backend, its log, and one lock.
//!
//! llama.cpp reports a failed load as a null pointer; why it failed stands only in its log. The
//! log therefore goes to `tracing` and, for the thread that is loading, into a note that
//! [`noting_errors`] returns.
#![expect(unsafe_code, reason = "llama.cpp offers its log through a C callback only")]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_sys_2::ggml_log_level;

use crate::error::ModelError;

/// Held while a context is made: llama.cpp changes the model while it does so.
pub(crate) static CREATING_CONTEXT: Mutex<()> = Mutex::new(());

/// The backend of this process.
pub(crate) fn backend() -> Result<&'static LlamaBackend, ModelError> {
    check_processor(detected())?;
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    BACKEND
        .get_or_init(|| {
            // SAFETY: `forward` is a function without state that lives as long as the process,
            // and it reads nothing but the text that it is called with
            // (`a_file_that_is_no_model_gets_one_line_that_says_why`).
            unsafe { llama_cpp_sys_2::llama_log_set(Some(forward), std::ptr::null_mut()) };
            LlamaBackend::init().map_err(|error| error.to_string())
        })
        .as_ref()
        .map_err(|error| ModelError::Inference(format!("llama.cpp did not start: {error}")))
}

/// The instructions that llama.cpp is built to use (`exact::CLASS`), and whether this processor has
/// them. It would end the process with an illegal instruction where one is missing.
#[cfg(target_arch = "x86_64")]
fn detected() -> [(&'static str, bool); 4] {
    [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("F16C", is_x86_feature_detected!("f16c")),
        ("BMI2", is_x86_feature_detected!("bmi2")),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
const fn detected() -> [(&'static str, bool); 0] {
    []
}

/// Refuses a processor that lacks one of the instructions.
fn check_processor(
    detected: impl IntoIterator<Item = (&'static str, bool)>,
) -> Result<(), ModelError> {
    match detected.into_iter().find(|(_, there)| !there) {
        Some((missing, _)) => Err(ModelError::Processor(missing)),
        None => Ok(()),
    }
}

thread_local! {
    static FIRST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and returns with its result the first error that llama.cpp logged on this thread.
pub(crate) fn noting_errors<T>(work: impl FnOnce() -> T) -> (T, Option<String>) {
    FIRST_ERROR.take();
    let result = work();
    (result, FIRST_ERROR.take())
}

/// llama.cpp is talkative: only its errors are worth a warning, since callers get errors anyway.
///
/// # Safety
/// `text` is null, or a text that ends with a zero byte and stays as it is during the call.
unsafe extern "C" fn forward(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: it is not null, and llama.cpp promises what this function asks
    // (`a_file_that_is_no_model_gets_one_line_that_says_why`).
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    match level {
        llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR => {
            FIRST_ERROR.with_borrow_mut(|first| {
                first.get_or_insert_with(|| without_function_name(text).to_owned());
            });
            tracing::warn!(target: "llama_cpp", "{text}");
        }
        llama_cpp_sys_2::GGML_LOG_LEVEL_WARN => tracing::debug!(target: "llama_cpp", "{text}"),
        _ => tracing::trace!(target: "llama_cpp", "{text}"),
    }
}

/// `llama_model_load: error loading model: <reason>` is for people only from the reason on.
fn without_function_name(text: &str) -> &str {
    let text = match text.split_once(": ") {
        Some((function, rest)) if !function.contains(' ') => rest,
        _ => text,
    };
    text.strip_prefix("error loading model: ").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_starts_where_the_function_names_end() {
        let text = "llama_model_load: error loading model: unknown model architecture: 'x'";
        assert_eq!(without_function_name(text), "unknown model architecture: 'x'");
        assert_eq!(without_function_name("plain words: here"), "plain words: here");
    }

    #[test]
    fn an_older_processor_is_refused_in_one_line_that_names_what_it_lacks() {
        let haswell = ["AVX2", "FMA", "F16C", "BMI2"].map(|name| (name, true));
        check_processor(haswell).unwrap();
        for missing in ["AVX2", "FMA", "F16C", "BMI2"] {
            let older = haswell.map(|(name, _)| (name, name != missing));
            assert_eq!(
                check_processor(older).unwrap_err().to_string(),
                format!(
                    "this processor has no {missing}, which llama.cpp is built to use; build on \
                     this machine, or use another"
                )
            );
        }
        let oldest = haswell.map(|(name, _)| (name, false));
        assert!(matches!(check_processor(oldest), Err(ModelError::Processor("AVX2"))));
    }

    /// What llama.cpp was compiled with, by its own word.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn every_instruction_that_llama_cpp_is_built_with_is_looked_for() {
        backend().unwrap();
        // SAFETY: it returns a text that it keeps, and that ends with a zero byte
        // (`every_instruction_that_llama_cpp_is_built_with_is_looked_for`).
        let said = unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) };
        let said = said.to_str().unwrap();
        let known = detected().map(|(name, _)| name);
        // Each AVX2 has these.
        let implied = ["SSE3", "SSSE3", "AVX"];
        let used: Vec<_> = said
            .split('|')
            .flat_map(|part| part.rsplit(':').next())
            .filter_map(|part| part.trim().strip_suffix(" = 1"))
            .filter(|name| {
                name.starts_with("AVX") || name.starts_with("SS") || known.contains(name)
            })
            .collect();
        assert!(used.contains(&"AVX2") && used.contains(&"FMA"), "{said}");
        for name in used {
            assert!(known.contains(&name) || implied.contains(&name), "{name} of {said}");
        }
    }
}
