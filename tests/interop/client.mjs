// The official buyer: `@x402/fetch`, with its spend controls on and opened for one asset alone.
//
// settings: { rpc, chain, key, asset, max }
// A line `{ approve: UNITS }` lets Permit2 move so much, in a transaction of the account's own. Each
// other line is a purchase, `{ url, times?, parallel? }`, answered with one line:
// `{ status, body, response, required, wall, cpu }`: times in microseconds, of each purchase and of
// the whole process.

import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { createPermit2ApprovalTx, toClientEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { lines, network, settings, tell, wallet } from "./chain.mjs";

const account = wallet();
const signer = toClientEvmSigner(account.account, account);
const client = x402Client.fromConfig({
  schemes: [
    { network, client: new ExactEvmScheme(signer) },
    { network, client: new UptoEvmScheme(signer) },
  ],
  // On by default, with the packages' own list of assets: a development chain's is not in it.
  spendControls: { allowedAssets: [{ network, asset: settings.asset, maxAmountPerPayment: settings.max }] },
});
const buy = wrapFetchWithPayment(fetch, client);

tell({ address: account.account.address });
for await (const line of lines) {
  const { approve, url, times = 1, parallel = 1 } = JSON.parse(line);
  try {
    tell(approve ? await approved(approve) : await purchases(url, times, parallel));
  } catch (error) {
    tell({ error: String(error?.message ?? error) });
  }
}

/** Lets Permit2 move so many base units. */
async function approved(units) {
  const { to, data } = createPermit2ApprovalTx(settings.asset);
  // The packages approve without a limit; here it is as much as is said.
  const limited = `${data.slice(0, -64)}${BigInt(units).toString(16).padStart(64, "0")}`;
  const hash = await account.sendTransaction({ to, data: limited });
  const { status } = await account.waitForTransactionReceipt({ hash });
  return { status };
}

/** Buys `times` over, `parallel` at once; the last answer, and what it took. */
async function purchases(url, times, parallel) {
  let left = times;
  let last;
  const wall = [];
  const before = process.cpuUsage();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (left-- > 0) {
        const start = process.hrtime.bigint();
        const answer = await buy(url);
        const body = await answer.text();
        wall.push(Number(process.hrtime.bigint() - start) / 1000);
        const header = answer.headers.get("PAYMENT-RESPONSE");
        const required = answer.headers.get("PAYMENT-REQUIRED");
        last = {
          status: answer.status,
          body,
          response: header ? decodePaymentResponseHeader(header) : null,
          required: required ? JSON.parse(atob(required)) : null,
        };
        if (answer.status !== 200) left = 0;
      }
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return { ...last, wall, cpu: user + system };
}
