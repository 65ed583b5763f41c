package verifywebhook_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// misplaced is a secret without special characters, as providers generate them.
const misplaced = "c4n4ryT0p5ecr3tAbCdEfGh012345678"

// withSecrets are directives with a secret in each place that can hold one, one option
// on each line. The last is the global option.
var withSecrets = []string{
	"verify_webhook github SECRET {\nsecret SECRET2 old\ntolerance 5m\npublic_url https://h.example/\nevents push\nmax_body 1MiB\nmode enforce\nnamespace n\nreplay {\nwindow 7d\nhandled 2xx\non_duplicate 200\non_store_error reject\ncontent unique\nstore redis redis://u:SECRET@localhost:1 {\nprefix p\n}\n}\n}",
	"verify_webhook custom SECRET {\nalgorithm hmac-sha256\nkey utf8 prefix p\nsignature header X-S hex prefix v1=\nsigned {body}\ntimestamp header X-T unix\nid header X-I\nevent json type\nrequire X-A b\n}",
	"verify_webhook meta SECRET {\nverify_token SECRET2\n}",
	"verify_webhook plaid {\nclient_id 0123\nclient_secret SECRET\nenvironment sandbox\n}",
	"verify_webhook github {env.MISPLACED_OTHER}\nwebhook_sign SECRET {\nsecret SECRET2 l\n}",
	"verify_webhook github {env.MISPLACED_OTHER}\nwebhook_relay dev {\ntimeout 5m\n}\nwebhook_listeners dev SECRET {\nheartbeat 15s\n}",
	"verify_webhook {\nstore redis redis://u:SECRET@localhost:1/0 {\nprefix p\ntimeout 1s\ntls_server_name x\n}\nqueue redis redis://u:SECRET@localhost:1/0\nbody_memory 1GiB\n}",
}

// lines are the tokens of a directive.
type lines [][]string

func linesOf(directive string) (all lines) {
	for line := range strings.SplitSeq(directive, "\n") {
		all = append(all, strings.Fields(line))
	}
	return all
}

func (l lines) String() string {
	var b strings.Builder
	for _, line := range l {
		b.WriteString(strings.Join(line, " ") + "\n")
	}
	return b.String()
}

// changed returns a copy in which change has changed line i.
func (l lines) changed(i int, change func(line []string) lines) lines {
	return slices.Concat(l[:i:i], change(slices.Clone(l[i])), l[i+1:])
}

// mistakes returns the directive with each small mistake that moves a token: removed,
// duplicate, swapped, on a line of its own, or joined with the next line.
func (l lines) mistakes() (all []lines) {
	for i := range l {
		for j := range l[i] {
			one := func(change func(line []string) lines) { all = append(all, l.changed(i, change)) }
			one(func(line []string) lines { return lines{slices.Delete(line, j, j+1)} })
			one(func(line []string) lines { return lines{slices.Insert(line, j, line[j])} })
			one(func(line []string) lines { return lines{line[:j], line[j:]} })
			one(func(line []string) lines { return lines{slices.Insert(line, j, "SECRET")} })
			for k := range l[i][:j] {
				one(func(line []string) lines {
					line[j], line[k] = line[k], line[j]
					return lines{line}
				})
			}
		}
		if i+1 < len(l) {
			all = append(all, slices.Concat(l[:i:i], lines{slices.Concat(l[i], l[i+1])}, l[i+2:]))
		}
	}
	return all
}

// saidAbout returns the errors, warnings and log lines about a config.
func saidAbout(t *testing.T, directive string, global bool) (said string, rejected bool) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	text := "{\nadmin off\nlog {\noutput file " + log + "\n}\n%s\n}\nhttp://localhost:1 {\n%s\nrespond 200\n}\n"
	if global {
		text = fmt.Sprintf(text, directive, "verify_webhook github {env.MISPLACED_OTHER}")
	} else {
		text = fmt.Sprintf(text, "", directive)
	}
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(strings.ReplaceAll(text, "SECRET", misplaced)), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		var c caddy.Config
		if err = caddy.StrictUnmarshalJSON(config, &c); err == nil {
			err = caddy.Validate(&c)
		}
	}
	logged, _ := os.ReadFile(log) // there is none if the config cannot be parsed
	return fmt.Sprintln(warnings, err) + string(logged), err != nil
}

// TestSecretInTheWrongPlaceOfACaddyfileIsNotPrinted makes each small mistake in each
// directive. Caddy prints the names of unrecognized directives itself.
func TestSecretInTheWrongPlaceOfACaddyfileIsNotPrinted(t *testing.T) {
	t.Setenv("MISPLACED_OTHER", "another-secret-of-a-test")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	failed, count := 0, 0
	for i, directive := range withSecrets {
		for _, mistake := range linesOf(directive).mistakes() {
			count++
			said, rejected := saidAbout(t, mistake.String(), i == len(withSecrets)-1)
			for _, ofCaddy := range []string{"unrecognized directive: ", "unrecognized global option: "} {
				said = strings.ReplaceAll(said, ofCaddy+misplaced, ofCaddy)
			}
			if at := strings.Index(said, misplaced); at >= 0 {
				t.Errorf("%s\nprints …%s…", mistake, said[max(0, at-100):min(len(said), at+100)])
			}
			if rejected {
				failed++
			}
		}
	}
	if count < 500 || failed < 100 {
		t.Errorf("%d configs, of which %d are rejected", count, failed)
	}
}
