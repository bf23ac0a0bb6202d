//! The Dockerfiles in BuildKit, which is what `docker build` runs. The base images come from folders in OCI's layout, as named
//! contexts; the settings that lead go to the proxy are variables of these images, so that the recipe need not be touched.

use std::fs;
use std::path::{Path, PathBuf};

use gofix::faultproxy::FaultProxy;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Line, Place, plain, project, proxy, recipe, three_times};
use crate::support::wait::wait_until;
use crate::support::{Outcome, Run, Running, Sandbox};

/// A buildkitd in the network namespace of this process. What it has unpacked stays for the next test.
pub(super) struct BuildKit {
    folder: PathBuf,
    address: String,
    daemon: Option<Running>,
}

impl BuildKit {
    /// None where there is none on this machine; that is said.
    pub(super) fn start(sandbox: &Sandbox) -> Option<Self> {
        let place = Place::prepared().filter(|place| place.has("buildkit"))?;
        let folder = place.0.join("buildkit");
        let log = fs::File::create(folder.join("log")).unwrap();
        let address = format!("unix://{}", sandbox.path("socket").display());
        let mut run = sandbox
            .run(folder.join("bin/buildkitd"))
            .args(["--addr", &address])
            .args(["--config".into(), folder.join("buildkitd.toml")])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run.command.stdout(log.try_clone().unwrap()).stderr(log);
        let kit = Self {
            folder,
            address,
            daemon: Some(Running::of(run)),
        };
        wait_until(|| kit.ctl(sandbox, &["debug", "workers"]).output().status.success());
        Some(kit)
    }

    fn ctl(&self, sandbox: &Sandbox, words: &[&str]) -> Run {
        sandbox
            .run(self.folder.join("bin/buildctl"))
            .args(["--addr", &self.address])
            .args(words)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// What leads go to the proxy of a test.
    pub(super) fn settings(proxy: &FaultProxy) -> Vec<String> {
        vec![
            format!("GOPROXY={}", proxy.url()),
            "GOSUMDB=off".to_owned(),
            "GOFIX_STALL_MS=1500".to_owned(),
        ]
    }

    /// `docker build` of the project, with nothing in the caches.
    pub(super) fn build(&self, sandbox: &Sandbox, settings: &[String], dockerfile: &str) -> Outcome {
        let cleared = self
            .ctl(sandbox, &["prune", "--filter", "type==exec.cachemount"])
            .output();
        assert!(cleared.status.success(), "{cleared}");
        let file = sandbox.path("dockerfile");
        fs::create_dir_all(&file).unwrap();
        fs::write(file.join("Dockerfile"), dockerfile).unwrap();
        fs::write(sandbox.path("netrc"), "machine example.com login a password b\n").unwrap();
        let mut words = vec![
            format!("--local=context={}", sandbox.project().display()),
            format!("--local=dockerfile={}", file.display()),
            format!("--secret=id=netrc,src={}", sandbox.path("netrc").display()),
        ];
        let layouts = self.folder.join("layouts");
        for image in fs::read_dir(&layouts).unwrap() {
            let layout = image.unwrap().path();
            let name = fs::read_to_string(layout.join("name")).unwrap();
            let store = layout.file_name().unwrap().display();
            words.push(format!("--oci-layout={store}={}", layout.display()));
            words.push(format!(
                "--opt=context:{}=oci-layout://{store}@{}",
                name.trim(),
                with_settings(&layout, settings)
            ));
        }
        self.ctl(
            sandbox,
            &[
                "build",
                "--progress=plain",
                "--no-cache",
                "--frontend=dockerfile.v0",
            ],
        )
        .args(words)
        .output()
    }
}

impl Drop for BuildKit {
    /// Killed, it would leave its mounts.
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(Signal::SIGTERM);
            daemon.wait();
        }
    }
}

/// The image of a layout with more variables: its layers as they are. Gives the digest of the new one.
fn with_settings(layout: &Path, settings: &[String]) -> String {
    let blob = |digest: &Value| {
        layout
            .join("blobs/sha256")
            .join(&digest.as_str().unwrap()["sha256:".len()..])
    };
    let read = |file: PathBuf| serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap();
    let store = |value: &Value| {
        let bytes = value.to_string();
        let hash = ring::digest::digest(&ring::digest::SHA256, bytes.as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = json!(format!("sha256:{hex}"));
        fs::write(blob(&digest), &bytes).unwrap();
        (digest, bytes.len())
    };
    let index = read(layout.join("index.json"));
    let mut manifest = read(blob(&index["manifests"][0]["digest"]));
    let mut config = read(blob(&manifest["config"]["digest"]));
    let variables = config["config"]["Env"].as_array().into_iter().flatten().cloned();
    config["config"]["Env"] = variables
        .chain(settings.iter().map(|setting| json!(setting)))
        .collect();
    let (digest, size) = store(&config);
    manifest["config"]["digest"] = digest;
    manifest["config"]["size"] = json!(size);
    store(&manifest).0.as_str().unwrap().to_owned()
}

fn dockerfile(name: &str) {
    let sandbox = Sandbox::new();
    let Some(kit) = BuildKit::start(&sandbox) else {
        return;
    };
    let text = recipe(name);
    three_times(&format!("BuildKit, {name}"), &|sandbox, proxy, with_gofix| {
        let text = if with_gofix { text.clone() } else { plain(&text) };
        kit.build(sandbox, &BuildKit::settings(proxy), &text)
    });
}

#[test]
fn the_line_in_a_dockerfile() {
    dockerfile("docker");
}

#[test]
fn the_line_for_other_images() {
    dockerfile("docker-other");
}

#[test]
fn cache_mounts_and_secrets() {
    dockerfile("docker-mounts");
}

/// The rows of docs/ci.md that buildah cannot carry out here, and a heredoc.
#[test]
fn what_goes_together_with_the_line() {
    let sandbox = project(Line::Healthy);
    let Some(kit) = BuildKit::start(&sandbox) else {
        return;
    };
    let proxy = proxy(Line::Healthy);
    let head = "FROM golang:1.26-bookworm\nCOPY --from=owner/gofix /golang/ /\nWORKDIR /app\nCOPY . .\n";
    let build = |goproxy: &str, run: &str| {
        let settings = [format!("GOPROXY={goproxy}"), "GOSUMDB=off".to_owned()];
        kit.build(&sandbox, &settings, &format!("{head}{run}"))
    };

    let heredoc = "RUN <<EOF\nset -e\ngo mod download\ngo vet ./...\nEOF\n";
    let outcome = build(proxy.url(), heredoc);
    assert!(outcome.status.success(), "{outcome}");

    // go's own words, and none of gofix's: nothing was run twice, and nothing was waited for.
    let outcome = build(
        "https://proxy.golang.org",
        "RUN --network=none go mod download || test $? = 1 && echo as \"$?\"\n",
    );
    assert!(
        outcome.stderr.contains("dial tcp: lookup proxy.golang.org"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("as 0"), "{outcome}");

    let hidden = "RUN --mount=type=cache,target=/go command -v go && go mod download\n";
    let outcome = build(proxy.url(), hidden);
    assert!(outcome.status.success(), "{outcome}");
    assert!(outcome.stderr.contains(" /usr/local/go/bin/go\n"), "{outcome}");
}
