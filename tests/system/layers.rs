//! The house has layers: a crate depends only on crates in layers below it, and the mind's crates
//! link nothing that signs.

use std::{collections::BTreeMap, path::Path};

/// Layer and the workspace crates of normal and build dependencies, read from the manifests.
fn crates() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = |path: &Path| -> toml::Table {
        std::fs::read_to_string(path.join("Cargo.toml")).unwrap().parse().unwrap()
    };
    let workspace = manifest(root);
    let members = workspace["workspace"]["members"].as_array().unwrap().clone();
    let folders = members.iter().map(|m| root.join(m.as_str().unwrap()));
    std::iter::once(root.to_owned())
        .chain(folders)
        .map(|folder| {
            let manifest = manifest(&folder);
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            let ours = ["dependencies", "build-dependencies"]
                .iter()
                .filter_map(|kind| manifest.get(*kind)?.as_table())
                .flat_map(|table| table.keys().cloned())
                .filter(|name| name.starts_with("marque"))
                .collect();
            (name, ours)
        })
        .collect()
}

fn layer(name: &str) -> u8 {
    match name {
        "marque" => 6,
        "marque-tools" => 5,
        "marque-agent-core" | "marque-compute" => 4,
        "marque-payments" => 3,
        "marque-steward" => 2,
        "marque-identity" | "marque-identity-keys" | "marque-steward-client" => 1,
        "marque-contracts" | "marque-policies" | "marque-models" | "marque-net"
        | "marque-store" | "marque-store-files" | "marque-macros" => 0,
        other => panic!("{other} has no layer: give it one here and in docs/architecture.md"),
    }
}

#[test]
fn a_crate_depends_only_on_crates_in_layers_below_it() {
    for (name, dependencies) in crates() {
        for dependency in dependencies {
            assert!(
                layer(&dependency) < layer(&name),
                "{name} (layer {}) depends on {dependency} (layer {})",
                layer(&name),
                layer(&dependency)
            );
        }
    }
}

#[test]
fn only_the_steward_and_the_root_link_a_signer() {
    for (name, dependencies) in crates() {
        let may = matches!(name.as_str(), "marque" | "marque-steward");
        assert!(
            may || !dependencies.iter().any(|d| d == "marque-identity-keys"),
            "{name} links a signer"
        );
        assert!(
            name == "marque" || !dependencies.iter().any(|d| d == "marque-steward"),
            "{name} links the steward; it should link steward/client"
        );
    }
}
