package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

func TestGenuineDeliveryReachesTheAppByteForByte(t *testing.T) {
	s := startSite(t)
	random := rand.NewChaCha8([32]byte{})
	for name, size := range map[string]int{"a byte": 1, "a page": 4 << 10, "a large one": 9<<20 + 1} {
		t.Run(name, func(t *testing.T) {
			body := make([]byte, size)
			if _, err := random.Read(body); err != nil {
				t.Fatal(err)
			}
			before := len(s.seen())
			s.mustBe(t, delivery.GitHub(githubSecret, name, "push", body), http.StatusOK, "verified")

			got := s.sawTimes(t, before+1)[before]
			if !bytes.Equal(got.Body, body) {
				t.Errorf("the app got a different body of %d bytes", len(got.Body))
			}
			if got.ContentLength != int64(size) || got.Chunked {
				t.Errorf("Content-Length = %d, chunked = %v; want %d, not chunked", got.ContentLength, got.Chunked, size)
			}
		})
	}
}

func TestAppReceivesTheVerifiedIdentity(t *testing.T) {
	s := startSite(t)
	s.mustBe(t, github("d-1"), http.StatusOK, "verified")
	s.mustBe(t, stripe("evt_1", time.Now()), http.StatusOK, "verified")

	seen := s.sawTimes(t, 2)
	for i, want := range []map[string]string{
		{"provider": "github", "id": "d-1", "event": "push"},
		{"provider": "stripe", "id": "evt_1", "event": "invoice.paid"},
	} {
		told := seen[i].verifiedHeaders()
		for name, value := range want {
			if told[name] != value {
				t.Errorf("request %d: %s = %q, want %q", i, name, told[name], value)
			}
		}
		if told["key"] == "" {
			t.Errorf("request %d: no key", i)
		}
	}
}

func TestSenderCannotForgeTheIdentity(t *testing.T) {
	s := startSite(t)
	for _, name := range []string{
		"Webhook-Verified-Id", "webhook-verified-id", "Webhook_Verified_Id", "WEBHOOK_VERIFIED-ID", "Webhook.Verified.Id",
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.seen())
			s.mustBe(t, github("genuine-"+name).With(name, "forged"), http.StatusOK, "verified")
			if told := s.sawTimes(t, before+1)[before].verifiedHeaders(); told["id"] != "genuine-"+name {
				t.Errorf("the app received the id %q", told["id"])
			}
		})
	}
}

func TestRefusedDeliveryNeverReachesTheApp(t *testing.T) {
	s := startSite(t)
	now := time.Now()
	for name, tc := range map[string]struct {
		delivery delivery.Delivery
		status   int
		outcome  string
	}{
		"one bit changed":             {github("1").Altered(), 401, "invalid_signature"},
		"signed with another secret":  {delivery.GitHub("other", "2", "push", []byte("{}")), 401, "invalid_signature"},
		"signed with an empty secret": {delivery.GitHub("", "3", "push", []byte("{}")), 401, "invalid_signature"},
		"without signature":           {github("4").Without("X-Hub-Signature-256"), 401, "missing_signature"},
		"an unreadable signature":     {github("5").With("X-Hub-Signature-256", "sha256=xyz"), 400, "malformed"},
		"stale":                       {stripe("evt_6", now.Add(-time.Hour)), 401, "stale"},
		"from the future":             {stripe("evt_7", now.Add(time.Hour)), 401, "stale"},
		"declared too large": {
			delivery.Stripe(stripeSecret, now, make([]byte, 1<<20+1)).With("Expect", "100-continue"), 413, "too_large",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.mustBe(t, tc.delivery, tc.status, tc.outcome)
			s.sawTimes(t, 0)
		})
	}
}

func TestHandledDeliveryIsForwardedOnce(t *testing.T) {
	s := startSite(t)
	now := time.Now()
	s.mustBe(t, github("g"), http.StatusOK, "verified")
	s.mustBe(t, stripe("evt_s", now), http.StatusOK, "verified")

	s.mustBe(t, github("g"), http.StatusOK, "duplicate")
	s.mustBe(t, github("g").With("X-Github-Delivery", "fresh"), http.StatusOK, "replayed")
	s.mustBe(t, stripe("evt_s", now), http.StatusOK, "duplicate")
	s.mustBe(t, stripe("evt_s", now.Add(time.Second)), http.StatusOK, "duplicate")
	s.sawTimes(t, 2)
}

func TestDeliveryThatTheAppDidNotHandleIsForwardedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		app    http.HandlerFunc
		status int
	}{
		"it answers 500":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, 500},
		"it answers 404":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 404},
		"it drops the connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSite(t)
			s.answers(tc.app)
			s.mustBe(t, github("g"), tc.status, "verified")

			s.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
			s.mustBe(t, github("g"), http.StatusNoContent, "verified")
			seen := s.seen()
			first, last := seen[0].verifiedHeaders()["key"], seen[len(seen)-1].verifiedHeaders()["key"]
			if first == "" || first != last {
				t.Errorf("the retry has the key %q, the first attempt %q", last, first)
			}
		})
	}
}

func TestOnlyOneOfManyCopiesReachesTheApp(t *testing.T) {
	const copies = 50
	s := startSite(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	arrive := sync.OnceFunc(func() { close(arrived) })
	s.answers(func(w http.ResponseWriter, _ *http.Request) {
		arrive()
		<-release
		w.WriteHeader(http.StatusAccepted)
	})

	mark := s.newMark()
	d := github("crowd").With(sidecar.Mark, mark)
	statuses := make([]int, copies)
	group, ctx := errgroup.WithContext(t.Context())
	for i := range copies {
		group.Go(func() error {
			answer, err := d.Send(ctx, s.client, s.url)
			statuses[i] = answer.Status
			return err
		})
	}
	select {
	case <-arrived:
	case <-ctx.Done(): // a copy failed
	}
	close(release)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}

	for _, status := range statuses {
		if status != http.StatusAccepted && status != http.StatusOK {
			t.Errorf("a copy got %d", status)
		}
	}
	verified := 0
	for _, outcome := range s.outcomes(t, mark, copies) {
		if outcome == "verified" {
			verified++
		} else if !slices.Contains([]string{"in_progress", "duplicate"}, outcome) {
			t.Errorf("a copy has the outcome %q", outcome)
		}
	}
	if verified != 1 {
		t.Errorf("%d copies were verified, want 1", verified)
	}
	s.sawTimes(t, 1)
}

func TestADisconnectOfTheProviderDoesNotUndoTheAppsWork(t *testing.T) {
	s := startSite(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	arrive := sync.OnceFunc(func() { close(arrived) })
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		arrive()
		select {
		case <-release:
		case <-r.Context().Done(): // Caddy canceled the request to the app
		}
		w.WriteHeader(http.StatusOK)
	})

	ctx, hangUp := context.WithCancel(t.Context())
	var first errgroup.Group
	first.Go(func() error {
		_, err := github("g").Send(ctx, s.client, s.url)
		return err
	})
	<-arrived
	hangUp()
	if err := first.Wait(); err == nil {
		t.Fatal("the first sender got a response")
	}
	close(release)

	status, outcome := s.send(t, github("g"))
	if status != http.StatusOK || (outcome != "duplicate" && outcome != "in_progress") {
		t.Errorf("the retry got %d (%s), want 200 as a duplicate", status, outcome)
	}
	s.sawTimes(t, 1)
}
