package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
	"github.com/verify-webhook/caddy-verify-webhook/replay/memory"
)

// gather returns the value of each series of a registry, and for histograms the
// number of observations.
func gather(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			name := strings.TrimPrefix(f.GetName(), "caddy_verify_webhook_") + labelText(m)
			switch {
			case m.Counter != nil:
				values[name] = m.Counter.GetValue()
			case m.Gauge != nil:
				values[name] = m.Gauge.GetValue()
			case m.Histogram != nil:
				values[name] = float64(m.Histogram.GetSampleCount())
			}
		}
	}
	return values
}

func labelText(m *dto.Metric) string {
	var parts []string
	for _, l := range m.Label {
		parts = append(parts, l.GetName()+"="+l.GetValue())
	}
	if len(parts) == 0 {
		return ""
	}
	sort.Strings(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// site is a Caddy in this process whose config can be reloaded.
type site struct {
	t       *testing.T
	address string
}

func newSite(t *testing.T) *site {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Cleanup(func() { _ = caddy.Stop() })
	return &site{t, l.Addr().String()}
}

// load loads a config with these endpoints, each a handler's JSON.
func (s *site) load(handlers ...string) map[string]float64 {
	s.t.Helper()
	var routes []string
	for i, h := range handlers {
		routes = append(routes, fmt.Sprintf(`{"match":[{"path":["/%d"]}],"handle":[%s,{"handler":"static_response","status_code":200}]}`, i, h))
	}
	config := fmt.Sprintf(`{"admin":{"disabled":true,"config":{"persist":false}},"logging":{"logs":{"default":{"level":"PANIC"}}},
		"apps":{"http":{"servers":{"s":{"listen":[%q],"automatic_https":{"disable":true},"routes":[%s]}}},"verify_webhook":{"store":{"type":"memory"}}}}`, s.address, strings.Join(routes, ","))
	if err := caddy.Load([]byte(config), true); err != nil {
		s.t.Fatal(err)
	}
	return s.metrics()
}

func (s *site) metrics() map[string]float64 {
	s.t.Helper()
	ctx := caddy.ActiveContext()
	return gather(s.t, ctx.GetMetricsRegistry())
}

// post passes a GitHub delivery to the server and returns the status. It does not
// use a connection, because connections can break during a reload.
func (s *site) post(path, signature, body string) int {
	s.t.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("X-Hub-Signature-256", signature)
	w := httptest.NewRecorder()
	app.(*caddyhttp.App).Servers["s"].ServeHTTP(w, r)
	return w.Code
}

const (
	metricsSecret   = "a secret for metrics"
	metricsEndpoint = `{"handler":"verify_webhook","namespace":"orders","provider":{"name":"github","secrets":[{"secret":"` + metricsSecret + `"}]}}`
	metricsOther    = `{"handler":"verify_webhook","namespace":"other","mode":"monitor","provider":{"name":"github","secrets":[{"secret":"another"}]}}`
)

func TestCountersContinueAcrossReloadsAndEndWithTheirEndpoint(t *testing.T) {
	s := newSite(t)
	const orders = "endpoint=orders,outcome=verified,provider=github}"
	before := make(map[string]float64)
	for series, v := range s.load(metricsEndpoint, metricsOther) {
		if strings.HasPrefix(series, "store_operation") { // other tests in this process
			before[series] = v
		}
	}
	for reload := range 3 {
		s.load(metricsEndpoint, metricsOther)
		body := fmt.Sprint("delivery ", reload)
		if status := s.post("/0", "sha256="+sign(metricsSecret, body), body); status != 200 {
			t.Fatalf("status %d", status)
		}
		if status := s.post("/0", "sha256="+sign(metricsSecret, body), body); status != 200 {
			t.Fatalf("status %d", status)
		}
		if status := s.post("/0", "sha256="+sign("wrong", body), body); status != 401 {
			t.Fatalf("status %d", status)
		}
		n := float64(reload + 1)
		got := s.metrics()
		for series, want := range map[string]float64{
			"deliveries_total{" + orders:                                                  n,
			"deliveries_total{endpoint=orders,outcome=duplicate,provider=github}":         n,
			"deliveries_total{endpoint=orders,outcome=invalid_signature,provider=github}": n,
			"deliveries_total{endpoint=orders,outcome=stale,provider=github}":             0,
			"verification_seconds{endpoint=orders,provider=github}":                       3 * n,
			"in_flight{endpoint=orders,provider=github}":                                  0,
			"store_operation_seconds{operation=claim,store=memory}":                       2 * n,
			"store_operation_seconds{operation=commit,store=memory}":                      n,
			"store_errors_total{operation=commit,store=memory}":                           0,
			"store_remembered_keys{store=memory}":                                         n,
			"store_claimed_keys{store=memory}":                                            0,
			"store_capacity_keys{store=memory}":                                           memory.DefaultMaxEntries,
			"endpoints{endpoint=orders,mode=enforce,provider=github}":                     1,
			"endpoints{endpoint=other,mode=monitor,provider=github}":                      1,
			"body_memory_limit_bytes":                                                     defaultBodyMemory,
		} {
			if v, there := got[series]; !there || v-before[series] != want {
				t.Errorf("reload %d: %s is %v (%t), want %v", reload, series, v, there, want)
			}
		}
	}
	for series := range s.load(metricsOther) {
		if strings.Contains(series, "endpoint=orders") {
			t.Errorf("%s remains from a removed endpoint", series)
		}
	}
}

func TestUnknownOutcomeOfAProviderModuleIsNotALabel(t *testing.T) {
	m := newEndpointMetrics("p", "e")
	defer func() { _ = m.Destruct() }()
	m.count("whatever-a-request-says")
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	if err := registerMetrics(registry); err != nil {
		t.Errorf("registering again: %v", err)
	}
	got := gather(t, registry)
	if got["deliveries_total{endpoint=e,outcome=undecided,provider=p}"] != 1 {
		t.Error("not counted as undecided")
	}
	for series := range got {
		if strings.Contains(series, "whatever") {
			t.Errorf("%s has a label that is not from the config", series)
		}
	}
}

func TestRegisteringAConflictingMetricFails(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "caddy_verify_webhook_deliveries_total", Help: "conflicting"}))
	if err := registerMetrics(registry); err == nil {
		t.Error("no error")
	}
}

