package catalogue

// maxBodies are the defaults of max_body, in bytes, of providers whose
// deliveries have documented sizes, or are made of fields that do. All others
// may send 25 MiB: a genuine delivery that is refused costs more than a large
// body that is read before its signature is refused.
var maxBodies = map[string]int64{
	// Adyen's single item has all of its additionalData in 20 KiB.
	"adyen": 256 << 10,
	// A signed notification has about 20 KiB.
	"apple-app-store": 256 << 10,
	// A message for an HTTP endpoint has at most 256 KiB, and is a JSON string:
	// escaped, up to 3 times as long.
	// https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html
	"aws-sns": wholeMost,
	// Messages have at most 4,000 characters, and files are sent as URLs.
	"discord": 2 << 20,
	// Messages and calls, with files as URLs.
	"telnyx": 2 << 20,
	// A transaction, of which blockchains limit the data to 128 KiB.
	"fireblocks":     2 << 20,
	"fireblocks-jws": 2 << 20,
	// Names and URLs, and the message of a commit.
	"terraform":          2 << 20,
	"terraform-run-task": 2 << 20,
	// Orders and subscriptions, with metadata of at most 50 values of 500 characters.
	"polar": 4 << 20,
	// One event, whose documents are sent as URLs. The code looks into no more.
	"dropbox-sign": wholeMost,
	// A token, whose JSON is in strings. The code looks into no more.
	"kinde": wholeMost,
	"wix":   wholeMost,
	// Names and IDs: files are fetched.
	"figma": wholeMost,
	// Notifications are batched, some with the changed item in them.
	"microsoft-graph": graphMost,
	// Forms of short fields.
	"braintree":      wholeMost,
	"paddle-classic": wholeMost,
	"plivo":          wholeMost,

	// Mails with their attachments: 25 MB as received, escaped in a form and
	// partly twice (mandrill, mailgun), 30 MB (sendgrid), and 35 MB in base64
	// (postmark).
	// https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
	// https://postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits
	"mailgun":  mailMost,
	"mandrill": mailMost,
	"postmark": mailMost,
	"sendgrid": mailMost,
}

const (
	// wholeMost is the largest body that a provider's code looks into, in bytes.
	wholeMost = 1 << 20
	// graphMost is that for Microsoft Graph.
	graphMost = 4 << 20
	// mailMost is the default where a delivery can be a whole mail.
	mailMost = 64 << 20
)
