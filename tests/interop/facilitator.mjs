// The official facilitator: verifies and settles `exact` and `upto` for anybody.
//
// settings: { rpc, chain, key }

import express from "express";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { network, settings, stay, tell, wallet } from "./chain.mjs";

const client = wallet();
const signer = toFacilitatorEvmSigner({
  address: client.account.address,
  getCode: (of) => client.getCode(of),
  readContract: (call) => client.readContract(call),
  verifyTypedData: (data) => client.verifyTypedData(data),
  writeContract: (call) => client.writeContract(call),
  sendTransaction: (transaction) => client.sendTransaction(transaction),
  waitForTransactionReceipt: (of) => client.waitForTransactionReceipt(of),
});
const facilitator = new x402Facilitator();
facilitator.register(network, new ExactEvmScheme(signer));
facilitator.register(network, new UptoEvmScheme(signer));

const app = express();
app.use(express.json());
app.get("/supported", (_, response) => response.json(facilitator.getSupported()));
for (const act of ["verify", "settle"]) {
  app.post(`/${act}`, async (request, response) => {
    const { paymentPayload, paymentRequirements } = request.body ?? {};
    try {
      response.json(await facilitator[act](paymentPayload, paymentRequirements));
    } catch (error) {
      response.status(500).json({ error: String(error?.message ?? error) });
    }
  });
}
const server = app.listen(settings.port ?? 0, "127.0.0.1", () =>
  tell({ url: `http://127.0.0.1:${server.address().port}`, address: client.account.address }),
);
await stay();
