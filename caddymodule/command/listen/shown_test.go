package listen

import "testing"

func TestPrintedURLsContainNoSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"https://hooks.example.com/relay":            "https://hooks.example.com/relay",
		"http://me:s3cret@localhost:5000/a?token=b#": "http://me:xxxxx@localhost:5000/a",
		"://": "the relay",
	} {
		if got := shown(text); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}
