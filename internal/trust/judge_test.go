package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-cd/slipway/internal/needs"
)

// partJudge is an IAM evaluator that others wrote: npm's
// @cloud-copilot/iam-simulate, in a process of its own.
const partJudge = "iam-simulate"

// judgeDir holds the judge's script; `npm ci` there installs it.
const judgeDir = "testdata/judge"

// question is asked of both evaluators.
type question struct {
	Identity  []string       `json:"identity,omitempty"`
	Boundary  string         `json:"boundary,omitempty"`
	Trust     string         `json:"trust,omitempty"`
	Principal string         `json:"principal"`
	Action    string         `json:"action"`
	Resource  string         `json:"resource"`
	Context   map[string]any `json:"context"`

	request Request
}

// newQuestion asks about r; a trust policy's resource is the role.
func newQuestion(r Request) question {
	q := question{Principal: r.Principal.Value, Action: r.Action, Resource: r.Resource, Context: map[string]any{}, request: r}
	if r.Principal == (Principal{}) {
		q.Principal = deployRole
	}
	if r.Resource == "" {
		q.Resource = deployRole
	}
	for key, values := range r.Context {
		q.Context[key] = values
		if len(values) == 1 {
			q.Context[key] = values[0]
		}
	}
	return q
}

// ours is the answer of the evaluator under test.
func (q question) ours() (string, error) {
	answer := func(allowed, denied bool) string {
		switch {
		case allowed:
			return "allow"
		case denied:
			return "deny"
		default:
			return "none"
		}
	}
	if q.Trust != "" {
		p, _, err := Read([]byte(q.Trust))
		d := p.Evaluate(q.request)
		return answer(d.Allowed, d.Denied()), err
	}
	var role Role
	for i, doc := range q.Identity {
		role.Inline = append(role.Inline, Document{Name: fmt.Sprint(i), JSON: []byte(doc)})
	}
	if q.Boundary != "" {
		role.Boundary = &Document{Name: "boundary", JSON: []byte(q.Boundary)}
	}
	grants, err := role.Grants()
	v := grants.Authorize(q.request)
	return answer(v.Allowed, v.Explicit), err
}

// theirs are the judge's answers, one for each question.
func theirs(t *testing.T, questions []question) []string {
	t.Helper()
	var in bytes.Buffer
	for _, q := range questions {
		if err := json.NewEncoder(&in).Encode(q); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "judge.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = judgeDir, &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	return answers
}

func needJudge(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("node")
	_, missing := os.Stat(filepath.Join(judgeDir, "node_modules", ".package-lock.json"))
	needs.Part(t, partJudge, err == nil && missing == nil)
}

// agree demands the same answer of both to every question, and returns how many
// there were of each.
func agree(t *testing.T, questions []question) map[string]int {
	t.Helper()
	count := map[string]int{}
	answers := theirs(t, questions)
	for i, q := range questions {
		got, err := q.ours()
		if err != nil {
			t.Fatalf("%v: %+v", err, q)
		}
		count[got]++
		if got != answers[i] && !t.Failed() {
			asked, _ := json.MarshalIndent(q, "", "  ")
			t.Errorf("we say %s, and the judge %s, of question %d:\n%s", got, answers[i], i, asked)
		}
	}
	return count
}

// TestJudgeCanFail: it notices an evaluator that reads any one thing otherwise,
// for which policies stand in that say another.
func TestJudgeCanFail(t *testing.T) {
	needJudge(t)
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(1, 1))}
	questions := make([]question, 800)
	for i := range questions {
		questions[i] = g.question()
	}
	answers := theirs(t, questions)
	for _, misread := range [][2]string{
		{`"Effect":"Deny"`, `"Effect":"Allow"`}, {`"ForAllValues:`, `"ForAnyValue:`}, {`"ForAnyValue:`, `"`}, {`IfExists"`, `"`},
		{`"NotAction"`, `"Action"`}, {`"NotResource"`, `"Resource"`}, {`"StringLike`, `"StringEquals`}, {`IgnoreCase`, ``},
		{`"ArnNotLike`, `"ArnLike`}, {`"Null":`, `"Bool":`}, {`LessThanEquals`, `LessThan`}, {`"2012-10-17"`, `"2008-10-17"`},
	} {
		differ := 0
		for i, q := range questions {
			q.Identity = slices.Clone(q.Identity)
			for j := range q.Identity {
				q.Identity[j] = strings.ReplaceAll(q.Identity[j], misread[0], misread[1])
			}
			if got, err := q.ours(); err != nil || got != answers[i] {
				differ++
			}
		}
		if differ == 0 {
			t.Errorf("%s read as %s goes unnoticed", misread[0], misread[1])
		}
	}
}

