//! The program.
fn main() -> std::process::ExitCode {
    keel::main()
}
