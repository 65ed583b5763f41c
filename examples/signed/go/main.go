// Receives webhooks of every provider. Caddy signs all of them in one format.
package main

import (
	"cmp"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	signed, err := standardwebhooks.NewWebhook(os.Getenv("APP_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /webhooks/{provider}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client disconnected
		}
		if signed.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized) // the request bypassed Caddy
			return
		}
		var event struct {
			Action string `json:"action"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		log.Printf("signed delivery %s of %s: %q", r.Header.Get("Webhook-Id"), r.PathValue("provider"), event.Action)
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Addr: "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "3000"), ReadTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}
