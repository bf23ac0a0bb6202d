//! The feature for development containers, as its specification's own tool builds and starts them, with podman.

use std::fs;

use gofix::faultproxy::FaultProxy;
use serde_json::{Value, json};

use super::{Place, document, recipe, three_times};
use crate::support::{Outcome, Run, Sandbox};

/// Two things differ from how people use it. The feature comes from this repository with a release beside it, and not from a
/// registry; so its word on the order of features is taken out, for which the tool would ask the registry of the other one.
fn bring_feature(place: &Place, sandbox: &Sandbox) {
    let folder = sandbox.project().join(".devcontainer/gofix");
    fs::create_dir_all(folder.join("release")).unwrap();
    for file in fs::read_dir(place.0.join("release")).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            fs::copy(&file, folder.join("release").join(file.file_name().unwrap())).unwrap();
        }
    }
    let install = document("packaging/devcontainer/gofix/install.sh");
    fs::write(folder.join("install.sh"), install).unwrap();
    let feature = document("packaging/devcontainer/gofix/devcontainer-feature.json");
    let mut feature: Value = serde_json::from_str(&feature).unwrap();
    feature.as_object_mut().unwrap().remove("installsAfter").unwrap();
    fs::write(folder.join("devcontainer-feature.json"), feature.to_string()).unwrap();
}

/// The tool, for the project of the sandbox.
fn tool(place: &Place, sandbox: &Sandbox, command: &str) -> Run {
    sandbox
        .run(place.0.join("bin/devcontainer"))
        .args([command])
        .args(["--docker-path".into(), place.0.join("bin/podman")])
        .args(["--workspace-folder".into(), sandbox.project()])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CONTAINERS_CONF", place.0.join("containers.conf"))
}

/// Starts the container of the recipe, with the feature or without, and runs a script in it.
fn inside(place: &Place, sandbox: &Sandbox, proxy: &FaultProxy, with_gofix: bool, script: &str) -> Outcome {
    let mut settings: Value = serde_json::from_str(&recipe("devcontainer")).unwrap();
    assert_eq!(settings["features"], json!({ "ghcr.io/owner/gofix/gofix:1": {} }));
    settings["features"] = match with_gofix {
        true => json!({ "./gofix": { "from": "release" } }),
        false => json!({}),
    };
    bring_feature(place, sandbox);
    sandbox.write(".devcontainer/devcontainer.json", settings.to_string());
    let up = tool(place, sandbox, "up").output();
    assert!(up.status.success(), "{up}");
    let outcome = tool(place, sandbox, "exec")
        .args(["--remote-env", &format!("GOPROXY={}", proxy.url())])
        .args(["--remote-env", "GOSUMDB=off"])
        .args(["--remote-env", "GOFIX_STALL_MS=1500"])
        .args(["sh", "-c", script])
        .output();
    let removed = sandbox
        .run(place.0.join("bin/podman"))
        .args(["rm", "--all", "--force", "--time", "0"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CONTAINERS_CONF", place.0.join("containers.conf"))
        .output();
    assert!(removed.status.success(), "{removed}");
    outcome
}

#[test]
fn the_feature() {
    let Some(place) = Place::prepared().filter(|place| place.has("devcontainer")) else {
        return;
    };
    three_times("devcontainer", &|sandbox, proxy, with_gofix| {
        let script = match with_gofix {
            true => {
                "bash -lc 'test \"$(command -v go)\" = /usr/local/lib/gofix/shims/go' && go mod download && go test ./..."
            }
            false => "timeout 10 go mod download",
        };
        inside(&place, sandbox, proxy, with_gofix, script)
    });
}
