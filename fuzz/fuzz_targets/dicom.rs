#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    seg_fuzz::dicom(bytes);
});
