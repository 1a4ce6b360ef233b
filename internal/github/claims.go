package github

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Claims decodes the payload of a token without verifying it, for
// explanations alone: sub, aud, iss, exp, repository, repository_id, ref,
// environment, job_workflow_ref and whatever else the issuer says. Values are
// as text; a list of strings is joined by ", "; objects are left out.
//
// It refuses what STS refuses for its form: not three parts, too long, a
// payload that is no object, a claim that is there twice. Keys are exact.
func Claims(token string) (map[string]string, error) {
	if !looksLikeToken(token) {
		return nil, errors.New("not a token: want three parts of base64url")
	}
	_, rest, _ := strings.Cut(token, ".")
	part, _, _ := strings.Cut(rest, ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("not a token: the payload is not base64url")
	}
	return claimsOf(payload)
}

// claimsOf walks the payload's members. encoding/json into a struct would
// match keys without regard to case and keep the last of two.
func claimsOf(payload []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a token: the payload is no JSON object")
	}
	claims := make(map[string]string)
	seen := make(map[string]bool)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, errors.New("not a token: the payload is broken JSON")
		}
		name := key.(string) // the decoder yields strings for keys
		if seen[name] {
			return nil, fmt.Errorf("not a token: the claim %q is there twice", name)
		}
		seen[name] = true
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("not a token: the payload is broken JSON")
		}
		if text, ok := claimText(value); ok {
			claims[name] = text
		}
	}
	if err := end(d); err != nil {
		return nil, err
	}
	return claims, nil
}

// end refuses an object that is not closed, or is followed by anything.
func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("not a token: the payload is broken JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("not a token: something follows the payload")
	}
	return nil
}

func claimText(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case []any:
		var texts []string
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, ", "), true
	}
	return "", false
}
