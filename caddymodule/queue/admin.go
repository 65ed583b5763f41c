package queue

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/verify-webhook/caddy-verify-webhook/caddymodule"
	"github.com/verify-webhook/caddy-verify-webhook/internal/mask"
	durable "github.com/verify-webhook/caddy-verify-webhook/queue"
)

func init() { caddy.RegisterModule(adminAPI{}) }

// Paths of the admin API.
const (
	AdminQueuesPath  = "/verify_webhook/queues"
	AdminEntriesPath = "/verify_webhook/queue/entries"
	AdminEntryPath   = "/verify_webhook/queue/entry"
	AdminBodyPath    = "/verify_webhook/queue/body"
	AdminChangePath  = "/verify_webhook/queue/change"
)

const (
	// maxAdminBody is the maximum size of a body for the admin API.
	maxAdminBody = 1 << 20
	// shownBody is how much of a body is shown with its entry.
	shownBody = 64 << 10
	// adminTimeout limits a request that reads. One that changes many entries
	// continues as long as its client waits.
	adminTimeout = 10 * time.Second
	// changedAtOnce is how many entries are changed in one call of the store.
	changedAtOnce = 500
)

// EntryInfo is a stored delivery in the admin API.
type EntryInfo struct {
	Queue string `json:"queue"`
	Key   string `json:"key"`
	State string `json:"state"`
	// Accepted is when it was accepted, Age how long ago that was, in seconds.
	Accepted time.Time `json:"accepted"`
	Age      float64   `json:"age"`
	// DueIn is how long until the next attempt, in seconds.
	DueIn    float64     `json:"due_in,omitempty"`
	Attempts int         `json:"attempts"`
	BodySize int64       `json:"body_size"`
	Last     *ResultInfo `json:"last,omitempty"`
	// Request is set for a single entry, not in lists.
	Request *RequestInfo `json:"request,omitempty"`
}

// ResultInfo is the result of the last attempt.
type ResultInfo struct {
	Status int       `json:"status,omitempty"`
	Error  string    `json:"error,omitempty"`
	At     time.Time `json:"at"`
}

// RequestInfo is the request of a delivery. Headers that can contain secrets are
// masked.
type RequestInfo struct {
	Method      string      `json:"method"`
	URI         string      `json:"uri"`
	OriginalURI string      `json:"original_uri"`
	Host        string      `json:"host"`
	RemoteAddr  string      `json:"remote_addr"`
	TLS         bool        `json:"tls"`
	Header      http.Header `json:"header"`
	// Body is the beginning of the body, as text or, if it is binary, in base64.
	Body       string `json:"body,omitempty"`
	BodyBase64 string `json:"body_base64,omitempty"`
	Truncated  bool   `json:"truncated,omitempty"`
}

// EntriesPage is a page of a list.
type EntriesPage struct {
	Entries []EntryInfo `json:"entries"`
	// Next is the parameter `after` of the next page, empty on the last one.
	Next string `json:"next,omitempty"`
}

// Change is the request to AdminChangePath.
type Change struct {
	// Action is retry, discard, pause or resume.
	Action string `json:"action"`
	Queue  string `json:"queue"`
	// Keys are the entries to retry or discard. Without keys, Filter selects
	// them.
	Keys   []string `json:"keys,omitempty"`
	Filter *Filter  `json:"filter,omitempty"`
	// DryRun changes nothing, and counts.
	DryRun bool `json:"dry_run,omitempty"`
}

// Filter selects entries of a queue. Zero values select all.
type Filter struct {
	State string `json:"state,omitempty"`
	// OlderThan and NewerThan limit the age.
	OlderThan caddy.Duration `json:"older_than,omitempty"`
	NewerThan caddy.Duration `json:"newer_than,omitempty"`
	// Status is the status of the last attempt, -1 for none.
	Status int `json:"status,omitempty"`
}

// Changed is the response of AdminChangePath.
type Changed struct {
	// Count is how many entries were changed or, in a dry run, would be.
	Count int `json:"count"`
	// Sample are some of them, in a dry run.
	Sample []EntryInfo `json:"sample,omitempty"`
}

