//! Where anvil is: named, on the PATH, or where `make setup` puts it.

use super::DevnetError;
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Names the program outright.
const VARIABLE: &str = "MARQUE_ANVIL";

/// Where npm puts the program's platform packages, below the repository's root.
const PACKAGES: &str = "contracts/node_modules/@foundry-rs";

/// The anvil to run.
pub(super) fn anvil() -> Result<PathBuf, DevnetError> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(DevnetError::NotAProgram(named)) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("anvil"));
    let places = [env::current_dir().ok(), env::current_exe().ok()];
    on_path
        .chain(places.iter().flatten().flat_map(|place| installed_above(place)))
        .find(|candidate| candidate.is_file())
        .ok_or(DevnetError::NoAnvil)
}

/// The platform packages below `place` and its ancestors.
fn installed_above(place: &Path) -> impl Iterator<Item = PathBuf> {
    place
        .ancestors()
        .filter_map(|folder| fs::read_dir(folder.join(PACKAGES)).ok())
        .flat_map(|entries| entries.flatten())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_package_is_found_from_a_folder_far_below() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join(PACKAGES).join("anvil-linux-amd64/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.path().join(PACKAGES).join("forge-linux-amd64/bin")).unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        let found: Vec<_> = installed_above(&root.path().join("a/b/c")).collect();
        assert_eq!(found, [bin.join("anvil")]);
    }
}
