package doctor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// keys looks for AWS keys that don't expire by themselves.
func keys(_ context.Context, x *examination) (string, error) {
	id := x.getenv("AWS_ACCESS_KEY_ID")
	if id == "" {
		return "no AWS keys in the environment", nil
	}
	if strings.HasPrefix(id, "AKIA") || x.getenv("AWS_SESSION_TOKEN") == "" {
		x.finding("doctor/long-lived-keys", "the AWS keys in the environment don't expire by themselves",
			"use aws sso login or a role; keep such keys out of CI, and deactivate those that are in it")
	}
	return "the AWS keys in the environment expire", nil
}

func proxy(_ context.Context, x *examination) (string, error) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		if x.getenv(name) != "" {
			x.finding("doctor/proxy", name+" is set: calls go through a proxy", // its value may hold a password
				"the proxy has to let AWS, GitHub and the registry through; name this machine in NO_PROXY")
			return "", nil
		}
	}
	return "none", nil
}

func engine(_ context.Context, x *examination) (string, error) {
	if x.Engine == nil {
		return "", skipped("not asked")
	}
	err := x.Engine()
	if err == nil {
		return x.Project.Engine, nil
	}
	hint := "install it, or choose another build.engine in slipway.yaml"
	var e *delivery.Error
	if errors.As(err, &e) && len(e.Hints) > 0 {
		hint = e.Hints[0]
	}
	x.finding("doctor/engine-missing", err.Error(), hint)
	return "", nil
}

// mostSkew is how far a clock may be off before AWS refuses its signatures.
const mostSkew = 5 * time.Minute

func clock(ctx context.Context, x *examination) (string, error) {
	if x.Clock == nil {
		return "", skipped("not asked")
	}
	theirs, err := x.Clock(ctx)
	if err != nil {
		return "", err
	}
	skew := x.now().Sub(theirs)
	if skew.Abs() > mostSkew {
		ahead := "ahead of"
		if skew < 0 {
			ahead = "behind"
		}
		x.finding("doctor/clock", "this machine's clock is "+skew.Abs().Round(time.Second).String()+" "+ahead+" AWS's",
			"set the clock: AWS refuses signatures that are more than five minutes off")
	}
	return "right", nil
}
