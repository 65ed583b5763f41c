package queue

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// twoQueues returns a site whose queues a and b deliver to the paths toA and toB.
func twoQueues(toA, toB string) string {
	var text strings.Builder
	for name, path := range map[string]string{"a": toA, "b": toB} {
		text.WriteString(`handle /` + name + ` {
			verify_webhook github {env.` + secretVariable + `} {
				namespace ` + name + `
			}
			webhook_queue ` + name + ` {
				deliver {
					rewrite * ` + path + `
					reverse_proxy APP
				}
				retry 10ms
			}
		}
		`)
	}
	return text.String()
}

func TestReloadThatSwapsDeliverBlocksSendsEachToItsOwnApp(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(twoQueues("/one", "/two"))
	for _, name := range []string{"a", "b"} {
		for i := range 5 {
			if resp := s.send(delivery{id: name + strconv.Itoa(i), path: "/" + name, body: "{}" + name + strconv.Itoa(i)}); resp.StatusCode != 202 {
				t.Fatalf("got %d", resp.StatusCode)
			}
		}
	}
	s.load(twoQueues("/two", "/one"))
	s.app = restarted(t, s.app)
	for range 10 {
		got := s.app.next(t)
		if want := map[string]string{"a": "/two", "b": "/one"}[got.id()[:1]]; got.uri != want {
			t.Errorf("%s went to %s, want %s", got.id(), got.uri, want)
		}
	}
	s.delivered("a", 5)
	s.delivered("b", 5)
}

func TestFailedReloadKeepsTheQueuesConfig(t *testing.T) {
	s := start(t, twoQueues("/one", "/two"))
	occupied := newApp(t)
	broken := twoQueues("/broken", "/broken") + "\n}\nhttp://" + occupied.address() + " {\nbind 127.0.0.1\nrespond ok"
	if err := s.tryLoad(broken); err == nil {
		t.Fatal("a config that cannot listen was loaded")
	}
	invalid := twoQueues("/broken", "/broken") + "\nwebhook_queue a {\ndeliver {\nrespond 200\n}\n}"
	if err := s.tryLoad(invalid); err == nil || !strings.Contains(err.Error(), "duplicate webhook_queue name: a") {
		t.Fatalf("a config with two queues of one name: %v", err)
	}
	s.sendTo("a", 5)
	for range 5 {
		if got := s.app.next(t); got.uri != "/one" {
			t.Errorf("it went to %s", got.uri)
		}
	}
	s.delivered("a", 5)
}

// An attempt in progress continues with its route.
func TestReloadDoesNotDisturbAttemptsInProgress(t *testing.T) {
	s := start(t, usualSite(""))
	release := s.app.hold(t)
	s.mustSend("1", 202)
	s.app.next(t)
	for i := range 3 {
		s.load(usualSite("\n\t\tconcurrency " + strconv.Itoa(2+i)))
	}
	release()
	s.delivered("orders", 1)
	if n := len(s.app.arrivals); n != 0 {
		t.Errorf("the app received it %d more times", n)
	}
}

func TestReloadsUnderLoadLoseNothingAndDeliverNothingTwice(t *testing.T) {
	s := start(t, usualSite(""))
	const n = 200
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			s.mustSend(strconv.Itoa(i), 202)
		}
	}()
	reloads := 0
	for done := false; !done; reloads++ {
		s.load(usualSite("\n\t\tconcurrency " + strconv.Itoa(2+reloads%5)))
		select {
		case <-sent:
			done = true
		default:
		}
	}
	s.delivered("orders", n)
	seen := make(map[string]int)
	for range n {
		seen[s.app.next(t).id()]++
	}
	if len(seen) != n || len(s.app.arrivals) > 0 {
		t.Errorf("in %d reloads %d of %d reached the app, %d twice", reloads, len(seen), n, len(s.app.arrivals))
	}
}

