package command

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
)

// outcomes queries the running Caddy instance for the outcomes of deliveries that
// were sent to it.
type outcomes struct {
	address string
	// names are the endpoints of the running config.
	names []string

	mu    sync.Mutex
	known map[string]int // how many outcomes of an address were returned
}

// askOutcomes returns nil if no Caddy instance on this machine serves target.
func askOutcomes(adminAddress string, target *url.URL) *outcomes {
	address, err := caddycmd.DetermineAdminAPIAddress(adminAddress, nil, "", "")
	if err != nil || !isLoopback(target.Hostname()) {
		return nil
	}
	admin := adminClient{address: address}
	config, err := admin.loadConfig()
	if err != nil || !listensOn(config, target) {
		return nil
	}
	o := &outcomes{address: address, known: make(map[string]int)}
	if endpoints, err := endpointsIn(config); err == nil {
		for i := range endpoints {
			e := &endpoints[i]
			o.names = append(o.names, strings.Join(append(slices.Clone(e.Paths), e.Provider), " "))
		}
	}
	if _, err := o.of(""); err != nil {
		return nil // an instance without this module, or of another version
	}
	return o
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// listensOn reports whether a server of the config listens on the port of target.
func listensOn(config []byte, target *url.URL) bool {
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	var c struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Listen []string `json:"listen"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if json.Unmarshal(config, &c) != nil {
		return false
	}
	for _, s := range c.Apps.HTTP.Servers {
		if slices.ContainsFunc(s.Listen, func(address string) bool { return strings.HasSuffix(address, ":"+port) }) {
			return true
		}
	}
	return false
}

// of returns the outcomes of deliveries from an address, the oldest first.
func (o *outcomes) of(remoteAddr string) ([]caddymodule.DeliveryOutcome, error) {
	uri := caddymodule.AdminOutcomesPath + "?" + url.Values{"remote_addr": {remoteAddr}}.Encode()
	resp, err := caddycmd.AdminAPIRequest(o.address, http.MethodGet, uri, nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var found []caddymodule.DeliveryOutcome
	return found, json.NewDecoder(resp.Body).Decode(&found)
}

// outcomeWait is how long to wait for an outcome after the response.
const outcomeWait = 500 * time.Millisecond

// next returns the next outcome of deliveries from an address, nil if no endpoint
// has received one.
func (o *outcomes) next(ctx context.Context, remoteAddr string) *caddymodule.DeliveryOutcome {
	o.mu.Lock()
	known := o.known[remoteAddr]
	o.mu.Unlock()
	for deadline := time.Now().Add(outcomeWait); ; {
		found, err := o.of(remoteAddr)
		if err != nil {
			return nil
		}
		if len(found) > known {
			o.mu.Lock()
			o.known[remoteAddr] = known + 1
			o.mu.Unlock()
			return &found[known]
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// localAddress returns a context in which a request records its local address.
func localAddress(ctx context.Context, to *string) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { *to = info.Conn.LocalAddr().String() },
	})
}
