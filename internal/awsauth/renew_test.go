package awsauth

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
)

// fakeSSM answers SSM's calls one by one, the last one for ever, and leaves
// the others to next.
type fakeSSM struct {
	next    http.RoundTripper
	answers []func() (status int, body io.Reader)
	calls   int
}

func (f *fakeSSM) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") == "" {
		return f.next.RoundTrip(r)
	}
	status, body := f.answers[min(f.calls, len(f.answers)-1)]()
	f.calls++
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		Body: io.NopCloser(body), Request: r}, nil
}

func says(status int, body string) func() (int, io.Reader) {
	return func() (int, io.Reader) { return status, strings.NewReader(body) }
}

// TestExpiredAndCut: credentials that AWS says have expired are replaced once,
// and a read whose answer was cut is done again.
func TestExpiredAndCut(t *testing.T) {
	expired, fine := says(400, `{"__type":"ExpiredTokenException","message":"expired"}`), says(200, `{"Parameters":[]}`)
	cut := func() (int, io.Reader) {
		return 200, io.MultiReader(strings.NewReader(`{"Param`), iotest.ErrReader(io.ErrUnexpectedEOF))
	}
	for name, tt := range map[string]struct {
		answers       []func() (int, io.Reader)
		calls, logins int
		code          string
	}{
		"expired once":    {[]func() (int, io.Reader){expired, fine}, 2, 2, ""},
		"expired forever": {[]func() (int, io.Reader){expired}, 2, 2, "ExpiredTokenException"},
		"cut once":        {[]func() (int, io.Reader){cut, fine}, 2, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				login := &fakeSTS{answers: []stsAnswer{session(time.Now().Add(time.Hour))}}
				remote := &fakeSSM{next: login, answers: tt.answers}
				s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote}.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, err = ssm.NewFromConfig(s.Config(SSM)).GetParameters(t.Context(), &ssm.GetParametersInput{Names: []string{"/x"}})
				var api smithy.APIError
				if errors.As(err, &api) != (tt.code != "") || tt.code != "" && api.ErrorCode() != tt.code || tt.code == "" && err != nil {
					t.Errorf("got %v", err)
				}
				if remote.calls != tt.calls || len(login.assumed) != tt.logins {
					t.Errorf("%d calls, %d logins", remote.calls, len(login.assumed))
				}
			})
		})
	}
}
