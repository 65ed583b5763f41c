package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/internal/redisclient/redistest"
	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

func TestALostConnectionIsLoggedOnceAndSoIsItsRecovery(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	var book logBook
	store := mustOpen(t, Options{URL: server.URL(), Timeout: 300 * time.Millisecond, Logger: book.logger()})
	handle(t, store, 1)
	server.Kill()
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			if _, err := store.Claim(t.Context(), delivery(n+10), replay.NewOwner(), time.Minute); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Claim = %v, want ErrUnavailable", err)
			}
		})
	}
	all.Wait()
	server.Start()
	server.Await("the store to recover", func() bool {
		_, err := store.Lookup(t.Context(), delivery(1).All())
		return err == nil && book.count("redis is available again") == 1
	})
	wantState(t, store, 1, replay.Handled)
	handle(t, store, 2)
	if lost, recovered := book.count("redis is unavailable"), book.count("redis is available again"); lost != 1 || recovered != 1 {
		t.Errorf("logged %d losses and %d recoveries, want one each", lost, recovered)
	}
}

func TestTheStoreConnectsToARedisThatIsDownAtStart(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	var book logBook
	store := mustOpen(t, Options{URL: server.URL(), Timeout: 300 * time.Millisecond, Logger: book.logger()})
	for range 20 {
		if _, err := store.Claim(t.Context(), delivery(1), replay.NewOwner(), time.Minute); !errors.Is(err, ErrUnavailable) || len(err.Error()) > 300 {
			t.Fatalf("Claim = %v, want ErrUnavailable", err)
		}
	}
	server.Start()
	server.Await("the store to connect", func() bool {
		_, err := store.Lookup(t.Context(), delivery(1).All())
		return err == nil
	})
	handle(t, store, 1)
	if lost := book.count("redis is unavailable"); lost != 1 {
		t.Errorf("logged %d losses, want one", lost)
	}
}

// A server that accepts the call and never responds.
func TestACallEndsWithItsTimeout(t *testing.T) {
	server := redistest.Start(t)
	store := mustOpen(t, Options{URL: server.URL(), Timeout: 200 * time.Millisecond})
	handle(t, store, 1)
	server.MustDo("CLIENT", "PAUSE", "60000", "ALL")
	if _, err := store.Claim(t.Context(), delivery(2), replay.NewOwner(), time.Minute); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Claim = %v, want ErrUnavailable", err)
	}
	if err := store.Commit(t.Context(), delivery(2), replay.NewOwner(), time.Minute, 200); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Commit = %v, want ErrUnavailable", err)
	}
	if _, err := store.Wait(t.Context(), delivery(2)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Wait = %v, want ErrUnavailable", err)
	}
}

