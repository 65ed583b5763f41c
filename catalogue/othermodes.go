package catalogue

import (
	"net/http"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// unsupported says which requests of a provider its preset does not verify.
var unsupported = map[string]string{
	"adyen":              "SOAP notifications are not verified: choose JSON or HTTP POST as the method of the webhook",
	"apple-app-store":    "notifications of version 1 are unsigned and refused: choose version 2",
	"aws-sns":            "messages with raw message delivery are unsigned and refused: turn it off",
	"dropbox":            "only notifications of webhooks are verified",
	"github":             "the legacy X-Hub-Signature with SHA-1 is not read: GitHub also sends X-Hub-Signature-256",
	"hubspot":            "webhooks of workflows and cards of apps are signed with a different version: configure an endpoint with `scheme v2` for them",
	"intercom":           "requests of Canvas Kit (X-Body-Signature) are not verified",
	"jira":               "webhooks of Connect and OAuth 2.0 apps have a JSON Web Token instead of a signature: use `atlassian-connect` for Connect apps",
	"mandrill":           "webhooks of Mailchimp itself are not signed",
	"microsoft-graph":    "the tokens of notifications with resource data (validationTokens) are not verified: verify them in the app",
	"microsoft-teams":    "messages to a bot (JSON Web Tokens of the Bot Framework) are not verified",
	"paypal":             "IPN messages are not verified, because only PayPal can verify them, after they are posted back",
	"sentry":             "requests for the options of a select are unsigned and refused: route their path to the app without `verify_webhook`",
	"sendgrid":           "the OAuth 2.0 token of a webhook is not verified: enable its signature",
	"shopify":            "requests of app proxies (signature in the query) are not verified",
	"sinch-conversation": "callbacks of Voice and SMS are signed differently and are not verified",
	"slack":              "requests that have only the legacy verification token are refused",
	"square":             "the legacy x-square-signature with SHA-1 is not read: Square also sends x-square-hmacsha256-signature",
	"twilio":             "WebSockets (Media Streams, ConversationRelay) are refused: Twilio signs only the request that opens one",
	"vonage":             "the `sig` parameter of SMS callbacks is not verified: use signed webhooks",
	"zoom":               "the legacy verification token is not verified",
}

// streams names the WebSockets that a provider opens.
var streams = map[string]string{
	"plivo":  "audio streams",
	"retell": "custom LLM",
	"telnyx": "media streaming",
	"twilio": "Media Streams, ConversationRelay",
	"vonage": "WebSocket endpoints of calls",
}

// otherMode identifies requests that a preset does not verify: a header with this name
// and value prefix.
type otherMode struct{ header, prefix string }

// otherModes are the modes of the providers in unsupported. They do not affect
// verification, but make the reason of a refusal clearer.
var otherModes = map[string][]otherMode{
	"github":             {{"X-Hub-Signature", "sha1="}},
	"intercom":           {{"X-Body-Signature", ""}},
	"jira":               {{"Authorization", "JWT "}, {"Authorization", "Bearer "}},
	"microsoft-teams":    {{"Authorization", "Bearer "}},
	"paypal":             {{"Content-Type", "application/x-www-form-urlencoded"}},
	"sendgrid":           {{"Authorization", "Bearer "}},
	"sinch-conversation": {{"Authorization", "application "}},
	"square":             {{"X-Square-Signature", ""}},
	"aws-sns":            {{"X-Amz-Sns-Rawdelivery", "true"}},
}

// modeHint returns the sentence in unsupported if the request is one of those.
func modeHint(m *provider.Module, r *signature.Request) string {
	for _, mode := range otherModes[m.Name()] {
		value := r.Header.Get(mode.header)
		if value != "" && len(value) >= len(mode.prefix) && strings.EqualFold(value[:len(mode.prefix)], mode.prefix) {
			return unsupported[m.Name()]
		}
	}
	return ""
}

// sentrySelect returns a hint if a request is for the options of a select.
func sentrySelect(_ *provider.Module, r *signature.Request) string {
	if r.Method == http.MethodGet && r.Header.Get("Sentry-App-Signature") != "" {
		return unsupported["sentry"]
	}
	return ""
}

var (
	slackTypes   = members("type")
	payloadTypes = members("type")
)

// slackEvent returns the type of requests outside the Events API: the payload type of
// an interaction, or the command of a slash command, both in a form.
// https://docs.slack.dev/interactivity/handling-user-interaction
func slackEvent(r *signature.Request) (string, error) {
	form, err := r.Form()
	if err != nil {
		return "", err
	}
	if form == nil {
		found, err := slackTypes(r)
		if err != nil {
			return "", err
		}
		return found[0], nil
	}
	if command := single(form, "command"); command != "" {
		return command, nil
	}
	return payloadType(form.Get("payload"))
}

// travisEvent returns the type in the payload, which is a form field.
func travisEvent(r *signature.Request) (string, error) {
	form, err := r.Form()
	if err != nil || form == nil {
		return "", err
	}
	return payloadType(form.Get("payload"))
}

// payloadType returns the member type of a JSON document.
func payloadType(document string) (string, error) {
	found, err := payloadTypes(&signature.Request{Body: signature.BytesBody(document)})
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// sentrySchemes: UI components sign their requests in a different header. Requests
// without a body would all have the same signature.
// https://docs.sentry.io/organization/integrations/integration-platform/ui-components/
func sentrySchemes() []signature.Scheme {
	return []signature.Scheme{
		scheme(signature.HMACSHA256, hexIn("Sentry-Hook-Signature", ""), id(inHeader("Request-ID")), event(inHeader("Sentry-Hook-Resource")), action(inJSON("action"))),
		scheme(signature.HMACSHA256, hexIn("Sentry-App-Signature", ""), refuseEmpty, id(inHeader("Request-ID"))),
	}
}

// aftershipSchemes: Tracking; Returns and Warranty; Shipping, and Returns of
// organizations created before October 2022, for whose bodies it is not documented
// which ID identifies the event.
// https://www.aftership.com/docs/returns/2025-04/webhook/signature
func aftershipSchemes() []signature.Scheme {
	return []signature.Scheme{
		scheme(signature.HMACSHA256, base64In("aftership-hmac-sha256", ""), id(inJSON("event_id")), event(inJSON("event"))),
		scheme(signature.HMACSHA256, base64In("as-signature-hmac-sha256", ""), id(inJSON("id")), event(inJSON("event"))),
		scheme(signature.HMACSHA256, base64In("am-webhook-signature", "hmac-sha256="), event(inJSON("event"))),
	}
}
