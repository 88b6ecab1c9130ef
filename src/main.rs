//! The `efficientllm` program: see `efficientllm::cli`.
use efficientllm::base::allocator::LineAllocator;
use efficientllm::base::output::LossyStderr;
use std::io::IsTerminal;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: LineAllocator = LineAllocator;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
                .from_env_lossy(),
        )
        .with_writer(|| LossyStderr)
        // Colour codes are for a terminal; in a log file they are rubbish.
        .with_ansi(
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        )
        .without_time()
        .with_target(false)
        .init();
    ExitCode::from(efficientllm::cli::main(std::env::args_os()))
}
