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
	"aws-sns": 896 << 10,
	// Messages have at most 4,000 characters, and files are sent as URLs.
	"discord": 2 << 20,
	// Messages and calls, with files as URLs.
	"telnyx": 2 << 20,
	// A transaction, of which blockchains limit the data to 128 KiB.
	"fireblocks":     2 << 20,
	"fireblocks-jws": 2 << 20,
	// A transaction or an activity, in which one can be signed.
	"turnkey": 2 << 20,
	// An inquiry or a payment, with files as URLs. A header can have several sets of
	// time and signature, and the body is hashed for each.
	"persona":         2 << 20,
	"worldpay-access": 2 << 20,
	// A cart or an order. The body is hashed in base64.
	"adobe-commerce": 4 << 20,
	// What the operator's trigger has written. The body is hashed with the key of the
	// test button, too.
	"zendesk": 8 << 20,
	// Names and URLs, and the message of a commit.
	"terraform":          2 << 20,
	"terraform-run-task": 2 << 20,
	// A transaction, and names and URLs of its parties. The body is hashed twice: a
	// secret can be text or base64.
	"mercury": 4 << 20,
	// A task with its metadata, or a worker. SHA-512 takes twice as long as SHA-256.
	"onfleet": 4 << 20,
	// One charge, transfer or subscription, with the metadata of its request.
	"paystack": 4 << 20,
	// A call or a verification with its custom text. MD5 takes twice as long as
	// SHA-256.
	"sinch-voice": 4 << 20,
	// The state of an applicant, without documents. The hash can be SHA-512.
	"sumsub": 4 << 20,
	// An entry is written with mutations of at most 80 KB. The body is escaped and
	// hashed at up to twice its length.
	// https://hygraph.com/docs/api-reference/basics/api-limits
	"hygraph": 2 << 20,
	// Forms of short fields: a message has at most 1,600 characters, the attributes
	// of a task 4 KB, those of a conversation 16 KB.
	// https://www.twilio.com/docs/glossary/what-sms-character-limit
	// https://www.twilio.com/docs/taskrouter/api/task
	// https://www.twilio.com/docs/conversations/conversations-limits
	"twilio": 2 << 20,
	// Orders and subscriptions, with metadata of at most 50 values of 500 characters.
	"polar": 4 << 20,
	// One event, whose documents are sent as URLs. The code looks into no more.
	"dropbox-sign": wholeMost,
	// A token with the data of one user or organization, whose claims are read before
	// the signature is verified.
	"kinde": 768 << 10,
	// A token, whose JSON is in strings. The code looks into no more.
	"wix": wholeMost,
	// One payment, mandate or payout. The body is hashed in base64url with SHA-512.
	"truelayer": wholeMost,
	// Names and IDs: files are fetched.
	"figma": 896 << 10,
	// Events of users, whose signature covers the body in base64 as one text.
	"neon": wholeMost,
	// Notifications are batched, some with the changed item in them.
	"microsoft-graph": graphMost,
	// Forms of short fields.
	"braintree":      wholeMost,
	"paddle-classic": wholeMost,
	"plivo":          wholeMost,

	// Mails with their attachments: 25 MB as received, escaped in a form and
	// partly twice (mandrill, mailgun), and 35 MB in base64 (postmark).
	// https://postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits
	"mailgun":  mailMost,
	"mandrill": mailMost,
	"postmark": mailMost,
	// A mail has at most 30 MB, and is sent as it is in a multipart form.
	// https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
	"sendgrid": 36 << 20,
}

const (
	// wholeMost is the largest body that a provider's code looks into, in bytes.
	wholeMost = 1 << 20
	// graphMost is that for Microsoft Graph.
	graphMost = 4 << 20
	// mailMost is the default where a delivery can be a whole mail.
	mailMost = 64 << 20
)
