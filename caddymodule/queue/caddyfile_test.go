package queue

import (
	"encoding/json"
	"strings"
	"testing"
)

// queueJSON adapts a site with these options and returns the handler's JSON.
func queueJSON(t *testing.T, line, options string) (string, error) {
	t.Helper()
	config, err := adapt("http://localhost {\n" + line + " {\n" + options + "\n}\n}")
	if err != nil {
		return "", err
	}
	var c struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Routes []struct {
								Handle []json.RawMessage `json:"handle"`
							} `json:"routes"`
						} `json:"handle"`
					} `json:"routes"`
				} `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	handle := c.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0].Routes[0].Handle
	return string(handle[len(handle)-1]), nil
}

const deliver = "deliver {\nrespond 200\n}\n"

func TestCaddyfileAdaptsToJSON(t *testing.T) {
	const route = `"deliver":[{"handle":[{"handler":"static_response","status_code":200}]}],`
	for options, want := range map[string]string{
		deliver:                     `{` + route + `"handler":"webhook_queue","name":"orders"}`,
		deliver + "answer 200":      `{"answer":200,` + route + `"handler":"webhook_queue","name":"orders"}`,
		deliver + "retry 5s 1d":     `{` + route + `"handler":"webhook_queue","name":"orders","retry":[5000000000,86400000000000]}`,
		deliver + "give_up 3d":      `{` + route + `"give_up":259200000000000,"handler":"webhook_queue","name":"orders"}`,
		deliver + "stop_on 410 4xx": `{` + route + `"handler":"webhook_queue","name":"orders","stop_on":[410,4]}`,
		deliver + "handled 2xx 404": `{` + route + `"handled":[2,404],"handler":"webhook_queue","name":"orders"}`,
		deliver + "concurrency 3":   `{"concurrency":3,` + route + `"handler":"webhook_queue","name":"orders"}`,
		deliver + "timeout 20s":     `{` + route + `"handler":"webhook_queue","name":"orders","timeout":20000000000}`,
		deliver + "mode when_down":  `{` + route + `"handler":"webhook_queue","mode":"when_down","name":"orders"}`,
		deliver + "max_entries 7":   `{` + route + `"handler":"webhook_queue","max_entries":7,"name":"orders"}`,
		deliver + "max_bytes 1GiB":  `{` + route + `"handler":"webhook_queue","max_bytes":1073741824,"name":"orders"}`,
		"keep 30d\n" + deliver:      `{` + route + `"handler":"webhook_queue","keep":2592000000000000,"name":"orders"}`,
		"deliver {\n@a path /a\nrespond @a 200\nrespond 201\n}": `{"deliver":[{"handle":[{"handler":"static_response","status_code":200}],"match":[{"path":["/a"]}]},{"handle":[{"handler":"static_response","status_code":201}]}],"handler":"webhook_queue","name":"orders"}`,
	} {
		got, err := queueJSON(t, "webhook_queue orders", options)
		if err != nil || sorted(t, got) != sorted(t, want) {
			t.Errorf("%s\ngot  %s, %v\nwant %s", options, got, err, want)
		}
	}
}

func sorted(t *testing.T, text string) string {
	t.Helper()
	var v any
	if text == "" {
		return ""
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestCaddyfileErrorsSayWhatToWrite(t *testing.T) {
	for _, test := range []struct{ line, options, want string }{
		{"webhook_queue", deliver, "missing name: write, for example, webhook_queue orders"},
		{"webhook_queue a b", deliver, "too many arguments: expected at most one name"},
		{`webhook_queue ""`, deliver, "empty name"},
		{"webhook_queue a?b", deliver, `invalid name: "a?b"`},
		{"webhook_queue /orders", deliver, "missing name"}, // a path is a matcher
		{"webhook_queue a", "", "missing deliver"},
		{"webhook_queue a", "deliver", "deliver is empty"},
		{"webhook_queue a", "deliver {\n}", "deliver is empty"},
		{"webhook_queue a", "deliver reverse_proxy {\nrespond\n}", "deliver takes none"},
		{"webhook_queue a", deliver + deliver, "duplicate option: deliver"},
		{"webhook_queue a", "deliver {\nrespnd 200\n}", "unrecognized directive: respnd"},
		{"webhook_queue a", deliver + "answer", "missing value"},
		{"webhook_queue a", deliver + "answer 99", "is not a status code"},
		{"webhook_queue a", deliver + "answer 202\nanswer 200", "duplicate option: answer"},
		{"webhook_queue a", deliver + "retry", "missing value: write, for example, retry 5s 30s 2m"},
		{"webhook_queue a", deliver + "retry 5s 30", "30 is not a duration; write, for example, retry 5s 30s 2m"},
		{"webhook_queue a", deliver + "give_up never", "never is not a duration"},
		{"webhook_queue a", deliver + "stop_on 410,404", "separate status codes with spaces"},
		{"webhook_queue a", deliver + "concurrency 0", "0 is not a number"},
		{"webhook_queue a", deliver + "mode sometimes", "unrecognized mode: sometimes; write always or when_down"},
		{"webhook_queue a", deliver + "max_bytes lots", "lots is not a size"},
		{"webhook_queue a", deliver + "store file", "store must be inside the global option verify_webhook { queue"},
		{"webhook_queue a", deliver + "queue file", "queue must be inside the global option verify_webhook { queue"},
		{"webhook_queue a", deliver + "retrys 5s", "unrecognized option: retrys; did you mean retry?"},
	} {
		got, err := queueJSON(t, test.line, test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s { %s }\n%v %s\nwant %s", test.line, test.options, err, got, test.want)
		}
	}
	for option, want := range map[string]string{
		"queue":                        "missing queue type: write, for example, queue file",
		"queue fle":                    "unrecognized queue: fle; did you mean file?",
		"queue memory":                 "unrecognized queue: memory; write one of file, redis",
		"queue file a b":               "too many arguments: expected at most one path",
		"queue file {\nmax_bytes 1\n}": "max_bytes must be inside webhook_queue",
		"queue file {\nmin_fre 1\n}":   "did you mean min_free?",
		"queue redis":                  "missing URL: write, for example, queue redis redis://localhost:6379",
		"queue file\nqueue file":       "duplicate option: queue",
	} {
		if _, err := adapt("{\nverify_webhook {\n" + option + "\n}\n}\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", option, err, want)
		}
	}
}

// Invalid settings can also be in JSON.
func TestImplausibleSettingsAreRejected(t *testing.T) {
	for options, want := range map[string]string{
		`"name":""`:                         "missing name",
		`"name":"a b"`:                      "invalid name",
		`"name":"a","answer":500`:           "answer 500 is not a success",
		`"name":"a","answer":302`:           "answer 302 is not a success",
		`"name":"a","mode":"x"`:             "unrecognized mode",
		`"name":"a","retry":[5]`:            "retry 5ns is shorter than 1ms",
		`"name":"a","give_up":3`:            "give_up 3ns is shorter than 1ms",
		`"name":"a","timeout":-1`:           "timeout -1ns is shorter",
		`"name":"a","keep":30`:              "keep 30ns is shorter",
		`"name":"a","concurrency":-1`:       "concurrency -1 is negative: write",
		`"name":"a","concurrency":99999999`: "concurrency 99999999 is more than",
		`"name":"a","max_entries":-1`:       "max_entries -1 is negative: write",
		`"name":"a","max_bytes":-1`:         "max_bytes -1 is negative: write",
		`"name":"a","handled":[0]`:          "handled 0 is not a status code",
		`"name":"a","stop_on":[7]`:          "stop_on 7 is not a status code",
		`"name":"a","deliver":[]`:           "missing deliver",
	} {
		if !strings.Contains(options, `"deliver"`) {
			options += `,"deliver":[{"handle":[{"handler":"static_response"}]}]`
		}
		config := `{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"webhook_queue",` + options + `}]}]}}}}}`
		if err := validate(t, []byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", options, err, want)
		}
	}
}
