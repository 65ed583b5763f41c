package catalogue

import "github.com/verify-webhook/caddy-verify-webhook/provider"

// testDeliveries are what the providers' test buttons, simulators and command
// lines send that the secret of the endpoint has not signed. Those of other
// providers are signed like every delivery.
var testDeliveries = map[string][]provider.TestDelivery{
	"apple-app-store": {{
		From: "Request a Test Notification",
		Help: "it is signed in the environment in which it was requested: the sandbox needs `environment sandbox`",
	}},
	"github": {{
		From: "`gh webhook forward`",
		Help: "it signs with the value of --secret, not with the webhook's secret, and does not sign without it: pass the configured secret",
	}},
	// https://mandrill.zendesk.com/hc/en-us/articles/360038740014
	"mandrill": {{
		From: "the check of the URL when a webhook is created", Secret: "test-webhook",
		Help: "nothing is lost, because it has no event; it is sent only if the preceding HEAD request did not get 200",
	}},
	// https://developer.paddle.com/webhooks/simulator/test-webhooks
	"paddle": {{
		From: "the simulator",
		Help: "every notification destination has its own secret: configure the secret of the destination of the simulation",
	}},
	// https://developer.paypal.com/api/rest/webhooks/simulator/
	"paypal": {{
		From: "the Webhooks simulator", WebhookID: "WEBHOOK_ID",
		Help: "trigger the event in the sandbox instead, with `environment sandbox` and the ID of a webhook in the sandbox",
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
		Help: "webhooks that are created under Settings > Notifications are signed with the secret that is shown there, not with the secret of an app",
	}},
	"square": {{
		From: "a sandbox subscription",
		Help: "subscriptions of the sandbox and of production have separate signature keys",
	}},
	// https://docs.stripe.com/cli/listen
	"stripe": {{
		From: "`stripe listen` and `stripe trigger`",
		Help: "the Stripe CLI signs with its own whsec_ secret, which `stripe listen --print-secret` prints: configure that secret during development",
	}},
	"twilio": {{
		From: "test credentials",
		Help: "their auth token signs nothing: configure the Auth Token of the account or subaccount that owns the number",
	}},
	"twitch": {{
		From: "`twitch event trigger`",
		Help: "it signs with the value of --secret: pass the configured secret",
	}},
	// https://developer.xero.com/documentation/webhooks/configuring-your-server
	"xero": {{
		From: "the intent to receive validation",
		Help: "Xero sends some requests with a wrong signature on purpose, and they must be refused: if Xero shows the status OK, the webhook works",
	}},
	// https://developer.zendesk.com/documentation/webhooks/verifying/
	"zendesk": {{
		From: "the test of a webhook that is not saved yet", Secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
		Help: "create the webhook first, then test it on its own page",
	}},
}
