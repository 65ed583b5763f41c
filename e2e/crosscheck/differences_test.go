package crosscheck

var hubspotVersion = map[string]string{
	"changed X-Hubspot-Signature-Version": "its caller names the version and it does not read this header, which we hold to the configured one",
	"without X-Hubspot-Signature-Version": "as above",
}

// differences are where a library and we do not agree, by library and by what was
// changed, with the reason. Each is a delivery that we refuse and the library
// accepts: the other way round the test fails where the signature covers it.
var differences = map[string]map[string]string{
	"@apple/app-store-server-library": {"time": "it checks no age: each notification has an ID, which the app is to remember"},
	"@atlassian/atlassian-jwt":        {"time": "it decodes the token and leaves exp to the framework around it"},
	"@contentful/node-apps-toolkit":   {"changed X-Contentful-Signed-Headers": "it adds the names of the list and of the timestamp where the list lacks them"},
	"@hubspot/api-client (v1)":        hubspotVersion,
	"@hubspot/api-client (v2)":        hubspotVersion,
	"@hygraph/utils":                  {"time": "it checks no age"},
	"@sanity/webhook":                 {"time": "it checks no age"},
	"@sendgrid/eventwebhook":          {"time": "it checks no age"},
	"@sinch/conversation":             {"time": "it checks no age"},
	"@vonage/jwt": {
		"body": "it verifies the token and leaves payload_hash, the digest of the body, to the app",
		"time": "it leaves iat to the app",
	},
	"cashfree-pg":                       {"time": "it checks no age"},
	"discord-interactions":              {"time": "it checks no age"},
	"replicate":                         {"time": "it checks no age"},
	"sns-validator":                     {"time": "it checks no age"},
	"webflow-api":                       {"time": "it checks no age, although Webflow's documentation does"},
	"github.com/buildkite/go-buildkite": {"time": "it checks no age"},
	"github.com/mailgun/mailgun-go":     {"time": "it checks no age"},
}
