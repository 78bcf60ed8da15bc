//! A binary of ours as a process, with nothing of the environment that would change what it does.

use std::process::Command;

pub(crate) fn command(binary: &str) -> Command {
    let mut command = Command::new(binary);
    for variable in omni_llm::config::variables() {
        command.env_remove(variable.name);
    }
    command.env_remove("OMNI_CONFIG").env("NO_PROXY", "127.0.0.1");
    command
}
