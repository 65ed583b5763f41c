package caddymodule

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "verify_webhook"
)

// metrics are the metrics of all endpoints. They are created once and registered
// with every config's registry, so that counters survive reloads. Label values come
// from the config, never from a request.
var metrics = struct {
	deliveries   *prometheus.CounterVec
	verification *prometheus.HistogramVec
	skew         *prometheus.HistogramVec
	inFlight     *prometheus.GaugeVec
	outdated     *prometheus.GaugeVec
	storeTime    *prometheus.HistogramVec
	storeErrors  *prometheus.CounterVec
	lostClaims   *prometheus.CounterVec
	spooled      prometheus.Counter
}{
	deliveries: prometheus.NewCounterVec(
		counterOpts("deliveries_total", "Requests to webhook endpoints, by outcome."),
		[]string{"provider", "endpoint", "outcome"}),
	verification: prometheus.NewHistogramVec(
		histogramOpts("verification_seconds", "Time to verify signatures.", prometheus.ExponentialBuckets(5e-6, 4, 10)), // 5 µs to 1.3 s
		[]string{"provider", "endpoint"}),
	skew: prometheus.NewHistogramVec(
		histogramOpts("timestamp_age_seconds", "Age of the signed timestamps of genuine deliveries, negative if in the future: clock skew and transit time.",
			[]float64{-300, -60, -10, -2, 0, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600}),
		[]string{"provider", "endpoint"}),
	inFlight: prometheus.NewGaugeVec(
		gaugeOpts("in_flight", "Requests to webhook endpoints that are being processed."),
		[]string{"provider", "endpoint"}),
	outdated: prometheus.NewGaugeVec(
		gaugeOpts("secrets_outdated", "1 while a changed secret file cannot be used and the previous secrets stay in use."),
		[]string{"provider", "endpoint"}),
	storeTime: prometheus.NewHistogramVec(
		histogramOpts("store_operation_seconds", "Duration of replay store operations.", prometheus.ExponentialBuckets(2e-6, 4, 12)), // 2 µs to 8 s
		[]string{"store", "operation"}),
	storeErrors: prometheus.NewCounterVec(
		counterOpts("store_errors_total", "Operations of the replay store that failed."),
		[]string{"store", "operation"}),
	lostClaims: prometheus.NewCounterVec(
		counterOpts("store_lost_claims_total", "Deliveries whose lease expired while the app was processing: the provider's retry may be forwarded again."),
		[]string{"store"}),
	spooled: prometheus.NewCounter(
		counterOpts("body_spooled_bytes_total", "Bytes of bodies that were written to temporary files.")),
}

func counterOpts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help}
}

func gaugeOpts(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help}
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, Buckets: buckets}
}

// registerMetrics registers the metrics with the registry of a config.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		metrics.deliveries, metrics.verification, metrics.skew, metrics.inFlight, metrics.outdated,
		metrics.storeTime, metrics.storeErrors, metrics.lostClaims, metrics.spooled,
	} {
		if err := register(registry, c); err != nil {
			return err
		}
	}
	return nil
}

