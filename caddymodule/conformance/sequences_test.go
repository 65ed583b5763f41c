package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/dryrun"
	"github.com/verify-webhook/caddy-verify-webhook/internal/nolog"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// Shorthands for outcomes.
const (
	isNew   = caddymodule.Verified
	isCopy  = caddymodule.Duplicate
	isFaked = caddymodule.Replayed
	isStale = caddymodule.Stale
)

// sent is one request of a sequence.
type sent struct {
	id   string // placed as the preset defines
	body string
	want caddymodule.Outcome

	headers map[string]string
	path    string
	after   time.Duration // since the first request was sent
	signed  time.Duration // time of signing, since the first request was sent
	get     bool
}

const formType = "application/x-www-form-urlencoded"

// sequences lists sequences of requests that providers send. The comment of the
// preset names the documentation.
var sequences = []struct {
	what, provider, options string
	sent                    []sent
}{
	{"every notification of a channel has a number and no body", "google-drive", "", []sent{
		{headers: drive("c1", 1, "sync"), want: isNew},
		{headers: drive("c1", 2, "update"), want: isNew},
		{headers: drive("c1", 3, "update"), want: isNew},
		{headers: drive("c1", 3, "update"), want: isCopy},
		{headers: drive("c2", 3, "update"), want: isNew},
	}},
	{"something changed, with equal content", "dropbox", "", []sent{
		{body: `{"list_folder":{"accounts":["dbid:A"]}}`, want: isNew},
		{body: `{"list_folder":{"accounts":["dbid:A"]}}`, want: isNew},
	}},
	{"a user repeats an action with a UI component", "sentry", "", []sent{
		{id: "r1", body: `{"fields":{},"installationId":"i"}`, want: isNew},
		{id: "r2", body: `{"fields":{},"installationId":"i"}`, want: isNew},
		{id: "r2", body: `{"fields":{},"installationId":"i"}`, want: isCopy},
	}},
	{"a caller presses 1 twice", "twilio", "", []sent{
		{id: "t1", body: "CallSid=CA1&Digits=1", want: isNew},
		{id: "t2", body: "CallSid=CA1&Digits=1", want: isNew},
		{id: "t2", body: "CallSid=CA1&Digits=1", want: isCopy},
	}},
	{"six orders share a second as ID, and two topics have the same JSON", "woocommerce", "", []sent{
		{id: "s", body: `{"id":1}`, headers: h("X-WC-Webhook-Topic", "order.created"), want: isNew},
		{id: "s", body: `{"id":2}`, headers: h("X-WC-Webhook-Topic", "order.created"), want: isNew},
		{id: "s", body: `{"id":2}`, headers: h("X-WC-Webhook-Topic", "order.updated"), want: isNew},
		{id: "s", body: `{"id":2}`, headers: h("X-WC-Webhook-Topic", "order.updated", "X-WC-Webhook-ID", "2"), want: isNew},
		{id: "u", body: `{"id":2}`, headers: h("X-WC-Webhook-Topic", "order.updated"), want: isNew},
		{id: "u", body: `{"id":2}`, headers: h("X-WC-Webhook-Topic", "order.updated"), want: isCopy},
	}},
	{"one order with two topics, one body from two shops", "shopify", "", []sent{
		{id: "a", body: `{"id":1}`, headers: h("X-Shopify-Topic", "orders/create"), want: isNew},
		{id: "b", body: `{"id":1}`, headers: h("X-Shopify-Topic", "orders/updated"), want: isNew},
		{id: "b", body: `{"id":1}`, headers: h("X-Shopify-Topic", "orders/updated", "X-Shopify-Shop-Domain", "two"), want: isNew},
		{id: "c", body: `{"id":1}`, headers: h("X-Shopify-Topic", "orders/updated"), want: isNew},
		{id: "c", body: `{"id":1}`, headers: h("X-Shopify-Topic", "orders/updated"), want: isCopy},
	}},
	{"a push is unique", "github", "", []sent{
		{id: "1", body: `{"ref":"refs/heads/main","after":"b"}`, want: isNew},
		{id: "1", body: `{"ref":"refs/heads/main","after":"b"}`, want: isCopy},
		{id: "2", body: `{"ref":"refs/heads/main","after":"b"}`, want: isFaked},
		{id: "1", body: `{"ref":"refs/heads/main","after":"c"}`, want: isNew},
	}},
	{"a repository is dispatched twice", "github", "", []sent{
		{id: "1", body: `{"action":"deploy","client_payload":{}}`, want: isNew},
		{id: "2", body: `{"action":"deploy","client_payload":{}}`, want: isNew},
		{id: "2", body: `{"action":"deploy","client_payload":{}}`, want: isCopy},
	}},
	{"a repository is dispatched twice, as forms", "github", "", []sent{
		{id: "1", body: "payload=%7B%22client_payload%22%3A%7B%7D%7D", headers: h("Content-Type", formType), want: isNew},
		{id: "2", body: "payload=%7B%22client_payload%22%3A%7B%7D%7D", headers: h("Content-Type", formType), want: isNew},
		{id: "3", body: "payload=%7B%22ref%22%3A%22client_payload%22%7D", headers: h("Content-Type", formType), want: isNew},
		{id: "4", body: "payload=%7B%22ref%22%3A%22client_payload%22%7D", headers: h("Content-Type", formType), want: isFaked},
	}},
	{"the unsigned URL does not decide whether content repeats", "github", "", []sent{
		{id: "1", body: `{"ref":"a"}`, want: isNew},
		{id: "2", body: `{"ref":"a"}`, path: "/in?payload=%7B%22client_payload%22%3A%7B%7D%7D", want: isFaked},
	}},
	{"a workflow without inputs is dispatched twice", "github", "", []sent{
		{id: "1", body: `{"inputs":null,"ref":"refs/heads/main"}`, want: isNew},
		{id: "2", body: `{"inputs":null,"ref":"refs/heads/main"}`, want: isNew},
	}},
	{"a member is added, removed and added again", "github", "", []sent{
		{id: "1", body: `{"action":"added","member":{},"team":{}}`, want: isNew},
		{id: "2", body: `{"action":"removed","member":{},"team":{}}`, want: isNew},
		{id: "3", body: `{"action":"added","member":{},"team":{}}`, want: isNew},
	}},
	{"a wiki page is edited twice with the same comment", "gitea", "", []sent{
		{id: "1", body: `{"action":"edited","page":"Home"}`, headers: h("Content-Type", "application/json"), want: isNew},
		{id: "2", body: `{"action":"edited","page":"Home"}`, headers: h("Content-Type", "application/json"), want: isNew},
		{id: "3", body: `{"ref":"page"}`, headers: h("Content-Type", "application/json"), want: isNew},
		{id: "4", body: `{"ref":"page"}`, headers: h("Content-Type", "application/json"), want: isFaked},
	}},
	{"a wiki page is edited twice, as forms", "forgejo", "", []sent{
		{id: "1", body: "payload=%7B%22page%22%3A1%7D", headers: h("Content-Type", formType), want: isNew},
		{id: "2", body: "payload=%7B%22page%22%3A1%7D", headers: h("Content-Type", formType), want: isNew},
	}},
	{"a wiki page is edited twice, with GET", "gitea", "", []sent{
		{id: "1", get: true, path: "/in?payload=%7B%22page%22%3A1%7D", want: isNew},
		{id: "2", get: true, path: "/in?payload=%7B%22page%22%3A1%7D", want: isNew},
	}},
	{"a branch moves from A to B, back and to B again", "bitbucket", "", []sent{
		{id: "1", body: `{"push":{"changes":["B"]}}`, want: isNew},
		{id: "2", body: `{"push":{"changes":["B"]}}`, want: isNew},
		{id: "2", body: `{"push":{"changes":["B"]}}`, want: isCopy},
		{id: "3", body: `{"approval":{"date":"d"}}`, headers: h("X-Event-Key", "pullrequest:approved"), want: isNew},
		{id: "4", body: `{"approval":{"date":"d"}}`, headers: h("X-Event-Key", "pullrequest:unapproved"), want: isNew},
		{id: "5", body: `{"approval":{"date":"d"}}`, headers: h("X-Event-Key", "pullrequest:unapproved"), want: isFaked},
	}},
	{"Data Center has its ID in another header", "bitbucket", "", []sent{
		{body: `{"push":1}`, headers: h("X-Request-Id", "1"), want: isNew},
		{body: `{"push":1}`, headers: h("X-Request-Id", "2"), want: isNew},
		{body: `{"push":1}`, headers: h("X-Request-Id", "2"), want: isCopy},
	}},
	{"a tag is pushed twice", "gitlab", "", []sent{
		{body: `{"object_kind":"tag_push"}`, headers: h("X-Gitlab-Token", secretText, "Idempotency-Key", "1"), want: isNew},
		{body: `{"object_kind":"tag_push"}`, headers: h("X-Gitlab-Token", secretText, "Idempotency-Key", "2"), want: isNew},
		{body: `{"object_kind":"tag_push"}`, headers: h("X-Gitlab-Token", secretText, "Idempotency-Key", "2"), want: isCopy},
	}},
	{"bodies are excluded", "jira", "", []sent{
		{id: "1", path: "/in?issue=A-1", want: isNew},
		{id: "2", path: "/in?issue=A-1", want: isNew},
		{id: "2", path: "/in?issue=A-1", want: isCopy},
		{id: "3", body: `{"timestamp":1,"webhookEvent":"e"}`, want: isNew},
		{id: "4", body: `{"timestamp":1,"webhookEvent":"e"}`, want: isFaked},
	}},
	{"heartbeats are equal, events are not", "asana", "", []sent{
		{body: `{"events":[]}`, want: isNew},
		{body: `{"events":[]}`, want: isNew},
		{body: `{"events":[{"created_at":"1"}]}`, want: isNew},
		{body: `{"events":[{"created_at":"1"}]}`, want: isCopy},
	}},
	{"a video fails and is ready later; a retry is signed with a new time", "cloudflare-stream", "", []sent{
		{body: `{"uid":"v","status":{"state":"error"},"modified":"1"}`, want: isNew},
		{body: `{"uid":"v","status":{"state":"ready"},"modified":"2"}`, want: isNew},
		{body: `{"uid":"v","status":{"state":"ready"},"modified":"2"}`, after: time.Hour, signed: time.Hour, want: isCopy},
	}},
	{"a drive changes twice", "microsoft-graph", "", []sent{
		{body: `{"value":[{"clientState":"` + secretText + `","resource":"me/drive/root"}]}`, want: isNew},
		{body: `{"value":[{"clientState":"` + secretText + `","resource":"me/drive/root"}]}`, want: isNew},
	}},
	{"one action is sent to two webhooks", "trello", "", []sent{
		{body: `{"action":{"id":"a"}}`, path: "/in?member=1", want: isNew},
		{body: `{"action":{"id":"a"}}`, path: "/in?member=2", want: isNew},
		{body: `{"action":{"id":"a"}}`, path: "/in?member=2", want: isCopy},
	}},
	{"a message is delivered and seen", "viber", "", []sent{
		{body: `{"event":"delivered","message_token":1}`, want: isNew},
		{body: `{"event":"seen","message_token":1}`, want: isNew},
		{body: `{"event":"seen","message_token":1}`, want: isCopy},
	}},
	{"a retry has another delivery ID and time, and the same ID in the body", "box", "", []sent{
		{body: `{"id":"1"}`, headers: h("BOX-DELIVERY-ID", "a"), want: isNew},
		{body: `{"id":"1"}`, headers: h("BOX-DELIVERY-ID", "b"), after: time.Hour, signed: time.Hour, want: isCopy},
		{body: `{"id":"2"}`, headers: h("BOX-DELIVERY-ID", "a"), want: isNew},
	}},
	{"each attempt has its own ID", "coinbase-commerce", "", []sent{
		{body: `{"id":1,"attempt_number":1,"event":{"id":"e"}}`, want: isNew},
		{body: `{"id":2,"attempt_number":2,"event":{"id":"e"}}`, want: isCopy},
		{body: `{"id":1,"attempt_number":1,"event":{"id":"f"}}`, want: isNew},
	}},
	{"each attempt has its own ID", "smartcar", "", []sent{
		{body: `{"eventId":"e","meta":{"deliveryId":"1"}}`, want: isNew},
		{body: `{"eventId":"e","meta":{"deliveryId":"2"}}`, want: isCopy},
		{body: `{"eventId":"f","meta":{"deliveryId":"1"}}`, want: isNew},
	}},
	{"each attempt has its own ID", "heroku", "", []sent{
		{body: `{"webhook_metadata":{"attempt":{"id":"1"},"delivery":{"id":"d"}}}`, want: isNew},
		{body: `{"webhook_metadata":{"attempt":{"id":"2"},"delivery":{"id":"d"}}}`, want: isCopy},
	}},
	{"an item is archived twice", "castle", "", []sent{
		{body: `{"type":"$list_item.archived","created_at":"1","data":{"id":"i"}}`, want: isNew},
		{body: `{"type":"$list_item.archived","created_at":"2","data":{"id":"i"}}`, want: isNew},
	}},
	{"a retry is signed with a new time", "calendly", "", signedAgain(`{"event":"invitee.created","created_at":"1"}`)},
	{"a retry is signed with a new time", "recurly", "", signedAgain(`{"id":"o","event_time":"1"}`)},
	{"a retry is signed with a new time", "sendgrid", "", signedAgain(`[{"sg_event_id":"1"}]`)},
	{"a retry is signed with a new time", "tiktok", "", signedAgain(`{"event":"e","create_time":1}`)},
	{"a retry is signed with a new time", "zoom", "", signedAgain(`{"event":"meeting.started","event_ts":1}`)},
	{"a retry is signed with a new time", "stripe", "", signedAgain(`{"id":"evt_1"}`)},
	{"a retry is signed with a new time", "pinwheel", "", signedAgain(`{"event_id":"1"}`)},
	{"a retry is signed with a new time", "standard-webhooks", "", []sent{
		{id: "msg_1", body: `{}`, want: isNew},
		{id: "msg_1", body: `{}`, after: time.Hour, signed: time.Hour, want: isCopy},
		{id: "msg_2", body: `{}`, after: time.Hour, signed: time.Hour, want: isNew},
	}},
	{"retries keep token and time for 8 hours", "mailgun", "", []sent{
		{id: "t1", body: "event=delivered", headers: h("Content-Type", formType), want: isNew},
		{id: "t1", body: "event=delivered", headers: h("Content-Type", formType), after: 7 * time.Hour, want: isCopy},
		{id: "t2", body: "event=delivered", headers: h("Content-Type", formType), after: 7 * time.Hour, want: isNew},
		{id: "t3", body: "event=delivered", headers: h("Content-Type", formType), after: 9 * time.Hour, want: isStale},
	}},
	{"the last retry", "mailgun", "", []sent{{id: "t1", body: "event=delivered", headers: h("Content-Type", formType), after: 8*time.Hour + 5*time.Minute, want: isNew}}},
	{"a retry may keep its time", "bird", "", []sent{{body: `{"event":"e"}`, after: 8 * time.Hour, want: isNew}}},
	{"a retry may keep its time", "sendgrid", "", []sent{{body: `[{"sg_event_id":"1"}]`, after: 24 * time.Hour, want: isNew}}},
	{"a retry keeps its time", "zoom", "", []sent{{body: `{"event":"e"}`, after: 85 * time.Minute, want: isNew}}},
	{"a retry keeps its time", "sanity", "", []sent{{id: "1", body: `{}`, after: 25 * time.Minute, want: isNew}}},
	{"a member is made moderator twice", "webex", "", []sent{
		{body: `{"id":"w","data":{"isModerator":true}}`, want: isNew},
		{body: `{"id":"w","data":{"isModerator":true}}`, want: isNew},
		{body: `{"id":"w","data":{"id":"m"}}`, want: isNew},
		{body: `{"id":"w","data":{"id":"m"}}`, want: isCopy},
	}},
	{"a retry has its attempt number and the same ID", "nylas", "", []sent{
		{body: `{"id":"e","webhook_delivery_attempt":1}`, want: isNew},
		{body: `{"id":"e","webhook_delivery_attempt":2}`, want: isCopy},
		{body: `{"id":"f","webhook_delivery_attempt":1}`, want: isNew},
	}},
	{"a retry has the latest payload and the same ID", "dodo-payments", "", []sent{
		{id: "msg_1", body: `{"type":"payment.processing"}`, want: isNew},
		{id: "msg_1", body: `{"type":"payment.succeeded"}`, after: time.Hour, signed: time.Hour, want: isCopy},
	}},
	{"one attribute changes twice", "attio", "", []sent{
		{id: "1", body: `{"events":[{"event_type":"record.updated"}]}`, want: isNew},
		{id: "2", body: `{"events":[{"event_type":"record.updated"}]}`, want: isNew},
		{id: "2", body: `{"events":[{"event_type":"record.updated"}]}`, want: isCopy},
	}},
	{"a story is published twice", "storyblok", "", []sent{
		{body: `{"action":"published","story_id":1}`, want: isNew},
		{body: `{"action":"published","story_id":1}`, want: isNew},
	}},
	{"something changed, with equal content", "cronofy", "", []sent{
		{body: `{"notification":{"type":"change","changes_since":"1"}}`, want: isNew},
		{body: `{"notification":{"type":"change","changes_since":"1"}}`, want: isNew},
	}},
	{"a space is updated twice, a task once", "clickup", "", []sent{
		{body: `{"event":"spaceUpdated","space_id":"1"}`, want: isNew},
		{body: `{"event":"spaceUpdated","space_id":"1"}`, want: isNew},
		{body: `{"event":"listCreated","history_items":[]}`, want: isNew},
		{body: `{"event":"listCreated","history_items":[]}`, want: isNew},
		{body: `{"event":"taskUpdated","history_items":[{"id":"1"}]}`, want: isNew},
		{body: `{"event":"taskUpdated","history_items":[{"id":"1"}]}`, want: isCopy},
	}},
	{"a candidate is saved twice without a change, an application has a time", "ashby", "", []sent{
		{body: `{"action":"ping","data":{}}`, want: isNew},
		{body: `{"action":"ping","data":{}}`, want: isNew},
		{body: `{"action":"applicationUpdate","data":{"application":{"updatedAt":"1"}}}`, want: isNew},
		{body: `{"action":"applicationUpdate","data":{"application":{"updatedAt":"1"}}}`, want: isCopy},
	}},
	{"one request is sent twice in a second, an event has a sequence", "zitadel", "", []sent{
		{body: `{"fullMethod":"/user/Get"}`, want: isNew},
		{body: `{"fullMethod":"/user/Get"}`, want: isNew},
		{body: `{"event_type":"user.added","sequence":3}`, want: isNew},
		{body: `{"event_type":"user.added","sequence":3}`, want: isCopy},
	}},
	{"one asset is updated twice in a second", "frameio", "", []sent{
		{body: `{"type":"asset.updated"}`, want: isNew},
		{body: `{"type":"asset.updated"}`, want: isNew},
	}},
	{"an image is pulled twice in a second", "harbor", "", []sent{
		{body: `{"type":"PULL_ARTIFACT","occur_at":1}`, headers: h("Authorization", secretText), want: isNew},
		{body: `{"type":"PULL_ARTIFACT","occur_at":1}`, headers: h("Authorization", secretText), want: isNew},
		{body: `{"specversion":"1.0","id":"1"}`, headers: h("Authorization", secretText), want: isNew},
		{body: `{"specversion":"1.0","id":"1"}`, headers: h("Authorization", secretText), want: isCopy},
	}},
	{"a tool is called twice", "vapi", "", []sent{
		{body: `{"message":{"type":"tool-calls"}}`, headers: h("X-Vapi-Secret", secretText), want: isNew},
		{body: `{"message":{"type":"tool-calls"}}`, headers: h("X-Vapi-Secret", secretText), want: isNew},
	}},
	{"two payments of one order are declined", "revolut", "", []sent{
		{body: `{"event":"ORDER_PAYMENT_DECLINED","order_id":"o"}`, want: isNew},
		{body: `{"event":"ORDER_PAYMENT_DECLINED","order_id":"o"}`, want: isCopy},
		{body: `{"event":"ORDER_PAYMENT_DECLINED","order_id":"o"}`, after: time.Minute, signed: time.Minute, want: isNew},
	}},
	{"a retry is signed with a new time", "airwallex", "", signedAgain(`{"id":"evt_1"}`)},
	{"a retry is signed with a new time", "cashfree", "", signedAgain(`{"type":"PAYMENT_SUCCESS_WEBHOOK","event_time":"1"}`)},
	{"a retry is signed with a new time", "courier", "", signedAgain(`{"type":"message:updated","data":{"sent":1}}`)},
	{"a retry is signed with a new time", "elevenlabs", "", signedAgain(`{"type":"post_call_transcription","event_timestamp":1}`)},
	{"a retry is signed with a new time", "knock", "", signedAgain(`{"type":"message.sent","created_at":"1"}`)},
	{"a retry is signed with a new time", "mercury", "", signedAgain(`{"id":"1"}`)},
	{"a retry is signed with a new time", "paymongo", "", signedAgain(`{"data":{"id":"evt_1"}}`)},
	{"a retry is signed with a new time", "retell", "", signedAgain(`{"event":"call_ended","call":{"end_timestamp":1}}`)},
	{"a retry is signed with a new time", "sinch-conversation", "", signedAgain(`{"event_time":"1"}`)},
	{"a retry is signed with a new time", "tailscale", "", signedAgain(`[{"type":"nodeCreated","timestamp":"1"}]`)},
	{"a retry keeps its time", "airwallex", "", keepsTime(`{"id":"evt_1"}`, 71*time.Hour)},
	{"a retry keeps its time", "cashfree", "", keepsTime(`{"type":"t","event_time":"1"}`, 23*time.Hour)},
	{"a retry keeps its time", "courier", "", keepsTime(`{"type":"t"}`, 23*time.Hour)},
	{"a retry keeps its time", "knock", "", keepsTime(`{"type":"t","created_at":"1"}`, 23*time.Hour)},
	{"a retry keeps its time", "paymongo", "", keepsTime(`{"data":{"id":"evt_1"}}`, 23*time.Hour)},
	{"a retry keeps its time", "sinch-conversation", "", keepsTime(`{"event_time":"1"}`, 23*time.Hour)},
	{"a retry is signed with a new time", "hubspot", "", signedAgain(`[{"eventId":1,"occurredAt":1}]`)},
	{"the clock here steps ahead, and back", "stripe", "", []sent{
		{body: `{"id":"evt_1"}`, want: isNew},
		{body: `{"id":"evt_1"}`, after: 3 * time.Hour, want: isStale},
		{body: `{"id":"evt_1"}`, want: isCopy},
		{body: `{"id":"evt_2"}`, after: 3 * time.Hour, want: isStale},
		{body: `{"id":"evt_2"}`, want: isNew},
		{body: `{"id":"evt_3"}`, after: -3 * time.Hour, want: isStale},
		{body: `{"id":"evt_3"}`, want: isNew},
		{body: `{"id":"evt_3"}`, after: 4 * time.Minute, want: isCopy},
	}},
	{"the clock here steps by months, and no time is signed", "shopify", "", []sent{
		{id: "a", body: `{"id":1}`, want: isNew},
		{id: "a", body: `{"id":1}`, after: 90 * 24 * time.Hour, want: isCopy},
		{id: "a", body: `{"id":1}`, after: -90 * 24 * time.Hour, want: isCopy},
		{id: "b", body: `{"id":2}`, after: -90 * 24 * time.Hour, want: isNew},
		{id: "b", body: `{"id":2}`, want: isCopy},
	}},
	{"a card is opened twice", "hubspot", `{"scheme":"v2"}`, []sent{
		{get: true, path: "/card?id=1", want: isNew},
		{get: true, path: "/card?id=1", want: isNew},
	}},
}

