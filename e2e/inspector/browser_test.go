// Package inspector tests the page of webhook_inspector with a real browser and a real
// Caddy.
package inspector

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/verify-webhook/caddy-verify-webhook/e2e/prepared"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/delivery"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/process"
	"github.com/verify-webhook/caddy-verify-webhook/internal/testkit/sidecar"
)

// pictures updates the screenshots in docs/inspector.md:
//
//	go test ./inspector -run TestPictures -pictures
var pictures = flag.Bool("pictures", false, "write the screenshots of docs/inspector.md")

const (
	githubSecret = "the secret of the GitHub endpoint"
	stripeSecret = "whsec_7Xq1v0b3mTn2c9dK4LrPz8yWQhGfUaJe"
	queuedSecret = "the secret of the queued endpoint"
	within       = 60 * time.Second
)

const caddyfile = `
{
	verify_webhook {
		store memory
		queue file QUEUE
	}
}
http://SITE {
	bind 127.0.0.1
	handle /webhooks/github {
		verify_webhook github {env.GITHUB_SECRET}
		reverse_proxy APP
	}
	handle /webhooks/queued {
		verify_webhook github {env.LATER_SECRET} {
			namespace queued
		}
		webhook_queue orders {
			deliver {
				reverse_proxy APP
			}
			retry 1h
		}
	}
	handle /webhooks/stripe {
		verify_webhook stripe {env.STRIPE_SECRET}
		reverse_proxy APP
	}
}
http://localhost:PORT {
	bind 127.0.0.1
	webhook_inspector {
		CAPTURE
	}
}
`

// world is a Caddy with an inspector, and a browser that displays it.
type world struct {
	t         *testing.T
	site      string
	inspector string
	browser   context.Context
}

func start(t *testing.T, capture string) *world {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Webhook-Verified-Attempt") == "1" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(app.Close)
	site, page := process.Address(t), process.Address(t)
	port := page[strings.LastIndexByte(page, ':')+1:]
	folder := t.TempDir()
	config := filepath.Join(folder, "Caddyfile")
	text := strings.NewReplacer("SITE", site, "PORT", port, "APP", app.Listener.Addr().String(), "CAPTURE", capture, "QUEUE", filepath.Join(folder, "queue.db")).Replace(caddyfile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sidecar.Run(t, sidecar.Config{
		Binary: prepared.Caddy(t), Caddyfile: config, State: folder,
		Env: []string{"GITHUB_SECRET=" + githubSecret, "STRIPE_SECRET=" + stripeSecret, "LATER_SECRET=" + queuedSecret},
	})
	w := &world{t: t, site: "http://" + site, inspector: "http://localhost:" + port}
	w.browser = openBrowser(t)
	return w
}

// openBrowser starts Chromium.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("Chromium is missing: run e2e/prepare.sh")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocator, cancelAllocator := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancelAllocator)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { _ = chromedp.Cancel(browser); cancel() })
	if err := chromedp.Do(browser, chromedp.EmulateViewport(1200, 700)); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return browser
}

