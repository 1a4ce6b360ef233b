package awsauth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// TestKeys hands out the credentials that Login tried, with their own end, and
// new ones when those are about to end.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(2*time.Hour).Truncate(time.Second)
		remote := &fakeSTS{answers: []stsAnswer{session(first), session(second)}}
		s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: remote}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		keys, err := s.Keys(t.Context())
		if err != nil || keys.KeyID != canaryKey || keys.Secret == "" || keys.Token == "" || !keys.Expires.Equal(first) {
			t.Errorf("key %q until %v (%v), want %q until %v", keys.KeyID, keys.Expires, err, canaryKey, first)
		}
		if len(remote.assumed) != 1 {
			t.Errorf("%d sessions were asked for", len(remote.assumed))
		}
		time.Sleep(56 * time.Minute)
		if keys, err = s.Keys(t.Context()); err != nil || !keys.Expires.Equal(second) {
			t.Errorf("four minutes before the end: until %v (%v), want %v", keys.Expires, err, second)
		}
	})
}

func TestKeysThatDontExpire(t *testing.T) {
	s, err := Source{Getenv: env("AWS_ACCESS_KEY_ID", canaryKey, "AWS_SECRET_ACCESS_KEY", "secret", "AWS_REGION", "us-east-1")}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.Keys(t.Context())
	if err != nil || keys != (Keys{KeyID: canaryKey, Secret: "secret"}) {
		t.Errorf("key %q, token %q until %v (%v)", keys.KeyID, keys.Token, keys.Expires, err)
	}
}

func TestKeysRefused(t *testing.T) {
	s, err := Source{Getenv: jobEnv(), Role: role, Token: tokens(), Transport: &fakeSTS{answers: []stsAnswer{refused(403, "AccessDenied", "no")}}}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys(t.Context()); delivery.KindOf(err) != delivery.KindDenied || keys != (Keys{}) {
		t.Errorf("%v, want KindDenied and no keys", err)
	}
}
