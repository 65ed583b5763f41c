package catalogue

import (
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// retries say how each provider that signs a time signs its retries, with the source.
// If a retry has the time of the first attempt, or if it is not documented, the
// default tolerance covers the last retry. The delivery is remembered for longer
// anyway.
var retries = map[string]provider.Retries{
	// Documented, or read in the provider's own code.
	"atlassian-connect": signedPerAttempt("https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/"),
	"box":               signedPerAttempt("https://developer.box.com/guides/webhooks/v2/: BOX-DELIVERY-TIMESTAMP is when the payload was sent, and each attempt has a different delivery ID"),
	"calendly":          signedPerAttempt("https://developer.calendly.com/api-docs/overview/webhooks/webhook-timeouts"),
	"chatwoot":          signedPerAttempt("chatwoot/chatwoot, lib/webhooks/trigger.rb: signed with each attempt"),
	"coinbase-cdp":      signedPerAttempt("https://docs.cdp.coinbase.com/webhooks/verify-signatures"),
	"creem":             standardRetries,
	"google-play-rtdn":  signedPerAttempt("https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions"),
	"keygen":            signedPerAttempt("keygen-sh/keygen-api, app/workers/webhook_worker.rb: each attempt has a new date"),
	"google-pubsub":     signedPerAttempt("https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions"),
	"recurly":           signedPerAttempt("https://docs.recurly.com/docs/signature-verification"),
	"revolut":           signedPerAttempt("https://developer.revolut.com/docs/guides/crypto-ramp/tutorials/work-with-webhooks/verify-the-payload-signature: the time is that of delivering"),
	"stripe":            signedPerAttempt("https://docs.stripe.com/webhooks/signature: a retry has a new signature and timestamp"),
	"supabase":          signedPerAttempt("supabase/auth, internal/hooks/hookshttp: signed within the loop of attempts"),

	// Not documented, but implied, mostly because the provider's own library or
	// documentation rejects times older than this tolerance, while its retries
	// continue for longer.
	"atlassian-connect-install": impliedPerAttempt("its tokens expire after 3 minutes"),
	"buildkite":                 impliedPerAttempt("https://buildkite.com/docs/apis/webhooks advises 5 minutes"),
	"elevenlabs":                impliedPerAttempt("npm @elevenlabs/elevenlabs-js rejects after 30 minutes"),
	"finch":                     impliedPerAttempt("npm @tryfinch/finch-api rejects after 5 minutes"),
	"frameio":                   impliedPerAttempt("Frameio/webhooks-example-app rejects after 5 minutes"),
	"go1":                       impliedPerAttempt("go1com/webhook-verifier-js rejects after a minute"),
	"hubspot":                   impliedPerAttempt("npm @hubspot/api-client rejects after 5 minutes, and retries run for 24 hours"),
	"linear":                    impliedPerAttempt("npm @linear/sdk rejects after a minute, and the last retry is sent after 7 hours"),
	"mercury":                   impliedPerAttempt("MercuryTechnologies/n8n-nodes-mercury rejects after 5 minutes"),
	"messagebird":               impliedPerAttempt("npm messagebird rejects an expired token"),
	"monday":                    impliedPerAttempt("its tokens expire after 5 minutes, and retries run for 30"),
	"mux":                       impliedPerAttempt("npm @mux/mux-node rejects after 5 minutes, and retries run for 24 hours"),
	"orb":                       impliedPerAttempt("npm orb-billing rejects after 5 minutes"),
	"paddle":                    impliedPerAttempt("npm @paddle/paddle-node-sdk rejects after 5 seconds, and retries run for 3 days"),
	"plaid":                     impliedPerAttempt("https://plaid.com/docs/api/webhooks/webhook-verification/ advises 5 minutes, and retries run for 24 hours"),
	"quicknode":                 impliedPerAttempt("QuickNode's sample rejects after 5 minutes"),
	"retell":                    impliedPerAttempt("npm retell-sdk rejects after 5 minutes"),
	"slack":                     impliedPerAttempt("https://docs.slack.dev/authentication/verifying-requests-from-slack advises 5 minutes, and delayed events are sent for a day"),
	"tailscale":                 impliedPerAttempt("tailscale/tailscale, docs/webhooks/example.go rejects after 5 minutes"),
	"telnyx":                    impliedPerAttempt("npm telnyx rejects after 5 minutes"),
	"tiktok":                    impliedPerAttempt("https://developers.tiktok.com/doc/webhooks-verification advises rejecting old times, and retries run for 72 hours"),
	"turnkey":                   impliedPerAttempt("npm @turnkey/crypto rejects after 5 minutes"),
	"vonage":                    impliedPerAttempt("https://developer.vonage.com/en/getting-started/concepts/webhooks: the retry of an unsigned callback is signed"),
	"webflow":                   impliedPerAttempt("https://developers.webflow.com/data/docs/working-with-webhooks advises 5 minutes"),
	"workos":                    impliedPerAttempt("npm @workos-inc/node rejects after 3 minutes"),
	"zitadel":                   impliedPerAttempt("github.com/zitadel/zitadel, pkg/actions rejects after 5 minutes"),

	// A retry repeats the first request.
	"apple-app-store": signedOnce(157*time.Hour, "https://developer.apple.com/documentation/appstoreservernotifications/responding-to-app-store-server-notifications: signedDate is that of the notification"),
	"aws-sns":         signedOnce(time.Hour, "https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html: Timestamp is that of publishing"),
	"livekit":         signedOnce(4*time.Minute, "livekit/protocol, webhook/resource_url_notifier.go: retries are sent within seconds to minutes"),
	"mailgun":         signedOnce(8*time.Hour+5*time.Minute, "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-retries"),

	// Not documented.
	"airship":            undocumented(0, "https://support.airship.com/hc/en-us/articles/360032501831"),
	"airwallex":          undocumented(3*day, "https://www.airwallex.com/docs/developer-tools/webhooks/listen-for-webhook-events"),
	"bird":               undocumented(8*time.Hour, "https://docs.bird.com/api/notifications-api/retries"),
	"cashfree":           undocumented(0, "https://www.cashfree.com/docs/payments/online/webhooks/signature-verification"),
	"cloudflare-stream":  undocumented(0, "https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/"),
	"cloudinary":         undocumented(0, "https://cloudinary.com/documentation/notification_signatures"),
	"fal":                undocumented(2*time.Hour, "https://docs.fal.ai/model-apis/model-endpoints/webhooks"),
	"neon":               undocumented(15*time.Second, "neondatabase/website, content/docs/auth/guides/webhooks.md"),
	"rapyd":              undocumented(0, "https://docs.rapyd.net/en/webhook-authentication.html"),
	"sinch-voice":        undocumented(0, "npm @sinch/sdk-client, dist/utils/authorization.helper.js"),
	"contentful":         undocumented(time.Minute, "https://www.contentful.com/developers/docs/webhooks/overview/"),
	"courier":            undocumented(24*time.Hour, "https://www.courier.com/docs/platform/workspaces/outbound-webhooks"),
	"customerio":         undocumented(0, "https://docs.customer.io/api/webhooks/"),
	"discord":            undocumented(10*time.Minute, "https://docs.discord.com/developers/events/webhook-events; interactions are not retried"),
	"front":              undocumented(0, "https://dev.frontapp.com/docs/application-webhooks"),
	"hygraph":            undocumented(0, "https://hygraph.com/docs/api-reference/basics/webhooks"),
	"knock":              undocumented(24*time.Hour, "https://docs.knock.app/developer-tools/outbound-webhooks/overview"),
	"paymongo":           undocumented(24*time.Hour, "https://developers.paymongo.com/docs/securing-webhook"),
	"paypal":             undocumented(3*day, "https://developer.paypal.com/api/rest/webhooks/rest/"),
	"persona":            undocumented(0, "https://docs.withpersona.com/docs/webhooks-best-practices"),
	"pinwheel":           undocumented(0, "https://docs.pinwheelapi.com/docs/webhook-signature-verification"),
	"rfc9421":            undocumented(0, "https://www.rfc-editor.org/rfc/rfc9421: it depends on the sender"),
	"sanity":             undocumented(time.Minute, "https://www.sanity.io/docs/changelog/50ec6abf-fe0c-475b-ae72-314148860132; until April 2026 the last one was sent after 30 minutes"),
	"sendgrid":           undocumented(24*time.Hour, "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"),
	"sinch-conversation": undocumented(24*time.Hour, "https://developers.sinch.com/docs/conversation/callbacks/"),
	"twitch":             undocumented(0, "https://dev.twitch.tv/docs/eventsub/handling-webhook-events"),
	"zendesk":            undocumented(0, "https://developer.zendesk.com/api-reference/webhooks/introduction"),
	"zoom":               undocumented(85*time.Minute, "https://developers.zoom.us/docs/api/webhooks"),
}

// standardRetries are the retries of Standard Webhooks: the timestamp is that of the
// attempt.
var standardRetries = signedPerAttempt("https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: the timestamp is that of the attempt")

func signedPerAttempt(source string) provider.Retries {
	return provider.Retries{Signing: provider.SignedPerAttempt, Source: source}
}

func impliedPerAttempt(source string) provider.Retries {
	return provider.Retries{Signing: provider.SignedPerAttempt, Implied: true, Source: source}
}

func signedOnce(last time.Duration, source string) provider.Retries {
	return provider.Retries{Signing: provider.SignedOnce, Last: last, Source: source}
}

func undocumented(last time.Duration, source string) provider.Retries {
	return provider.Retries{Last: last, Source: source}
}

// codedTolerances are the default tolerances of presets with Code.
var codedTolerances = map[string]time.Duration{
	"apple-app-store":  appleTolerance,
	"aws-sns":          snsTolerance,
	"google-play-rtdn": googleTolerance,
	"google-pubsub":    googleTolerance,
	"paypal":           payPalTolerance,
	"plaid":            plaidTolerance,
	"rfc9421":          signature.DefaultTolerance,
	"vonage":           vonageTolerance,
}

// retriesOf returns how a preset's retries are signed.
func retriesOf(p *provider.Preset) provider.Retries {
	r, known := retries[p.Name]
	if known {
		return r
	}
	for i := range p.Schemes {
		if s := &p.Schemes[i]; s.Signed == "{id}.{timestamp}.{body}" && s.Timestamp.Name == "*timestamp" {
			return standardRetries
		}
	}
	return r
}