// run executes actions in the browser.
func (w *world) run(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.browser, within)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// get runs an action in the browser and returns its value.
func get[T any](w *world, action chromedp.Action[T]) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.browser, within)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// eval returns the value of an expression in the page.
func eval[T any](w *world, expression string) T {
	w.t.Helper()
	return get(w, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// until waits until an expression in the page is true.
func (w *world) until(expression string) {
	w.t.Helper()
	get(w, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(within)))
}

func (w *world) send(d delivery.Delivery) {
	w.t.Helper()
	if _, err := d.Send(w.t.Context(), http.DefaultClient, w.site); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open() {
	w.t.Helper()
	w.run(chromedp.Navigate(w.inspector + "/"))
	w.until(`document.getElementById("state").textContent === "live" && document.getElementById("endpoint").options.length > 1`)
}

func github(id string) delivery.Delivery {
	return delivery.GitHub(githubSecret, id, "push", []byte(`{"ref":"refs/heads/`+id+`"}`))
}

// inQuotes returns a delivery that the provider signed with the secret in quotes.
func inQuotes() delivery.Delivery {
	return delivery.Stripe(`"`+stripeSecret+`"`, time.Now(), []byte(`{"id":"evt_1","object":"event","type":"invoice.paid"}`))
}

func TestDeliveriesAppearLive(t *testing.T) {
	w := start(t, "")
	w.open()
	w.send(github("live-1"))
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
	w.send(inQuotes())
	w.until(`document.querySelectorAll("#rows tr").length === 2`)
	row := eval[string](w, `document.querySelector("#rows tr:last-child").innerText`)
	for _, want := range []string{"verified", "github", "push", "live-1", "/webhooks/github", "202 in "} {
		if !strings.Contains(row, want) {
			t.Errorf("want %s in %q", want, row)
		}
	}
	// Filters.
	w.run(chromedp.SendKeys("#text", "LIVE-1"))
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
	eval[bool](w, `(document.getElementById("text").value = "", document.getElementById("outcome").value = "refused", document.getElementById("outcome").dispatchEvent(new Event("input")))`)
	w.until(`document.querySelectorAll("#rows tr").length === 1 && document.querySelector("#rows .tag").textContent === "invalid_signature"`)
}

func TestARefusedDeliveryIsExplained(t *testing.T) {
	w := start(t, "")
	w.open()
	w.send(inQuotes())
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
	// With the keyboard only.
	w.run(chromedp.KeyEvent("j"), chromedp.KeyEvent("\r"))
	w.until(`!!document.querySelector(".explain")`)
	w.run(chromedp.KeyEvent("e"))
	w.until(`!!document.querySelector(".change")`)
	why := eval[string](w, `document.querySelector(".why").innerText`)
	if !strings.Contains(why, "the provider signs with the secret in quotes") || !strings.Contains(why, "Change first") || !strings.Contains(why, "without quotes") || strings.Contains(why, stripeSecret) {
		t.Errorf("explained: %s", why)
	}
	w.run(chromedp.KeyEvent("\x1b"))
	w.until(`document.getElementById("detail").hidden`)
}

// TestContentOfASenderIsText sends markup in every part of a delivery that a sender
// controls.
func TestContentOfASenderIsText(t *testing.T) {
	w := start(t, "capture {\n bodies 64KiB\n}")
	w.open()
	const attack = `<img src=x onerror="window.hit=1"><script>window.hit=1</script>`
	body := []byte(`{"x":"` + strings.ReplaceAll(attack, `"`, `\"`) + `"}`)
	w.send(delivery.GitHub(githubSecret, attack, attack, body).With("X-Attack", attack))
	w.send(delivery.GitHub("another", attack, attack, body).With("X-Attack", attack))
	w.until(`document.querySelectorAll("#rows tr").length === 2`)
	for _, which := range []string{"first", "last"} {
		w.run(chromedp.Click("#rows tr:" + which + "-child td:nth-child(2)"))
		w.until(`!document.getElementById("detail").hidden && document.querySelector("#detail h2").textContent.includes("Delivery " + document.querySelector("#rows tr:` + which + `-child").dataset.number)`)
		text := eval[string](w, `document.querySelector("#detail").textContent`)
		if !strings.Contains(text, attack) {
			t.Errorf("the text is not shown: %s", text)
		}
	}
	if eval[bool](w, `window.hit === 1 || document.querySelectorAll("img, #detail script, #rows script").length > 0`) {
		t.Error("content of a sender became part of the page")
	}
	// The policy also prevents this: it forbids inline scripts and HTML from strings.
	if eval[bool](w, `(() => { try { document.body.insertAdjacentHTML("beforeend", "<b>x</b>"); return true } catch { return false } })()`) {
		t.Error("the page can create HTML from strings")
	}
	if alarm := eval[string](w, `document.getElementById("bodies").innerText`); !strings.Contains(alarm, "Bodies are captured") {
		t.Errorf("the page does not show that bodies are captured: %q", alarm)
	}
}

// TestAPostOfAnotherSiteIsRefused sends requests from a page of another origin.
func TestAPostOfAnotherSiteIsRefused(t *testing.T) {
	w := start(t, "capture")
	w.open()
	w.send(github("kept"))
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, `<iframe name="answer" onload="loaded = (window.loaded || 0) + 1"></iframe><form target="answer" method="post" action="%s/api/clear" enctype="text/plain"><input name="{&quot;a" value="&quot;:1}"></form>`, w.inspector)
	}))
	t.Cleanup(other.Close)
	w.run(chromedp.Navigate(other.URL))
	tried := eval[string](w, `(async () => { try { const r = await fetch("`+w.inspector+`/api/delivery?number=1"); return await r.text() } catch { return "refused" } })()`)
	if tried != "refused" {
		t.Errorf("another site read %s", tried)
	}
	eval[bool](w, `fetch("`+w.inspector+`/api/clear", {method: "POST", mode: "no-cors", body: "{}"}).then(() => true, () => false)`)
	eval[bool](w, `(document.forms[0].submit(), true)`)
	w.until(`window.loaded > 1`)
	w.open()
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
}

