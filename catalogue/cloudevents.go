package catalogue

import (
	"net/http"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// structured is the content type of a CloudEvent with its attributes in the body. In
// binary mode they are headers.
const structured = "application/cloudevents+json"

// cloudEventsHandshake is confirmed for the origins in allowed_origin.
var cloudEventsHandshake = signature.Handshake{Kind: signature.HandshakeCloudEvents}

// cloudEvents are the senders of CloudEvents over HTTP. Nothing is signed. A batch has
// an ID for each event, so it is identified by its content.
// https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md
var cloudEvents = []provider.Preset{
	// source and id identify an event. Bodies with specversion contain both. In
	// binary mode they are in the headers, and bodies can repeat.
	{
		Name: "cloudevents", Title: "CloudEvents HTTP webhooks", SecretsFitAll: true,
		Distinction: uniqueWhen(inJSON("specversion"), inJSON("0.specversion")).Varying("ce-source", "ce-type", "ce-subject", "ce-time"),
		Schemes: []signature.Scheme{
			scheme(signature.Token, inBearer, id(inJSON("id")), event(inJSON("type")), when(signature.Condition{ContentType: structured}), answers(cloudEventsHandshake)),
			scheme(signature.Token, accessToken, id(inJSON("id")), event(inJSON("type")), when(signature.Condition{ContentType: structured})),
			scheme(signature.Token, inBearer, id(inHeader("ce-id")), event(inHeader("ce-type"))),
			scheme(signature.Token, accessToken, id(inHeader("ce-id")), event(inHeader("ce-type"))),
		},
		Takes: []string{"allowed_origin"}, Weakness: tokenWeakness,
		Docs: "https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md", SecretHelp: "access token that you gave the sender: it is sent as `Authorization: Bearer`, or as `access_token` in the URL",
	},
	// A delivery in the Event Grid schema is a list of events with IDs. Retries
	// continue for 24 hours.
	// https://learn.microsoft.com/en-us/azure/event-grid/security-authentication
	{
		Name: "azure-event-grid", Title: "Azure Event Grid", Distinction: unique, SecretsFitAll: true,
		Schemes: []signature.Scheme{
			scheme(signature.Token, eventGridCode, id(inJSON("id")), event(inJSON("type")), when(signature.Condition{ContentType: structured})),
			scheme(signature.Token, eventGridCode, event(inHeader("aeg-event-type"))),
		},
		Takes: []string{"query", "allowed_origin"}, Challenge: eventGridUnsigned, Handshake: eventGridValidation,
		Handshakes: "SubscriptionValidation, and OPTIONS with WebHook-Request-Origin `eventgrid.azure.net` or an `allowed_origin`, both with the secret in the URL",
		Weakness:   tokenWeakness + "; the secret is in the URL, which appears in logs of the app and of proxies",
		Docs:       "https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-event-grid-events-schema", SecretHelp: "the value of `code` in the URL of the event subscription, which you choose: `https://hooks.example.com/azure?code=…`",
	},
}

var (
	inBearer      = signature.SignatureField{Field: inHeader("Authorization"), Prefix: "Bearer "}
	accessToken   = signature.SignatureField{Field: inQuery("access_token")}
	eventGridCode = signature.SignatureField{Field: inQuery("code")}
)

// eventGridOrigin is the origin that Event Grid sends.
const eventGridOrigin = "eventgrid.azure.net"

// eventGridUnsigned returns the reason to refuse a validation without the secret.
// Event Grid sends every parameter of the URL, so such a validation is for a different
// subscription.
var eventGridUnsigned = &provider.Challenge{
	Possible: func(_ *provider.Module, r *signature.Request) bool {
		return (r.Method == http.MethodOptions && r.Header.Get(signature.WebHookOrigin) != "") ||
			(r.Method == http.MethodPost && r.Header.Get("aeg-event-type") == "SubscriptionValidation")
	},
	Unarmed: func(m *provider.Module, _ *signature.Request) string {
		name := m.Resolved().Query
		if name == "" {
			name = eventGridCode.Name
		}
		return "Event Grid validates a URL without the right secret: add ?" + name + "=<secret> to the URL at Azure, or write query <name> for another parameter"
	},
	Answer: func(*provider.Module, *signature.Request) (*signature.Answer, error) { return nil, nil },
}

var eventGridMembers = members("0.eventType", "0.data.validationCode")

// eventGridValidation answers the validation of a URL that contains the secret. Only a
// 200 counts as proof. validationUrl is never fetched.
func eventGridValidation(m *provider.Module, r *signature.Request, _ *signature.Delivery) (*signature.Answer, error) {
	if r.Method == http.MethodOptions {
		if err := m.OriginRefusal(r, eventGridOrigin); err != nil {
			return nil, err
		}
		return provider.CloudEventsAnswer(r), nil
	}
	found, err := eventGridMembers(r)
	if err != nil || found[0] != "Microsoft.EventGrid.SubscriptionValidationEvent" {
		return nil, err
	}
	if !provider.Echoable(found[1]) {
		return nil, provider.NotEchoable("validationCode")
	}
	return jsonAnswer(map[string]string{"validationResponse": found[1]})
}
