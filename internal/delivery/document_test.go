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

// TestWhatIsStatedTwiceIsNotEdited: of two members of a name, one reader sees
// the first and another the last.
func TestWhatIsStatedTwiceIsNotEdited(t *testing.T) {
	for _, doc := range []string{`{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`, `{"a":[{"b":1},{"b":1,"c":{"d":1,"d":2}}]}`, `{"a":1,"\u0061":2}`,
		`{"agentRuntimeArtifact":{},"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"another"}}}`} {
		if body, _, err := edit(Document(doc), nil, testURI); err == nil {
			t.Errorf("%s became %s", doc, body)
		}
		if body, err := snapshotBody(Document(doc)); err == nil {
			t.Errorf("%s became %s", doc, body)
		}
	}
	for _, doc := range []string{`{"a":{"a":"a"},"b":["a","a",{"a":1}],"c":"a"}`, `{"a":[[],{}],"A":1}`, `{"a":"b","b":"a"}`} {
		if _, _, err := edit(Document(doc), nil, testURI); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestFactsAreReadByExactNames: STATUS is no status.
func TestFactsAreReadByExactNames(t *testing.T) {
	f, err := readFacts(Document(`{"status":"UPDATING","STATUS":"READY","AgentRuntimeVersion":"7","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"a","CONTAINERURI":"b"}}}`))
	if err != nil || f.Status != "UPDATING" || f.Version != "" || f.Artifact.Container.URI != "a" {
		t.Errorf("%+v, %v", f, err)
	}
	for _, bad := range []string{`{"status":7}`, `{"agentRuntimeArtifact":7}`, `[]`} {
		if _, err := readFacts(Document(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// FuzzEdit: whatever AgentCore answers, what is sent back is JSON with what
// Slipway owns in it and every other member as it was, to the byte; or an
// error.
func FuzzEdit(f *testing.F) {
	f.Add(`{"environmentVariables":{"A":"1"},"x":{"y":[1,{"z":null}]}}`, `{"environmentVariables":{"A":null}}`)
	f.Add(`{"a":1,"a":2}`, `{"a":{"b":3}}`)
	f.Add(`{ "\u0061" : 1.50 , "b":"\u00e9\/<>" ,"agentRuntimeArtifact":{"x":1},"status":"READY"}`, ``)
	f.Add(`{"agentRuntimeArtifact":null,"metadataConfiguration":{"requireMMDSV2":false,"more":1e2}}`, `{"description":"d"}`)
	f.Fuzz(func(t *testing.T, live, settings string) {
		if !json.Valid([]byte(live)) || settings != "" && !json.Valid([]byte(settings)) {
			t.Skip()
		}
		if strings.Contains(settings, "agentRuntimeArtifact") || strings.Contains(settings, `\u`) {
			t.Skip() // settings never name the image
		}
		body, _, err := edit(Document(live), Document(settings), testURI)
		if err != nil {
			return
		}
		if f, err := readFacts(body); err != nil || !json.Valid(body) || f.Artifact.Container.URI != testURI {
			t.Errorf("edit(%s, %s) = %s: %v", live, settings, body, err)
		}
		untouched(t, live, settings, body)
		if again, dropped, err := edit(body, Document(settings), testURI); err != nil || len(dropped) != 0 || !bytes.Equal(again, body) {
			t.Errorf("a second edit of %s is %s, with %v dropped (%v)", body, again, dropped, err)
		}
	})
}

// untouched compares the members that are neither Slipway's nor an answer's.
func untouched(t *testing.T, live, settings string, body Document) {
	t.Helper()
	before, errBefore := parseObject(Document(live))
	after, errAfter := parseObject(body)
	if errBefore != nil || errAfter != nil {
		t.Fatal(errBefore, errAfter)
	}
	stated, _ := parseObject(Document(settings)) // no settings, nothing stated
	for _, m := range before.without(append(responseOnly(), "agentRuntimeArtifact", "metadataConfiguration")...) {
		if _, ours := stated.get(m.name); ours {
			continue
		}
		if value, ok := after.get(m.name); !ok || !bytes.Equal(value, m.value) {
			t.Errorf("%q was %s and is %s", m.name, m.value, value)
		}
	}
}

// FuzzSnapshotBody: a version that is brought back is as it was, to the byte.
func FuzzSnapshotBody(f *testing.F) {
	f.Add(`{"agentRuntimeId":"x","environmentVariables":{ "A" : "1" },"new":[1.0]}`)
	f.Add(`{"metadataConfiguration":[],"x":1}`)
	f.Fuzz(func(t *testing.T, version string) {
		body, err := snapshotBody(Document(version))
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Errorf("%s became %s", version, body)
		}
		before, _ := parseObject(Document(version)) // snapshotBody has read it
		after, err := parseObject(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range before.without(append(responseOnly(), "metadataConfiguration")...) {
			if value, ok := after.get(m.name); !ok || !bytes.Equal(value, m.value) {
				t.Errorf("%q was %s and is %s", m.name, m.value, value)
			}
		}
	})
}

// FuzzLockRecord: a lock that Slipway did not write, or can't read, holds.
func FuzzLockRecord(f *testing.F) {
	f.Add(`{"schema":"slipway.lock/v1","owner":"me","expires":"2026-01-01T00:00:00Z"}`)
	f.Add(`{"owner":"me"}`)
	f.Add(`{"schema":"slipway.lock/v1","left":"x"}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, value string) {
		w := newWorld(t)
		d, _ := w.deliverer("me")
		w.params[d.Target.Parameter("lock")] = value
		held, err := d.readLock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held.free("me", d.now()) && held.Schema != lockSchema {
			t.Errorf("%q holds nobody up", value)
		}
	})
}

// FuzzImageFacts: what is read of a foreign image has a size that is none of
// its making, and an image that passes is one that AgentCore takes.
func FuzzImageFacts(f *testing.F) {
	good := newImage("linux", "arm64", "r")
	f.Add(good.raw, good.blobs[digestInside(good)])
	f.Add([]byte(`{"config":{"size":-1},"layers":[{"size":-5}]}`), []byte(`{"os":"linux","architecture":"arm64"}`))
	f.Add([]byte(`{"layers":[{"size":9223372036854775807},{"size":9223372036854775807}]}`), []byte(`{"os":"linux","architecture":"arm64"}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		var m ociManifest
		if json.Unmarshal(manifest, &m) != nil {
			t.Skip()
		}
		img := &fakeImage{raw: manifest, blobs: map[string][]byte{m.Config.Digest: config}}
		facts, err := inspect(t.Context(), img)
		if err != nil {
			return
		}
		if facts.Size < 0 || facts.Digest != digestOf(manifest) {
			t.Errorf("%s: %+v", manifest, facts)
		}
		if facts.check(MicroVM) == nil && (facts.Size > maxImageBytes || facts.Platform != "linux/arm64") {
			t.Errorf("%s passes as %+v", manifest, facts)
		}
	})
}

func digestInside(img *fakeImage) string {
	for digest := range img.blobs {
		return digest
	}
	return ""
}

// TestClientToken: the same change has the same token, the way back another.
func TestClientToken(t *testing.T) {
	a, b := []byte(`{"uri":"a"}`), []byte(`{"uri":"b"}`)
	there, back, again := clientToken("x", "1", b), clientToken("x", "2", a), clientToken("x", "3", b)
	if there == back || there == again || back == again || there != clientToken("x", "1", b) || len(there) < 33 {
		t.Errorf("%s %s %s", there, back, again)
	}
}
