//! llama.cpp called raw, in a tight loop: what the engine is measured beside.
#![expect(unsafe_code, reason = "the peer is llama.cpp through its raw interface")]

use std::ffi::CString;
use std::path::Path;

use llama_cpp_sys_2 as sys;

/// llama.cpp through its raw interface.
pub(crate) struct Raw(*mut sys::llama_model);

impl Raw {
    pub(crate) fn load(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is a text that ends with a zero byte; parameters are the library's own.
        let model = unsafe {
            sys::llama_log_set(Some(quiet), std::ptr::null_mut());
            sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params())
        };
        assert!(!model.is_null());
        Self(model)
    }

    pub(crate) fn context(&self, cells: u32) -> RawContext<'_> {
        // SAFETY: the model lives as long as `self`; nothing else makes a context meanwhile.
        let context = unsafe {
            let mut parameters = sys::llama_context_default_params();
            parameters.n_ctx = cells;
            parameters.n_batch = cells;
            parameters.n_threads = 1;
            parameters.n_threads_batch = 1;
            sys::llama_init_from_model(self.0, parameters)
        };
        assert!(!context.is_null());
        RawContext { context, model: self }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: made by `load`, and no context of it is left.
        unsafe { sys::llama_model_free(self.0) };
    }
}

pub(crate) struct RawContext<'a> {
    context: *mut sys::llama_context,
    model: &'a Raw,
}

impl RawContext<'_> {
    /// Evaluates tokens and takes the likeliest next one.
    pub(crate) fn evaluate(&mut self, tokens: &[i32]) -> i32 {
        let mut tokens = tokens.to_vec();
        // SAFETY: the batch points into `tokens` while it is used; the last token's logits are
        // computed, and there are as many of them as the vocabulary has entries.
        unsafe {
            let count = i32::try_from(tokens.len()).unwrap();
            let batch = sys::llama_batch_get_one(tokens.as_mut_ptr(), count);
            assert_eq!(sys::llama_decode(self.context, batch), 0);
            let vocabulary = sys::llama_model_get_vocab(self.model.0);
            let entries = sys::llama_vocab_n_tokens(vocabulary) as usize;
            let logits = sys::llama_get_logits_ith(self.context, -1);
            let logits = std::slice::from_raw_parts(logits, entries);
            let mut best = 0;
            for (token, logit) in logits.iter().enumerate() {
                if *logit > logits[best] {
                    best = token;
                }
            }
            best as i32
        }
    }
}

impl Drop for RawContext<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `context`, used by nobody any more.
        unsafe { sys::llama_free(self.context) };
    }
}

unsafe extern "C" fn quiet(
    _: sys::ggml_log_level,
    _: *const std::ffi::c_char,
    _: *mut std::ffi::c_void,
) {
}
