package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
	"github.com/slipway-cd/slipway/internal/trust"
)

func (c *Cloud) stsOperations() map[string]func(*call) (any, error) {
	return map[string]func(*call) (any, error){
		"AssumeRoleWithWebIdentity": c.assumeRoleWithWebIdentity,
		"GetCallerIdentity":         c.getCallerIdentity,
	}
}

func (c *Cloud) getCallerIdentity(k *call) (any, error) {
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{k.principal.arn, k.principal.id, k.principal.account}, nil
}

var (
	roleARN     = pattern.New(`^arn:aws:iam::([0-9]{12}):role(/(?:[\x21-\x7e]*/)?)([\w+=,.@-]{1,64})$`)
	sessionName = pattern.New(`^[\w+=,.@-]*$`)
)

// Limits of AssumeRoleWithWebIdentity (its API reference).
const (
	minDuration     = 900 * time.Second
	maxDuration     = 43200 * time.Second
	defaultDuration = 3600 * time.Second
	maxSessionText  = 2048 // characters of a session policy
)

// webIdentityRequest is a checked AssumeRoleWithWebIdentity.
type webIdentityRequest struct {
	account, roleName, roleARN string
	session, token, policy     string
	duration                   time.Duration
}

// assumeRoleWithWebIdentity exchanges a token for a role's session. The token
// is judged before the role is looked for: whoever has no good token learns
// nothing about roles. Of those who have one, the trust policy decides, and a
// role that is not there answers the same as one that says no.
func (c *Cloud) assumeRoleWithWebIdentity(k *call) (any, error) {
	request, err := readWebIdentity(k)
	if err != nil {
		return nil, err
	}
	k.resource = request.roleARN
	claims, err := verifyToken(request.token, c.now(), func(url string) (TokenIssuer, error) {
		return c.registeredIssuer(k.Context(), request.account, url)
	})
	if err != nil {
		return nil, tokenFault(err)
	}
	providerARN := trust.ProviderARN(request.account, claims.Issuer)
	k.principal.arn = providerARN + ":" + claims.Audience + ":" + claims.Subject // as CloudTrail's principalId
	r, ok := c.findRole(request.account, request.roleName)
	if !ok || r.ARN() != request.roleARN {
		return nil, notAuthorized("there is no role " + request.roleARN)
	}
	if err := r.admits(claims.Request(providerARN)); err != nil {
		return nil, err
	}
	if request.duration > r.MaxSession {
		return nil, faultf(http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	key, err := c.newSession(r, request.session, request.policy, providerARN, request.duration)
	if err != nil {
		return nil, err
	}
	return webIdentityResult(key, claims, providerARN), nil
}

func webIdentityResult(key accessKey, claims *Claims, providerARN string) any {
	type credentials struct {
		AccessKeyID                               string `xml:"AccessKeyId"`
		SecretAccessKey, SessionToken, Expiration string
	}
	type user struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
	return struct {
		Credentials                 credentials
		SubjectFromWebIdentityToken string
		AssumedRoleUser             user
		Provider, Audience          string
	}{
		credentials{key.ID, key.Secret, key.Token, isoTime(key.Expires)},
		claims.Subject, user{key.UserID, key.ARN}, providerARN, claims.Audience,
	}
}

func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// readWebIdentity checks the parameters, the token's content aside, and reports
// all that is wrong with them at once.
func readWebIdentity(k *call) (webIdentityRequest, error) {
	var wrong constraints
	q := webIdentityRequest{roleARN: k.form.Get("RoleArn"), session: k.form.Get("RoleSessionName"),
		token: k.form.Get("WebIdentityToken"), policy: k.form.Get("Policy"), duration: defaultDuration}
	wrong.length("roleArn", q.roleARN, 20, 2048)
	wrong.length("roleSessionName", q.session, 2, 64)
	wrong.pattern("roleSessionName", q.session, sessionName, `[\w+=,.@-]*`)
	wrong.hiddenLength("webIdentityToken", q.token, minToken, maxToken)
	wrong.length("policy", q.policy, 0, maxSessionText)
	if given := k.form.Get("DurationSeconds"); given != "" {
		seconds, err := strconv.Atoi(given)
		if err != nil {
			return q, faultf(http.StatusBadRequest, "ValidationError", "DurationSeconds %q is no integer", given)
		}
		q.duration = time.Duration(seconds) * time.Second
		wrong.between("durationSeconds", seconds, int(minDuration.Seconds()), int(maxDuration.Seconds()))
	}
	if err := wrong.fault(); err != nil {
		return q, err
	}
	m := roleARN.FindStringSubmatch(q.roleARN)
	if m == nil {
		return q, faultf(http.StatusBadRequest, "ValidationError", "%s is invalid", q.roleARN)
	}
	q.account, q.roleName = m[1], m[3]
	for name := range k.form {
		if name == "ProviderId" || strings.HasPrefix(name, "PolicyArns") {
			return q, faultf(http.StatusBadRequest, "ValidationError", "the local cloud does not implement the parameter %s", name)
		}
	}
	if q.policy != "" {
		if _, err := trust.Parse([]byte(q.policy)); err != nil {
			return q, faultf(http.StatusBadRequest, "MalformedPolicyDocument", "The session policy: %v", err)
		}
	}
	return q, nil
}

// registeredIssuer is the account's provider for an issuer, with the issuer's
// keys. The cloud issues as GitHub; keys of other issuers are fetched.
func (c *Cloud) registeredIssuer(ctx context.Context, account, url string) (TokenIssuer, error) {
	p, ok := c.findProvider(account, url)
	if !ok || p.URL != url {
		return TokenIssuer{}, noProvider(url)
	}
	issuer, err := c.issuerAt(ctx, strings.TrimSuffix(url, "/")+discoveryPath)
	if err == nil && issuer.URL != url {
		err = fmt.Errorf("its document is of %q", issuer.URL)
	}
	if err != nil {
		c.warn("fetching the keys of %s: %v", url, err)
		return TokenIssuer{}, noKey()
	}
	issuer.ClientIDs = p.ClientIDs
	return issuer, nil
}

func tokenFault(err error) error {
	var t *TokenError
	if !errors.As(err, &t) {
		return err
	}
	return faultf(http.StatusBadRequest, t.Code, "%s", t.Message)
}

// notAuthorized is the one text for every way in which a role says no. Why goes
// to the journal, which is more than AWS tells.
func notAuthorized(why string) error {
	f := faultf(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	f.why = why
	return f
}

// admits asks the role's trust policy.
func (r role) admits(request trust.Request) error {
	policy, err := trust.Parse([]byte(r.Trust))
	if err != nil {
		return notAuthorized("the trust policy of " + r.Name + " can't be read: " + err.Error())
	}
	if d := policy.Evaluate(request); !d.Allowed {
		return notAuthorized(explain(d))
	}
	return nil
}

// explain puts a denial into words, for the journal.
func explain(d trust.Decision) string {
	if d.Denied() {
		return fmt.Sprintf("statement %d %s denies it", d.Statement, d.Sid)
	}
	reasons := []string{}
	for _, miss := range d.Misses {
		if len(miss.Failed) == 0 {
			reasons = append(reasons, fmt.Sprintf("statement %d: the %s is another", miss.Statement, miss.Element))
		}
		for _, f := range miss.Failed {
			got := "absent"
			if f.Got != nil {
				got = fmt.Sprintf("%q", f.Got)
			}
			reasons = append(reasons, fmt.Sprintf("statement %d: %s %s wants %q, got %s", miss.Statement, f.Operator, f.Key, f.Wanted, got))
		}
	}
	if len(reasons) == 0 {
		return "no statement allows it"
	}
	return strings.Join(reasons, "; ")
}

// constraints collects what is wrong with parameters, as STS and IAM report it.
type constraints []string

func (c *constraints) add(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

func (c *constraints) length(name, value string, least, most int) {
	if n := len([]rune(value)); n < least {
		c.add("Value '%s' at '%s' failed to satisfy constraint: Member must have length greater than or equal to %d", value, name, least)
	} else if n > most {
		c.add("Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", value, name, most)
	}
}

// hiddenLength is length for a value that no message may repeat.
func (c *constraints) hiddenLength(name, value string, least, most int) {
	if len(value) < least {
		c.add("Value at '%s' failed to satisfy constraint: Member must have length greater than or equal to %d", name, least)
	} else if len(value) > most {
		c.add("Value at '%s' failed to satisfy constraint: Member must have length less than or equal to %d", name, most)
	}
}

func (c *constraints) pattern(name, value string, re *pattern.Pattern, shown string) {
	if !re.MatchString(value) {
		c.add("Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", value, name, shown)
	}
}

func (c *constraints) between(name string, value, least, most int) {
	if value < least {
		c.add("Value '%d' at '%s' failed to satisfy constraint: Member must have value greater than or equal to %d", value, name, least)
	} else if value > most {
		c.add("Value '%d' at '%s' failed to satisfy constraint: Member must have value less than or equal to %d", value, name, most)
	}
}

func (c *constraints) among(name, value string, permitted ...string) {
	if !slices.Contains(permitted, value) {
		c.add("Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", value, name, strings.Join(permitted, ", "))
	}
}

func (c constraints) fault() error {
	switch len(c) {
	case 0:
		return nil
	case 1:
		return faultf(http.StatusBadRequest, "ValidationError", "1 validation error detected: %s", c[0])
	default:
		return faultf(http.StatusBadRequest, "ValidationError", "%d validation errors detected: %s", len(c), strings.Join(c, "; "))
	}
}
