package catalogue

import (
	"slices"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// bodyHMAC are the providers that sign only the body. Headers and time are unsigned,
// so a delivery can be replayed after the window.
var bodyHMAC = slices.Concat(bodyHMACToM, bodyHMACFromN)

// spaced allows spaces around the parts of a list.
func spaced(f signature.SignatureField) signature.SignatureField {
	f.Spaces = true
	return f
}

func mergeScheme(encoding signature.Encoding) signature.Scheme {
	return scheme(signature.HMACSHA256, signature.SignatureField{Field: inHeader("X-Merge-Webhook-Signature"), Encoding: encoding}, event(inJSON("hook.event")))
}

// worldpayScheme: the parts are `1/SHA256/hex`, separated by commas.
func worldpayScheme(encoding string) signature.Scheme {
	return scheme(signature.HMACSHA256, signature.SignatureField{Field: inHeader("Event-Signature"), Separator: "/SHA256/", Positional: 1, SetSeparator: ","},
		key(encoding, ""), keyID(inElement("1")), id(inJSON("eventId")), event(inJSON("eventDetails.type")))
}

// laidOut sets the layout of a list in a header.
func laidOut(layout string, f signature.SignatureField) signature.SignatureField {
	f.Layout = layout
	return f
}

// githubDistinction: workflow and repository dispatches can be sent twice with
// equal content, because the caller chooses it. The other events contain no time,
// so adding, removing and adding a member sends equal content. A field counts if
// it is present, since `inputs` can be null.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads
var githubDistinction = repeatsWhen(
	inJSON("client_payload"), inJSON("inputs"), inJSON("requested_action"), inJSON("member"), inJSON("membership"), inJSON("blocked_user"), inJSON("team"), inJSON("thread"),
).DocumentIn(inForm("payload"))
