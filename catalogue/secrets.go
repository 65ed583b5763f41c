package catalogue

// issuedSecrets are the providers that issue every secret themselves, as text
// that looks like none of the mistakes below. Those whose keys are decoded
// from hex or base64 need not be listed. Everywhere else people type secrets
// in, so a strange one is only warned about.
var issuedSecrets = []string{
	"alchemy", "asana", "box", "braintree", "discord", "dropbox", "hubspot", "intercom", "intuit", "line", "mailgun", "meta",
	"notion", "openai", "paddle", "pagerduty", "persona", "quicknode", "sentry", "shopify", "slack", "square", "stripe",
	"tiktok", "twilio", "workos", "x", "xero", "zendesk", "zoom",
}

// signWithAPIKeys are the providers whose signing secret is an API key.
var signWithAPIKeys = []string{"cashfree", "castle", "checkr", "clearbit", "dropbox-sign", "front-rule", "paystack", "pinwheel", "retell", "sendbird", "smartcar"}
