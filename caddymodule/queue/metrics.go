package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

const (
	metricsNamespace = "caddy"
	metricsSubsystem = "verify_webhook"
)

// metrics are created once and registered with every config's registry, so that
// counters survive reloads. Label values are names of queues and fixed words.
var metrics = struct {
	accepted   *prometheus.CounterVec
	full       *prometheus.CounterVec
	putErrors  *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	unrecorded *prometheus.CounterVec
	put        *prometheus.HistogramVec
	delivery   *prometheus.HistogramVec
}{
	accepted: prometheus.NewCounterVec(
		counterOpts("queue_accepted_total", "Deliveries that were accepted from the provider, by whether they are new or were already stored (existing)."),
		[]string{"queue", "result"}),
	full: prometheus.NewCounterVec(
		counterOpts("queue_full_total", "Deliveries that got 503 because the queue was full."),
		[]string{"queue"}),
	putErrors: prometheus.NewCounterVec(
		counterOpts("queue_put_errors_total", "Deliveries that got 503 because storing them failed for another reason."),
		[]string{"queue"}),
	attempts: prometheus.NewCounterVec(
		counterOpts("queue_attempts_total", "Attempts to deliver, by result: delivered, failed, refused (no connection to the app), dead (the last attempt), tried_first (mode when_down, while the provider waited), unreadable."),
		[]string{"queue", "result"}),
	unrecorded: prometheus.NewCounterVec(
		counterOpts("queue_unrecorded_total", "Attempts whose result could not be recorded: these deliveries may be forwarded again."),
		[]string{"queue"}),
	put: prometheus.NewHistogramVec(
		histogramOpts("queue_put_seconds", "Time to store a delivery durably.", prometheus.ExponentialBuckets(1e-4, 2.5, 12)), // 100 µs to 2.4 s
		[]string{"queue"}),
	delivery: prometheus.NewHistogramVec(
		histogramOpts("queue_delivery_seconds", "Time of an attempt, until the app's response was complete.", prometheus.ExponentialBuckets(1e-3, 3, 12)), // 1 ms to 3 min
		[]string{"queue"}),
}

func counterOpts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help}
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: name, Help: help, Buckets: buckets}
}

// attemptResults are the values of the label result of attempts_total.
var attemptResults = []string{"delivered", "failed", "refused", "dead", "tried_first", "unreadable"}

// registerMetrics registers the metrics with the registry of a config.
func registerMetrics(registry *prometheus.Registry, g *group) error {
	for _, c := range []prometheus.Collector{
		metrics.accepted, metrics.full, metrics.putErrors, metrics.attempts, metrics.unrecorded, metrics.put, metrics.delivery,
		stateCollector{g},
	} {
		err := registry.Register(c)
		var already prometheus.AlreadyRegisteredError
		if err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// initMetrics creates the counters of a queue, so that rates start at zero.
func initMetrics(queue string) {
	for _, result := range attemptResults {
		metrics.attempts.WithLabelValues(queue, result)
	}
	for _, result := range []string{"new", "existing"} {
		metrics.accepted.WithLabelValues(queue, result)
	}
	metrics.full.WithLabelValues(queue)
	metrics.putErrors.WithLabelValues(queue)
	metrics.unrecorded.WithLabelValues(queue)
}

func observePut(queue string, start time.Time, existing durable.State, err error) {
	metrics.put.WithLabelValues(queue).Observe(time.Since(start).Seconds())
	switch {
	case errors.Is(err, durable.ErrFull):
		metrics.full.WithLabelValues(queue).Inc()
	case err != nil:
		metrics.putErrors.WithLabelValues(queue).Inc()
	case existing != 0:
		metrics.accepted.WithLabelValues(queue, "existing").Inc()
	default:
		metrics.accepted.WithLabelValues(queue, "new").Inc()
	}
}

func observeAttempt(queue, result string, took time.Duration) {
	metrics.attempts.WithLabelValues(queue, result).Inc()
	if took > 0 {
		metrics.delivery.WithLabelValues(queue).Observe(took.Seconds())
	}
}

func observeUnrecorded(queue string) { metrics.unrecorded.WithLabelValues(queue).Inc() }

// stateCollector reports the state of a config's store when metrics are collected,
// also for names that are not in the config.
type stateCollector struct{ group *group }

var (
	waitingDesc    = stateDesc("queue_waiting", "Deliveries that are waiting for an attempt.")
	inFlightDesc   = stateDesc("queue_in_flight", "Deliveries that the app is processing.")
	deadDesc       = stateDesc("queue_dead", "Deliveries whose attempts ended without success, which are kept for a manual retry.")
	tombstonesDesc = stateDesc("queue_tombstones", "Keys of delivered and discarded deliveries that are remembered.")
	bytesDesc      = stateDesc("queue_bytes", "Size of the deliveries that are waiting, in flight or dead, in bytes.")
	oldestDesc     = stateDesc("queue_oldest_age_seconds", "Age of the oldest delivery that is waiting or in flight, 0 if there is none.")
	pausedDesc     = stateDesc("queue_paused", "1 while an operator has paused the queue.")
	downDesc       = stateDesc("queue_app_down", "1 while the app cannot be reached or asks for a pause, and is probed with one delivery at a time.")
	configuredDesc = stateDesc("queue_configured", "1 if the running config has a webhook_queue of this name, 0 if deliveries are only stored under it.")
)

func stateDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(metricsNamespace, metricsSubsystem, name), help, []string{"queue"}, nil)
}

// Describe implements prometheus.Collector.
func (stateCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{waitingDesc, inFlightDesc, deadDesc, tombstonesDesc, bytesDesc, oldestDesc, pausedDesc, downDesc, configuredDesc} {
		to <- d
	}
}

// collectTimeout limits how long a scrape waits for the store.
const collectTimeout = 2 * time.Second

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	infos, err := c.group.infos(ctx)
	if err != nil {
		return // the series disappear, which an alert can detect
	}
	for _, i := range infos {
		gauge := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, i.Name)
		}
		gauge(waitingDesc, float64(i.Waiting))
		gauge(inFlightDesc, float64(i.InFlight))
		gauge(deadDesc, float64(i.Dead))
		gauge(tombstonesDesc, float64(i.Tombstones))
		gauge(bytesDesc, float64(i.Bytes))
		gauge(oldestDesc, i.OldestAge)
		gauge(pausedDesc, asNumber(i.Paused))
		gauge(downDesc, asNumber(i.AppDown))
		gauge(configuredDesc, asNumber(i.Configured))
	}
}

func asNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
