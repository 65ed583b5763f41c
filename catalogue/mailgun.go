package catalogue

import "github.com/verify-webhook/caddy-verify-webhook/signature"

// mailgunNames are the members that are read.
var mailgunNames = knownNames(1, "signature", "timestamp", "token")

// checkMailgun refuses a JSON body whose signed members come twice: the app
// would take for the signed token one that is not. Mails come as forms; events in
// JSON are small.
func checkMailgun(r *signature.Request) error {
	if form, err := r.HasForm(); err != nil || form {
		return err
	}
	body, err := wholeBody(r)
	if err != nil {
		return err
	}
	if err := checkNames(body, mailgunNames); err != nil {
		return signature.Refuse(signature.Malformed, "%v", err)
	}
	return nil
}
