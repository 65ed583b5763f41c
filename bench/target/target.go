//go:build linux

// Package target starts the servers to compare: Caddy without and with
// verify_webhook, nginx with verifying scripts, and apps that verify deliveries
// themselves. All of them listen only on the loopback interface.
package target

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/bench/load"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
)

// Names of targets.
const (
	Caddy  = "caddy reverse_proxy"
	Floor  = "floor: one buffer, HMAC, map"
	Told   = "floor with identity headers" // sets the same headers as verify_webhook
	Memory = "verify_webhook memory"
	File   = "verify_webhook file"
	Redis  = "verify_webhook redis"

	// webhook_queue behind verify_webhook, with stores of the same kind.
	QueueFile  = "webhook_queue file"           // delivers while it accepts
	QueueDown  = "webhook_queue file, app down" // accepts only
	QueueRedis = "webhook_queue redis"
)

// All has the names of all targets, starting with the base for comparisons.
var All = []string{Caddy, Floor, Told, Memory, File, Redis, QueueFile, QueueDown, QueueRedis, "nginx Lua", "nginx njs", "Flask, gunicorn", "FastAPI, uvicorn"}

// Short has the targets of a short run: those with goals, and peers.
var Short = []string{Caddy, Told, Memory, File, Redis, QueueFile, "nginx Lua", "nginx njs", "Flask, gunicorn", "FastAPI, uvicorn"}

// Peer reports whether a target is neither this module nor a baseline of its goals.
func Peer(name string) bool { return slices.Contains(All[len(All)-4:], name) }

// Own reports whether a target is verify_webhook.
func Own(name string) bool { return strings.HasPrefix(name, "verify_webhook") }

// Queues reports whether a target responds before the app has the delivery.
func Queues(name string) bool { return strings.HasPrefix(name, "webhook_queue") }

//go:embed apps
var apps embed.FS

// Env is the environment of targets.
type Env struct {
	Dir      string   // a writable folder
	Caddy    string   // path of a Caddy with verify_webhook
	Floor    string   // path of bench/floor
	Python   string   // path of a Python with Flask, gunicorn, FastAPI and uvicorn
	Upstream string   // host and port of the app behind proxies
	Secret   string   // of all deliveries
	Queue    string   // the file of QueueFile; empty for a new one
	Profiled bool     // enable Caddy's admin API at Target.Admin
	Vars     []string // additional environment variables, NAME=value
}

// Target is a started server.
type Target struct {
	Name    string
	Address string // host and port
	Admin   string // host and port of Caddy's admin API, if Env.Profiled

	server *running
	others []*running
}

// CPU returns the CPU time of the server and its workers so far. It excludes the app
// behind the server and Redis.
func (t *Target) CPU() time.Duration { return t.server.cpu() }

// Memory returns the current memory of the server in bytes: all resident memory, and
// its own, which excludes mapped files.
func (t *Target) Memory() (all, own int64) {
	return t.server.memory("VmRSS:"), t.server.memory("RssAnon:")
}

// PeakMemory returns the peak memory of the server in bytes.
func (t *Target) PeakMemory() int64 { return t.server.memory("VmHWM:") }

// Stop stops the server and everything that was started for it.
func (t *Target) Stop() {
	t.server.stop()
	for _, other := range t.others {
		other.stop()
	}
}

// Start starts the named target. The error is the reason why it cannot be measured,
// for example a missing package.
func Start(ctx context.Context, e Env, name string) (*Target, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.Dir, "target-*")
	if err != nil {
		return nil, fmt.Errorf("creating a folder: %w", err)
	}
	s := starting{Env: e, ctx: ctx, dir: dir, address: address}
	t := &Target{Name: name, Address: address}
	if e.Profiled {
		if t.Admin, err = process.FreeAddress(); err != nil {
			return nil, err
		}
		s.admin = t.Admin
	}
	switch name {
	case Caddy:
		t.server, err = s.caddy(s.Caddy, map[string]string{})
	case Floor:
		t.server, err = s.caddy(s.Floor, map[string]string{"Floor": "floor"})
	case Told:
		t.server, err = s.caddy(s.Floor, map[string]string{"Floor": "floor identity"})
	case Memory:
		t.server, err = s.verifying("memory", "")
	case File:
		t.server, err = s.verifying("file "+filepath.Join(dir, "replays"), "")
	case QueueFile:
		t.server, err = s.verifying("file "+filepath.Join(dir, "replays"), "file "+cmp.Or(e.Queue, filepath.Join(dir, "queue")))
	case QueueDown:
		if s.Upstream, err = process.FreeAddress(); err == nil { // nothing listens there
			t.server, err = s.verifying("file "+filepath.Join(dir, "replays"), "file "+filepath.Join(dir, "queue"))
		}
	case Redis, QueueRedis:
		err = s.redis(t)
	case "nginx Lua":
		t.server, err = s.nginx("lua")
	case "nginx njs":
		t.server, err = s.nginx("js")
	case "Flask, gunicorn":
		t.server, err = s.python("-m", "gunicorn", "--workers", "2", "--threads", "4", "--keep-alive", "60", "--bind", address, "flask_app:app")
	case "FastAPI, uvicorn":
		_, port, _ := net.SplitHostPort(address)
		t.server, err = s.python("-m", "uvicorn", "--workers", "2", "--timeout-keep-alive", "60", "--host", "127.0.0.1", "--port", port,
			"--log-level", "error", "--no-access-log", "fastapi_app:app")
	default:
		err = errors.New("there is no such target")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// StartApp starts the app behind the proxies: this program with -upstream. The
// parameter takes is the time that the app takes for each delivery.
func StartApp(ctx context.Context, e Env, takes time.Duration) (*Target, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for the app behind the proxies: %w", err)
	}
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.Dir, "app-*")
	if err != nil {
		return nil, fmt.Errorf("creating a folder: %w", err)
	}
	server, err := start(ctx, dir, answers(address), nil, program, "-upstream", address, "-takes", takes.String())
	if err != nil {
		return nil, err
	}
	return &Target{Name: "app", Address: address, server: server}, nil
}

