//! The program under test: the same one line as `keel`.
fn main() -> std::process::ExitCode {
    keel::main()
}
