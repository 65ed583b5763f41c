package crosscheck

var hubspotVersion = map[string]string{
	"changed X-Hubspot-Signature-Version": "the caller passes the version, and the library does not read this header; the module checks that it matches the configured version",
	"without X-Hubspot-Signature-Version": "as above",
}

// differences lists the deliveries that the module refuses and a library accepts, by
// library and modification, with the reason. The opposite difference fails the test if
// the signature covers the modification.
var differences = map[string]map[string]string{
	"@apple/app-store-server-library": {"time": "it does not check the age: each notification has an ID that the app must remember"},
	"@atlassian/atlassian-jwt":        {"time": "it decodes the token, and the framework must check exp"},
	"@contentful/node-apps-toolkit":   {"changed X-Contentful-Signed-Headers": "it adds the names of the list and of the timestamp if they are missing in the list"},
	"@hubspot/api-client (v1)":        hubspotVersion,
	"@hubspot/api-client (v2)":        hubspotVersion,
	"@hygraph/utils":                  {"time": "it does not check the age"},
	"@sanity/webhook":                 {"time": "it does not check the age"},
	"@sendgrid/eventwebhook":          {"time": "it does not check the age"},
	"@sinch/conversation":             {"time": "it does not check the age"},
	"@vonage/jwt": {
		"body": "it verifies the token, and the app must check payload_hash, the digest of the body",
		"time": "the app must check iat",
	},
	"cashfree-pg":                       {"time": "it does not check the age"},
	"discord-interactions":              {"time": "it does not check the age"},
	"replicate":                         {"time": "it does not check the age"},
	"sns-validator":                     {"time": "it does not check the age"},
	"webflow-api":                       {"time": "it does not check the age, although Webflow's documentation requires it"},
	"github.com/buildkite/go-buildkite": {"time": "it does not check the age"},
	"github.com/mailgun/mailgun-go":     {"time": "it does not check the age"},
}
