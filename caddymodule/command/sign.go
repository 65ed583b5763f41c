package command

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/verify-webhook/caddy-verify-webhook/internal/generator"
	"github.com/verify-webhook/caddy-verify-webhook/internal/shellquote"
	"github.com/verify-webhook/caddy-verify-webhook/internal/signing"
	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

func signCommand() *cobra.Command {
	var f generatorFlags
	cmd := &cobra.Command{
		Use:   "sign <provider>",
		Short: "Make a genuine delivery and print it as HTTP or curl",
		Long: `Makes a delivery like the provider's, with a new ID, the current time and a
signature that the receiver accepts, and prints it: as HTTP or, with
--as curl, as a command line.

Without --secret (or --private-key) one is made up, and what the receiver must
be told is printed to standard error: a secret, or the directive with a public
key or certificate. This also works for providers that publish their keys.
--save-key keeps the key for the next time.`,
		Example: `  caddy verify-webhook sign github --secret env:GITHUB_WEBHOOK_SECRET \
    --as curl
  caddy verify-webhook sign stripe --secret @secret --body @event.json
  caddy verify-webhook sign plaid --save-key plaid.pem
  caddy verify-webhook sign plaid --private-key plaid.pem`,
		Args: cobra.ExactArgs(1),
	}
	f.add(cmd.Flags())
	var asJSON bool
	addJSON(cmd, &asJSON)
	as := cmd.Flags().String("as", "http", "what to print: http or curl")
	bad := mutationFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cmd.SilenceUsage = true
		if *as != "http" && *as != "curl" {
			return usagef("unrecognized --as: %s%s", *as, didYouMean(*as, []string{"http", "curl"}))
		}
		m, err := f.generator(args[0], cmd)
		if err != nil {
			return err
		}
		which, err := bad()
		if err != nil {
			return err
		}
		r, err := m.Make(which, "")
		if err != nil {
			return err
		}
		if asJSON {
			return printRequestJSON(cmd.OutOrStdout(), r)
		}
		if *as == "curl" {
			return printCurl(cmd.OutOrStdout(), r)
		}
		return printHTTP(cmd.OutOrStdout(), r)
	}
	return cmd
}

// defaultURL is the URL of a provider in the examples, without its name.
const defaultURL = "http://localhost:8080/webhooks/"

// generatorFlags are the flags of commands that make deliveries.
type generatorFlags struct {
	options               generator.Options
	secret, body, saveKey string
}

func (f *generatorFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.secret, "secret", "", secretHelp+"; default: a generated one")
	flags.StringVar(&f.options.PrivateKey, "private-key", "", "a file with the private key (PEM), for providers that sign with one; default: a generated one")
	flags.StringVar(&f.options.Label, "label", "", "the name of the key, for providers that send it; default: a generated one")
	flags.StringVar(&f.saveKey, "save-key", "", "a new file for the generated key, for --private-key or --secret @FILE")
	flags.StringVar(&f.options.Options, "options", "", "the provider's options in JSON, as in Caddy's config")
	flags.StringVar(&f.options.URL, "url", "", "where the delivery goes; default: "+defaultURL+"<provider>")
	flags.StringVar(&f.options.PublicURL, "public-url", "", "the signed URL, for providers that sign it; default: that of --url")
	flags.StringVar(&f.body, "body", "", "the body: plain, @file, or @- for standard input; default: an example event")
	flags.BoolVar(&f.options.Exact, "exact", false, "leave the body unchanged: if nothing else differs, a second delivery is a copy of the first")
	flags.StringVar(&f.options.ID, "id", "", "the delivery ID; default: a new one")
	flags.StringVar(&f.options.Event, "event", "", "the event type; default: that of the body, or an example")
}

