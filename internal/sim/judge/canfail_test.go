package judge

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestJudgesCanFail runs each judge on a cloud that is broken on purpose: a
// judge that passes it judges nothing.
func TestJudgesCanFail(t *testing.T) {
	t.Run(partConformance, conformanceCanFail)
	t.Run(partJS, jsCanFail)
	t.Run(partBotocore, botocoreCanFail)
	for _, c := range clients() {
		t.Run(c.name, c.canFail)
	}
	t.Run(partMoto, motoCanFail)
}

func conformanceCanFail(t *testing.T) {
	path := conformanceProgram(t)
	v, _, err := judgeConformance(newCloud(t, without("OCI-Subject")), path)
	if err != nil {
		t.Fatal(err)
	}
	v.mustFail(t, "subject")
}

func jsCanFail(t *testing.T) {
	needJS(t)
	v, _ := judgeJS(newCloud(t, replacing(`"imageDigest"`, `"imageDigset"`)))
	v.mustFail(t, "imagedigest is undefined")
	v, _ = judgeJS(newCloud(t, replacing("ParameterAlreadyExists", "ParameterExists")))
	v.mustFail(t, "threw ssmserviceexception parameterexists")
}

func botocoreCanFail(t *testing.T) {
	needBotocore(t)
	answers := recordAnswers(t)
	for about, broken := range map[string][2]string{
		"repositoryurl is unknown": {`"repositoryUri"`, `"repositoryUrl"`},
		"createday is unknown":     {`CreateDate>`, `CreateDay>`},
		"missing required":         {`"workloadIdentityArn"`, `"workloadIdentity"`},
		"not among":                {`"imageTagMutability":"MUTABLE"`, `"imageTagMutability":"mutable"`},
		"does not match":           {`"agentRuntimeId":"judged-`, `"agentRuntimeId":"judged+`},
		"bad reason":               {`"reason":"FieldValidationFailed"`, `"reason":"bad reason"`},
		"is not declared":          {`RepositoryAlreadyExistsException`, `RepositoryExistsException`},
		"no timestamp":             {`"LastModifiedDate":`, `"LastModifiedDate":"2026-01-01T00:00:00Z","Was":`},
	} {
		t.Run(about, func(t *testing.T) {
			wrong := slices.Clone(answers)
			for i := range wrong {
				wrong[i].Body = bytes.ReplaceAll(wrong[i].Body, []byte(broken[0]), []byte(broken[1]))
			}
			judgeShapes(t, wrong).mustFail(t, about)
		})
	}
}

func (c client) canFail(t *testing.T) {
	c.needed(t)
	c.judge(newCloud(t, corrupting)).mustFail(t, c.corrupt)
	c.judge(newCloud(t, lenient)).mustFail(t, "judge/none:one")
}

// motoCanFail has moto judged as if it were the cloud: each difference is one
// failure.
func motoCanFail(t *testing.T) {
	moto := judgeMoto(t)
	v := judgeDifferences(moto, moto)
	v.mustFail(t, "the cloud says")
	if v.failed != len(differences()) {
		t.Errorf("%d of %d differences fail moto", v.failed, len(differences()))
	}
}

// mustFail demands that a judge saw what is broken, and said so.
func (v verdict) mustFail(t *testing.T, about string) {
	t.Helper()
	if v.failed == 0 || !strings.Contains(strings.ToLower(strings.Join(v.failures, "\n")), about) {
		t.Errorf("the judge passed a broken cloud, or failed for another reason than %q: %d passed, %d failed\n%s",
			about, v.passed, v.failed, strings.Join(v.failures, "\n"))
	}
}

// without breaks a cloud: it drops a header of every answer.
func without(header string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&dropping{ResponseWriter: w, header: header}, r)
		})
	}
}

type dropping struct {
	http.ResponseWriter
	header string
}

func (d *dropping) WriteHeader(status int) {
	d.Header().Del(d.header)
	d.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (d *dropping) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// replacing breaks a cloud: it replaces text of every answer.
func replacing(old, text string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&rewriting{ResponseWriter: w, old: []byte(old), text: []byte(text)}, r)
		})
	}
}

type rewriting struct {
	http.ResponseWriter
	old, text []byte
}

func (w *rewriting) Write(b []byte) (int, error) {
	if _, err := w.ResponseWriter.Write(bytes.ReplaceAll(b, w.old, w.text)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Unwrap is for http.ResponseController.
func (w *rewriting) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// corrupting breaks a cloud: the last byte of every blob is another.
func corrupting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
			w = &flipping{w}
		}
		next.ServeHTTP(w, r)
	})
}

type flipping struct{ http.ResponseWriter }

func (w *flipping) Write(b []byte) (int, error) {
	changed := append([]byte(nil), b...)
	changed[len(changed)-1] ^= 1
	return w.ResponseWriter.Write(changed)
}

// lenient breaks a cloud: a repository that does not exist is another one.
func lenient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/judge/none/", "/judge/dst/", 1)
		next.ServeHTTP(w, r)
	})
}