// starting is the state of a target during its start.
type starting struct {
	Env
	ctx     context.Context
	dir     string
	address string
	admin   string
}

func (s *starting) start(argv ...string) (*running, error) {
	env := append([]string{"WEBHOOK_SECRET=" + s.Secret, "XDG_DATA_HOME=" + s.dir, "XDG_CONFIG_HOME=" + s.dir}, s.Vars...)
	return start(s.ctx, s.dir, answers(s.address), env, argv...)
}

// verifying starts a Caddy with a replay store and, if queue is not empty, a queue
// store.
func (s *starting) verifying(store, queue string) (*running, error) {
	return s.caddy(s.Caddy, map[string]string{"Store": store, "Queue": queue})
}

// caddy starts a Caddy. The values select the handlers in front of reverse_proxy.
func (s *starting) caddy(program string, values map[string]string) (*running, error) {
	values["Admin"] = s.admin
	if err := s.render("caddy.tmpl", "Caddyfile", values); err != nil {
		return nil, err
	}
	return s.start(program, "run", "--config", "Caddyfile", "--adapter", "caddyfile")
}

// StartCaddyfile starts the Caddy with verify_webhook. The caddyfile function returns
// the Caddyfile for the given addresses of the server and its admin API.
func StartCaddyfile(ctx context.Context, e Env, name string, caddyfile func(address, admin string) string) (*Target, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	t := &Target{Name: name, Address: address}
	if t.Admin, err = process.FreeAddress(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.Dir, "target-*")
	if err != nil {
		return nil, fmt.Errorf("creating a folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(caddyfile(address, t.Admin)), 0o600); err != nil {
		return nil, err
	}
	s := starting{Env: e, ctx: ctx, dir: dir, address: address}
	if t.server, err = s.start(e.Caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"); err != nil {
		return nil, err
	}
	return t, nil
}

func (s *starting) redis(t *Target) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed")
	}
	address, err := process.FreeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	dir, err := os.MkdirTemp(s.dir, "redis-*")
	if err != nil {
		return fmt.Errorf("creating a folder: %w", err)
	}
	server, err := start(s.ctx, dir, process.Accepts(address), nil, program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--protected-mode", "no",
		"--maxmemory-policy", "noeviction")
	if err != nil {
		return err
	}
	store, queue := "redis redis://"+address, ""
	if Queues(t.Name) {
		queue = store
	}
	if t.server, err = s.verifying(store, queue); err != nil {
		server.stop()
		return err
	}
	t.others = append(t.others, server)
	return nil
}

func (s *starting) nginx(script string) (*running, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program = "/usr/sbin/nginx"; !exists(program) {
			return nil, errors.New("nginx is not installed")
		}
	}
	if err := s.render("nginx.conf.tmpl", "nginx.conf", map[string]string{"Script": script, "User": name(user.Current())}); err != nil {
		return nil, err
	}
	if err := s.copyApps("verify.lua", "verify.js"); err != nil {
		return nil, err
	}
	// Debian's modules are loaded relative to this folder.
	if err := os.Symlink("/usr/lib/nginx/modules", filepath.Join(s.dir, "modules")); err != nil {
		return nil, fmt.Errorf("linking nginx's modules: %w", err)
	}
	return s.start(program, "-p", s.dir, "-c", filepath.Join(s.dir, "nginx.conf"), "-e", "stderr")
}

func (s *starting) python(args ...string) (*running, error) {
	if !exists(s.Python) {
		return nil, fmt.Errorf("there is no %s", filepath.Base(s.Python))
	}
	if err := s.copyApps("flask_app.py", "fastapi_app.py"); err != nil {
		return nil, err
	}
	return s.start(append([]string{s.Python}, args...)...)
}

// render executes a template and writes the result into the target's folder.
func (s *starting) render(from, to string, values map[string]string) error {
	t, err := template.ParseFS(apps, "apps/"+from)
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, err)
	}
	_, values["Port"], _ = net.SplitHostPort(s.address)
	values["Upstream"], values["MaxShort"] = s.Upstream, strconv.Itoa(load.MaxShort)
	var text strings.Builder
	if err := t.Execute(&text, values); err != nil {
		return fmt.Errorf("filling in %s: %w", from, err)
	}
	return os.WriteFile(filepath.Join(s.dir, to), []byte(text.String()), 0o600)
}

func (s *starting) copyApps(names ...string) error {
	for _, name := range names {
		text, err := apps.ReadFile("apps/" + name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// name returns the current user's name. nginx's workers run as this user, because
// they must be able to read its folder.
func name(u *user.User, err error) string {
	if err != nil {
		return "root"
	}
	return u.Username
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