const secretText = "0123456789abcdef0123456789abcdef"

func h(pairs ...string) map[string]string {
	headers := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		headers[pairs[i]] = pairs[i+1]
	}
	return headers
}

func drive(channel string, number int, state string) map[string]string {
	return h("X-Goog-Channel-ID", channel, "X-Goog-Channel-Token", secretText, "X-Goog-Message-Number", fmt.Sprint(number), "X-Goog-Resource-State", state)
}

func signedAgain(body string) []sent {
	return []sent{
		{body: body, want: isNew},
		{body: body, after: time.Hour, signed: time.Hour, want: isCopy},
	}
}

// keepsTime returns a delivery and a later copy of it with the same signed time.
func keepsTime(body string, after time.Duration) []sent {
	return []sent{{body: body, after: after, want: isNew}, {body: body, after: after, want: isCopy}}
}

func TestSequencesThatProvidersSend(t *testing.T) {
	t.Parallel()
	for _, test := range sequences {
		t.Run(test.provider+": "+test.what, func(t *testing.T) { runSequence(t, test.provider, test.options, test.sent) })
	}
}

func runSequence(t *testing.T, name, options string, all []sent) {
	t.Helper()
	start := time.Unix(1760000000, 0)
	now := start
	signer := signerFor(t, name, options)
	trial := openFor(t, name, options, signer, func() time.Time { return now })
	for i, s := range all {
		now = start.Add(s.after)
		r := s.request(t, signer, start)
		got := trial.Send(r)
		if got.Outcome != string(s.want) || got.Reached != (s.want == isNew) {
			t.Errorf("%d: %s, reached the app %t, want %s: %s", i+1, got.Outcome, got.Reached, s.want, got.Reason)
		}
	}
}

