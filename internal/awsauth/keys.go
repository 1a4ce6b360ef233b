package awsauth

import (
	"context"
	"time"
)

// Keys are credentials in the form that other tools take. They are secret,
// KeyID aside, and masked in logs all the same.
type Keys struct {
	KeyID   string
	Secret  string
	Token   string    // "" for long-lived keys
	Expires time.Time // zero where they don't expire
}

// Keys returns the session's credentials, for somebody else to use: those
// that Login tried, unless they are about to end. It returns a
// *delivery.Error as Login does.
func (s *Session) Keys(ctx context.Context) (Keys, error) {
	creds, err := s.cache.Retrieve(ctx)
	if err != nil {
		return Keys{}, loginError("fetching credentials", err)
	}
	keys := Keys{KeyID: creds.AccessKeyID, Secret: creds.SecretAccessKey, Token: creds.SessionToken}
	if creds.CanExpire {
		keys.Expires = creds.Expires.Add(refreshBefore) // the cache moved it forward
	}
	return keys, nil
}
