// Puts the anvil binary for this machine into node_modules/@foundry-rs/, at the version that
// package.json pins.
//
// The package `@foundry-rs/anvil` would choose the platform by itself, but its platform packages are
// optional and ask for Node 20, so that on Node 18 npm leaves them out without a word. The binary
// does not need Node at all. So the archive is fetched by name, compared with the pinned hash where
// there is one (npm compares it with the registry's in any case), and unpacked.

import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const { version, integrity } = JSON.parse(fs.readFileSync(path.join(here, "package.json"), "utf8")).anvil;
const platform = `${process.platform}-${{ x64: "amd64", arm64: "arm64" }[process.arch] ?? process.arch}`;
const folder = path.join(here, "node_modules", "@foundry-rs", `anvil-${platform}`);

if (!installed()) install();

function installed() {
  try {
    const { version: found } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
    return found === version && fs.existsSync(path.join(folder, "bin", "anvil"));
  } catch {
    return false;
  }
}

function install() {
  const known = ["darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64"];
  if (!known.includes(platform)) {
    fail(`there is no anvil package for ${platform}; install Foundry's anvil ${version} and put it on the PATH`);
  }
  const work = `${folder}.part`;
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { recursive: true });
  const name = `@foundry-rs/anvil-${platform}@${version}`;
  try {
    execFileSync("npm", ["pack", "--silent", name], { cwd: work, stdio: ["ignore", "ignore", "inherit"] });
  } catch {
    fail(`npm could not fetch ${name}; try again, or put anvil ${version} on the PATH`);
  }
  const archive = path.join(work, fs.readdirSync(work).find((file) => file.endsWith(".tgz")));
  const hash = `sha512-${crypto.createHash("sha512").update(fs.readFileSync(archive)).digest("base64")}`;
  if (integrity[platform] !== undefined && integrity[platform] !== hash) {
    fail(`${name} has the hash ${hash}, but package.json pins ${integrity[platform]}`);
  }
  execFileSync("tar", ["-xzf", archive, "-C", work, "--strip-components=1"]);
  fs.rmSync(archive);
  fs.chmodSync(path.join(work, "bin", "anvil"), 0o755);
  // The folder appears whole or not at all.
  fs.rmSync(folder, { recursive: true, force: true });
  fs.renameSync(work, folder);
}

function fail(why) {
  console.error(`anvil: ${why}`);
  process.exit(1);
}