// A stop waits for attempts in progress, for at most the grace period. Attempts
// that are not finished then are put back.
func TestStopPutsBackAttemptsInProgress(t *testing.T) {
	s := newSite(t)
	short := func(text string) []byte {
		config, err := adapt(strings.Replace(s.caddyfile(text), "grace_period 10s", "grace_period 50ms", 1))
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	if err := caddy.Load(short(usualSite("")), true); err != nil {
		t.Fatal(err)
	}
	release := s.app.hold(t)
	for i := range 3 {
		s.mustSend(strconv.Itoa(i), 202)
	}
	for range 3 {
		s.app.next(t)
	}
	stopping := time.Now()
	s.stop()
	if took := time.Since(stopping); took > 4*time.Second {
		t.Errorf("the stop took %s", took)
	}
	release()
	if err := caddy.Load(short(usualSite("")), true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := s.app.next(t); got.attempt() != "1" {
			t.Errorf("%s is attempt %s", got.id(), got.attempt())
		}
	}
	s.delivered("orders", 3)
}

func TestStopWaitsForAttemptsWithinTheGracePeriod(t *testing.T) {
	s := start(t, usualSite(""))
	release := s.app.hold(t)
	s.mustSend("1", 202)
	s.app.next(t)
	d := services.latest().dispatcher("orders")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	<-d.quit
	release()
	<-stopped
	s.load(usualSite(""))
	s.delivered("orders", 1)
	if n := len(s.app.arrivals); n != 0 {
		t.Errorf("the app received it %d more times", n)
	}
}

func TestDeliveriesOfARemovedQueueAreKept(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(usualSite(""))
	s.mustSend("1", 202)
	s.load(strings.ReplaceAll(usualSite(""), "webhook_queue orders", "webhook_queue others"))
	if len(s.logged("no longer has a webhook queue of this name")) == 0 {
		t.Error("the reload does not warn")
	}
	s.stop()
	s.load(strings.ReplaceAll(usualSite(""), "webhook_queue orders", "webhook_queue others"))
	if len(s.logged("a webhook queue that is not in the config")) == 0 {
		t.Error("the start does not warn")
	}
	infos, err := services.latest().infos(t.Context())
	if err != nil || len(infos) != 2 || infos[0].Name != "orders" || infos[0].Configured || infos[0].Waiting != 1 || !infos[1].Configured {
		t.Errorf("%+v, %v", infos, err)
	}
	s.app = restarted(t, s.app)
	s.load(usualSite(""))
	s.delivered("orders", 1)
}

func TestValidatingLeavesTheQueueAlone(t *testing.T) {
	s := newSite(t)
	config, err := adapt(s.caddyfile(usualSite("")))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, config); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.queue); err == nil {
		t.Error("validating created the file")
	}
	s.load(usualSite(""))
	if err := validate(t, config); err != nil {
		t.Error(err)
	}
	s.mustSend("1", 202)
	s.app.next(t)
}

// The file is closed when its last config stops.
func TestQueueFileIsClosedAfterStop(t *testing.T) {
	s := start(t, usualSite(""))
	s.mustSend("1", 202)
	s.delivered("orders", 1)
	q := s.opened()
	s.stop()
	if _, err := q.Stats(context.Background(), "orders"); err == nil {
		t.Error("the file is still open")
	}
	if n := fileQueues.Len(); n != 0 {
		t.Errorf("%d files are open", n)
	}
	if _, err := q.Put(context.Background(), durable.Put{Queue: "orders", Body: bytes.NewReader(nil)}); err == nil {
		t.Error("a closed queue accepts a delivery")
	}
}

// The app can see that a delivery was received over TLS.
func TestAppSeesThatADeliveryUsedTLS(t *testing.T) {
	s := newSite(t)
	certificate, key := selfSigned(t)
	text := s.caddyfile("tls " + certificate + " " + key + "\n" + usualSite(""))
	text = strings.Replace(text, "http://:", "https://localhost:", 1)
	config, err := adapt(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(s.address, ":")
	s.address = "localhost:" + port
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a self-signed certificate
	s.scheme = "https"
	s.mustSend("1", 202)
	got := s.app.next(t)
	if got.header.Get("X-Forwarded-Proto") != "https" || got.header.Get("X-Forwarded-Host") != s.address || got.header.Get("Early-Data") != "" {
		t.Errorf("the app received %v", got.header)
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "cert.key")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// sendTo sends deliveries to one of twoQueues.
func (s *site) sendTo(name string, n int) {
	s.t.Helper()
	for i := range n {
		if resp := s.send(delivery{id: name + strconv.Itoa(i), path: "/" + name, body: name + strconv.Itoa(i)}); resp.StatusCode != 202 {
			s.t.Fatalf("got %d", resp.StatusCode)
		}
	}
}

// Deliveries are due while a config starts, and then the config fails.
func TestConfigThatFailsToStartDeliversNothing(t *testing.T) {
	s := newSite(t)
	s.app.Close()
	s.load(twoQueues("/one", "/two"))
	s.sendTo("a", 50)
	s.app = restarted(t, s.app)
	occupied := newApp(t)
	broken := twoQueues("/broken", "/broken") + "\n}\nhttp://" + occupied.address() + " {\nbind 127.0.0.1\nrespond ok"
	for range 10 {
		if err := s.tryLoad(broken); err == nil {
			t.Fatal("a config that cannot listen was loaded")
		}
	}
	for range 50 {
		if got := s.app.next(t); got.uri != "/one" {
			t.Errorf("%s went to %s", got.id(), got.uri)
		}
	}
	s.delivered("a", 50)
}
