package store

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/redisserver"
)

const redisPassword = "p@ss:w/rd?{}%#"

func redisConnections() int {
	return redisStores.Len()
}

func TestReloadsShareOneRedisStoreAndShowNoPassword(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", redisPassword)
	address := redisserver.Start(t, redisPassword)
	url := "redis://:{env.REDIS_PASSWORD}@" + address
	c := start(t, "redis "+url)
	c.once("1", 1)
	for _, options := range []string{"", " {\ntimeout 700ms\n}", " {\nprefix verify_webhook\n}"} {
		c.load("redis " + url + options)
		c.once("1", 0)
		if n := redisConnections(); n != 1 {
			t.Errorf("%d connections after a reload with other settings of the same store", n)
		}
	}
	c.load("redis " + url + " {\nprefix another\n}")
	c.once("1", 1)
	if n := redisConnections(); n != 1 {
		t.Errorf("%d connections: the former store is still open", n)
	}

	config := c.config("redis "+strings.Replace(url, "REDIS_PASSWORD", "REDIS_WRONG", 1), "")
	t.Setenv("REDIS_WRONG", redisPassword+"x")
	err := caddy.Load(config, true)
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: %v", err)
	}
	c.once("1", 0)
	for name, text := range map[string]string{"the config": string(config), "the log": c.logged(), "the error": err.Error(), "a label": metricLabels(t)} {
		if strings.Contains(text, redisPassword) || strings.Contains(text, escapeLogin(redisPassword)) {
			t.Errorf("%s contains the password", name)
		}
	}
}

// metricLabels returns the labels of all series.
func metricLabels(t *testing.T) string {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(families)
}

func TestPlaceholdersInARedisURLAreTakenLiterally(t *testing.T) {
	t.Setenv("REDIS_USER", "a:b@c")
	t.Setenv("REDIS_PASSWORD", redisPassword)
	t.Setenv("REDIS_HOST", "[::1]:7000")
	t.Setenv("REDIS_WHOLE", "redis://me:secret@host:1/2")
	for raw, want := range map[string]string{
		"redis://localhost:6379":                                        "redis://localhost:6379",
		"redis://{env.REDIS_HOST}/3":                                    "redis://[::1]:7000/3",
		"rediss://{env.REDIS_USER}:{env.REDIS_PASSWORD}@h?addr=i:1":     "rediss://a%3Ab%40c:p%40ss%3Aw%2Frd%3F%7B%7D%25%23@h?addr=i:1",
		"redis://h?master_set=m&sentinel_password={env.REDIS_PASSWORD}": "redis://h?master_set=m&sentinel_password=p%40ss%3Aw%2Frd%3F%7B%7D%25%23",
		"{env.REDIS_WHOLE}":                                             "redis://me:secret@host:1/2",
	} {
		if got, err := resolveURL(raw); err != nil || got != want {
			t.Errorf("%s resolves to %s (%v), want %s", raw, got, err, want)
		}
	}
	for _, bad := range []string{"", "redis://{env.REDIS_UNSET}", "redis://:{env.REDIS_UNSET}@h", "redis://h?db={env.REDIS_UNSET}", "redis://{http.host}"} {
		if got, err := resolveURL(bad); err == nil {
			t.Errorf("%s resolves to %s, want an error", bad, got)
		}
	}
}

func TestTheNameOfARedisStoreContainsNoCredentials(t *testing.T) {
	for url, want := range map[string]string{
		"redis://me:secret@h:6379/2":                              "h:6379/2 shop",
		"redis://h:1?addr=i:2&master_set=m&sentinel_password=sec": "h:1,i:2 m shop",
		"unix:///run/redis.sock?db=1":                             "/run/redis.sock/1 shop",
		"redis://me:secret@h:1?addr=me:secret@i:2":                "h:1,i:2 shop",
		"redis://h:1?addr=:s3%40cret@i:2":                         "h:1,i:2 shop",
	} {
		if got := redisName(url, "shop"); got != want {
			t.Errorf("%s is named %q, want %q", url, got, want)
		}
	}
	for url, written := range map[string]bool{
		"redis://me:secret@h": true, "redis://:secret@h": true, "redis://h?sentinel_password=x": true,
		"redis://me:{env.X}@h": false, "redis://h": false, "{env.X}": false, "redis://h?sentinel_password={env.X}": false,
		"redis://me:{env.X}c4n4ryT0p5ecr3tAbCdEfGh@h": true, "redis://h?sentinel_password={env.X}&db=1": false,
	} {
		if hasPassword(url) != written {
			t.Errorf("%s: plaintext password: %t, want %t", url, !written, written)
		}
	}
}

