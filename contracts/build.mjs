// Compiles solidity/ into artifacts/, or with --check fails when the two differ.
//
// The output is a function of the sources and of the exact versions in package-lock.json: source
// names are relative, and no metadata hash is appended to the bytecode. So whoever does not trust
// an artifact compiles it again and compares.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = path.dirname(fileURLToPath(import.meta.url));
const contracts = [
  "AccountProxy",
  "IdentityRegistry",
  "Permit2",
  "RollingSpendEnforcer",
  "TestDollar",
  "X402ExactProxy",
  "X402UptoProxy",
];
// What is put at an address instead of being deployed: its code is kept as it runs.
const placed = ["Permit2", "X402ExactProxy", "X402UptoProxy"];
const settings = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 200 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

const { out, warnings } = compile();
for (const line of warnings) console.error(line);
const files = Object.fromEntries(contracts.flatMap((name) => artifacts(name, out)));
process.exitCode = process.argv.includes("--check") ? check(files) : write(files);

function compile() {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(
      fs.readdirSync(path.join(here, "solidity")).sort().map((name) => [name, { content: read(`solidity/${name}`) }]),
    ),
    settings: {
      ...settings,
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  };
  const found = (name) => ({ contents: read(path.join("node_modules", name)) });
  const missing = (name) => ({ error: `${name} is not in node_modules; run npm ci in contracts/` });
  const result = JSON.parse(
    solc.compile(JSON.stringify(input), {
      import: (name) => (fs.existsSync(path.join(here, "node_modules", name)) ? found(name) : missing(name)),
    }),
  );
  const messages = result.errors ?? [];
  const fatal = messages.filter(({ severity }) => severity === "error");
  if (fatal.length > 0) {
    for (const { formattedMessage } of fatal) console.error(formattedMessage.trimEnd());
    process.exit(1);
  }
  // What a compiler says of packages that are pinned helps nobody here.
  const ours = messages.filter(({ sourceLocation }) => !sourceLocation?.file.startsWith("@"));
  return { out: result.contracts, warnings: ours.map(({ formattedMessage }) => formattedMessage.trimEnd()) };
}

// What is kept of one contract: a JSON file for tools, and its plain code for Rust.
function artifacts(name, out) {
  const { abi, evm } = out[`${name}.sol`][name];
  const json = {
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
    compiler: { solc: solc.version(), ...settings },
  };
  return [
    [`artifacts/${name}.json`, Buffer.from(`${JSON.stringify(json, null, 2)}\n`)],
    placed.includes(name)
      ? [`artifacts/${name}.runtime.bin`, Buffer.from(evm.deployedBytecode.object, "hex")]
      : [`artifacts/${name}.bin`, Buffer.from(evm.bytecode.object, "hex")],
  ];
}

function write(files) {
  fs.mkdirSync(path.join(here, "artifacts"), { recursive: true });
  for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(here, name), content);
  return 0;
}

function check(files) {
  const differ = Object.entries(files)
    .filter(([name, content]) => {
      const file = path.join(here, name);
      return !fs.existsSync(file) || !fs.readFileSync(file).equals(content);
    })
    .map(([name]) => name);
  if (differ.length === 0) return 0;
  console.error(
    `contracts: ${differ.join(", ")} ${differ.length > 1 ? "differ" : "differs"} from what solidity/ compiles to; ` +
      "run `npm run build` in contracts/ and commit the result",
  );
  return 1;
}

function read(name) {
  return fs.readFileSync(path.join(here, name), "utf8");
}