// adminAPI serves endpoints to inspect and change queues. It is what
// `caddy verify-webhook queue` uses.
//
// Method and path | Description
// ----------------|------------
// `GET /verify_webhook/queues` | List the queues with their sizes and states
// `GET /verify_webhook/queue/entries?queue=<name>` | List stored deliveries
// `GET /verify_webhook/queue/entry?queue=<name>&key=<key>` | Return one delivery, with secrets masked
// `GET /verify_webhook/queue/body?queue=<name>&key=<key>` | Return the body of a delivery
// `POST /verify_webhook/queue/change` | Retry or discard deliveries, pause or resume a queue
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.webhook_queue", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes implements caddy.AdminRouter.
func (*adminAPI) Routes() []caddy.AdminRoute {
	route := func(path, method string, handle func(*call, context.Context) error) caddy.AdminRoute {
		return caddy.AdminRoute{Pattern: path, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			if r.Method != method {
				w.Header().Set("Allow", method)
				return adminError(http.StatusMethodNotAllowed, fmt.Errorf("the method must be %s", method))
			}
			return serve(w, r, handle)
		})}
	}
	return []caddy.AdminRoute{
		route(AdminQueuesPath, http.MethodGet, (*call).queues),
		route(AdminEntriesPath, http.MethodGet, (*call).entries),
		route(AdminEntryPath, http.MethodGet, (*call).entry),
		route(AdminBodyPath, http.MethodGet, (*call).body),
		route(AdminChangePath, http.MethodPost, (*call).change),
	}
}

// call is one request of the admin API.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	group *group
	queue durable.Queue
}

func serve(w http.ResponseWriter, r *http.Request, handle func(*call, context.Context) error) error {
	g := services.latest()
	if g == nil {
		return adminError(http.StatusNotFound, errors.New("the running config has no webhook_queue"))
	}
	q, done, err := g.use(r.Context())
	if err != nil {
		return adminError(http.StatusServiceUnavailable, err)
	}
	defer done()
	err = handle(&call{w, r, r.URL.Query(), g, q}, r.Context())
	var known caddy.APIError
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, durable.ErrNotFound):
		return adminError(http.StatusNotFound, err)
	case errors.Is(err, durable.ErrInvalid):
		return adminError(http.StatusBadRequest, err)
	}
	return adminError(http.StatusServiceUnavailable, fmt.Errorf("querying the store of the webhook queues: %w", err))
}

func adminError(status int, err error) error {
	return caddy.APIError{HTTPStatus: status, Err: err}
}

func (c *call) answer(value any) error {
	c.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(c.w).Encode(value)
}

func (c *call) queues(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	infos, err := c.group.infos(ctx)
	if err != nil {
		return err
	}
	return c.answer(infos)
}

// known rejects a name that is neither configured nor stored, so that a misspelled
// name does not look like an empty queue.
func (c *call) known(ctx context.Context, name string) error {
	if name == "" {
		return adminError(http.StatusBadRequest, errors.New("missing queue: write its name"))
	}
	stored, err := c.queue.Names(ctx)
	if err != nil {
		return err
	}
	all := slices.Concat(c.group.names(), stored)
	if slices.Contains(all, name) {
		return nil
	}
	slices.Sort(all)
	return adminError(http.StatusNotFound, fmt.Errorf("there is no queue %q; available: %s", name, strings.Join(slices.Compact(all), ", ")))
}

// entries returns a page of a list.
func (c *call) entries(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	name := c.query.Get("queue")
	if err := c.known(ctx, name); err != nil {
		return err
	}
	filter, err := c.readFilter()
	if err != nil {
		return adminError(http.StatusBadRequest, err)
	}
	filter.Queue = name
	filter.After = c.query.Get("after")
	filter.NewestFirst = c.query.Get("newest_first") == "true"
	if text := c.query.Get("limit"); text != "" {
		if filter.Limit, err = strconv.Atoi(text); err != nil || filter.Limit < 1 {
			return adminError(http.StatusBadRequest, fmt.Errorf("invalid limit: %q is not a number", text))
		}
	}
	page, err := c.queue.List(ctx, filter)
	if err != nil {
		return err
	}
	answer := EntriesPage{Entries: make([]EntryInfo, 0, len(page.Entries)), Next: page.Next}
	for _, e := range page.Entries {
		answer.Entries = append(answer.Entries, newEntryInfo(e))
	}
	return c.answer(answer)
}