func TestTheErrorForAnInvalidRedisStoreContainsNoSecret(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", redisPassword)
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, noPEM, "nothing")
	before := redisConnections()
	for store, want := range map[string]string{
		`{"type":"redis"}`: "missing url",
		`{"type":"redis","url":"redis://h","timeout":-1}`:                                       "write, for example, timeout 1s",
		`{"type":"redis","url":"http://:{env.REDIS_PASSWORD}@h"}`:                               "URL",
		`{"type":"redis","url":"redis://:{env.REDIS_PASSWORD}@h?adr=x"}`:                        "adr",
		`{"type":"redis","url":"redis://:{env.REDIS_PASSWORD}@h?addr=:{env.REDIS_PASSWORD}@i"}`: "not a host and a port",
		`{"type":"redis","url":"redis://h:1?addr=me:{env.REDIS_PASSWORD}@i:1"}`:                 "not a host and a port",
		`{"type":"redis","url":"redis://h:1?addr=i"}`:                                           "addr=two:6379",
		`{"type":"redis","url":"redis://:{env.REDIS_PASSWORD}@h","tls_server_name":"x"}`:        "rediss://",
		`{"type":"redis","url":"rediss://:{env.REDIS_PASSWORD}@h","tls_trust":"` + noPEM + `"}`: "no PEM certificate",
		`{"type":"redis","url":"rediss://:{env.REDIS_PASSWORD}@h","tls_key":"` + noPEM + `"}`:   "certificate and its key",
	} {
		err := loadStore(store)
		if err == nil {
			t.Errorf("%s is accepted", store)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", store, err, want)
		}
		if strings.Contains(err.Error(), redisPassword) || strings.Contains(err.Error(), escapeLogin(redisPassword)) {
			t.Errorf("%s: the error contains the password: %v", store, err)
		}
	}
	if n := redisConnections(); n != before {
		t.Errorf("%d connections of rejected configs are still open", n-before)
	}
}

// If a special character in a password is not escaped, a part of the password is
// in another part of the URL.
func TestTheErrorForAnUnescapedPasswordContainsNoPartOfIt(t *testing.T) {
	for _, password := range []string{
		"PART/PART", "PART?PART", "PART#PART", "PART%PART", "1 PART", "PART[PART", "PART:PART", "PART\\PART", "12/PART", "12?PART", "12#PART", "12/34/PART", "12?PART=1", "/PART", "?PART", "#PART", "PART@PART/PART",
	} {
		for _, form := range []string{"redis://:%s@h", "rediss://me:%s@h:6379/0", "redis://:%s@h?addr=i:1", "redis://%s:x@h", "unix://:%s@/run/redis.sock"} {
			address := strings.Replace(form, "%s", password, 1)
			if err := (redisclient.Options{URL: address}).CheckURL(); err != nil && strings.Contains(err.Error(), "PART") {
				t.Errorf("%s: %v", address, err)
			}
			if name := redisName(address, "shop"); strings.Contains(name, "PART") {
				t.Errorf("%s is named %s", address, name)
			}
		}
	}
}

func TestValidatingDoesNotConnectToRedis(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{})
	go func() {
		defer close(connected)
		if conn, err := server.Accept(); err == nil {
			conn.Close()
			t.Error("validating a config connected to redis")
		}
	}()
	c := start(t, "memory "+t.Name())
	if err := validate(t, c.config("redis redis://"+server.Addr().String(), "")); err != nil {
		t.Error(err)
	}
	server.Close()
	<-connected
	if err := validate(t, c.config("redis redis://h?adr=x", "")); err == nil || !strings.Contains(err.Error(), "adr") {
		t.Errorf("an invalid URL: %v", err)
	}
}
