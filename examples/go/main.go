// Receives GitHub and Stripe webhooks. Caddy has verified and de-duplicated them.
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("POST /webhooks/github", github)
	http.HandleFunc("POST /webhooks/stripe", stripe)
	server := &http.Server{Addr: "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "3000"), ReadTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

func github(w http.ResponseWriter, r *http.Request) {
	var push struct {
		Ref string `json:"ref"`
	}
	if err := json.NewDecoder(r.Body).Decode(&push); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	log.Printf("github delivery %s: %s %s", r.Header.Get("Webhook-Verified-Id"), r.Header.Get("Webhook-Verified-Event"), push.Ref)
	w.WriteHeader(http.StatusAccepted)
}

func stripe(w http.ResponseWriter, r *http.Request) {
	var event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// The key is the same on every retry. Store it with the event in one transaction,
	// and skip known keys: then even a crash does not apply an event twice.
	log.Printf("stripe event %s: %s (%s)", event.ID, event.Type, r.Header.Get("Webhook-Verified-Key"))
}
