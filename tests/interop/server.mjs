// The official seller: express with a price before `/exact` and `/upto`, settled by a facilitator.
//
// settings: { chain, facilitator, payTo, asset, domain: { name, version }, amount, charge?, schemes?,
//             port?, path? }

import express from "express";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import {
  PAYMENT_IDENTIFIER,
  declarePaymentIdentifierExtension,
  paymentIdentifierResourceServerExtension,
} from "@x402/extensions/payment-identifier";
import { network, settings, stay, tell } from "./chain.mjs";

const resources = new x402ResourceServer(new HTTPFacilitatorClient({ url: settings.facilitator }));
const schemes = settings.schemes ?? ["exact"];
if (schemes.includes("exact")) resources.register(network, new ExactEvmScheme());
if (schemes.includes("upto")) resources.register(network, new UptoEvmScheme());
resources.registerExtension(paymentIdentifierResourceServerExtension);

const { asset, domain, amount, payTo } = settings;
const routes = Object.fromEntries(
  schemes.map((scheme) => [
    `GET /${scheme}`,
    {
      // The packages know no asset of a development chain, so it is described whole.
      accepts: { scheme, network, payTo, price: { amount, asset, extra: domain } },
      description: `a datum by ${scheme}`,
      mimeType: "application/json",
      extensions: { [PAYMENT_IDENTIFIER]: declarePaymentIdentifierExtension() },
    },
  ]),
);

const app = express();
app.get("/free", (_, response) => response.json({ datum: "free" }));
app.use(paymentMiddleware(routes, resources));
app.get("/exact", (_, response) => response.json({ datum: "exact" }));
app.get("/upto", (_, response) => {
  setSettlementOverrides(response, { amount: settings.charge ?? amount });
  response.json({ datum: "upto" });
});
const server = app.listen(settings.port ?? 0, "127.0.0.1", () =>
  tell({ url: `http://127.0.0.1:${server.address().port}` }),
);
await stay();
