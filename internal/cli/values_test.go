package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/slipway-cd/slipway/internal/config"
	"github.com/slipway-cd/slipway/internal/delivery"
)

// TestConceal: a secret is hidden however it is written, line by line too.
func TestConceal(t *testing.T) {
	const secret = "first-0815\nsecond \"0816\" & <x>\nab\n"
	var out bytes.Buffer
	a := &app{System: System{Out: &out, Err: &out}}
	u := newUI(a)
	u.conceal(secret)
	u.conceal("short")
	u.line("an error says %s", "first-0815 ab")
	u.fail(errors.New("key is " + secret))
	u.foreign([]string{`second "0816" & <x>`})
	u.result("%s", secret)
	u.raw([]byte(secret))
	if err := u.document(map[string]string{"a": secret, "b": "short"}); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, "0815") || strings.Contains(said, "0816") ||
		!strings.Contains(said, "(hidden) ab") || !strings.Contains(said, "short") {
		t.Errorf("got %s", said)
	}
	if got := string(u.redact([]byte("summary of first-0815"))); got != "summary of (hidden)" {
		t.Errorf("got %s", got)
	}
}

// TestConcealLongest: a secret that begins with another is hidden whole, and so
// is one as GitHub's annotations escape it.
func TestConcealLongest(t *testing.T) {
	var out bytes.Buffer
	u := newUI(&app{System: System{Out: &out, Err: &out, Env: []string{"GITHUB_ACTIONS=true"}}})
	u.conceal("secret-abc")
	u.conceal("secret-abc-and-more-4711")
	u.conceal("hunter%two%pass")
	u.line("it said %s", "secret-abc-and-more-4711")
	u.warn("it said %s", "hunter%two%pass")
	u.fail(errors.New("it said hunter%two%pass"))
	if said := out.String(); strings.Contains(said, "4711") || strings.Contains(said, "two") || !strings.Contains(said, "::warning") {
		t.Errorf("got %s", said)
	}
}

// TestOrigins: where a value comes from is as foreign as the value.
func TestOrigins(t *testing.T) {
	lines := changeLines([]delivery.Change{{Path: "environmentVariables.A", After: []byte(`"hush"`), Secret: true, Origin: "${env:A}\x1b[2J\n"}})
	if len(lines) != 1 || lines[0] != "+ environmentVariables.A  (from ${env:A}[2J)" {
		t.Errorf("got %q", lines)
	}
}

// TestUnreadable: a parameter that can't be read is told with the place that
// needs it, and with what would help.
func TestUnreadable(t *testing.T) {
	a := &app{System: System{Dir: "/repo"}}
	place := config.Problem{File: "/repo/slipway.yaml", Line: 3, Column: 7, Path: "environments.dev.execution_role"}
	refusal := &delivery.RemoteError{Service: "SSM", Operation: "GetParameter", Code: "AccessDeniedException", Kind: delivery.ErrDenied}
	err := a.unreadable(place, "/x", refusal)
	var e *delivery.Error
	if !errors.As(err, &e) || e.Kind != delivery.KindDenied || len(e.Hints) != 1 || !strings.Contains(e.Hints[0], "ssm:GetParameter on /x") ||
		err.Error() != "slipway.yaml:3:7: environments.dev.execution_role: reading ${ssm:/x}: SSM GetParameter: AccessDeniedException" {
		t.Errorf("got %v, %+v", err, e)
	}
	if err := a.unreadable(place, "/x", errors.New("connection refused")); delivery.KindOf(err) != delivery.KindUnavailable {
		t.Errorf("got %v", err)
	}
}