func TestAnEvictionPolicyIsWarnedAbout(t *testing.T) {
	for policy, want := range map[string]int{"noeviction": 0, "allkeys-lru": 1, "volatile-ttl": 1} {
		var book logBook
		mustOpen(t, Options{URL: redistest.Start(t, "--maxmemory-policy", policy).URL(), Logger: book.logger()})
		if got := book.count("set maxmemory-policy to noeviction"); got != want {
			t.Errorf("policy %s: %d warnings, want %d", policy, got, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	server := redistest.Start(t)
	socket := filepath.Join(server.Dir, "redis.sock")
	server.Kill()
	server.Args = append(server.Args, "--unixsocket", socket)
	server.Start()
	store := mustOpen(t, Options{URL: "unix://" + socket + "?db=3"})
	handle(t, store, 1)
	if got := server.Do("INFO", "keyspace"); !strings.Contains(got, "db3:keys=3") {
		t.Errorf("keyspace is %q, want the delivery's keys in database 3", got)
	}
}

func TestAUserWithMinimalPermissions(t *testing.T) {
	server := redistest.Start(t)
	server.MustDo("ACL", "SETUSER", "hooks", "on", ">pass:w/rd", "resetkeys", "~{verify_webhook}:*", "nocommands",
		"+get", "+set", "+del", "+exists", "+rename", "+pexpire", "+pttl", "+eval", "+evalsha", "+hello", "+ping", "+info")
	var book logBook
	store := mustOpen(t, Options{URL: "redis://hooks:pass%3Aw%2Frd@" + server.Address, Logger: book.logger()})
	handle(t, store, 1)
	wantState(t, store, 1, replay.Handled)
	if n, err := store.Forget(t.Context(), delivery(1).All()); n != 2 || err != nil {
		t.Errorf("Forget = %d, %v", n, err)
	}
	if len(book.lines) != 0 {
		t.Errorf("logged %q, want nothing", book.lines)
	}
}

// Versions before notes did not need PTTL, so existing ACLs may not permit it.
func TestAUserWithoutPTTLStillCommits(t *testing.T) {
	server := redistest.Start(t)
	server.MustDo("ACL", "SETUSER", "hooks", "on", ">password", "~{verify_webhook}:*", "+@all", "-pttl")
	store := mustOpen(t, Options{URL: "redis://hooks:password@" + server.Address})
	handle(t, store, 1)
	again := delivery(2)
	again.Notes = delivery(1).Notes
	owner := replay.NewOwner()
	if v, err := store.Claim(t.Context(), again, owner, time.Minute); v != replay.Ours || err != nil {
		t.Fatalf("Claim = %v, %v", v, err)
	}
	if err := store.Commit(t.Context(), again, owner, time.Hour, 200); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

func TestRejectedCredentialsAreAnErrorAtStart(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	for _, url := range []string{"redis://" + server.Address, "redis://:hunter2@" + server.Address, "redis://unknown:hunter2@" + server.Address} {
		store, err := New(Options{URL: url})
		if err == nil {
			_ = store.Close()
			t.Errorf("%s: connected, want an error", url)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %q contains the password", err)
		}
	}
}

func TestTheErrorForAnInvalidURLDoesNotContainThePassword(t *testing.T) {
	for url, want := range map[string]string{
		"redis://user:hunter2@host:port/0":         "invalid port",
		"http://user:hunter2@host":                 "scheme",
		"redis://user:hunter2@host/zero":           "database",
		"redis://user:hunter2@host?tiemout=1s":     `unrecognized option: "tiemout"`,
		"unix://":                                  "path",
		"redis://user:hunter2@host:6379\x7f/0":     "invalid",
		"rediss://user:hunter2@host?skip_verify=x": "skip verify",
	} {
		_, err := New(Options{URL: url})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: error %v, want one that says %q and no password", url, err, want)
		}
	}
	if _, err := New(Options{URL: "redis://host", TLS: &tls.Config{}}); err == nil || !strings.Contains(err.Error(), "rediss://") {
		t.Errorf("TLS without rediss: %v", err)
	}
}

func TestTLSVerifiesTheServer(t *testing.T) {
	dir := t.TempDir()
	certificate, roots := selfSigned(t, dir)
	port := redistest.FreePort(t)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	redistest.Start(t, "--tls-port", strconv.Itoa(port), "--tls-cert-file", certificate, "--tls-key-file", certificate,
		"--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")

	store := mustOpen(t, Options{URL: "rediss://" + address, TLS: &tls.Config{RootCAs: roots}})
	handle(t, store, 1)
	wantState(t, store, 1, replay.Handled)

	untrusting := mustOpen(t, Options{URL: "rediss://" + address, Timeout: 300 * time.Millisecond})
	for end := time.Now().Add(20 * time.Second); ; {
		_, err := untrusting.Lookup(t.Context(), delivery(1).All())
		if err != nil && strings.Contains(err.Error(), "certificate") {
			return
		}
		// On a busy machine the timeout can end before the handshake.
		if err == nil || time.Now().After(end) {
			t.Fatalf("with an unknown certificate: %v, want an error about the certificate", err)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key to one file.
func selfSigned(t *testing.T, dir string) (path string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	path = filepath.Join(dir, "server.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(content)
	return path, roots
}

// A server that is not Redis must not be treated as Redis.
func TestAnHTTPServerIsNotRedis(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	store, err := New(Options{URL: "redis://" + web.Listener.Addr().String(), Timeout: 300 * time.Millisecond})
	if err != nil {
		return
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Claim(t.Context(), delivery(1), replay.NewOwner(), time.Minute); err == nil {
		t.Error("an HTTP server was accepted as Redis")
	}
}
