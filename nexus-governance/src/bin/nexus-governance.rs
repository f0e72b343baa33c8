//! The command `nexus-governance`: see `nexus-governance --help`.

fn main() -> std::process::ExitCode {
    nexus_governance::cli::main()
}
