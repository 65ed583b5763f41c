package command

import (
	"os"
	"strings"
	"testing"
)

// curl reads a file if the text after --data-binary begins with @.
func TestCurlSendsABodyThatBeginsWithAtAsItIs(t *testing.T) {
	for body, want := range map[string]string{"@/etc/hostname": "--data-raw '@/etc/hostname'", `{"a":1}`: `--data-binary '{"a":1}'`} {
		at := t.TempDir() + "/body"
		if err := os.WriteFile(at, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := tree(t.Context(), "sign", "github", "--secret", sendSecret, "--exact", "--body", "@"+at, "--as", "curl")
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", body, err, out)
		}
	}
}
