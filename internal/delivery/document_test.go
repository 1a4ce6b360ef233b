package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testURI = testRegistry + "/helper/runtime@sha256:1"

// randomValue is any JSON, written in ways that an encoder would not choose.
func randomValue(rng *rand.Rand, depth int) string {
	kinds := []func() string{
		func() string { return fmt.Sprintf("%d.%d0", rng.IntN(100), rng.IntN(100)) },
		func() string { return "12345678901234567890123" },
		func() string { return `"<a>&\u00e9 ` + "\u2028" + `"` },
		func() string { return "true" },
		func() string { return "null" },
		func() string { return "1E5" },
		func() string { return randomObject(rng, depth+1) },
		func() string {
			return "[ " + randomValue(rng, depth+1) + " ,\t" + randomValue(rng, depth+1) + "]"
		},
	}
	if depth > 2 {
		kinds = kinds[:6]
	}
	return kinds[rng.IntN(len(kinds))]()
}

func randomObject(rng *rand.Rand, depth int) string {
	var members []string
	for i := range rng.IntN(4) {
		members = append(members, fmt.Sprintf(`"member<%d>" : %s`, i, randomValue(rng, depth)))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// TestEditIsLossless has documents of members that nobody has heard of come
// out byte-equal, whatever is laid over what Slipway owns (I7).
func TestEditIsLossless(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		unknown := map[string]string{}
		doc := []byte(`{"agentRuntimeId":"x","status":"READY"`)
		for i := range rng.IntN(6) {
			name := fmt.Sprintf("unheardOf<%d>", i)
			unknown[name] = randomValue(rng, 0)
			doc = fmt.Appendf(doc, "\n, %q: %s", name, unknown[name])
		}
		inner := randomValue(rng, 0)
		doc = fmt.Appendf(doc, `,"environmentVariables":{"KEEP":"a<b","OWN":"old"},"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"old","new":%s}}}`, inner)
		settings := Document(`{"environmentVariables":{"OWN":"new"},"lifecycleConfiguration":{"maxLifetime":60}}`)
		body, dropped, err := edit(doc, settings, testURI)
		if err != nil || len(dropped) > 0 || !json.Valid(body) {
			t.Fatalf("%s: %v, dropped %v: %s", doc, err, dropped, body)
		}
		o, _ := parseObject(body)
		for name, want := range unknown {
			if got, ok := o.get(name); !ok || string(got) != want {
				t.Errorf("%s: %s became %s", name, want, got)
			}
		}
		for _, part := range []string{`"KEEP":"a<b"`, `"OWN":"new"`, `"containerUri":"` + testURI + `"`, `"new":` + inner, `"maxLifetime":60`, `"requireMMDSV2":true`} {
			if !bytes.Contains(body, []byte(part)) {
				t.Errorf("no %s in %s", part, body)
			}
		}
		for _, name := range responseOnly() {
			if _, has := o.get(name); has {
				t.Errorf("%s is sent back", name)
			}
		}
		if strings.Contains(string(body), `\u003c`) {
			t.Errorf("a name is written differently: %s", body)
		}
		again, _, err := edit(body, settings, testURI)
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("a second time it becomes\n%s\n%s", body, again)
		}
		if changes, err := diff(body, again, settings); err != nil || len(changes) > 0 {
			t.Errorf("%v, %v", changes, err)
		}
	}
}

func TestMerge(t *testing.T) {
	for _, tt := range []struct {
		live, patch, want string
		dropped           []string
	}{
		{`{"a":1.0}`, `{"a":1.0}`, `{"a":1.0}`, nil},
		{`{"a": {"b" : 1}}`, `{"a":{"b":1}}`, `{"a":{"b" : 1}}`, nil}, // equal: its bytes stay
		{`{"a":{"b":1,"c":2}}`, `{"a":{"b":3}}`, `{"a":{"b":3,"c":2}}`, nil},
		{`{"a":[1,2]}`, `{"a":[2]}`, `{"a":[2]}`, nil},
		{`{"a":1}`, `{"a":{"b":2}}`, `{"a":{"b":2}}`, nil},
		{`{"a":{"b":1}}`, `{"a":2}`, `{"a":2}`, nil},
		{`{}`, `{"a":{"b":{}}}`, `{"a":{"b":{}}}`, nil},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"b":null,"z":null}}`, `{"a":{"c":2}}`, []string{"a.b"}},
		{`{"a":1}`, `{"a":null}`, `{}`, []string{"a"}},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, `{"a":12345678901234567891}`, nil},
	} {
		got, dropped, err := merge(Document(tt.live), Document(tt.patch), "", nil)
		if err != nil || string(got) != tt.want || !slices.Equal(dropped, tt.dropped) {
			t.Errorf("merge(%s, %s) = %s, dropped %v, %v; want %s, %v", tt.live, tt.patch, got, dropped, err, tt.want, tt.dropped)
		}
	}
}

func TestDiffMarksSecrets(t *testing.T) {
	before := Document(`{"agentRuntimeId":"x","environmentVariables":{"STATED":"1","LIVE":"hush","GONE":"hush"},"description":"a"}`)
	after := Document(`{"environmentVariables":{"STATED":"2","LIVE":"other","NEW":"3"},"description":"b","list":[1]}`)
	changes, err := diff(before, after, Document(`{"environmentVariables":{"STATED":"2","NEW":"3","GONE":null}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %s>%s %t", c.Path, c.Before, c.After, c.Secret))
	}
	want := []string{`description "a">"b" false`, `environmentVariables.GONE "hush"> true`, `environmentVariables.LIVE "hush">"other" true`,
		`environmentVariables.NEW >"3" false`, `environmentVariables.STATED "1">"2" false`, `list >[1] false`}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestEditRefusesWhatIsNoObject(t *testing.T) {
	for _, doc := range []string{"", "null", "[]", `"a"`, `{"a":1`, `{"a":}`, "{]"} {
		if body, _, err := edit(Document(doc), nil, testURI); err == nil {
			t.Errorf("%q became %s", doc, body)
		}
	}
}

// FuzzEdit: whatever AgentCore answers, what is sent back is JSON with what
// Slipway owns in it, or an error.
func FuzzEdit(f *testing.F) {
	f.Add(`{"environmentVariables":{"A":"1"},"x":{"y":[1,{"z":null}]}}`, `{"environmentVariables":{"A":null}}`)
	f.Add(`{"a":1,"a":2}`, `{"a":{"b":3}}`)
	f.Fuzz(func(t *testing.T, live, settings string) {
		if !json.Valid([]byte(live)) || settings != "" && !json.Valid([]byte(settings)) {
			t.Skip()
		}
		body, _, err := edit(Document(live), Document(settings), testURI)
		if err != nil {
			return
		}
		f, err := readFacts(body)
		if err == nil && f.Artifact.Container.URI != testURI {
			t.Errorf("edit(%s, %s) = %s", live, settings, body)
		}
		if !json.Valid(body) {
			t.Errorf("edit(%s, %s) = %s", live, settings, body)
		}
	})
}

// TestClientToken: the same change has the same token, the way back another.
func TestClientToken(t *testing.T) {
	a, b := []byte(`{"uri":"a"}`), []byte(`{"uri":"b"}`)
	there, back, again := clientToken("x", "1", b), clientToken("x", "2", a), clientToken("x", "3", b)
	if there == back || there == again || back == again || there != clientToken("x", "1", b) || len(there) < 33 {
		t.Errorf("%s %s %s", there, back, again)
	}
}
