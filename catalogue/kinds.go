package catalogue

import "slices"

// kind is a kind of product and the presets of its providers.
type kind struct {
	name    string
	presets []string
}

// kinds are the kinds of product, for the documentation. Each preset has exactly one.
var kinds = []kind{
	{"Payments and billing", []string{
		"adyen", "adyen-platform", "airwallex", "apple-app-store", "bolt", "braintree", "cashfree", "chargebee", "checkout.com", "coinbase-commerce", "creem", "dodo-payments", "fastspring", "flutterwave",
		"gocardless", "google-play-rtdn", "lemonsqueezy", "mercado-pago", "mollie", "orb", "paddle", "paddle-classic", "paymongo", "paypal", "paystack", "polar", "psi-fi", "rapyd", "razorpay", "recurly", "revolut", "solidgate", "square",
		"stripe", "truelayer", "worldline", "worldpay-access",
	}},
	{"Banking, finance and crypto", []string{
		"alchemy", "brex", "coinbase-cdp", "dwolla", "finch", "fireblocks", "fireblocks-jws", "increase", "intuit", "lithic", "mercury", "modern-treasury", "pinwheel", "plaid", "pleo", "quicknode", "sardine", "turnkey", "unit",
		"wise", "xero",
	}},
	{"Commerce and logistics", []string{
		"adobe-commerce", "aftership", "bigcommerce", "easypost", "ebay", "guesty", "nash", "onfleet", "saleor", "saleor-hmac", "shipbob", "shopify", "smartcar", "squarespace", "woocommerce",
	}},
	{"Source code and builds", []string{
		"azure-devops", "bitbucket", "buildkite", "circleci", "forgejo", "gitea", "github", "github-secret-scanning", "gitlab", "gogs", "harbor", "npm", "snyk", "sonarqube", "sonatype-nexus", "travis-ci",
	}},
	{"Cloud, hosting and operations", []string{
		"adobe-io-events", "atlassian-connect", "atlassian-connect-install", "aws-sns", "azure-event-grid", "cloudflare-notifications", "google-pubsub", "heroku", "incident-io", "launchdarkly", "microsoft-graph", "mongodb-atlas",
		"neon", "netlify", "pagerduty", "pulumi", "render", "sentry", "signal-sciences", "supabase", "tailscale", "terraform", "terraform-run-task", "trendmicro-conformity", "vercel",
	}},
	{"Chat, voice and video", []string{
		"ably", "airship", "bird", "cloudflare-stream", "discord", "line", "livekit", "messagebird", "microsoft-teams", "mux", "plivo", "pusher", "retell", "sendbird", "sinch-conversation", "sinch-numbers", "sinch-voice", "slack",
		"telegram", "telnyx", "twilio", "vapi", "viber", "vonage", "webex", "zoom",
	}},
	{"Mail and notifications", []string{
		"brevo", "courier", "customerio", "knock", "loops", "mailersend", "mailgun", "mailtrap", "mandrill", "nylas", "postal", "postmark", "resend", "sendgrid",
	}},
	{"Identity, verification and security", []string{
		"auth0", "castle", "checkr", "clerk", "fusionauth", "fusionauth-jwks", "keycloak-phasetwo", "kinde", "okta", "onfido", "ory", "persona", "safebase", "stytch", "sumsub", "veriff", "workos", "zitadel",
	}},
	{"Customers, sales and support", []string{
		"attio", "chatwoot", "clearbit", "front", "front-rule", "hubspot", "intercom", "merge", "nango", "pipedrive", "segment", "zendesk",
	}},
	{"Planning and design", []string{
		"airtable", "asana", "autodesk", "cal.com", "calendly", "clickup", "cronofy", "figma", "frameio", "jira", "linear", "monday", "notion", "trello",
	}},
	{"Documents, files and forms", []string{
		"box", "documenso", "docusign", "dropbox", "dropbox-sign", "formbricks", "google-drive", "pandadoc", "tally", "typeform",
	}},
	{"Content and social media", []string{
		"beehiiv", "cloudinary", "contentful", "dub", "hygraph", "meta", "sanity", "storyblok", "tiktok", "twitch", "webflow", "wix", "x",
	}},
	{"AI", []string{"anthropic", "elevenlabs", "fal", "openai", "replicate"}},
	{"Staff, learning and licenses", []string{"ashby", "deel", "go1", "greenhouse", "gusto", "keygen"}},
	{"Standards, for any sender", []string{"cloudevents", "rfc9421", "standard-webhooks", "svix", "websub"}},
}

// kindOf returns the kind of a preset, or "" if it has none.
func kindOf(name string) string {
	for _, k := range kinds {
		if slices.Contains(k.presets, name) {
			return k.name
		}
	}
	return ""
}
