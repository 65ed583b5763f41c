package command

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule/queue"
)

// queueSite is a Caddy with a queue whose app responds with 404, so that
// deliveries are dead.
type queueSite struct {
	t           *testing.T
	admin, site string
	folder      string
}

func startQueueSite(t *testing.T) *queueSite {
	t.Setenv("WEBHOOK_SECRET", "It's a Secret to Everybody")
	s := &queueSite{t: t, admin: freeAddress(t), site: freeAddress(t), folder: t.TempDir()}
	s.load(404)
	t.Cleanup(func() { _ = caddy.Stop() })
	return s
}

func (s *queueSite) load(status int) {
	s.t.Helper()
	config := fmt.Sprintf(`{"admin":{"listen":%q,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},"apps":{
		"verify_webhook":{"store":{"type":"memory","name":"queue"},"queue":{"type":"file","path":%q}},
		"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[{"handle":[
			{"handler":"verify_webhook","provider":{"name":"github","secrets":[{"secret":"{env.WEBHOOK_SECRET}"}]}},
			{"handler":"webhook_queue","name":"orders","stop_on":[404],"deliver":[{"handle":[{"handler":"static_response","status_code":%d}]}]}]}]}}}}}`,
		s.admin, filepath.Join(s.folder, "queue.db"), s.site, status)
	if err := caddy.Load([]byte(config), true); err != nil {
		s.t.Fatal(err)
	}
}

func (s *queueSite) send(id, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.site+"/in?x=1", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("It's a Secret to Everybody"))
	mac.Write([]byte(body))
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-GitHub-Delivery", id)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		s.t.Fatalf("%s got %d", id, resp.StatusCode)
	}
}

// prints runs `queue` with arguments and returns its output.
func (s *queueSite) prints(args ...string) (string, error) {
	s.t.Helper()
	out, _, err := run(s.t, queueCommand(), "", append(args, "--address", s.admin)...)
	return out, err
}

// must runs `queue` with arguments, and checks that its output contains want.
func (s *queueSite) must(want string, args ...string) string {
	s.t.Helper()
	out, err := s.prints(args...)
	if err != nil || !strings.Contains(out, want) {
		s.t.Fatalf("queue %v: %v\n%s\nwant %s", args, err, out, want)
	}
	return out
}

// eventually waits until the queue has counts.
func (s *queueSite) eventually(waiting, dead, tombstones int64) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, err := s.prints("--json")
		var infos []queue.Info
		if err == nil {
			err = json.Unmarshal([]byte(out), &infos)
		}
		if err != nil || len(infos) != 1 {
			s.t.Fatalf("%v: %s", err, out)
		}
		if i := infos[0]; i.Waiting == waiting && i.Dead == dead && i.Tombstones == tombstones && i.InFlight == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the queue is %s", out)
		}
		time.Sleep(2 * time.Millisecond) // the queue has no notifications
	}
}

func TestQueueListsShowsAndChangesDeliveries(t *testing.T) {
	s := startQueueSite(t)
	for i := range 3 {
		s.send(fmt.Sprint(i), fmt.Sprintf("body %d \x1b[31m", i))
	}
	s.eventually(0, 3, 0)
	s.must("orders  0        0          3", "list")
	s.must("delivering")

	var entries []queue.EntryInfo
	if err := json.Unmarshal([]byte(s.must("", "list", "orders", "--json")), &entries); err != nil || len(entries) != 3 {
		t.Fatalf("%v, %d", err, len(entries))
	}
	key := entries[0].Key
	table := s.must(key, "list", "orders", "--state", "dead", "--status", "404")
	if lines := strings.Count(table, "\n"); lines != 4 {
		t.Errorf("%d lines:\n%s", lines, table)
	}
	s.must("There may be more", "list", "orders", "--limit", "2")
	if out := s.must("", "list", "orders", "--older-than", "1h"); strings.Contains(out, "dead") {
		t.Error(out)
	}

	shown := s.must("X-Github-Delivery: 0", "show", "orders", key)
	if !strings.Contains(shown, "POST /in?x=1") || !strings.Contains(shown, "body 0") || strings.Contains(shown, "\x1b") {
		t.Errorf("%q", shown)
	}
	s.must(`"state":"dead"`, "show", "orders", key, "--json")
	if out := s.must("", "show", "orders", key, "--body"); out != "body 0 \x1b[31m" {
		t.Errorf("the body is %q", out)
	}

	s.must("would be made due now: 3 deliveries", "retry", "orders", "--state", "dead", "--dry-run")
	s.eventually(0, 3, 0)
	s.load(200)
	s.must("orders: paused", "pause", "orders")
	s.must("paused", "list")
	s.must("made due now: 1 delivery", "retry", "orders", key)
	s.eventually(1, 2, 0)
	s.must("would be discarded: 3 deliveries", "discard", "orders", "--all", "--dry-run")
	s.must("discarded: 2 deliveries", "discard", "orders", "--state", "dead")
	s.eventually(1, 0, 2)
	s.must("orders: delivering again", "resume", "orders")
	s.eventually(0, 0, 3)
	s.must("delivered", "show", "orders", key)
}

func TestQueueErrorsSayWhatToWrite(t *testing.T) {
	s := startQueueSite(t)
	for want, args := range map[string][]string{
		"there is no queue \"x\"; available: orders":  {"list", "x"},
		"missing queue: write its name":               {"list", "--state", "dead"},
		"unknown state":                               {"list", "orders", "--state", "lost"},
		"invalid status":                              {"list", "orders", "--status", "5xx"},
		"is not a duration":                           {"retry", "orders", "--older-than", "long"},
		"missing keys":                                {"retry", "orders"},
		"cannot be combined":                          {"discard", "orders", "key", "--all"},
		"there is no delivery \"key\" in the queue":   {"retry", "orders", "key"},
		"no such entry":                               {"show", "orders", "key"},
		"deliveries in flight cannot be changed":      {"retry", "orders", "--state", "in_flight"},
		"requires at least 1 arg(s), only received 0": {"retry"},
		"unknown command \"lst\" for \"queue\"":       {"lst"},
	} {
		if out, err := s.prints(args...); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), `\"`, `"`), want) {
			t.Errorf("%v: %v\n%s\nwant %s", args, err, out, want)
		}
	}
}
