//! Running the program in a folder of its own.

use sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// The program with the settings that a simulated world on this machine needs.
pub(crate) fn flareward(folder: &Path, store_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flareward"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("FLAREWARD_DATA_DIR", folder)
        .env("FLAREWARD_STORE_URL", store_url)
        .env("FLAREWARD_EGRESS_ALLOW_HTTP", "true")
        .env("FLAREWARD_EGRESS_ALLOW_LOOPBACK", "true")
        .env("FLAREWARD_SYNC_INTERVAL_MINUTES", "0")
        .env("FLAREWARD_LOGS_PULL", "false")
        // The sandbox tells of a week; what of it lies in the last day depends on the hour.
        .env("FLAREWARD_LOGS_PULL_FIRST_HOURS", "200")
        .env("FLAREWARD_LOG", "warn");
    command
}

/// Runs to the end and answers what came; the arguments are split at spaces.
pub(crate) fn run(folder: &Path, store_url: &str, arguments: &str) -> Output {
    flareward(folder, store_url)
        .args(arguments.split(' '))
        .output()
        .unwrap()
}

/// Connects a sandbox under the label `corp`; answers what the program printed.
pub(crate) fn connect(folder: &Path, store_url: &str, sandbox: &Sandbox) -> Value {
    let info = sandbox.info();
    let output = flareward(folder, store_url)
        .args([
            "connect",
            "--label",
            "corp",
            "--account",
            &info.account_id,
            "--base-url",
            &info.base_url,
        ])
        .args(["-o", "json"])
        .env("CLOUDFLARE_API_TOKEN", &info.token)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A sandbox with a story and a clock that stands still.
pub(crate) async fn sandbox() -> Sandbox {
    Sandbox::start(SandboxConfig::default()).await.unwrap()
}

/// A server that is killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(folder: &Path, store_url: &str) -> Self {
        let mut command = flareward(folder, store_url);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        Self::of(command)
    }

    /// A server by a command that starts it.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server ends before it serves").unwrap();
            if let Some(rest) = line.strip_prefix("Flareward serves ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL: no handler runs.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
