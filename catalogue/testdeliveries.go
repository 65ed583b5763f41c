package catalogue

import "github.com/verify-webhook/caddy-verify-webhook/provider"

// testDeliveries are what the providers' test buttons, simulators and command
// lines send that the secret of the endpoint has not signed. Those of other
// providers are signed like every delivery.
var testDeliveries = map[string][]provider.TestDelivery{
	"apple-app-store": {{
		From: "Request a Test Notification",
		Help: "a notification is of the environment that it was requested in: the sandbox's needs `environment sandbox`",
	}},
	"github": {{
		From: "`gh webhook forward`",
		Help: "it signs with what is given to --secret, not with the webhook's secret, and without it not at all: give it the configured one",
	}},
	// https://mandrill.zendesk.com/hc/en-us/articles/360038740014
	"mandrill": {{
		From: "the check of the URL when a webhook is created", Secret: "test-webhook",
		Help: "nothing is lost, since it holds no event; it is only sent where the HEAD request before it was not answered with 200",
	}},
	// https://developer.paddle.com/webhooks/simulator/test-webhooks
	"paddle": {{
		From: "the simulator",
		Help: "every notification destination has a secret of its own: configure that of the destination which the simulation is for",
	}},
	// https://developer.paypal.com/api/rest/webhooks/simulator/
	"paypal": {{
		From: "the Webhooks simulator", WebhookID: "WEBHOOK_ID",
		Help: "make the event happen in the sandbox instead, with `environment sandbox` and the ID of a webhook there",
	}},
	"plaid": {{
		From: "/sandbox/item/fire_webhook",
		Help: "the sandbox has keys of its own: `environment sandbox`",
	}},
	"razorpay": {{
		From: "Test Mode",
		Help: "webhooks of Test Mode and Live Mode are set up apart, each with its own secret",
	}},
	// https://shopify.dev/docs/apps/build/webhooks/configure
	"shopify": {{
		From: "`shopify app webhook trigger`",
		Help: "it signs with the client secret of the app, given to --client-secret",
	}, {
		From: "Send test notification, in the admin",
		Help: "webhooks made under Settings > Notifications are signed with the secret that is shown there, not with that of an app",
	}},
	"square": {{
		From: "a sandbox subscription",
		Help: "subscriptions of sandbox and production have signature keys of their own",
	}},
	// https://docs.stripe.com/cli/listen
	"stripe": {{
		From: "`stripe listen` and `stripe trigger`",
		Help: "the Stripe CLI signs what it forwards with a whsec_ of its own, which `stripe listen --print-secret` prints: configure that while developing",
	}},
	"twilio": {{
		From: "test credentials",
		Help: "their auth token signs nothing: configure the Auth Token of the account, or of the subaccount, that owns the number",
	}},
	"twitch": {{
		From: "`twitch event trigger`",
		Help: "it signs with what is given to --secret: give it the configured one",
	}},
	// https://developer.xero.com/documentation/webhooks/configuring-your-server
	"xero": {{
		From: "the intent to receive validation",
		Help: "it sends some requests with a wrong signature on purpose, which must be refused: while Xero shows the status OK, nothing is wrong",
	}},
	// https://developer.zendesk.com/documentation/webhooks/verifying/
	"zendesk": {{
		From: "the test of a webhook that is not saved yet", Secret: "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
		Help: "create the webhook first, then test it from its own page",
	}},
}
