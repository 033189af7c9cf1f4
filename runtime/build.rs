//! Leaves the names of functions out of the program that is deployed: they are a fifth of its size.
//! A panic still says its file and line. Of several functions with the same code, one is kept.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bin=seg-runtime=-Wl,--strip-all");
    }
    // Here rustc links by lld, the linker that can do so.
    if env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bin=seg-runtime=-Wl,--icf=all");
    }
}