// readFilter reads the filter of a list from the query.
func (c *call) readFilter() (durable.Filter, error) {
	f := Filter{State: c.query.Get("state")}
	for name, to := range map[string]*caddy.Duration{"older_than": &f.OlderThan, "newer_than": &f.NewerThan} {
		if text := c.query.Get(name); text != "" {
			d, err := caddy.ParseDuration(text)
			if err != nil {
				return durable.Filter{}, fmt.Errorf("invalid %s: %q is not a duration", name, text)
			}
			*to = caddy.Duration(d)
		}
	}
	if text := c.query.Get("status"); text != "" {
		var err error
		if f.Status, err = strconv.Atoi(text); err != nil {
			return durable.Filter{}, fmt.Errorf("invalid status: %q is not a number", text)
		}
	}
	return f.forQueue()
}

// forQueue returns the filter of the store.
func (f Filter) forQueue() (durable.Filter, error) {
	out := durable.Filter{MinAge: time.Duration(f.OlderThan), MaxAge: time.Duration(f.NewerThan), Status: f.Status}
	if f.State == "" {
		return out, nil
	}
	var err error
	if out.State, err = durable.ParseState(f.State); err != nil {
		return out, err
	}
	if out.State == durable.Delivered || out.State == durable.Discarded {
		return out, fmt.Errorf("%s deliveries are not listed: only their keys are remembered; show one by its key", f.State)
	}
	return out, nil
}

func newEntryInfo(e durable.Entry) EntryInfo {
	info := EntryInfo{
		Queue: e.Queue, Key: e.Key, State: e.State.String(), Accepted: e.Accepted.UTC(), Age: e.Age.Seconds(),
		Attempts: e.Attempts, BodySize: e.BodySize,
	}
	if e.State == durable.Waiting {
		info.DueIn = max(0, e.DueIn.Seconds())
	}
	if !e.Last.At.IsZero() {
		info.Last = &ResultInfo{e.Last.Status, e.Last.Error, e.Last.At.UTC()}
	}
	return info
}

// entry answers one entry with its request and the beginning of its body.
func (c *call) entry(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	name, key := c.query.Get("queue"), c.query.Get("key")
	if err := c.known(ctx, name); err != nil {
		return err
	}
	e, err := c.queue.Get(ctx, name, key)
	if err != nil {
		return err
	}
	info := newEntryInfo(e)
	if e.State == durable.Delivered || e.State == durable.Discarded {
		return c.answer(info)
	}
	hidden := hiddenIn(e.Request)
	info.Request = newRequestInfo(e.Request, hidden)
	if hidden.SecretInBody() {
		info.Request.Truncated = e.BodySize > 0
		return c.answer(info)
	}
	if err := c.addBody(ctx, info.Request, hidden, name, key); err != nil && !errors.Is(err, durable.ErrNotFound) {
		return err
	}
	return c.answer(info)
}

// newRequestInfo describes a request without signatures and secrets: a provider's
// token can be in the URI, and with forward_token in a header.
func newRequestInfo(r durable.Request, hidden mask.Places) *RequestInfo {
	return &RequestInfo{
		Method: r.Method, URI: hidden.URI(r.URI), OriginalURI: hidden.URI(r.OriginalURI), Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS,
		Header: hidden.Header(r.Header, ""),
	}
}

// hiddenIn returns the places of signatures and secrets in a stored request. Its
// endpoint is not stored, so they are those of all endpoints of its provider.
func hiddenIn(r durable.Request) mask.Places {
	name := r.Header.Get(caddymodule.HeaderProvider)
	hidden, found := mask.Places{}, false
	for _, e := range caddymodule.Endpoints() {
		if e.Provider() == name {
			hidden, found = hidden.And(mask.Of(name, e.ProviderJSON())), true
		}
	}
	if !found {
		return mask.Unknown()
	}
	return hidden
}

func (c *call) addBody(ctx context.Context, info *RequestInfo, hidden mask.Places, name, key string) error {
	body, err := c.queue.Body(ctx, name, key)
	if err != nil {
		return err
	}
	in, err := body.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, shownBody))
	if err != nil {
		return err
	}
	info.Truncated = body.Size() > int64(len(text))
	if utf8.Valid(text) {
		info.Body = hidden.Body(string(text))
	} else {
		info.BodyBase64 = base64.StdEncoding.EncodeToString(text)
	}
	return nil
}

// body answers the body of an entry, byte for byte.
func (c *call) body(ctx context.Context) error {
	name, key := c.query.Get("queue"), c.query.Get("key")
	if err := c.known(ctx, name); err != nil {
		return err
	}
	body, err := c.queue.Body(ctx, name, key)
	if err != nil {
		return err
	}
	in, err := body.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(body.Size(), 10))
	_, err = io.Copy(c.w, in)
	return err
}