// TestJudgeAgreesOnTheCorpus: every policy of the corpus and every probe, and
// the permission policies with requests made of their own words.
func TestJudgeAgreesOnTheCorpus(t *testing.T) {
	needJudge(t)
	t.Parallel()
	questions := append(trustQuestions(t), permissionQuestions(t)...)
	count := agree(t, questions)
	if count["allow"] == 0 || count["deny"] == 0 || count["none"] == 0 {
		t.Errorf("the questions test little: %v", count)
	}
	publish(t, "corpus", len(questions))
}

func trustQuestions(t *testing.T) []question {
	var manifest []struct {
		ID, File string
		Args     []string
	}
	readJSON(t, "manifest.json", &manifest)
	files := map[string]string{"iam/deploy-trust.json": GitHubIssuer}
	for _, m := range manifest {
		files[filepath.Base(m.File)] = GitHubIssuer
		if i := slices.Index(m.Args, "--issuer"); i >= 0 {
			files[filepath.Base(m.File)] = m.Args[i+1]
		}
	}
	byID, ids := probes(t)
	var questions []question
	for _, file := range slices.Sorted(maps.Keys(files)) {
		issuer := files[file]
		for _, id := range ids {
			q := newQuestion(WebIdentity(ProviderARN("123456789012", issuer), issuer, byID[id]))
			q.Trust = string(readFile(t, file))
			questions = append(questions, q)
		}
	}
	for _, account := range []string{"123456789012", "210987654321"} {
		q := newQuestion(Request{Principal: Principal{Service, AgentCore}, Action: "sts:AssumeRole", Context: map[string][]string{
			"aws:SourceAccount": {account}, "aws:SourceArn": {"arn:aws:bedrock-agentcore:us-east-1:" + account + ":runtime/x-0123456789"},
		}})
		q.Trust = string(readFile(t, "iam/exec-trust.json"))
		questions = append(questions, q)
	}
	return questions
}

// permissionQuestions asks the deploy policy, alone and under its boundary, for
// each action of either on each resource of the policy.
func permissionQuestions(t *testing.T) []question {
	policy, boundary := readFile(t, "iam/deploy-policy.json"), readFile(t, "iam/deploy-boundary.json")
	actions, resources := map[string]bool{}, map[string]bool{deployRole: true}
	for _, doc := range [][]byte{policy, boundary} {
		p, err := Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Statements {
			for _, a := range s.Actions {
				actions[strings.ReplaceAll(a, "*", "")] = true
			}
			for _, r := range samples(s.Resources) {
				resources[r] = r != "x"
			}
		}
	}
	contexts := []map[string][]string{
		{},
		{
			"iam:PassedToService": {AgentCore}, "aws:RequestedRegion": {"us-east-1"},
			"bedrock-agentcore:subnets": {"subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"}, "bedrock-agentcore:securityGroups": {"sg-0a1b2c3d4e5f60003"},
		},
		{
			"iam:PassedToService": {"lambda.amazonaws.com"}, "aws:RequestedRegion": {"eu-west-1"},
			"bedrock-agentcore:subnets": {"subnet-0a1b2c3d4e5f60001", "subnet-1"}, "bedrock-agentcore:securityGroups": {"sg-0a1b2c3d4e5f60003"},
		},
	}
	var questions []question
	for _, action := range slices.Sorted(maps.Keys(actions)) {
		for _, resource := range slices.Sorted(maps.Keys(resources)) {
			for _, c := range contexts {
				q := newQuestion(Request{Action: action, Resource: resource, Context: c})
				q.Identity = []string{string(policy)}
				questions = append(questions, q)
				q.Boundary = string(boundary)
				questions = append(questions, q)
			}
		}
	}
	return questions
}

// TestJudgeAgreesOnRandomPolicies: operators, IfExists, sets, wildcards,
// variables, Deny and boundaries, at random, from one seed.
func TestJudgeAgreesOnRandomPolicies(t *testing.T) {
	needJudge(t)
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(20261126, 4))}
	questions := make([]question, 5000)
	for i := range questions {
		questions[i] = g.question()
	}
	count := agree(t, questions)
	for _, answer := range []string{"allow", "deny", "none"} {
		if count[answer] < len(questions)/20 {
			t.Errorf("the questions test little: %v", count)
		}
	}
	publish(t, "random", len(questions))
}

// publish holds docs/judges.md to the count.
func publish(t *testing.T, of string, count int) {
	t.Helper()
	place := regexp.MustCompile("(?m)^(\\| `" + partJudge + "` \\| " + of + "[^|]*\\|[^|]*\\|) \\d+ \\| 0 \\| 0 \\|$")
	publishAt(t, place, fmt.Sprintf("${1} %d | 0 | 0 |", count))
}

