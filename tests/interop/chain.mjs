// What the peers share: their settings, and a chain as viem sees it.
//
// Settings come as one line of JSON on standard input. A peer says one line of JSON when it is
// ready and ends when its standard input does, so that none outlives whoever started it.

import { createInterface } from "node:readline";
import { webcrypto } from "node:crypto";
import { createWalletClient, defineChain, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";

// Node 18 keeps it behind a flag.
globalThis.crypto ??= webcrypto;

/** The lines of standard input; the first holds the settings. */
export const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Settings of this peer. */
export const settings = JSON.parse((await lines.next()).value);

/** Tells whoever started this peer one thing. */
export function tell(what) {
  process.stdout.write(`${JSON.stringify(what, (_, value) => (typeof value === "bigint" ? `${value}` : value))}\n`);
}

/** Stays until standard input ends. */
export async function stay() {
  while (!(await lines.next()).done);
  process.exit(0);
}

/** The network's name in x402. */
export const network = `eip155:${settings.chain}`;

/** An account of this peer, reading and writing through its RPC endpoint. */
export function wallet() {
  const chain = defineChain({
    id: settings.chain,
    name: "devnet",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [settings.rpc] } },
  });
  return createWalletClient({
    account: privateKeyToAccount(settings.key),
    chain,
    transport: http(),
    pollingInterval: 100,
  }).extend(publicActions);
}
