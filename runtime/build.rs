//! Leaves the names of functions out of the program that is deployed: they are a fifth of its size.
//! A panic still says its file and line.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bin=seg-runtime=-Wl,--strip-all");
    }
}