// TestAQueuedDeliveryIsRetried retries a delivery for which the app failed on the first
// attempt. Its next attempt is due in an hour.
func TestAQueuedDeliveryIsRetried(t *testing.T) {
	w := start(t, "capture")
	w.open()
	d := delivery.GitHub(queuedSecret, "queued-1", "push", []byte(`{"n":1}`))
	d.Path = "/webhooks/queued"
	w.send(d)
	w.until(`document.querySelectorAll("#rows tr").length === 1`)
	number := eval[string](w, `document.querySelector("#rows tr").dataset.number`)
	w.until(`fetch("api/delivery?number=` + number + `").then(r => r.json()).then(d => { window.queue = d.queue }) && window.queue && window.queue.attempts === 1 && window.queue.state === "waiting"`)
	w.run(chromedp.Click("#rows tr td:nth-child(2)"))
	w.until(`!!document.querySelector(".queue-retry")`)
	w.run(chromedp.Click(".queue-pause"))
	w.until(`!!document.querySelector(".queue-resume")`)
	w.run(chromedp.Click(".queue-resume"))
	w.until(`!!document.querySelector(".queue-pause")`)
	w.run(chromedp.Click(".queue-retry"))
	w.until(`fetch("api/delivery?number=` + number + `").then(r => r.json()).then(d => { window.queue = d.queue }) && window.queue.state === "delivered"`)
}

func TestThePageDoesNotGrowWithTenThousandDeliveries(t *testing.T) {
	w := start(t, "")
	w.open()
	for i := range 500 {
		w.send(github(fmt.Sprint("first-", i)))
	}
	w.until(`document.querySelectorAll("#rows tr").length === 500`)
	count := `document.querySelectorAll("*").length`
	before := eval[int](w, count)
	const many = 10_000
	for i := range many {
		d := delivery.GitHub("another", fmt.Sprint(i), "push", []byte(`{}`))
		w.send(d)
	}
	w.send(github("the-last-one"))
	w.until(`document.querySelector("#rows tr").innerText.includes("the-last-one")`)
	if after := eval[int](w, count); after > before+50 {
		t.Errorf("%d elements, %d before", after, before)
	}
	if kept := eval[int](w, `byNumber.size`); kept > 500 {
		t.Errorf("the page contains %d deliveries", kept)
	}
}

// colorScheme makes the browser prefer light or dark.
func colorScheme(name string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		})
		return chromedp.Void{}, err
	}
}

// TestPictures takes screenshots of the page, light and dark, wide and narrow, and
// checks that the page does not scroll horizontally.
func TestPictures(t *testing.T) {
	w := start(t, "capture")
	for i := range 4 {
		w.send(github(fmt.Sprintf("72d3162e-cc78-11e3-81ab-4c9367dc095%d", i)))
	}
	w.send(github("72d3162e-cc78-11e3-81ab-4c9367dc0950"))
	w.send(delivery.Stripe(stripeSecret, time.Now(), []byte(`{"id":"evt_1PBw2hLkdIwHu7ix","type":"invoice.paid"}`)))
	w.send(inQuotes())
	for _, p := range []struct {
		name, scheme, hash string
		width, height      int64
	}{
		{"inspector-list", "light", "", 1100, 420},
		{"inspector-explained", "light", "#7", 1100, 560},
		{"inspector-dark", "dark", "#7", 1100, 560},
		{"inspector-phone", "light", "", 390, 640},
		{"inspector-phone-explained", "dark", "#7", 390, 640},
	} {
		w.run(chromedp.EmulateViewport(p.width, p.height), colorScheme(p.scheme))
		w.run(chromedp.Navigate("about:blank"))
		w.open()
		w.until(`document.querySelectorAll("#rows tr").length === 7`)
		if p.hash != "" {
			eval[string](w, `location.hash = "`+p.hash+`"`)
			w.until(`!!document.querySelector(".explain")`)
			w.run(chromedp.Click(".explain"))
			w.until(`!!document.querySelector(".change")`)
		}
		picture := get(w, chromedp.CaptureScreenshot())
		image, err := png.DecodeConfig(bytes.NewReader(picture))
		if err != nil || int64(image.Width) != p.width {
			t.Errorf("%s: %+v, %v", p.name, image, err)
		}
		if wide := eval[int](w, `document.documentElement.scrollWidth`); int64(wide) > p.width {
			t.Errorf("%s: the page is %d pixels wide", p.name, wide)
		}
		if *pictures {
			if err := os.WriteFile(filepath.Join("..", "..", "docs", "images", p.name+".png"), picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
