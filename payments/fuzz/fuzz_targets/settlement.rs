#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| marque_payments_fuzz::settlement(data));
