package capture

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// curlArguments are curl's options that take an argument and are not interpreted
// here, so that their argument is not taken for the URL.
var curlArguments = map[string]bool{
	"-A": true, "--user-agent": true, "-b": true, "--cookie": true, "-c": true, "--cookie-jar": true, "-e": true, "--referer": true,
	"-m": true, "--max-time": true, "--connect-timeout": true, "-o": true, "--output": true, "-w": true, "--write-out": true,
	"-x": true, "--proxy": true, "--resolve": true, "--retry": true, "--cacert": true, "-E": true, "--cert": true, "--key": true,
	"-F": true, "--form": true, "-T": true, "--upload-file": true, "--interface": true, "--limit-rate": true, "-K": true, "--config": true,
}

// curlLine is the state of parsing a curl command line.
type curlLine struct {
	method, url string
	header      http.Header
	data        []string
	hasData     bool
	get         bool
	notes       []string
}

// parseCurl splits a command line as shells do, `$'…'` included, but expands
// nothing.
func parseCurl(line string) (*Request, error) {
	words, err := curlWords(line)
	if err != nil {
		return nil, err
	}
	c := &curlLine{header: make(http.Header)}
	for i := 1; i < len(words); i++ {
		option, value, joined := splitOption(words[i])
		if !strings.HasPrefix(option, "-") {
			c.url = words[i]
			continue
		}
		if !takesArgument(option) {
			c.get = c.get || option == "-G" || option == "--get"
			continue
		}
		if !joined {
			if i++; i == len(words) {
				return nil, fmt.Errorf("the curl command ends after %s", option)
			}
			value = words[i]
		}
		if err := c.option(option, value); err != nil {
			return nil, err
		}
	}
	return c.request()
}

// curlWords splits a curl command into words: as a shell or, if it is for Windows, as
// its command prompt does.
func curlWords(line string) ([]string, error) {
	if isWindows(line) {
		return windowsWords(line)
	}
	var words []string
	for word, err := range syntax.NewParser().WordsSeq(strings.NewReader(line)) {
		if err != nil {
			return nil, errNoShellWords
		}
		text, err := shellText(word.Parts)
		if err != nil {
			return nil, err
		}
		words = append(words, text)
	}
	return words, nil
}

var (
	errNoShellWords = errors.New("the curl command cannot be split into words as a shell would: copy it again as \"cURL (bash)\"")
	errShellExpands = errors.New("the curl command contains variables or commands: replace them with their values")
)

// shellText returns the text of a word without its quotes. A word that a shell
// would expand is an error: its value is unknown, and braces expand without limit.
func shellText(parts []syntax.WordPart) (string, error) {
	var text strings.Builder
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text.WriteString(unescape(part.Value))
			continue
		case *syntax.SglQuoted:
		case *syntax.DblQuoted:
			if slices.ContainsFunc(part.Parts, func(p syntax.WordPart) bool { _, literal := p.(*syntax.Lit); return !literal }) {
				return "", errShellExpands
			}
		default:
			return "", errShellExpands
		}
		quoted, err := expand.Literal(nil, &syntax.Word{Parts: []syntax.WordPart{part}})
		if err != nil {
			return "", errNoShellWords
		}
		text.WriteString(quoted)
	}
	return text.String(), nil
}

// unescape removes the backslashes of unquoted text.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// splitOption splits --option=value and -Xvalue.
func splitOption(word string) (option, value string, joined bool) {
	if strings.HasPrefix(word, "--") {
		return strings.Cut(word, "=")
	}
	if len(word) > 2 && word[0] == '-' && takesArgument(word[:2]) {
		return word[:2], word[2:], true
	}
	return word, "", false
}

func takesArgument(option string) bool {
	switch option {
	case "-X", "--request", "-H", "--header", "-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--data-urlencode", "--json", "-u", "--user", "--url":
		return true
	}
	return curlArguments[option]
}

func (c *curlLine) option(option, value string) error {
	switch option {
	case "-X", "--request":
		c.method = value
	case "--url":
		c.url = value
	case "-H", "--header":
		name, text, _ := strings.Cut(value, ":")
		c.header.Add(strings.TrimSpace(name), strings.TrimSpace(text))
	case "-u", "--user":
		c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(value)))
	case "-A", "--user-agent":
		c.header.Set("User-Agent", value)
	case "-F", "--form", "-T", "--upload-file":
		return fmt.Errorf("the curl command has %s, whose exact bytes are unknown: record the request in another way", option)
	case "--json":
		c.header.Set("Content-Type", "application/json")
		return c.addData("--data-binary", value)
	default:
		if strings.HasPrefix(option, "-d") || strings.HasPrefix(option, "--data") {
			return c.addData(option, value)
		}
	}
	return nil
}

// addData processes the data as curl does.
func (c *curlLine) addData(option, value string) error {
	c.hasData = true
	file, isFile := strings.CutPrefix(value, "@")
	switch {
	case option == "--data-urlencode":
		name, text, named := strings.Cut(value, "=")
		if !named {
			name, text = "", value
		}
		value = url.QueryEscape(text)
		if name != "" {
			value = name + "=" + value
		}
	case option == "--data-raw" || !isFile:
	default:
		raw, err := readBody(file)
		if err != nil {
			return fmt.Errorf("reading the body of the curl command: %w", err)
		}
		value = string(raw)
		if option != "--data-binary" && strings.ContainsAny(value, "\r\n") {
			value = strings.NewReplacer("\r", "", "\n", "").Replace(value)
			c.notes = append(c.notes, "curl removes the line breaks of a file with -d: use --data-binary")
		}
	}
	c.data = append(c.data, value)
	return nil
}

// maxBody is the maximum size of a file with a body, in bytes.
const maxBody = 64 << 20

// readBody reads the file that a command names. The command may be an attacker's: a
// device or a pipe has no end.
func readBody(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", name)
	case info.Size() > maxBody:
		return nil, fmt.Errorf("%s is larger than 64 MiB", name)
	}
	return os.ReadFile(name)
}

func (c *curlLine) request() (*Request, error) {
	if !strings.Contains(c.url, "://") {
		c.url = "http://" + c.url
	}
	u, err := url.Parse(c.url)
	if err != nil || u.Host == "" {
		return nil, errors.New("the curl command has no URL")
	}
	r := &Request{Method: c.method, Scheme: u.Scheme, Host: u.Host, RequestURI: u.RequestURI(), Header: c.header, Notes: c.notes}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	body := strings.Join(c.data, "&")
	switch {
	case c.get && body != "":
		separator := "?"
		if strings.Contains(r.RequestURI, "?") {
			separator = "&"
		}
		r.RequestURI += separator + body
	case c.hasData:
		r.Body = []byte(body)
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	if r.Method == "" {
		r.Method = http.MethodGet
		if c.hasData && !c.get {
			r.Method = http.MethodPost
		}
	}
	return r, nil
}
