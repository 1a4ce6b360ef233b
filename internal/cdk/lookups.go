package cdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Key is the name of a lookup: a provider and its properties, as in
// vpc-provider:account=111122223333:filter.isDefault=true:region=us-east-1.
type Key struct {
	Text            string
	Provider        string
	Account, Region string
	properties      []string // as they are written, in their order
}

// ParseKey reads a key of cdk.context.json. It is false for what is no lookup:
// feature flags and values of the app's own stand there as well.
func ParseKey(text string) (Key, bool) {
	parts := split(text)
	k := Key{Text: text, Provider: parts[0], properties: parts[1:]}
	for _, p := range k.properties {
		switch name, value, _ := strings.Cut(p, "="); name {
		case "account":
			k.Account = value
		case "region":
			k.Region = value
		}
	}
	return k, k.Account != "" && k.Region != ""
}

// split cuts a key at its colons. CDK writes one that is part of a value as $:,
// and $ as $$.
func split(text string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '$':
			i++
		case ':':
			parts, start = append(parts, text[start:i]), i+1
		}
	}
	return append(parts, text[start:])
}

// In is the same lookup in another account and region.
func (k Key) In(account, region string) string {
	parts := []string{k.Provider}
	for _, p := range k.properties {
		switch name, _, _ := strings.Cut(p, "="); name {
		case "account":
			p = "account=" + account
		case "region":
			p = "region=" + region
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, ":")
}

// property is the value of a property, "" where the key has none.
func (k Key) property(name string) string {
	for _, p := range k.properties {
		if value, ok := strings.CutPrefix(p, name+"="); ok {
			return value
		}
	}
	return ""
}

// Parameter is the SSM parameter whose value was looked up, "" where the key
// is of something else.
func (k Key) Parameter() string {
	if k.Provider != "ssm" {
		return ""
	}
	return k.property("parameterName")
}

// Lookups is what a cdk.context.json holds.
type Lookups struct {
	Keys  []Key    // in their order of names
	Empty []string // those without a value
}

// ParseLookups reads a cdk.context.json.
func ParseLookups(text []byte) (Lookups, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return Lookups{}, fmt.Errorf("it is no JSON object: %w", err)
	}
	if values == nil { // null
		return Lookups{}, errors.New("it is no JSON object")
	}
	var l Lookups
	for _, name := range slices.Sorted(maps.Keys(values)) {
		k, ok := ParseKey(name)
		if !ok {
			continue
		}
		l.Keys = append(l.Keys, k)
		if v := string(values[name]); v == "null" || v == `""` {
			l.Empty = append(l.Empty, name)
		}
	}
	return l, nil
}

// Miss is a lookup that an account and region should have.
type Miss struct {
	Key   string // that synth will ask for, as far as it can be told
	Other string // of another place, that tells it
}

// Missing compares places: what was looked up for another account or region
// and, of its provider, not for this one. A file without lookups says nothing:
// the app may need none.
func (l Lookups) Missing(account, region string) []Miss {
	here := map[string]bool{}
	for _, k := range l.Keys {
		if k.Account == account && k.Region == region {
			here[k.Provider] = true
		}
	}
	var missing []Miss
	for _, k := range l.Keys {
		if here[k.Provider] || slices.ContainsFunc(missing, func(m Miss) bool { return m.Key == k.In(account, region) }) {
			continue
		}
		missing = append(missing, Miss{Key: k.In(account, region), Other: k.Text})
	}
	return missing
}

// Frozen lists the keys that hold the value of an agent's image parameter as it
// was once: a later cdk deploy would bring that image back.
func (l Lookups) Frozen(agent string) []string {
	var keys []string
	for _, k := range l.Keys {
		if imageParameter(k.Parameter(), agent) {
			keys = append(keys, k.Text)
		}
	}
	return keys
}

// imageParameter says whether a name is /<agent>/<environment>/image-uri.
func imageParameter(name, agent string) bool {
	rest, ok := strings.CutPrefix(name, "/"+agent+"/")
	environment, ok2 := strings.CutSuffix(rest, "/image-uri")
	return ok && ok2 && environment != "" && !strings.Contains(environment, "/")
}
