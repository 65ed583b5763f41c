package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// mailgunNames are the members that the code reads.
var mailgunNames = knownNames(1, "signature", "timestamp", "token", mailgunParent)

// mailgunParent is the member with the signature under the key of the primary account,
// in events of a subaccount.
// https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
const mailgunParent = "parent-signature"

// mailgunEvent is the largest JSON event, in bytes. It has the headers and the names of
// the attachments of a mail, not the mail.
const mailgunEvent = 640 << 10

// mailgunTolerance is in seconds. A retry has the token and the time of the first
// attempt. The last one is sent after 8 hours and 5 minutes.
const mailgunTolerance = 8*3600 + 30*60

// mailgunSchemes: events are JSON. Mails are forms, which are multipart if they have
// attachments. A secret is that of the account or of its primary account.
func mailgunSchemes() []signature.Scheme {
	value := func(name string) signature.Field { return signature.Field{From: "value", Name: name} }
	form := signature.Condition{ContentType: "application/x-www-form-urlencoded"}
	multipart := signature.Condition{ContentType: "multipart/form-data"}
	made := func(sig, time, token, eventType signature.Field, more ...with) signature.Scheme {
		return scheme(signature.HMACSHA256, signature.SignatureField{Field: sig}, append(more, signed("{timestamp}{id}"), timestamp(time, "unix", mailgunTolerance), id(token), event(eventType))...)
	}
	return []signature.Scheme{
		made(inForm("signature"), inForm("timestamp"), inForm("token"), inForm("event"), when(form)),
		made(inJSON("signature.signature"), inJSON("signature.timestamp"), inJSON("signature.token"), inJSON("event-data.event")),
		made(value("signature"), value("timestamp"), value("token"), value("event"), when(multipart)),
		made(inForm(mailgunParent), inForm("timestamp"), inForm("token"), inForm("event"), when(form)),
		made(inJSON("signature."+mailgunParent), inJSON("signature.timestamp"), inJSON("signature.token"), inJSON("event-data.event")),
		made(value(mailgunParent), value("timestamp"), value("token"), value("event"), when(multipart)),
	}
}

// mailgunValues reads the signature block of a multipart body. Other bodies need no
// computed values.
func mailgunValues(_ *provider.Module, r *signature.Request) ([]map[string]string, error) {
	if !signature.IsMultipart(r) || r.Body == nil {
		return []map[string]string{{}}, nil
	}
	fields, err := signature.MultipartFields(r, "signature", "timestamp", "token", "event", mailgunParent)
	return []map[string]string{fields}, err
}

// checkMailgun refuses a JSON body with duplicate signed members, because the app
// could read an unsigned token instead of the signed one. Mails are forms; JSON events
// are small.
func checkMailgun(r *signature.Request) error {
	if signature.IsMultipart(r) {
		return nil // mailgunValues checks it
	}
	if form, err := r.HasForm(); err != nil || form {
		return err
	}
	body, err := bodyUpTo(r, mailgunEvent)
	if err != nil {
		return err
	}
	if err := checkNames(body, mailgunNames); err != nil {
		return signature.Refuse(signature.Malformed, "%v", err)
	}
	return nil
}