// generator returns a generator, and prints what to configure for a generated key.
func (f *generatorFlags) generator(name string, cmd *cobra.Command) (*generator.Generator, error) {
	o := f.options
	o.Provider = name
	o.URL = cmp.Or(o.URL, defaultURL+name)
	if err := checkProvider(name); err != nil {
		return nil, err
	}
	var err error
	if f.secret != "" {
		if o.Secret, err = readSecret(f.secret, cmd.InOrStdin()); err != nil {
			return nil, err
		}
	}
	if f.body != "" {
		if o.Body, err = readBytes(f.body, cmd.InOrStdin()); err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
	}
	m, err := generator.New(o)
	if err != nil {
		return nil, err
	}
	if f.saveKey != "" {
		if err := saveKey(f.saveKey, m.Setup()); err != nil {
			return nil, err
		}
	}
	printSetup(cmd.ErrOrStderr(), m)
	return m, nil
}

// saveKey writes a generated key to a new file.
func saveKey(path string, setup *signing.Setup) error {
	if !setup.Generated {
		return errors.New("--save-key needs a generated key: remove it, or remove --secret and --private-key")
	}
	text, err := setup.KeyFile()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("saving the key: %w", err)
	}
	if _, err := file.Write(text); err != nil {
		_ = file.Close()
		return fmt.Errorf("saving the key: %w", err)
	}
	return file.Close()
}

// printSetup prints how to configure the receiver for generated keys.
func printSetup(w io.Writer, m *generator.Generator) {
	setup := m.Setup()
	what := "secret"
	if m.Algorithm().Asymmetric() {
		what = "public key"
	}
	switch {
	case !setup.Generated && !setup.LabelGenerated:
		return
	case !setup.Generated:
		fmt.Fprintf(w, "the key ID in the delivery is %s: choose another with --label, and give the receiver's secret the same label\n", setup.Label)
	case setup.SecretAlone():
		fmt.Fprintf(w, "generated for this delivery; configure the receiver with the %s:\n%s\n", what, setup.Secret)
	default:
		fmt.Fprintf(w, "generated for this delivery; configure the receiver with:\n%s", setup.Caddyfile())
	}
}

// mutationFlags adds the flags for bad deliveries.
func mutationFlags(flags *pflag.FlagSet) func() (generator.Mutation, error) {
	t := flags.Bool("tamper", false, "alter it after signing: must be refused with 401")
	s := flags.Bool("stale", false, "sign it with an old time: must be refused with 401")
	return func() (generator.Mutation, error) {
		switch {
		case *t && *s:
			return generator.Genuine, usageError{errors.New("--tamper and --stale cannot be combined")}
		case *t:
			return generator.Tampered, nil
		case *s:
			return generator.Stale, nil
		}
		return generator.Genuine, nil
	}
}

// printRequestJSON prints a delivery as one JSON object; its body is in base64.
func printRequestJSON(w io.Writer, r *signature.Request) error {
	return printJSON(w, map[string]any{
		"method": r.Method, "url": r.Scheme + "://" + r.Host + r.RequestURI, "headers": r.Header, "body_b64": r.Body.Bytes(),
	})
}

// printHTTP prints a delivery in the wire format of HTTP/1.1.
func printHTTP(w io.Writer, r *signature.Request) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	header := r.Header.Clone()
	header.Set("Content-Length", strconv.FormatInt(r.Body.Size(), 10))
	if err := header.Write(out); err != nil {
		return err
	}
	fmt.Fprint(out, "\r\n")
	if _, err := r.Body.WriteTo(out); err != nil {
		return err
	}
	return out.Flush()
}

// printCurl prints a delivery as a command line for a POSIX shell.
func printCurl(w io.Writer, r *signature.Request) error {
	out := bufio.NewWriter(w)
	target := r.Scheme + "://" + r.Host + r.RequestURI
	fmt.Fprintf(out, "curl -i%s %s", shellquote.CurlFlags(target), shellquote.Quote(target))
	if r.Method != http.MethodPost {
		fmt.Fprintf(out, " \\\n  -X %s", shellquote.Quote(r.Method))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(out, " \\\n  -H %s", shellquote.Quote(name+": "+value))
		}
	}
	body, data := string(r.Body.Bytes()), "--data-binary"
	if strings.HasPrefix(body, "@") {
		data = "--data-raw" // the other would read a file
	}
	fmt.Fprintf(out, " \\\n  %s %s\n", data, shellquote.Quote(body))
	return out.Flush()
}