// brokenStore is a store whose operations all fail.
type brokenStore struct{ Store }

var errBroken = errors.New("broken")

func (brokenStore) Claim(context.Context, replay.Keys, replay.Owner, time.Duration) (replay.Verdict, error) {
	return 0, errBroken
}

func (brokenStore) Commit(context.Context, replay.Keys, replay.Owner, time.Duration, int) error {
	return replay.ErrNotOwner
}

func TestStoreErrorsAreCountedByOperation(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := registerMetrics(registry); err != nil {
		t.Fatal(err)
	}
	before := gather(t, registry) // the counters outlive the test
	s := newMeteredStore(brokenStore{memory.New(memory.Options{})}, "broken")
	if _, err := s.Claim(t.Context(), replay.Keys{}, replay.Owner{}, time.Second); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	if err := s.Commit(t.Context(), replay.Keys{}, replay.Owner{}, time.Second, 200); !errors.Is(err, replay.ErrNotOwner) {
		t.Errorf("got %v", err)
	}
	s.claimLost()
	got := gather(t, registry)
	for series, want := range map[string]float64{
		"store_errors_total{operation=claim,store=broken}":  1,
		"store_errors_total{operation=commit,store=broken}": 0, // a lost claim is not a store error
		"store_lost_claims_total{store=broken}":             1,
	} {
		if v, there := got[series]; !there || v-before[series] != want {
			t.Errorf("%s grew by %v (%t), want %v", series, v-before[series], there, want)
		}
	}
}

func TestAgeOfSignedTimestampsIsObserved(t *testing.T) {
	const secret, content = "whsec_age", `{"id":"evt_age","type":"x"}`
	now := func() time.Time { return time.Unix(1700000007, 0) }
	trial, err := OpenTrial(quietly(t), []byte(`{"namespace":"ages","provider":{"name":"stripe","secrets":[{"secret":"`+secret+`"}]}}`), now)
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	for _, key := range []string{secret, "forged"} {
		r, _ := http.NewRequest(http.MethodPost, "/", strings.NewReader(content))
		r.Header.Set("Stripe-Signature", "t=1700000000,v1="+sign(key, "1700000000."+content))
		trial.Send(r)
	}
	var m dto.Metric
	if err := trial.handler.metrics.skew().(prometheus.Metric).Write(&m); err != nil {
		t.Fatal(err)
	}
	if m.Histogram.GetSampleCount() != 1 || m.Histogram.GetSampleSum() != 7 {
		t.Errorf("got %d observations with the sum %v, want one of 7 s", m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum())
	}
}

// BenchmarkMetrics measures what metrics add to one delivery, including the clock.
func BenchmarkMetrics(b *testing.B) {
	m := newEndpointMetrics("bench", "bench")
	defer func() { _ = m.Destruct() }()
	b.ReportAllocs()
	for b.Loop() {
		m.inFlight.Inc()
		m.verified(time.Now())
		m.skew().Observe(1)
		m.count(Verified)
		m.inFlight.Dec()
	}
}
