package build

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/process"
)

// Secret is a value that a step of a Dockerfile may mount:
// RUN --mount=type=secret,id=ID. It is in an environment variable or a file.
type Secret struct {
	ID   string
	Env  string // the variable's name; "" where it is a file
	File string // the file's absolute path
}

// maxSecret is the size in bytes that BuildKit takes.
const maxSecret = 500 << 10

// read returns the secrets' values. A secret that is not there fails the
// build before it begins: BuildKit would mount nothing, and a step that does
// without it would make another image.
func (d Dockerfile) read(offered []string) ([]string, error) {
	var values []string
	for _, s := range d.Secrets {
		value, err := s.value(offered)
		if err != nil {
			return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "reading the secret " + s.ID, Err: err,
				Hints: []string{"build.secrets in slipway.yaml says where it comes from"}}
		}
		values = append(values, value)
	}
	return values, nil
}

func (s Secret) value(offered []string) (string, error) {
	if s.Env != "" {
		value := process.Lookup(offered, s.Env)
		if value == "" {
			return "", fmt.Errorf("the variable %s is not set", s.Env)
		}
		return value, nil
	}
	f, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(raw) == 0:
		return "", fmt.Errorf("%s is empty", s.File)
	case len(raw) > maxSecret:
		return "", fmt.Errorf("%s is larger than %d bytes", s.File, maxSecret)
	}
	return string(raw), nil
}

// variables lists the variables that secrets are in: the only ones that a
// client gets beyond its list.
func (d Dockerfile) variables(offered []string) []string {
	var list []string
	for _, s := range d.Secrets {
		if s.Env != "" {
			list = append(list, s.Env+"="+process.Lookup(offered, s.Env))
		}
	}
	return list
}

// mounts lists the secrets as both clients take them: by the name of a
// variable or file, never by value.
func (d Dockerfile) mounts() []string {
	var list []string
	for _, s := range d.Secrets {
		if s.Env != "" {
			list = append(list, fields("id="+s.ID, "env="+s.Env))
		} else {
			list = append(list, fields("id="+s.ID, "src="+s.File))
		}
	}
	return list
}

// mask hides secrets in what others say.
type mask struct{ replacer *strings.Replacer }

// shortestMasked is the length in bytes of the shortest text that is hidden:
// shorter ones are in every other word.
const shortestMasked = 4

// newMask hides values, their lines, and the longer words of those, as they
// stand and in the two codes that tools print them in.
func newMask(values []string) mask {
	const word = 8
	// What .netrc and .npmrc call their members is no secret.
	known := []string{"password", "username", "_password", "_authToken", "always-auth", "registry"}
	var parts []string
	for _, value := range values {
		parts = append(parts, value, strings.TrimSpace(value))
		for line := range strings.Lines(value) {
			parts = append(parts, line, strings.TrimSpace(line))
			for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n=:@\"'", r) }) {
				if len(w) >= word && !slices.Contains(known, w) {
					parts = append(parts, w)
				}
			}
		}
	}
	var forms []string
	for _, p := range parts {
		plain, inURL := base64.StdEncoding.EncodeToString([]byte(p)), base64.URLEncoding.EncodeToString([]byte(p))
		for _, form := range []string{p, plain, strings.TrimRight(plain, "="), inURL, strings.TrimRight(inURL, "="), url.QueryEscape(p)} {
			// A line's end is of a secret where it is encoded with it, not in what is told.
			if len(p) >= shortestMasked && !strings.HasSuffix(form, "\n") {
				forms = append(forms, form)
			}
		}
	}
	// The longest first: a Replacer takes the first that fits.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, "***")
	}
	return mask{strings.NewReplacer(pairs...)}
}

func (m mask) hide(text string) string {
	if m.replacer == nil {
		return text
	}
	return m.replacer.Replace(text)
}

// errSecretsInTheOpen says that secrets would cross a network unencrypted.
var errSecretsInTheOpen = errors.New("its secrets would cross the network unencrypted")

// unheard refuses to send secrets over a network that anyone may listen to.
func (d Dockerfile) unheard(op, address string, encrypted bool, hint string) error {
	hostPort, open := strings.CutPrefix(address, "tcp://")
	if !open || encrypted || len(d.Secrets) == 0 || isLoopback(hostPort) {
		return nil
	}
	return &delivery.Error{Kind: delivery.KindConfig, Op: op, Err: fmt.Errorf("%s: %w", address, errSecretsInTheOpen),
		Hints: []string{hint}}
}
