package catalogue

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

const mailgunToken = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f6071829"

// mailgunBlock returns the fields that Mailgun signs, with their signature.
func mailgunBlock(t *testing.T, key string, at time.Time) url.Values {
	t.Helper()
	stamp := strconv.FormatInt(at.Unix(), 10)
	return url.Values{"timestamp": {stamp}, "token": {mailgunToken}, "signature": {hex.EncodeToString(mac(testSecret(t, key), stamp+mailgunToken))}}
}

func mailgunJSON(t *testing.T, key string, at time.Time) *signature.Request {
	t.Helper()
	block := mailgunBlock(t, key, at)
	return request("POST", "/m", fmt.Sprintf(`{"signature":{"timestamp":%q,"token":%q,"signature":%q},"event-data":{"event":"delivered"}}`, block.Get("timestamp"), block.Get("token"), block.Get("signature")), "Content-Type", "application/json")
}

// mailgunMail returns a multipart request with an attachment of the given size in bytes.
func mailgunMail(t *testing.T, fields url.Values, attachment int) *signature.Request {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	write := func(name, value string) {
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	write("subject", "Grüße")
	for name, values := range fields {
		for _, value := range values {
			write(name, value)
		}
	}
	file, err := w.CreateFormFile("attachment-1", "a.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(bytes.Repeat([]byte("a\n"), attachment/2)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return request("POST", "/m", body.String(), "Content-Type", w.FormDataContentType())
}

func TestMailgunMessagesWithAttachmentsAreVerified(t *testing.T) {
	m := setUp(t, "mailgun", "key", provider.PresetOptions{})
	block := mailgunBlock(t, "key", testNow)
	block.Set("event", "stored")
	for _, size := range []int{0, 1 << 10, 3 << 20, 40 << 20} {
		d, err := verify(t, m, mailgunMail(t, block, size))
		if err != nil || d.ID != mailgunToken || !d.IDSigned || d.Event != "stored" || d.EventSigned || !d.TimestampSigned {
			t.Errorf("an attachment of %d bytes: %+v, %v", size, d, err)
		}
	}
	form := mailgunBlock(t, "key", testNow)
	form.Set("body-html", strings.Repeat("<p>ü</p>", 1<<18))
	if _, err := verify(t, m, request("POST", "/m", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")); err != nil {
		t.Errorf("a form of %d bytes: %v", len(form.Encode()), err)
	}
	if m.Info().Coverage.BodySigned {
		t.Error("BodySigned is true, but attachments are not signed")
	}
	if !strings.Contains(presetNamed("mailgun").Weakness, "attachments") {
		t.Error("the documentation does not say that attachments can be forged")
	}
}

// TestMailgunDeliveryHasTheSameDigestInEveryFormat: only the timestamp and the token are
// signed, so an attacker could send a copy in another format.
func TestMailgunDeliveryHasTheSameDigestInEveryFormat(t *testing.T) {
	m := setUp(t, "mailgun", "key", provider.PresetOptions{})
	block := mailgunBlock(t, "key", testNow)
	form := request("POST", "/m", block.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	want := digestOf(t, m, form)
	for what, r := range map[string]*signature.Request{"multipart": mailgunMail(t, block, 10), "JSON": mailgunJSON(t, "key", testNow)} {
		if digestOf(t, m, r) != want {
			t.Errorf("the digest as %s differs from that as a form", what)
		}
	}
}

// TestMailgunPrimaryAccountKeyVerifiesSubaccountEvents: the keys of the subaccount and
// of the primary account verify an event, and no other key does.
func TestMailgunPrimaryAccountKeyVerifiesSubaccountEvents(t *testing.T) {
	block, parent := mailgunBlock(t, "key", testNow), mailgunBlock(t, "parent", testNow).Get("signature")
	block.Set(mailgunParent, parent)
	requests := map[string]func() *signature.Request{
		"JSON": func() *signature.Request {
			r := mailgunJSON(t, "key", testNow)
			raw, _ := signature.BodyBytes(r.Body)
			r.Body = signature.BytesBody(strings.Replace(string(raw), `{"timestamp"`, `{"parent-signature":"`+parent+`","timestamp"`, 1))
			return r
		},
		"a form": func() *signature.Request {
			return request("POST", "/m", block.Encode(), "Content-Type", "application/x-www-form-urlencoded")
		},
		"multipart": func() *signature.Request { return mailgunMail(t, block, 100) },
	}
	for what, r := range requests {
		for _, c := range []struct {
			secrets []string
			want    int
		}{{[]string{"key"}, 1}, {[]string{"parent"}, 1}, {[]string{"key", "parent"}, 2}, {[]string{"other"}, 0}} {
			d, err := verify(t, setUpSeveral(t, "mailgun", c.secrets...), r())
			if (err == nil) != (c.want > 0) || (err == nil && len(d.Matches) != c.want) {
				t.Errorf("%s, with %v: got %+v, %v", what, c.secrets, d, err)
			}
		}
	}
}
