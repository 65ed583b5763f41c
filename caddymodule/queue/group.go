package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

// Module is implemented by the Caddy modules in [caddymodule.QueueNamespace].
// Provision and Validate must not change what is stored, because `caddy validate`
// calls them too, possibly while another process uses the store.
type Module interface {
	caddy.Module
	// Open opens the queue, or joins it if it is already open in this process.
	// After Cleanup it only joins. release returns it.
	Open() (q durable.Queue, release func() error, err error)
	// DefaultMaxBytes is the limit of a queue without max_bytes.
	DefaultMaxBytes() int64
}

// group contains the webhook_queue handlers of one config, which share a store.
type group struct {
	app    *caddymodule.App
	module Module
	ctx    caddy.Context
	logger *zap.Logger

	mu       sync.Mutex
	handlers []*Handler
	users    int // handlers and calls that use the queue
	queue    durable.Queue
	release  func() error
	// Once started:
	service *service
	held    func() error // releases the service's use of the queue
}

// groups finds the group of a config by its app.
var groups = struct {
	sync.Mutex
	of map[*caddymodule.App]*group
}{of: make(map[*caddymodule.App]*group)}

// joinGroup adds a handler to the group of its config.
func joinGroup(ctx caddy.Context, app *caddymodule.App, h *Handler) (*group, error) {
	groups.Lock()
	defer groups.Unlock()
	g := groups.of[app]
	if g == nil {
		var err error
		if g, err = newGroup(ctx, app, h.logger); err != nil {
			return nil, err
		}
		groups.of[app] = g
	}
	if err := g.add(h); err != nil {
		return nil, err
	}
	return g, nil
}

func newGroup(ctx caddy.Context, app *caddymodule.App, logger *zap.Logger) (*group, error) {
	loaded, err := app.LoadQueue()
	if err != nil {
		return nil, err
	}
	module, ok := loaded.(Module)
	if !ok {
		return nil, fmt.Errorf("module %T is not a queue store", loaded)
	}
	g := &group{app: app, module: module, ctx: ctx, logger: logger}
	if err := registerMetrics(ctx.GetMetricsRegistry(), g); err != nil {
		return nil, err
	}
	app.OnStart(g.start)
	app.OnStop(g.stop)
	app.OnForget(g.forget)
	return g, nil
}

func (g *group) add(h *Handler) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, other := range g.handlers {
		if other.Name == h.Name {
			return fmt.Errorf("duplicate webhook_queue name: %s: give each its own name, because deliveries are stored under it", h.Name)
		}
	}
	g.handlers = append(g.handlers, h)
	g.users++
	return nil
}

// leave removes a handler whose config is no longer used. It also stops the group if
// Caddy has not: if the start of any app fails, Caddy does not stop the apps.
func (g *group) leave(h *Handler) error {
	g.stop()
	g.mu.Lock()
	g.handlers = slices.DeleteFunc(g.handlers, func(other *Handler) bool { return other == h })
	last := len(g.handlers) == 0
	g.mu.Unlock()
	if last {
		groups.Lock()
		if groups.of[g.app] == g {
			delete(groups.of, g.app)
		}
		groups.Unlock()
	}
	return g.done()
}

// names returns the names of the config's queues.
func (g *group) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]string, 0, len(g.handlers))
	for _, h := range g.handlers {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	return names
}

// use returns the queue, which stays open until done is called. The first call
// opens it, because a request can arrive before the app has started.
func (g *group) use(context.Context) (q durable.Queue, done func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.queue == nil {
		if g.queue, g.release, err = g.module.Open(); err != nil {
			g.queue = nil
			return nil, nil, err
		}
	}
	g.users++
	return g.queue, func() {
		if err := g.done(); err != nil {
			g.logger.Error("closing the store of the webhook queues failed", zap.Error(err))
		}
	}, nil
}

// done removes a user of the queue. The last one releases it.
func (g *group) done() error {
	g.mu.Lock()
	g.users--
	var release func() error
	if g.users == 0 {
		release = g.release
		g.queue, g.release = nil, nil
	}
	g.mu.Unlock()
	if release == nil {
		return nil
	}
	return release()
}

