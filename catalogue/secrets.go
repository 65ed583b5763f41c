package catalogue

// issuedSecrets are the providers that issue every secret themselves, in a format that
// does not resemble the usual mistakes. Providers with keys in hex or base64 need not
// be listed. For other providers, where people choose secrets, an unusual secret is
// only a warning.
var issuedSecrets = []string{
	"alchemy", "asana", "box", "braintree", "discord", "dropbox", "hubspot", "intercom", "intuit", "line", "mailgun", "meta",
	"notion", "openai", "paddle", "pagerduty", "persona", "quicknode", "sentry", "shopify", "slack", "square", "stripe",
	"tiktok", "twilio", "workos", "x", "xero", "zendesk", "zoom",
}

// signWithAPIKeys are the providers whose signing secret is an API key.
var signWithAPIKeys = []string{"cashfree", "castle", "checkr", "clearbit", "dropbox-sign", "front-rule", "paystack", "pinwheel", "retell", "sendbird", "smartcar"}
