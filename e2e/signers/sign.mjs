// Signs deliveries with the providers' own libraries, for the end-to-end tests.
// Reads one JSON object a line, {library, secret, id, timestamp, body}, and
// answers each with one line: the headers that the provider would send.
import { createInterface } from "node:readline";
import { sign as octokitSign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_unused");

const signers = {
  "@octokit/webhooks-methods": async ({ secret, body }) => ({
    "X-Hub-Signature-256": await octokitSign(secret, body),
  }),
  stripe: ({ secret, timestamp, body }) => ({
    "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp }),
  }),
  standardwebhooks: ({ secret, id, timestamp, body }) => ({
    "Webhook-Id": id,
    "Webhook-Timestamp": String(timestamp),
    "Webhook-Signature": new Webhook(secret).sign(id, new Date(timestamp * 1000), body),
  }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  console.log(JSON.stringify(await signers[request.library](request)));
}