// start starts delivering.
func (g *group) start() error {
	q, done, err := g.use(context.Background())
	if err != nil {
		return fmt.Errorf("opening the store of the webhook queues: %w", err)
	}
	defer done()
	_, held, err := g.module.Open() // until the service has stopped, which may be after Cleanup
	if err != nil {
		return fmt.Errorf("opening the store of the webhook queues: %w", err)
	}
	g.warn(q)
	g.mu.Lock()
	handlers := slices.Clone(g.handlers)
	g.mu.Unlock()
	s := services.start(g, q, handlers)
	g.mu.Lock()
	g.service, g.held = s, held
	g.mu.Unlock()
	return nil
}

// warnTimeout limits the queries at start.
const warnTimeout = 5 * time.Second

// warn logs entries that no handler will deliver.
func (g *group) warn(q durable.Queue) {
	ctx, cancel := context.WithTimeout(context.Background(), warnTimeout)
	defer cancel()
	stored, err := q.Names(ctx)
	if err != nil {
		g.logger.Warn("the names of the webhook queues in the store could not be read", zap.Error(err))
		return
	}
	configured := g.names()
	for _, name := range stored {
		if slices.Contains(configured, name) {
			continue
		}
		stats, err := q.Stats(ctx, name)
		if err == nil && stats.Waiting+stats.InFlight+stats.Dead > 0 {
			g.logger.Warn("deliveries are stored for a webhook queue that is not in the config, and are kept: add webhook_queue with this name, or discard them with `caddy verify-webhook queue discard`",
				zap.String("queue", name), zap.Int64("waiting", stats.Waiting+stats.InFlight), zap.Int64("dead", stats.Dead))
		}
	}
}

// stopTime limits how long a stop waits for attempts in flight: systemd kills Caddy
// after 5 seconds.
const stopTime = 3 * time.Second

// stop stops delivering. A second call has no effect.
func (g *group) stop() {
	g.mu.Lock()
	s, held := g.service, g.held
	g.service, g.held = nil, nil
	handlers := slices.Clone(g.handlers)
	g.mu.Unlock()
	if s == nil {
		return
	}
	services.stop(g, s, handlers, time.Now().Add(g.grace()))
	if err := held(); err != nil {
		g.logger.Error("closing the store of the webhook queues failed", zap.Error(err))
	}
}

// grace is how long a stop waits.
func (g *group) grace() time.Duration {
	app, err := g.ctx.AppIfConfigured("http")
	if err != nil {
		return stopTime
	}
	if app, ok := app.(*caddyhttp.App); ok && app.GracePeriod > 0 {
		return min(time.Duration(app.GracePeriod), stopTime)
	}
	return stopTime
}

// dispatcher returns the dispatcher of a name, nil if the config is not started.
func (g *group) dispatcher(name string) *dispatcher {
	g.mu.Lock()
	s := g.service
	g.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.dispatcher(name)
}

// running reports whether the group's config is running: all of its apps have
// started, and it is not being replaced.
func (g *group) running() bool {
	app, err := caddy.ActiveContext().AppIfConfigured(appID)
	return err == nil && app == any(g.app)
}

// poke makes a dispatcher look for a new entry.
func (g *group) poke(name string) {
	if d := g.dispatcher(name); d != nil {
		d.poke()
	}
}

// appIsDown reports whether the app of a queue is down.
func (g *group) appIsDown(name string) bool {
	d := g.dispatcher(name)
	return d != nil && d.isDown()
}

// observe records the result of an attempt that the provider has waited for.
func (g *group) observe(h *Handler, res result) {
	if d := g.dispatcher(h.Name); d != nil {
		d.learn(h, res, false)
	}
}

