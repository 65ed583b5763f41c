package catalogue

import "github.com/verify-webhook/caddy-verify-webhook/provider"

// testDeliveries are test deliveries of providers that are not signed with the
// endpoint's secret. Those of other providers are signed like every delivery.
var testDeliveries = map[string][]provider.TestDelivery{
	"apple-app-store": {{
		From: "Request a Test Notification",
		Help: "it is signed in the environment where you request it: the sandbox requires `environment sandbox`",
	}},
	"github": {{
		From: "`gh webhook forward`",
		Help: "it signs with --secret, not with the webhook's secret, and does not sign without --secret: pass the configured secret",
	}},
	// https://mandrill.zendesk.com/hc/en-us/articles/360038740014
	"mandrill": {{
		From: "the URL check when a webhook is created", Secret: "test-webhook",
		Help: "nothing is lost, because it contains no event; it is sent only if the preceding HEAD request did not return 200",
	}},
	// https://developer.paddle.com/webhooks/simulator/test-webhooks
	"paddle": {{
		From: "the simulator",
		Help: "each notification destination has its own secret: configure the secret of the simulation's destination",
	}},
	// https://developer.paypal.com/api/rest/webhooks/simulator/
	"paypal": {{
		From: "the Webhooks simulator", WebhookID: "WEBHOOK_ID",
		Help: "trigger the event in the sandbox instead, with `environment sandbox` and the ID of a sandbox webhook",
	}},
	"plaid": {{
		From: "/sandbox/item/fire_webhook",
		Help: "the sandbox has its own keys: use `environment sandbox`",
	}},
	"razorpay": {{
		From: "Test Mode",
		Help: "webhooks of Test Mode and Live Mode are configured separately, each with its own secret",
	}},
	// https://shopify.dev/docs/apps/build/webhooks/configure
	"shopify": {{
		From: "`shopify app webhook trigger`",
		Help: "it signs with the value of --client-secret: pass the client secret of the app",
	}, {
		From: "Send test notification, in the admin",
		Help: "webhooks created under Settings > Notifications are signed with the secret shown there, not with an app's secret",
	}},
	"square": {{
		From: "a sandbox subscription",
		Help: "sandbox and production subscriptions have separate signature keys",
	}},
	// https://docs.stripe.com/cli/listen
	"stripe": {{
		From: "`stripe listen` and `stripe trigger`",
		Help: "the Stripe CLI signs with its own whsec_ secret, which `stripe listen --print-secret` prints: configure that secret during development",
	}},
	"twilio": {{
		From: "test credentials",
		Help: "their auth token signs no requests: configure the Auth Token of the account or subaccount that owns the number",
	}},
	"twitch": {{
		From: "`twitch event trigger`",
		Help: "it signs with the value of --secret: pass the configured secret",
	}},
	// https://developer.xero.com/documentation/webhooks/configuring-your-server
	"xero": {{
		From: "the intent to receive validation",
		Help: "Xero deliberately sends some requests with a wrong signature, which must be refused: if Xero shows the status OK, the webhook works",
	}},
	// https://developer.zendesk.com/documentation/webhooks/verifying/
	"zendesk": {{
		From: "the test of an unsaved webhook", Secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
		Help: "create the webhook first, then test it on its own page",
	}},
}