// publishAt holds one place of docs/judges.md to what it has to say.
func publishAt(t *testing.T, place *regexp.Regexp, text string) {
	t.Helper()
	const page = "../../docs/judges.md"
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := place.ReplaceAll(raw, []byte(text))
	switch {
	case !place.Match(raw):
		t.Fatalf("docs/judges.md has no place for %s", place)
	case bytes.Equal(raw, want) || t.Failed():
	case !*update:
		t.Errorf("docs/judges.md does not say what the run says: run the test with -update\n%s", text)
	default:
		if err := os.WriteFile(page, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhereTheJudgeDiffers: the cases that the random questions leave out,
// because the judge reads them otherwise than IAM's documentation has it. A row
// that no longer holds, on either side, fails.
func TestWhereTheJudgeDiffers(t *testing.T) {
	needJudge(t)
	t.Parallel()
	const role = "arn:aws:iam::123456789012:role/red/a"
	statement := func(condition string) string {
		return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{` + condition + `}}`
	}
	variablesPage := "[policy variables with no value](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-no-value)"
	resourcePage := "[Resource](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html)"
	operatorsPage := "[condition operators](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html)"
	rows := []struct {
		what, source, ours, judge string
		document                  string
		key, value                string
	}{
		{"negated operator over a variable without a value", variablesPage, "allow", "none",
			document(statement(`"StringNotEquals":{"aws:PrincipalTag/team":"${aws:absent}"}`)), "aws:PrincipalTag/team", "red"},
		{"NotResource with a variable without a value", variablesPage, "allow", "none",
			document(`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:iam::123456789012:role/${aws:absent}"}`), "", ""},
		{"variable in a policy of version 2008-10-17", "[Version](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_version.html)", "none", "allow",
			`{"Version":"2008-10-17","Statement":` + statement(`"StringEquals":{"aws:PrincipalTag/team":"${aws:PrincipalTag/team}"}`) + `}`, "aws:PrincipalTag/team", "red"},
		{"`*` at the end of a part of an ARN, before a colon", resourcePage, "allow", "none",
			document(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam:*:role/red/a"}`), "", ""},
		{"NotResource with an ARN cut short by `*`", resourcePage, "allow", "none",
			document(`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:ecr:*"}`), "", ""},
		{"address range 0.0.0.0/0", operatorsPage, "allow", "none", document(statement(`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`)), "aws:SourceIp", "10.1.2.3"},
		{"NotIpAddress of one address, asked from another family's", operatorsPage, "allow", "none",
			document(statement(`"NotIpAddress":{"aws:SourceIp":"192.0.2.1"}`)), "aws:SourceIp", "2001:db8::1"},
		{"seconds since 1970 beside an ISO 8601 date", operatorsPage, "allow", "none",
			document(statement(`"DateGreaterThan":{"aws:CurrentTime":"2025-01-01T00:00:00Z"}`)), "aws:CurrentTime", "1795680000"},
	}
	var questions []question
	for _, row := range rows {
		r := Request{Action: "iam:PassRole", Resource: role, Context: map[string][]string{}}
		if row.key != "" {
			r.Context[row.key] = []string{row.value}
		}
		q := newQuestion(r)
		q.Identity = []string{row.document}
		questions = append(questions, q)
	}
	answers := theirs(t, questions)
	table := []string{"| case | the judge | IAM's documentation and ours | source |", "|---|---|---|---|"}
	for i, row := range rows {
		got, err := questions[i].ours()
		if err != nil || got != row.ours || answers[i] != row.judge {
			t.Errorf("%s: we say %s (%v), the judge %s", row.what, got, err, answers[i])
		}
		table = append(table, fmt.Sprintf("| %s | %s | %s | %s |", row.what, row.judge, row.ours, row.source))
	}
	publishAt(t, regexp.MustCompile(`(?m)^\| case \| the judge \|.*\n(\|.*\n)+`), strings.Join(table, "\n")+"\n")
}

// generator makes questions whose parts come from so few words that they often
// meet. It leaves out what TestWhereTheJudgeDiffers asks,
// and negated operators over an ARN that is none, of which no page tells.
type generator struct{ *rand.Rand }

func (g generator) of(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) some(most int, words ...string) []string {
	picked := []string{}
	for range 1 + g.IntN(most) {
		if w := g.of(words...); !slices.Contains(picked, w) {
			picked = append(picked, w)
		}
	}
	return picked
}

func (g generator) question() question {
	c := map[string][]string{}
	for _, k := range contextKeys() {
		if g.IntN(10) < 7 {
			c[k.key] = g.some(k.most, k.got...)
		}
	}
	q := newQuestion(Request{
		Action:   g.of("ecr:PutImage", "ecr:PutImageTagMutability", "ssm:GetParameter", "iam:PassRole"),
		Resource: g.of("arn:aws:ecr:us-east-1:123456789012:repository/a", "arn:aws:ecr:us-east-1:123456789012:repository/a/b", "arn:aws:iam::123456789012:role/red/a"),
		Context:  c,
	})
	for range 1 + g.IntN(2) {
		q.Identity = append(q.Identity, string(g.policy().Compact()))
	}
	if g.IntN(4) == 0 {
		q.Boundary = string(g.policy().Compact())
	}
	return q
}

func (g generator) policy() Policy {
	p := Policy{Version: version}
	for range 1 + g.IntN(3) {
		s := Statement{Effect: Allow}
		if g.IntN(5) == 0 {
			s.Effect = Deny
		}
		actions := g.some(3, "ecr:PutImage", "ECR:putimage", "ecr:Put*", "ecr:*", "ssm:Get?arameter*", "*", "iam:Pass*", "ecr:P?tImage")
		resources := []string{
			"*", "arn:aws:ecr:us-east-1:123456789012:repository/a", "arn:aws:ecr:*:123456789012:repository/*", "arn:aws:ecr:us-east-?:*:repository/a/?",
			"arn:aws:iam::*:role/${aws:absent, 'red'}/a", "arn:aws:ecr:us-east-1:123456789012:repository/${*}",
		}
		if g.IntN(6) == 0 {
			s.NotActions = actions
		} else {
			s.Actions = actions
		}
		if g.IntN(6) == 0 {
			s.NotResources = g.some(2, resources...)
		} else {
			s.Resources = g.some(2, append(resources, "arn:aws:iam::123456789012:role/${aws:PrincipalTag/team}/*", "arn:aws:ecr:*")...)
		}
		for range g.IntN(3) {
			if c := g.condition(); !slices.ContainsFunc(s.Conditions, func(other Condition) bool { return c.Operator == other.Operator }) {
				s.Conditions = append(s.Conditions, c)
			}
		}
		p.Statements = append(p.Statements, s)
	}
	return p
}

func (g generator) condition() Condition {
	k := contextKeys()[g.IntN(len(contextKeys()))]
	operator := g.of(k.operators...)
	values := k.wanted
	if !strings.Contains(operator, "Not") {
		values = append(values, k.variables...)
	}
	c := Condition{Key: k.key, Values: g.some(3, values...)}
	if g.IntN(8) == 0 {
		return Condition{"Null", k.key, g.some(1, "true", "false")}
	}
	if g.IntN(4) == 0 {
		c.Key = strings.ToUpper(k.key)
	}
	c.Operator = g.of("", "", "", "ForAllValues:", "ForAnyValue:") + operator + g.of("", "", "IfExists")
	return c
}

// contextKey is a key of requests, what they say and what policies ask.
type contextKey struct {
	key               string
	most              int // values of a request
	got               []string
	operators         []string
	wanted, variables []string
}

func contextKeys() []contextKey {
	texts := []string{
		"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
	}
	return []contextKey{
		{"aws:PrincipalTag/team", 1, []string{"red", "Red", "blue", "re*"}, texts,
			[]string{"red", "RED", "r*", "?ed", "*"}, []string{"${aws:PrincipalTag/team}", "${aws:absent}", "${aws:absent, 'red'}", "re${*}"}},
		{"aws:TagKeys", 3, []string{"red", "blue", "Green"}, texts, []string{"red", "blue", "g*", "*e*"}, []string{"${aws:PrincipalTag/team}"}},
		{"aws:SourceArn", 1, []string{"arn:aws:ecr:us-east-1:123456789012:repository/a", "arn:aws:iam::123456789012:role/red/a"},
			[]string{"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"},
			[]string{"arn:aws:ecr:*:123456789012:*", "arn:aws:iam::123456789012:role/red/a", "arn:*:*:*:1234567890??:*"}, []string{"arn:aws:iam::*:role/${aws:PrincipalTag/team}/*"}},
		{"aws:SecureTransport", 1, []string{"true", "false", "True"}, []string{"Bool"}, []string{"true", "false", "TRUE"}, nil},
		{"aws:MultiFactorAuthAge", 1, []string{"0", "3600", "3599.5"},
			[]string{"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals"},
			[]string{"0", "3600", "3599.5", "-1"}, nil},
		{"aws:CurrentTime", 1, []string{"2026-11-26T08:00:00Z", "2026-11-26T09:00:00+01:00", "2025-01-01"},
			[]string{"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"},
			[]string{"2026-11-26T08:00:00Z", "2025-01-01T00:00:00Z", "2027-01-01"}, nil},
		{"aws:SourceIp", 1, []string{"10.1.2.3", "192.0.2.1", "2001:db8::1"}, []string{"IpAddress", "NotIpAddress"},
			[]string{"10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "128.0.0.0/1"}, nil},
	}
}