// forget removes the tombstone of a delivery that an operator has forgotten.
func (g *group) forget(ctx context.Context, key string) error {
	q, done, err := g.use(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, name := range g.names() {
		if _, err := q.Forget(ctx, name, []string{key}); err != nil {
			return fmt.Errorf("webhook_queue %s: %w", name, err)
		}
	}
	return nil
}

// services are the open queues of the process with their workers. They outlive
// configs.
var services = serviceRegistry{of: make(map[durable.Queue]*service)}

type serviceRegistry struct {
	mu sync.Mutex
	of map[durable.Queue]*service
	// started are the groups of started configs, in the order of their start.
	started []*group
}

// service runs one open queue: a dispatcher for each name, and the removal of
// expired entries.
type service struct {
	queue  durable.Queue
	uses   int // by started groups
	quit   chan struct{}
	ended  chan struct{}
	logger *zap.Logger

	mu          sync.Mutex
	dispatchers map[string]*dispatcher
}

// start adds the handlers of a config.
func (r *serviceRegistry) start(g *group, q durable.Queue, handlers []*Handler) *service {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of[q]
	if s == nil {
		s = &service{queue: q, quit: make(chan struct{}), ended: make(chan struct{}), logger: g.logger, dispatchers: make(map[string]*dispatcher)}
		r.of[q] = s
		go s.expire()
	}
	s.uses++
	for _, h := range handlers {
		s.add(h)
	}
	r.started = append(r.started, g)
	return s
}

// stop removes the handlers of a config.
func (r *serviceRegistry) stop(g *group, s *service, handlers []*Handler, deadline time.Time) {
	r.mu.Lock()
	r.started = slices.DeleteFunc(r.started, func(other *group) bool { return other == g })
	s.uses--
	last := s.uses == 0
	if last {
		delete(r.of, s.queue)
	}
	orphans := s.remove(handlers)
	r.mu.Unlock()

	var stopping sync.WaitGroup
	for _, d := range orphans {
		stopping.Go(func() { d.stop(deadline) })
	}
	stopping.Wait()
	if !caddy.Exiting() {
		s.warnOfOrphans(orphans)
	}
	if last {
		close(s.quit)
		<-s.ended
	}
}

// latest returns the group of the config that started last, nil if there is
// none.
func (r *serviceRegistry) latest() *group {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.started) == 0 {
		return nil
	}
	return r.started[len(r.started)-1]
}

// add adds a handler.
func (s *service) add(h *Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.dispatchers[h.Name]
	if d == nil {
		d = newDispatcher(h.Name, s.queue)
		s.dispatchers[h.Name] = d
		go d.run()
	}
	d.add(h)
}

// remove removes handlers, and returns the dispatchers without one.
func (s *service) remove(handlers []*Handler) (orphans []*dispatcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range handlers {
		if d := s.dispatchers[h.Name]; d != nil && !d.remove(h) {
			delete(s.dispatchers, h.Name)
			orphans = append(orphans, d)
		}
	}
	return orphans
}

func (s *service) dispatcher(name string) *dispatcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dispatchers[name]
}

// keeps returns for how long dead entries of a name are kept.
func (s *service) keeps(name string) time.Duration {
	if d := s.dispatcher(name); d != nil {
		return d.keeps()
	}
	return defaultKeep
}

// warnOfOrphans logs waiting entries of queues that are not in the new config.
func (s *service) warnOfOrphans(orphans []*dispatcher) {
	ctx, cancel := context.WithTimeout(context.Background(), warnTimeout)
	defer cancel()
	for _, d := range orphans {
		if stats, err := s.queue.Stats(ctx, d.name); err == nil && stats.Waiting+stats.InFlight > 0 {
			s.logger.Warn("the config no longer has a webhook queue of this name, or has another store; its deliveries are kept",
				zap.String("queue", d.name), zap.Int64("waiting", stats.Waiting+stats.InFlight))
		}
	}
}

// expiryInterval is how often expired entries are removed.
const expiryInterval = time.Minute

// expire removes expired entries, until quit is closed.
func (s *service) expire() {
	defer close(s.ended)
	ticker := time.NewTicker(expiryInterval)
	defer ticker.Stop()
	for {
		if err := s.expireAll(); err != nil && !errors.Is(err, durable.ErrClosed) {
			s.logger.Warn("removing expired entries of the webhook queues failed; retrying", zap.Error(err))
		}
		select {
		case <-s.quit:
			return
		case <-ticker.C:
		}
	}
}

func (s *service) expireAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), expiryInterval)
	defer cancel()
	names, err := s.queue.Names(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		for more := true; more; {
			select {
			case <-s.quit:
				return nil
			default:
			}
			if more, err = s.queue.Expire(ctx, name, s.keeps(name)); err != nil {
				return err
			}
		}
	}
	return nil
}