// signerFor returns nil if the deliveries of a test contain the secret.
func signerFor(t *testing.T, name, options string) *signing.Signer {
	t.Helper()
	if name == "google-drive" || name == "gitlab" || name == "microsoft-graph" {
		return nil
	}
	signer, err := signing.OpenSigner(name, json.RawMessage(options), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func openFor(t *testing.T, name, options string, signer *signing.Signer, now func() time.Time) *dryrun.Endpoint {
	t.Helper()
	secret := secretText
	if signer != nil {
		secret, _ = signer.Configure()
	}
	p := map[string]any{"name": name, "secrets": []map[string]string{{"secret": secret}}}
	if options != "" {
		if err := json.Unmarshal([]byte(options), &p); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal(map[string]any{"provider": p})
	if err != nil {
		t.Fatal(err)
	}
	trial, err := dryrun.Open(nolog.Context(t.Context()), config, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.Close)
	return trial
}

func (s sent) request(t *testing.T, signer *signing.Signer, start time.Time) *http.Request {
	t.Helper()
	r := &signature.Request{Method: http.MethodPost, Scheme: "https", Host: "hooks.example.com", RequestURI: "/in", Header: http.Header{}, Body: signature.BytesBody(s.body)}
	if s.get {
		r.Method = http.MethodGet
	}
	if s.path != "" {
		r.RequestURI = s.path
	}
	for name, value := range s.headers {
		r.Header.Set(name, value)
	}
	if signer != nil {
		if err := signer.Sign(r, signature.Draft{ID: s.id, Time: start.Add(s.signed)}); err != nil {
			t.Fatal(err)
		}
	}
	got := httptest.NewRequestWithContext(t.Context(), r.Method, "https://hooks.example.com"+r.RequestURI, bytes.NewReader(r.Body.Bytes()))
	got.Header = r.Header
	return got
}
