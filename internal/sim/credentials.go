package sim

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// identity is the state of STS, IAM and GitHub's issuer beside their records.
type identity struct {
	// mu is held by whatever reads records, decides, and writes them.
	mu sync.Mutex
	// control is the control API's bearer token.
	control string
	// signer signs GitHub's tokens.
	signer issuerKey
	// keys are what the issuer publishes. STS reads them through this field
	// alone, so that a test may publish others.
	keys jose.JSONWebKeySet
}

// principal is who makes a call.
type principal struct {
	arn     string // of the user, or of the role's session
	account string
	id      string // GetCallerIdentity's UserId: AIDA…, or AROA…:session
	// role and session are names, empty for a user.
	role, session string
	// policy is the session's policy, issued when the session began, and
	// provider the ARN of who vouched for it.
	policy   string
	issued   time.Time
	provider string
}

// accessKey is a key that signs calls: an administrator's long-lived one
// (AKIA…) or that of a role's session (ASIA…). Record: identity/key/<id>.
type accessKey struct {
	identified
	ID      string    `json:"id"`
	Secret  string    `json:"secret"`
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// identified is a principal in a record.
type identified struct {
	ARN      string    `json:"arn"`
	Account  string    `json:"account"`
	UserID   string    `json:"user_id"`
	Role     string    `json:"role,omitempty"`
	Session  string    `json:"session,omitempty"`
	Policy   string    `json:"policy,omitempty"` // the session policy
	Provider string    `json:"provider,omitempty"`
	Issued   time.Time `json:"issued,omitzero"`
}

func (i identified) principal() principal {
	return principal{arn: i.ARN, account: i.Account, id: i.UserID, role: i.Role, session: i.Session, policy: i.Policy, provider: i.Provider, issued: i.Issued}
}

func (p principal) identified() identified {
	return identified{ARN: p.arn, Account: p.account, UserID: p.id, Role: p.role, Session: p.session, Policy: p.policy, Provider: p.provider, Issued: p.issued}
}

const (
	keyRecord           = "identity/key/"
	administratorRecord = "identity/administrator/"
	githubTokenRecord   = "identity/github-token"
)

// keepOnReset says which records a reset leaves: the administrators' keys, long
// lived by nature. (The issuer's key and the control token are files.)
func keepOnReset(key string) bool {
	return strings.HasPrefix(key, keyRecord+"AKIA") || strings.HasPrefix(key, administratorRecord) || key == githubTokenRecord
}

func (c *Cloud) openIdentity() error {
	var err error
	if c.identity.control, err = c.disk.keptSecret(filepath.Join(c.Dir, "control")); err != nil {
		return fmt.Errorf("opening the control token: %w", err)
	}
	if c.identity.signer, err = openIssuerKey(c.disk, filepath.Join(c.Dir, "issuer.pem")); err != nil {
		return fmt.Errorf("opening the issuer's key: %w", err)
	}
	c.identity.keys = c.identity.signer.published()
	return errors.Join(c.forgetExpired(), c.forgetRuns())
}

// keptSecret reads the secret kept at path, or makes it.
func (d disk) keptSecret(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(raw))) >= 32 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := newID(32)
	return secret, d.writeFile(path, []byte(secret+"\n"))
}

// forgetExpired drops what can't be used any more. Sessions stay for a day
// after their end, since AWS tells an expired key from an unknown one.
func (c *Cloud) forgetExpired() error {
	for _, key := range c.store.keys(keyRecord + "ASIA") {
		var a accessKey
		if c.store.get(key, &a) && c.now().Sub(a.Expires) < 24*time.Hour {
			continue
		}
		if err := c.store.delete(key); err != nil {
			return err
		}
	}
	return nil
}

// ControlToken returns the bearer token of the control API (/_local/). It is
// empty where the cloud could not be opened.
func (c *Cloud) ControlToken() string {
	if c.Open() != nil {
		return ""
	}
	return c.identity.control
}

// Administrator returns the long-lived key of the account's administrator,
// arn:aws:iam::<account>:user/administrator, and makes it at the first call.
func (c *Cloud) Administrator(account string) (accessKeyID, secret string, err error) {
	if err := c.Open(); err != nil {
		return "", "", err
	}
	if !accountID.MatchString(account) {
		return "", "", fmt.Errorf("account %q is not 12 digits", account)
	}
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var id string
	var key accessKey
	if c.store.get(administratorRecord+account, &id) && c.store.get(keyRecord+id, &key) {
		return key.ID, key.Secret, nil
	}
	key = newAccessKey("AKIA")
	key.ARN, key.Account, key.UserID = "arn:aws:iam::"+account+":user/administrator", account, newUniqueID("AIDA")
	if err := c.store.put(keyRecord+key.ID, key); err != nil {
		return "", "", err
	}
	return key.ID, key.Secret, c.store.put(administratorRecord+account, key.ID)
}

// githubToken returns the token of GitHub's administrator, made at the first
// call.
func (c *Cloud) githubToken() (string, error) {
	c.identity.mu.Lock()
	defer c.identity.mu.Unlock()
	var token string
	if c.store.get(githubTokenRecord, &token) {
		return token, nil
	}
	token = "ghp_" + newID(18)
	return token, c.store.put(githubTokenRecord, token)
}

// newSession makes and keeps the temporary key of a role's session. What has
// ended long ago makes room for it, so that a cloud may run for weeks.
func (c *Cloud) newSession(r role, session, policy, provider string, lifetime time.Duration) (accessKey, error) {
	if err := c.forgetExpired(); err != nil {
		return accessKey{}, err
	}
	key := newAccessKey("ASIA")
	key.Token = newSessionToken()
	key.ARN = "arn:aws:sts::" + r.Account + ":assumed-role/" + r.Name + "/" + session
	key.Account, key.UserID = r.Account, r.ID+":"+session
	key.Role, key.Session, key.Policy, key.Provider = r.Name, session, policy, provider
	key.Issued = c.now().UTC().Truncate(time.Second)
	key.Expires = c.now().UTC().Add(lifetime).Truncate(time.Second)
	return key, c.store.put(keyRecord+key.ID, key)
}

func newAccessKey(prefix string) accessKey {
	secret := make([]byte, 30)
	rand.Read(secret) // never fails: crypto/rand
	return accessKey{ID: newUniqueID(prefix), Secret: base64.StdEncoding.EncodeToString(secret)}
}

// newSessionToken makes a token of about the length of real ones. It means
// nothing: the session is found by its access key.
func newSessionToken() string {
	b := make([]byte, 270)
	rand.Read(b)
	return "IQoJb3JpZ2luX2Vj" + base64.StdEncoding.EncodeToString(b)
}

// newUniqueID returns an IAM id: the prefix and 16 or 17 characters, as the
// kind of thing has them (keys 20 in all, entities 21).
func newUniqueID(prefix string) string {
	b := make([]byte, 15)
	rand.Read(b)
	id := base32.StdEncoding.EncodeToString(b)
	if prefix == "AKIA" || prefix == "ASIA" {
		return prefix + id[:16]
	}
	return prefix + id[:17]
}
