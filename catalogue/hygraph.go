package catalogue

import (
	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func hygraphSignature() signature.SignatureField {
	f := listIn("gcms-signature", ", ", "sign")
	f.Encoding, f.Layout = signature.Base64, "sign={signature}, env={env}, t={t}"
	return f
}

// hygraphValues returns the parts of the signed JSON document, which contains the body
// as a string.
// npm @hygraph/utils, index.js
func hygraphValues(*provider.Module, *signature.Request) ([]map[string]string, error) {
	return []map[string]string{{
		"before": `{"Body":"`, "between": `","EnvironmentName":"`, "after": `","TimeStamp":`, "end": "}",
	}}, nil
}
