package provider

// maxBodies are the largest bodies of providers that are known to send less
// than the 25 MiB that others may, in bytes. They are the default of max_body,
// so that a larger body is refused before it is read.
var maxBodies = map[string]int64{
	// One notification item, with all of its additionalData under 20 KiB.
	"adyen": 256 << 10,
	// A signed notification of about 20 KiB.
	"apple-app-store": 256 << 10,
	// A message of at most 256 KiB, as a JSON string.
	"aws-sns": wholeMost,
	// Interactions and events of a few KiB, signed with Ed25519.
	"discord": wholeMost,
	"telnyx":  wholeMost,
	// Transactions of a few KiB, signed with SHA-512 over base64.
	"fireblocks":     wholeMost,
	"fireblocks-jws": wholeMost,
	// Events of a few KiB, with the signature in the JSON.
	"mailgun": wholeMost,
	// One entry of a content management system, which is signed as a string.
	"hygraph": 2 * wholeMost,
	// Orders and subscriptions of a few KiB, hashed under each reading of a secret.
	"polar": 4 * wholeMost,
	// Code looks into the body in memory, up to this.
	"dropbox-sign":    wholeMost,
	"microsoft-graph": wholeMost,
	// Forms, which are read up to 1 MiB.
	"braintree":      wholeMost,
	"mandrill":       wholeMost,
	"paddle-classic": wholeMost,
	"plivo":          wholeMost,
	"travis-ci":      wholeMost,
}

// wholeMost is the largest body that a provider's code looks into, in bytes.
const wholeMost = 1 << 20
