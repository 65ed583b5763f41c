package relay

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// The metrics survive reloads. Label values come from the config.
var (
	connected = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "caddy", Subsystem: "verify_webhook", Name: "relay_connected",
		Help: "1 while a machine is listening to the relay, otherwise 0.",
	}, []string{"relay"})
	relayed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "verify_webhook", Name: "relay_deliveries_total",
		Help: "Deliveries to the relay, by result: answered, nobody, lost, overloaded, timeout, unreadable or passed_on (to the next handler).",
	}, []string{"relay", "result"})
	refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "caddy", Subsystem: "verify_webhook", Name: "relay_refused_listeners_total",
		Help: "Requests to webhook_listeners without its token.",
	}, []string{"relay"})
)

func registerMetrics(ctx caddy.Context) error {
	for _, c := range []prometheus.Collector{connected, relayed, refused} {
		err := ctx.GetMetricsRegistry().Register(c)
		var already prometheus.AlreadyRegisteredError
		if err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// forget removes the series of a relay that is no longer in any config, so that no
// alert fires for it.
func forget(relay string) {
	connected.DeleteLabelValues(relay)
	refused.DeleteLabelValues(relay)
	relayed.DeletePartialMatch(prometheus.Labels{"relay": relay})
}

func count(relay, result string) { relayed.WithLabelValues(relay, result).Inc() }

func resultOf(err error) string {
	switch {
	case errors.Is(err, errNobody):
		return "nobody"
	case errors.Is(err, errLost):
		return "lost"
	case errors.Is(err, errOverloaded):
		return "overloaded"
	case errors.Is(err, errBody):
		return "unreadable"
	default:
		return "timeout"
	}
}
