package sim

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/pattern"
)

// This file verifies AWS Signature Version 4 from AWS's description of it, with
// no code of any SDK: the SDKs are the judges.
//
// Not modelled: presigned query strings and SigV4A (refused), and
// UNSIGNED-PAYLOAD, which AWS takes for streaming operations of other services.

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	// sigSkew is how far a signature's time may be from the cloud's.
	sigSkew = 5 * time.Minute
)

var regionName = pattern.New(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)

// authorization is what the Authorization header of a signed call says.
type authorization struct {
	key       string
	date      string // of the credential scope
	region    string
	service   string
	signed    []string // header names, lower case
	signature string
}

// authenticate finds out who makes the call, or refuses it as AWS does.
func (c *Cloud) authenticate(k *call) error {
	a, err := k.readAuthorization()
	if err != nil {
		return err
	}
	signedAt, err := k.signingTime()
	if err != nil {
		return err
	}
	if err := k.checkScope(a, signedAt); err != nil {
		return err
	}
	var key accessKey
	if !c.store.get(keyRecord+a.key, &key) || !sameText(key.Token, k.Header.Get("X-Amz-Security-Token")) {
		return k.sigFault(unknownClient, "The security token included in the request is invalid.")
	}
	if !key.Expires.IsZero() && !c.now().Before(key.Expires) {
		return k.sigFault(expiredToken, "The security token included in the request is expired")
	}
	if err := k.checkSkew(signedAt, c.now().UTC()); err != nil {
		return err
	}
	if err := k.checkSignature(a, signedAt, key.Secret); err != nil {
		return err
	}
	k.principal, k.account, k.region = key.principal(), key.Account, a.region
	return nil
}

// sigFailure is a kind of refusal; its code and status depend on the protocol.
type sigFailure int

const (
	missingToken sigFailure = iota
	incompleteSignature
	unknownClient
	badSignature
	expiredToken
)

