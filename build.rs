//! What the linker is told for a release: functions whose machine code is the same are kept once.
//!
//! Many are, for an operation is compiled for each type it stores. Not every linker knows how, so this is asked for by the
//! environment (`UPSAMPLE_RS_FOLD=1`, as the release workflow and `.ci/run` do) and never assumed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=UPSAMPLE_RS_FOLD");
    if std::env::var_os("UPSAMPLE_RS_FOLD").is_some_and(|v| v == "1") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--icf=all");
    }
}
