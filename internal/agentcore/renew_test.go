package agentcore

import (
	"errors"
	"testing"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// TestExpiredCredentialsAreReplaced: once, if somebody can; an answer that
// says so again is passed on.
func TestExpiredCredentialsAreReplaced(t *testing.T) {
	expired, ready := code(403, "ExpiredTokenException", "expired"), answer{status: 200, body: `{"status":"READY"}`}
	for name, tt := range map[string]struct {
		answers []answer
		renews  []bool // what Renew says, call by call; none: there is no Renew
		sent    int
		fails   bool
	}{
		"replaced":           {[]answer{expired, ready}, []bool{true}, 2, false},
		"expired again":      {[]answer{expired}, []bool{true, false}, 2, true},
		"nobody to renew it": {[]answer{expired}, nil, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &remote{answers: tt.answers}
			c := &Client{Config: config(), HTTP: f}
			renewed := 0
			if tt.renews != nil {
				c.Renew = func() bool { renewed++; return tt.renews[renewed-1] }
			}
			_, err := c.Get(t.Context(), runtimeID, "")
			if (err != nil) != tt.fails || tt.fails && !errors.Is(err, delivery.ErrExpired) || len(f.requests) != tt.sent || renewed != len(tt.renews) {
				t.Errorf("%v after %d requests, %d renewals", err, len(f.requests), renewed)
			}
		})
	}
}