// register succeeds if the collector is already registered.
func register(registry *prometheus.Registry, c prometheus.Collector) error {
	err := registry.Register(c)
	var already prometheus.AlreadyRegisteredError
	if err != nil && !errors.As(err, &already) {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

// endpointMetrics are the metrics of one endpoint, looked up once instead of on every
// delivery.
type endpointMetrics struct {
	provider, endpoint string

	outcomes     map[Outcome]prometheus.Counter
	verification prometheus.Observer
	skew         func() prometheus.Observer // nil until a timestamp is signed
	inFlight     prometheus.Gauge
	outdated     prometheus.Gauge
	uncounted    bool // for dry runs
}

// uncountedMetrics are not in a registry.
var uncountedMetrics = func() *endpointMetrics {
	nothing := prometheus.ObserverFunc(func(float64) {})
	m := &endpointMetrics{
		outcomes: make(map[Outcome]prometheus.Counter, len(Outcomes)), verification: nothing,
		skew:     func() prometheus.Observer { return nothing },
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{}), outdated: prometheus.NewGauge(prometheus.GaugeOpts{}),
		uncounted: true,
	}
	for _, o := range Outcomes {
		m.outcomes[o] = prometheus.NewCounter(prometheus.CounterOpts{})
	}
	return m
}()

// endpointMetricsPool keeps the metrics of an endpoint while it is in a config.
var endpointMetricsPool = caddy.NewUsagePool()

func endpointMetricsKey(provider, endpoint string) string { return provider + "\x00" + endpoint }

// acquireEndpointMetrics returns the metrics of an endpoint. The caller must call
// release.
func acquireEndpointMetrics(provider, endpoint string) (*endpointMetrics, error) {
	m, _, err := endpointMetricsPool.LoadOrNew(endpointMetricsKey(provider, endpoint), func() (caddy.Destructor, error) {
		return newEndpointMetrics(provider, endpoint), nil
	})
	if err != nil {
		return nil, fmt.Errorf("preparing metrics: %w", err)
	}
	return m.(*endpointMetrics), nil
}

func newEndpointMetrics(provider, endpoint string) *endpointMetrics {
	m := &endpointMetrics{
		provider: provider, endpoint: endpoint,
		outcomes:     make(map[Outcome]prometheus.Counter, len(Outcomes)),
		verification: metrics.verification.WithLabelValues(provider, endpoint),
		skew:         sync.OnceValue(func() prometheus.Observer { return metrics.skew.WithLabelValues(provider, endpoint) }),
		inFlight:     metrics.inFlight.WithLabelValues(provider, endpoint),
		outdated:     metrics.outdated.WithLabelValues(provider, endpoint),
	}
	// All of them, so that rates start at zero.
	for _, o := range Outcomes {
		m.outcomes[o] = metrics.deliveries.WithLabelValues(provider, endpoint, string(o))
	}
	return m
}

func (m *endpointMetrics) release() error {
	if m.uncounted {
		return nil
	}
	_, err := endpointMetricsPool.Delete(endpointMetricsKey(m.provider, m.endpoint))
	return err
}

// Destruct implements caddy.Destructor: the endpoint is in no config.
func (m *endpointMetrics) Destruct() error {
	labels := prometheus.Labels{"provider": m.provider, "endpoint": m.endpoint}
	metrics.deliveries.DeletePartialMatch(labels)
	metrics.verification.Delete(labels)
	metrics.skew.Delete(labels)
	metrics.inFlight.Delete(labels)
	metrics.outdated.Delete(labels)
	return nil
}

// count counts an outcome. An unknown kind of refusal, from a provider of another
// repository, must not become a label.
func (m *endpointMetrics) count(o Outcome) {
	c, known := m.outcomes[o]
	if !known {
		c = m.outcomes[Undecided]
	}
	c.Inc()
}

// verified records how long verification took.
func (m *endpointMetrics) verified(since time.Time) {
	m.verification.Observe(time.Since(since).Seconds())
}

// stateCollector reports the current state of a config's stores and bodies when
// metrics are collected.
type stateCollector struct{ app *App }

var (
	endpointsDesc  = stateDesc("endpoints", "Configured webhook endpoints.", "provider", "endpoint", "mode")
	rememberedDesc = stateDesc("store_remembered_keys", "Keys of handled deliveries that the replay store remembers, one or two for each delivery.", "store")
	claimedDesc    = stateDesc("store_claimed_keys", "Keys of deliveries that are being handled now.", "store")
	capacityDesc   = stateDesc("store_capacity_keys", "Maximum number of keys in the replay store, 0 for no limit.", "store")
	memoryDesc     = stateDesc("body_memory_bytes", "Memory in use by bodies in flight.")
	memoryMaxDesc  = stateDesc("body_memory_limit_bytes", "Memory that bodies in flight may use (body_memory).")
	diskDesc       = stateDesc("body_disk_bytes", "Temporary files in use by bodies in flight.")
	diskMaxDesc    = stateDesc("body_disk_limit_bytes", "Temporary files that bodies in flight may use (body_disk).")
)

func stateDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, name), help, labels, nil)
}

// Describe implements prometheus.Collector.
func (stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{endpointsDesc, rememberedDesc, claimedDesc, capacityDesc, memoryDesc, memoryMaxDesc, diskDesc, diskMaxDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s stateCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	memory, disk := s.app.budget.InUse()
	gauge(memoryDesc, memory)
	gauge(diskDesc, disk)
	gauge(memoryMaxDesc, s.app.BodyMemory)
	gauge(diskMaxDesc, s.app.BodyDisk)
	endpoints, stores := s.app.inventory()
	for e, n := range endpoints {
		gauge(endpointsDesc, n, e.provider, e.endpoint, e.mode)
	}
	for label, store := range stores {
		stats := store.Stats()
		if stats.Remembered >= 0 {
			gauge(rememberedDesc, stats.Remembered, label)
		}
		if stats.Claimed >= 0 {
			gauge(claimedDesc, stats.Claimed, label)
		}
		if stats.Capacity >= 0 {
			gauge(capacityDesc, stats.Capacity, label)
		}
	}
}

// Interface guards.
var (
	_ caddy.Destructor     = (*endpointMetrics)(nil)
	_ prometheus.Collector = stateCollector{}
)