// change retries or discards entries, and pauses or resumes queues.
func (c *call) change(ctx context.Context) error {
	var ask Change
	in := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxAdminBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&ask); err != nil {
		return adminError(http.StatusBadRequest, fmt.Errorf("reading the request: %w", err))
	}
	if err := c.known(ctx, ask.Queue); err != nil {
		return err
	}
	var changed Changed
	var err error
	switch ask.Action {
	case "pause", "resume":
		err = c.queue.SetPaused(ctx, ask.Queue, ask.Action == "pause")
	case "retry":
		changed, err = c.changeEntries(ctx, ask, c.queue.Retry)
	case "discard":
		changed, err = c.changeEntries(ctx, ask, c.queue.Discard)
	default:
		err = adminError(http.StatusBadRequest, fmt.Errorf("unrecognized action: %s; write retry, discard, pause or resume", ask.Action))
	}
	if err != nil {
		return err
	}
	c.group.poke(ask.Queue)
	if !ask.DryRun {
		c.group.logger.Info("an operator has changed a webhook queue", zap.String("action", ask.Action), zap.String("queue", ask.Queue), zap.Int("entries", changed.Count))
	}
	return c.answer(changed)
}

// changeEntries changes the entries that are meant.
func (c *call) changeEntries(ctx context.Context, ask Change, change func(context.Context, string, []string) (int, error)) (changed Changed, err error) {
	switch {
	case len(ask.Keys) > 0 && ask.Filter != nil:
		return changed, adminError(http.StatusBadRequest, errors.New("keys and filter exclude each other"))
	case len(ask.Keys) > 0:
		return c.changeKeys(ctx, ask, change)
	case ask.Filter == nil:
		return changed, adminError(http.StatusBadRequest, errors.New("missing keys or filter"))
	}
	filter, err := ask.Filter.forQueue()
	if err != nil {
		return changed, adminError(http.StatusBadRequest, err)
	}
	if filter.State == durable.InFlight {
		return changed, adminError(http.StatusBadRequest, errors.New("deliveries in flight cannot be changed: select waiting or dead ones"))
	}
	filter.Queue, filter.Limit = ask.Queue, changedAtOnce
	for {
		page, err := c.queue.List(ctx, filter)
		if err != nil {
			return changed, err
		}
		if err := c.changePage(ctx, ask, page.Entries, change, &changed); err != nil {
			return changed, err
		}
		if filter.After = page.Next; page.Next == "" {
			return changed, nil
		}
	}
}

// sampleSize is how many entries a dry run shows.
const sampleSize = 10

func (c *call) changePage(ctx context.Context, ask Change, entries []durable.Entry, change func(context.Context, string, []string) (int, error), changed *Changed) error {
	var keys []string
	for _, e := range entries {
		if e.State == durable.InFlight {
			continue
		}
		keys = append(keys, e.Key)
		if ask.DryRun && len(changed.Sample) < sampleSize {
			changed.Sample = append(changed.Sample, newEntryInfo(e))
		}
	}
	if ask.DryRun || len(keys) == 0 {
		changed.Count += len(keys)
		return nil
	}
	n, err := change(ctx, ask.Queue, keys)
	changed.Count += n
	return err
}

// changeKeys changes entries by their keys, and fails if one cannot be changed.
func (c *call) changeKeys(ctx context.Context, ask Change, change func(context.Context, string, []string) (int, error)) (changed Changed, err error) {
	var entries []durable.Entry
	for _, key := range ask.Keys {
		e, err := c.queue.Get(ctx, ask.Queue, key)
		if errors.Is(err, durable.ErrNotFound) {
			return changed, adminError(http.StatusNotFound, fmt.Errorf("there is no delivery %q in the queue %s", key, ask.Queue))
		}
		if err != nil {
			return changed, err
		}
		if e.State != durable.Waiting && e.State != durable.Dead {
			return changed, adminError(http.StatusConflict, fmt.Errorf("the delivery %s is %s: only waiting and dead ones can be changed", key, strings.ReplaceAll(e.State.String(), "_", " ")))
		}
		entries = append(entries, e)
	}
	for page := range slices.Chunk(entries, changedAtOnce) {
		if err := c.changePage(ctx, ask, page, change, &changed); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// Interface guards.
var (
	_ caddy.Module      = adminAPI{}
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