// sigFault is the refusal as the call's service words it. The Query services
// answer 403 but for what they cannot read; JSON 1.1 answers 400 throughout;
// rest-json has JSON's codes and Query's statuses.
func (k *call) sigFault(kind sigFailure, format string, args ...any) *fault {
	codes := [...]string{"MissingAuthenticationToken", "IncompleteSignature", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"}
	if k.op.protocol != queryXML {
		codes = [...]string{"MissingAuthenticationTokenException", "IncompleteSignatureException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}
	}
	status := http.StatusForbidden
	if k.op.protocol == json11 || kind == incompleteSignature {
		status = http.StatusBadRequest
	}
	return faultf(status, codes[kind], format, args...)
}

// readAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…,
// Signature=…".
func (k *call) readAuthorization() (authorization, error) {
	var a authorization
	header := k.Header.Get("Authorization")
	if header == "" {
		if k.URL.Query().Has("X-Amz-Signature") {
			return a, k.sigFault(missingToken, "Missing Authentication Token: the local cloud does not take presigned requests")
		}
		return a, k.sigFault(missingToken, "Request is missing Authentication Token")
	}
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != sigAlgorithm {
		return a, k.sigFault(missingToken, "Missing Authentication Token: Authorization is not of %s", sigAlgorithm)
	}
	parts := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	var missing []string
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			missing = append(missing, "Authorization header requires '"+name+"' parameter.")
		}
	}
	if missing != nil {
		return a, k.sigFault(incompleteSignature, "%s", strings.Join(missing, " "))
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 {
		return a, k.sigFault(incompleteSignature, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", parts["Credential"])
	}
	if scope[4] != "aws4_request" {
		return a, k.sigFault(badSignature, "Credential should be scoped with a valid terminator: 'aws4_request', not '%s'.", scope[4])
	}
	return authorization{key: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signed: strings.Split(parts["SignedHeaders"], ";"), signature: parts["Signature"]}, nil
}

// signingTime is X-Amz-Date, or Date where there is none.
func (k *call) signingTime() (time.Time, error) {
	if header := k.Header.Get("X-Amz-Date"); header != "" {
		at, err := time.Parse(sigTime, header)
		if err != nil {
			return at, k.sigFault(incompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%s'.", header)
		}
		return at, nil
	}
	header := k.Header.Get("Date")
	if header == "" {
		return time.Time{}, k.sigFault(incompleteSignature, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return at, k.sigFault(incompleteSignature, "Date must be in ISO-8601 'basic format' or RFC 1123. Got '%s'.", header)
	}
	return at.UTC(), nil
}

// checkScope checks that the credential scope is for this call and that all
// that has to be signed is.
func (k *call) checkScope(a authorization, signedAt time.Time) error {
	if day := signedAt.Format("20060102"); a.date != day {
		return k.sigFault(badSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			a.date, day, signedAt.Format(sigTime))
	}
	if !regionName.MatchString(a.region) {
		return k.sigFault(badSignature, "Credential should be scoped to a valid region.")
	}
	if a.service != k.op.service {
		return k.sigFault(badSignature, "Credential should be scoped to correct service: '%s'.", k.op.service)
	}
	if !slices.Contains(a.signed, "host") {
		return k.sigFault(badSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !slices.IsSorted(a.signed) { // the canonical order is by name: no other can match
		return k.sigFault(badSignature, "SignedHeaders must be in alphabetical order.")
	}
	for name := range k.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(a.signed, lower) {
			return k.sigFault(badSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", lower)
		}
	}
	return nil
}

func (k *call) checkSkew(signedAt, now time.Time) error {
	switch {
	case signedAt.Before(now.Add(-sigSkew)):
		return k.sigFault(badSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			signedAt.Format(sigTime), now.Add(-sigSkew).Format(sigTime), now.Format(sigTime))
	case signedAt.After(now.Add(sigSkew)):
		return k.sigFault(badSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			signedAt.Format(sigTime), now.Add(sigSkew).Format(sigTime), now.Format(sigTime))
	}
	return nil
}

func (k *call) checkSignature(a authorization, signedAt time.Time, secret string) error {
	sum := hexHash(k.body)
	if given := k.Header.Get("X-Amz-Content-Sha256"); given != "" && given != sum {
		return k.sigFault(badSignature, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	canonical, err := k.canonicalRequest(a.signed, sum)
	if err != nil {
		return err
	}
	scope := strings.Join([]string{a.date, a.region, a.service, "aws4_request"}, "/")
	toSign := strings.Join([]string{sigAlgorithm, signedAt.Format(sigTime), scope, hexHash([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request"} {
		key = sign(key, part)
	}
	if !sameText(hex.EncodeToString(sign(key, toSign)), a.signature) {
		return k.sigFault(badSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

func (k *call) canonicalRequest(signed []string, bodyHash string) (string, error) {
	wirePath, query := k.wireTarget()
	canonicalQuery, err := canonicalQuery(query)
	if err != nil {
		return "", k.sigFault(incompleteSignature, "the query string can't be read: %v", err)
	}
	var b strings.Builder
	b.WriteString(k.Method + "\n" + canonicalPath(wirePath) + "\n" + canonicalQuery + "\n")
	for _, name := range signed {
		b.WriteString(name + ":" + k.canonicalHeader(name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyHash)
	return b.String(), nil
}

// wireTarget is the request's path and query as they were sent: net/http's URL
// has the path decoded, and %3A and ":" are not the same to a signature.
func (k *call) wireTarget() (wirePath, query string) {
	target := k.RequestURI
	if !strings.HasPrefix(target, "/") { // a proxy's form, or a request made in a test
		return k.URL.EscapedPath(), k.URL.RawQuery
	}
	wirePath, query, _ = strings.Cut(target, "?")
	return wirePath, query
}

// canonicalPath encodes the path as sent once more (every service but S3 wants
// that), empty and dot segments removed.
func canonicalPath(sent string) string {
	clean := path.Clean("/" + sent)
	if strings.HasSuffix(sent, "/") && clean != "/" {
		clean += "/"
	}
	return uriEncode(clean, true)
}

func canonicalQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", err
	}
	var pairs [][2]string
	for name, list := range values {
		for _, value := range list {
			pairs = append(pairs, [2]string{uriEncode(name, false), uriEncode(value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	var b strings.Builder
	for i, pair := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair[0] + "=" + pair[1])
	}
	return b.String(), nil
}

// uriEncode is AWS's UriEncode: all but A-Z a-z 0-9 - . _ ~ as %XX.
func uriEncode(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || keepSlash && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// canonicalHeader is a header's values, trimmed, runs of spaces as one, joined
// by commas. net/http keeps Host and Content-Length elsewhere.
func (k *call) canonicalHeader(name string) string {
	switch name {
	case "host":
		return k.Host
	case "content-length":
		return strconv.FormatInt(k.ContentLength, 10)
	}
	values := slices.Clone(k.Header.Values(name))
	for i, value := range values {
		values[i] = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	}
	return strings.Join(values, ",")
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
